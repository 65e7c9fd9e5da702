//! The interop matrix: which peers are paired, in which roles, and what they do.

use core::fmt;

use super::options::{Implementation, Side};
use super::process::{Kind, Peer, Programs};
use super::report::Summary;

/// One run: two peers, the driver, and the mode.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Our side.
    pub ours: Kind,
    /// The other.
    pub peer: Kind,
    /// Our role.
    pub role: Side,
    /// Whether it is us who drive.
    pub we_drive: bool,
    /// What is done.
    pub mode: Mode,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = if self.we_drive { self.ours } else { self.peer };
        let Self { ours, peer, role, mode, .. } = self;
        write!(f, "{ours} as {} x {peer}: {mode}, driven by {driver}", role.name())
    }
}

macro_rules! modes {
    ($($(#[$doc:meta])* $mode:ident $name:literal)*) => {
        /// What two peers do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mode {
            $($(#[$doc])* $mode,)*
        }

        impl Mode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$mode),*];
        }

        impl fmt::Display for Mode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$mode => $name,)* })
            }
        }
    };
}

modes! {
    /// Streams echoed while they are written.
    Echo "echo"
    /// A reply on a stream the opener has half-closed.
    HalfClose "half-close then reply"
    /// Many requests and responses on each stream.
    Requests "request and response"
    /// The acceptor sees the type.
    Typed "typed"
    /// Both sides beat and measure the round trip.
    Heartbeat "heartbeat both ways"
    /// A lot of data from the driver.
    BulkUp "bulk up"
    /// A lot of data to the driver.
    BulkDown "bulk down"
    /// 20 000 streams, 50 at a time.
    Many "20 000 streams"
    /// 1000 streams wanted at the same time.
    Concurrent "1000 concurrent"
    /// 400 streams written at the same moment, ten times.
    Bursts "bursts of 400"
    /// Both sides open 400 streams.
    BothOpen "both open 400"
    /// The side that did not drive ends the session.
    ClosedByServer "session closed by the other side"
    /// The driver resets, or closes with data on its way to it.
    ResetByDriver "reset by the driver"
    /// The other side resets, or closes with data on its way to it.
    ResetByServer "reset by the other side"
    /// One byte a read.
    TinyReads "tiny reads"
    /// Writes far larger than the window.
    LargeWrites "large writes"
    /// Our receive window is larger than the peer assumes.
    OurLargerWindow "a larger window on our side"
    /// The peer's windows are larger than the default.
    TheirLargerWindow "larger windows on their side"
    /// The other side goes away with streams running.
    GoAwayByServer "GOAWAY from the other side"
    /// The driver goes away with streams running.
    GoAwayByDriver "GOAWAY from the driver"
}

/// How many streams ngrok's crate survives: at 512 its reader dies, and heartbeats count, too.
const NGROK_STREAMS: usize = 500;
/// All runs of the given implementations against the given peers.
pub fn runs(ours: &[Kind], peers: &[Kind], modes: &[Mode]) -> Vec<Run> {
    let mut runs = Vec::new();
    for &ours in ours {
        for &peer in peers {
            for role in [Side::Client, Side::Server] {
                for &mode in modes {
                    for we_drive in [true, false] {
                        let run = Run { ours, peer, role, we_drive, mode };
                        if run.makes_sense() {
                            runs.push(run);
                        }
                    }
                }
            }
        }
    }
    runs
}

impl Run {
    /// ngrok's crate cannot go away and keep its streams, and reads nothing after a GOAWAY.
    fn makes_sense(&self) -> bool {
        let goes_away = matches!(self.mode, Mode::GoAwayByServer | Mode::GoAwayByDriver);
        !(goes_away && self.with_ngrok())
    }

    fn with_ngrok(&self) -> bool {
        let ngrok = Kind::Rust(Implementation::Ngrok);
        self.ours == ngrok || self.peer == ngrok
    }

    /// Whether Go has to be there.
    pub fn needs_go(&self) -> bool {
        self.peer.needs_go() || self.ours.needs_go()
    }

    /// The client dials.
    fn driver_dials(&self) -> bool {
        self.we_drive == (self.role == Side::Client)
    }

    /// Runs it; returns what went wrong.
    pub fn run(&self, programs: &Programs) -> Result<(), String> {
        let (driver, server) =
            if self.we_drive { (self.ours, self.peer) } else { (self.peer, self.ours) };
        let plan = self.plan();
        let (driver, server) = if self.driver_dials() {
            let server = programs.start(server, &listening(&plan.server));
            let driver = programs.start(driver, &dialing(&plan.driver, &server));
            (driver, server)
        } else {
            let driver = programs.start(driver, &listening(&plan.driver));
            let server = programs.start(server, &dialing(&plan.server, &driver));
            (driver, server)
        };
        self.check(&plan, driver, server)
    }

    fn check(&self, plan: &Plan, mut driver: Peer, mut server: Peer) -> Result<(), String> {
        let driven = driver.summary();
        let served = server.summary();
        let fault = |text: String| {
            Err(format!(
                "{text}\ndriver: {driven:?}\n{}\nserver: {served:?}\n{}",
                driver.errors(),
                server.errors()
            ))
        };
        if !driven.ok || !served.ok {
            return fault("a peer reports errors".into());
        }
        if driven.completed != plan.completed {
            return fault(format!("{} streams of {}", driven.completed, plan.completed));
        }
        let failures = driven.serve_errors.len() + served.serve_errors.len();
        if failures > 0 && !plan.streams_fail {
            return fault("streams failed on the side that served them".into());
        }
        if let Err(text) = self.check_codes(plan, &driven) {
            return fault(text);
        }
        if let Err(text) = self.check_end(plan, &driven, &served) {
            return fault(text);
        }
        Ok(())
    }

    /// Checks the error codes the driver met where it expected an error.
    fn check_codes(&self, plan: &Plan, driven: &Summary) -> Result<(), String> {
        let expected = plan.codes.map(|(code, count)| (code.to_string(), count));
        let met = driven.resets.iter().map(|(code, &count)| (code.clone(), count));
        if met.eq(expected) {
            Ok(())
        } else {
            Err(format!("error codes {:?} instead of {:?}", driven.resets, plan.codes))
        }
    }

    /// Checks that the side that did not end the session learned that the other did, without an
    /// error. ngrok's crate sends no GOAWAY and reports none.
    fn check_end(&self, plan: &Plan, driven: &Summary, served: &Summary) -> Result<(), String> {
        if self.with_ngrok() {
            return Ok(());
        }
        let driver_closes = match plan.closes {
            Closer::Driver => true,
            Closer::Server => false,
            Closer::Dialer => self.driver_dials(),
        };
        let end = if driver_closes { &served.end } else { &driven.end };
        // Peers close their session without waiting for streams. The last stream may still be open
        // then, as are answers that the driver gave up: ours reports that.
        let peer_closes = driver_closes != self.we_drive;
        let cut =
            peer_closes && end.cause.as_deref().is_some_and(|cause| cause.contains(CUT_BY_THE_END));
        match end.remote_code.as_deref() {
            Some("0") => Ok(()),
            None if cut => Ok(()),
            other => Err(format!("the end of the session was told as {other:?}")),
        }
    }

    /// The options of each side, and the expected result.
    fn plan(&self) -> Plan {
        let ngrok = self.with_ngrok();
        match self.mode {
            Mode::Echo => Plan::drive("echo", 40, 8).bytes(100_000),
            Mode::HalfClose => Plan::drive("digest", 40, 8).bytes(10_000),
            Mode::Requests => {
                Plan::drive("requests", 8, 4).bytes(300).driver(&["--requests", "50"])
            }
            Mode::Typed => Plan::drive("typed", 100, 10).both(&["--typed"]),
            Mode::Heartbeat => Plan { completed: 0, ..Plan::drive("heartbeat", 1, 1) }
                .server(&["--drive", "heartbeat"])
                .both(&["--heartbeat", "50,5000"])
                .mutual(),
            Mode::BulkUp => Plan::drive("digest", 4, 4).bytes(8 << 20),
            Mode::BulkDown => Plan::drive("source", 4, 4).bytes(8 << 20),
            Mode::Many => Plan::drive("echo", 20_000, 50).bytes(64),
            // Tasks that want 1000 streams at once get only as many as the peer can handle: ours
            // makes the others wait.
            Mode::Concurrent if self.we_drive && ngrok => {
                Plan::drive("echo", 1000, 1000).driver(&["--preset", "ngrok"])
            }
            Mode::Concurrent if self.we_drive => {
                Plan::drive("hold", 1000, 1).driver(&["--pending", "1000", "--preset", "go"])
            }
            Mode::Concurrent => Plan::drive("hold", if ngrok { NGROK_STREAMS } else { 1000 }, 1),
            Mode::Bursts => Plan::drive("burst", 4000, 400)
                .ours(self.we_drive, &["--preset", if ngrok { "ngrok" } else { "go" }]),
            Mode::BothOpen => Plan::drive("echo", 400, 50)
                .server(&["--drive", "echo", "--streams", "400", "--in-flight", "50"])
                .mutual(),
            Mode::ClosedByServer => {
                Plan { closes: Closer::Server, ..Plan::drive("shutdown", 10, 2) }
            }
            Mode::ResetByDriver => {
                let plan = Plan { streams_fail: true, ..Plan::drive("abandon", 20, 4) };
                plan.bytes(1_000_000).driver(&["--code", "7"])
            }
            // Only ours can reset with a given code. The others close, and answer later data with
            // StreamClosed.
            Mode::ResetByServer => {
                let code = if self.we_drive { 4 } else { 6 };
                let plan = Plan { codes: Some((code, 10)), ..Plan::drive("refused", 10, 2) };
                plan.driver(&["--code", "6"])
            }
            Mode::TinyReads => Plan::drive("echo", 4, 4).bytes(4096).both(&["--read-size", "1"]),
            Mode::LargeWrites => Plan::drive("echo", 2, 2).bytes(8 << 20).both(&[
                "--write-size",
                "8388608",
                "--read-size",
                "1048576",
            ]),
            Mode::OurLargerWindow => Plan::drive("echo", 4, 4)
                .bytes(4 << 20)
                .ours(self.we_drive, &["--window", "1048576"]),
            Mode::TheirLargerWindow => Plan::drive("echo", 4, 4)
                .bytes(4 << 20)
                .both(&["--window", "1048576"])
                .ours(self.we_drive, &["--send-window", "1048576"]),
            Mode::GoAwayByServer => {
                // When ours drives, it ends the session first, and reports that.
                let closes = if self.we_drive { Closer::Driver } else { Closer::Server };
                Plan { codes: Some((11, 1)), closes, ..Plan::drive("goaway", 20, 20) }
                    .bytes(100_000)
            }
            Mode::GoAwayByDriver => Plan::drive("goaway-local", 20, 20).bytes(100_000),
        }
    }
}

/// The text of ours if the peer closed the session while streams were open. The transport has ended,
/// or was reset after the peer's GOAWAY (PROTOCOL.md §12.1).
const CUT_BY_THE_END: &str = "cut at the end: transport ";

/// Who ends a session, or announces the end first.
#[derive(Debug, Default)]
enum Closer {
    #[default]
    Driver,
    Server,
    /// Of two sides that drive.
    Dialer,
}

/// The options of both sides in a run, and the expected result.
#[derive(Debug, Default)]
struct Plan {
    driver: Vec<String>,
    server: Vec<String>,
    /// Streams the driver must report as done.
    completed: usize,
    /// Streams may fail on the side that serves them.
    streams_fail: bool,
    /// Who ends the session, or announces the end first.
    closes: Closer,
    /// The error code the driver must meet, and how often.
    codes: Option<(u32, usize)>,
}

impl Plan {
    fn drive(what: &str, streams: usize, in_flight: usize) -> Self {
        let plan = Self { completed: streams, ..Self::default() };
        let (streams, in_flight) = (streams.to_string(), in_flight.to_string());
        plan.driver(&["--drive", what, "--streams", &streams, "--in-flight", &in_flight])
    }

    fn driver(mut self, arguments: &[&str]) -> Self {
        self.driver.extend(arguments.iter().map(ToString::to_string));
        self
    }

    fn server(mut self, arguments: &[&str]) -> Self {
        self.server.extend(arguments.iter().map(ToString::to_string));
        self
    }

    fn both(self, arguments: &[&str]) -> Self {
        self.driver(arguments).server(arguments)
    }

    fn mutual(mut self) -> Self {
        self.closes = Closer::Dialer;
        self.both(&["--mutual"])
    }

    fn ours(self, we_drive: bool, arguments: &[&str]) -> Self {
        if we_drive { self.driver(arguments) } else { self.server(arguments) }
    }

    fn bytes(self, bytes: usize) -> Self {
        self.driver(&["--bytes", &bytes.to_string()])
    }
}

fn listening(arguments: &[String]) -> Vec<String> {
    let mut all = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
    all.extend_from_slice(arguments);
    all
}

fn dialing(arguments: &[String], listener: &Peer) -> Vec<String> {
    let mut all = vec!["--dial".to_owned(), listener.address().to_string()];
    all.extend_from_slice(arguments);
    all
}
