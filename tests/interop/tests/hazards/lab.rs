//! The common part of the hazard tests.

use core::future::Future;
use core::time::Duration;

use muxado_conformance::wire::{self, FIN, Frame, SYN};
use muxado_interop::control::Call;
use muxado_interop::options::Implementation;
use muxado_interop::process::{Kind, LIMIT, Peer, Programs};
use muxado_interop::raw::Raw;
use muxado_interop::tap::{Change, From, Tap};
use muxado_tokio::{ConfigBuilder, Session};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// A fault of peers, or our workaround.
#[derive(Clone, Copy)]
pub(crate) struct Hazard {
    pub(crate) name: &'static str,
    /// Those to show it on.
    pub(crate) peers: &'static [Kind],
    pub(crate) run: fn(&Lab, Kind),
}

pub(crate) const NGROK: Kind = Kind::Rust(Implementation::Ngrok);
pub(crate) const GO: &[Kind] = &[Kind::Go];
pub(crate) const GO2: &[Kind] = &[Kind::Go2];
pub(crate) const BOTH_GO: &[Kind] = &[Kind::Go, Kind::Go2];
pub(crate) const ONLY_NGROK: &[Kind] = &[NGROK];
pub(crate) const ALL: &[Kind] = &[Kind::Go, Kind::Go2, NGROK];

/// The initial window of every peer.
pub(crate) const WINDOW: usize = 262_144;

/// If something has not come after this time, the test assumes that it never comes. Used only for a
/// peer that has stopped reading and cannot answer; for all others see [`blocks`].
pub(crate) const BLOCKED: Duration = Duration::from_millis(300);

/// Starts peers.
pub(crate) struct Lab {
    programs: Programs,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            programs: Programs::new(
                env!("CARGO_BIN_EXE_interop-peer"),
                env!("CARGO_MANIFEST_DIR"),
                env!("CARGO_TARGET_TMPDIR"),
            ),
        }
    }

    /// A peer that listens, as the server of the session.
    pub(crate) fn start(&self, kind: Kind, arguments: &[&str]) -> Peer {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        self.programs.start(kind, &all)
    }

    /// A peer that runs an application, and a raw connection to it. The client's first stream is 3.
    pub(crate) fn raw(&self, kind: Kind, arguments: &[&str]) -> (Peer, Raw) {
        let peer = self.start(kind, arguments);
        let raw = Raw::connect(peer.address());
        (peer, raw)
    }

    /// A peer, and ours as its client, with a tap between them.
    pub(crate) fn ours(&self, kind: Kind, arguments: &[&str], config: ConfigBuilder) -> Ours {
        let peer = self.start(kind, arguments);
        let tap = Tap::start(peer.address());
        Ours::start(peer, tap, config)
    }

    /// As [`ours`](Self::ours), with frames changed in transit.
    pub(crate) fn ours_changed(
        &self,
        kind: Kind,
        arguments: &[&str],
        config: ConfigBuilder,
        change: Change,
    ) -> Ours {
        let peer = self.start(kind, arguments);
        let tap = Tap::changing(peer.address(), change);
        Ours::start(peer, tap, config)
    }

    /// A peer that makes the calls that the test requests, and a raw connection to it.
    pub(crate) fn control(&self, kind: Kind) -> (Peer, Raw) {
        self.raw(kind, &["--app", "control"])
    }
}

/// Ours on Tokio, as the client, with what it needs to run.
pub(crate) struct Ours {
    pub(crate) session: Session,
    pub(crate) peer: Peer,
    pub(crate) tap: Tap,
    runtime: Runtime,
}

impl Ours {
    fn start(peer: Peer, tap: Tap, config: ConfigBuilder) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let config = config.build().expect("the settings are valid");
        let session = runtime.block_on(async {
            let transport = TcpStream::connect(tap.address()).await.expect("the tap listens");
            transport.set_nodelay(true).expect("a fresh socket takes options");
            Session::client(transport, config)
        });
        Self { session, peer, tap, runtime }
    }

    /// Waits for something that must come.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::time::timeout(LIMIT, future).await.expect("it takes too long")
        })
    }

    /// Whether a future is pending, polled once.
    pub(crate) fn is_pending<F: Future + Unpin>(&self, future: &mut F) -> bool {
        self.runtime.block_on(async { futures_util::poll!(future).is_pending() })
    }

    /// Runs a future beside the test.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// The frames ours has sent.
    pub(crate) fn sent(&self) -> Vec<Frame> {
        self.tap.sent_by(From::Dialer)
    }

    /// Waits for a frame of ours.
    pub(crate) fn sends(&self, what: &str, holds: impl Fn(&Frame) -> bool) -> Frame {
        self.tap.wait_for(From::Dialer, what, holds)
    }

    /// Waits for a frame of the peer.
    pub(crate) fn receives(&self, what: &str, holds: impl Fn(&Frame) -> bool) -> Frame {
        self.tap.wait_for(From::Listener, what, holds)
    }

    /// Waits until one end has sent `length` bytes of payload on a stream.
    pub(crate) fn payload(&self, from: From, id: u32, length: usize) {
        self.tap.wait_until("payload", |log| {
            let data = log.iter().filter(|seen| seen.from == from && data_of(id)(&seen.frame));
            let have: usize = data.map(|seen| seen.frame.payload.len()).sum();
            (have >= length).then_some(())
        });
    }

    /// Shows that streams in both directions work, with a controlled peer.
    pub(crate) fn assert_alive(&mut self) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = self.wait(self.session.open()).expect("a stream can be opened");
        self.wait(stream.write_all(b"alive")).expect("it can be written");
        self.peer.must("accept", "alive", plain());
        assert_eq!(self.peer.must("read_exact", "alive", count(5)).hex, "616c697665");
        self.peer.must("write", "alive", hex("796573"));
        let mut answer = [0; 3];
        self.wait(stream.read_exact(&mut answer)).expect("it can be read");
        assert_eq!(&answer, b"yes");
        assert_eq!(self.session.close_reason(), None);
    }

    /// Checks that our side has sent nothing that some peer cannot handle.
    pub(crate) fn audit(&self) {
        let mut opened = std::collections::BTreeSet::new();
        let mut padded = true;
        for Frame { header, payload } in self.sent() {
            assert!(padded || header.kind == wire::PAD, "no pad behind the GOAWAY but {header}");
            padded = header.kind != wire::GOAWAY;
            assert_eq!(header.id & wire::TOP_BIT, 0, "{header}");
            let value = payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
            match header.kind {
                wire::DATA => {
                    assert!(!header.is_data_with(SYN | FIN), "{header}");
                    assert!(header.length <= 16 * 1024, "{header}");
                    if header.flags & SYN != 0 {
                        assert!(opened.insert(header.id), "a second SYN: {header}");
                    } else if header.id % 2 == 1 {
                        assert!(opened.contains(&header.id), "no SYN before {header}");
                    }
                }
                wire::WNDINC => assert!(
                    matches!(value, Some(1..=wire::MAX_31)) && header.length == 4,
                    "{header}: {value:?}"
                ),
                wire::RST => {
                    assert!(matches!(value, Some(1..)) && header.length == 4, "{header}");
                }
                wire::GOAWAY => assert!(header.length >= 8 && header.id == 0, "{header}"),
                _ => assert!(header.kind == wire::PAD && header.length == 0, "{header}"),
            }
        }
    }
}

/// A call with bytes to write.
pub(crate) fn hex(hex: &str) -> Call {
    Call { hex: hex.to_owned(), ..Call::default() }
}

/// A call with a number of bytes.
pub(crate) fn count(count: usize) -> Call {
    Call { count, ..Call::default() }
}

/// A GOAWAY to send.
pub(crate) fn bye(text: &str) -> Call {
    Call { text: text.to_owned(), ..Call::default() }
}

/// A call without arguments.
pub(crate) fn plain() -> Call {
    Call::default()
}

/// Recognizes DATA of a stream.
pub(crate) fn data_of(id: u32) -> impl Fn(&Frame) -> bool {
    move |frame| frame.header.kind == wire::DATA && frame.header.id == id
}

/// Recognizes RST of a stream.
pub(crate) fn rst_of(id: u32) -> impl Fn(&Frame) -> bool {
    move |frame| frame.header.kind == wire::RST && frame.header.id == id
}

/// Recognizes FIN of a stream.
pub(crate) fn fin_of(id: u32) -> impl Fn(&Frame) -> bool {
    move |frame| frame.header.id == id && frame.header.is_data_with(wire::FIN)
}

/// Recognizes GOAWAY.
pub(crate) fn is_goaway(frame: &Frame) -> bool {
    frame.header.kind == wire::GOAWAY
}

/// The payload of a stream in some frames.
pub(crate) fn payload(frames: &[Frame], id: u32) -> Vec<u8> {
    let data = frames.iter().filter(|frame| data_of(id)(frame));
    data.flat_map(|frame| frame.payload.iter().copied()).collect()
}

/// Whether a call of the peer blocks: it has not returned although the peer has read everything
/// that was sent, and made another call after that.
///
/// `unknown` is the id of a stream that never existed; the peer answers DATA on it with RST.
pub(crate) fn blocks(peer: &mut Peer, raw: &mut Raw, call: u64, unknown: u32) -> bool {
    raw.send(&[wire::data(0, unknown, b"x")]);
    raw.until("an RST", rst_of(unknown));
    let name = format!("beside {call}");
    peer.must("open", &name, plain());
    peer.must("write", &name, hex("6f6b"));
    raw.until("data of another stream", |frame| frame.payload.ends_with(b"ok"));
    peer.result_within(call, Duration::ZERO).is_none()
}

/// Reads until a stream has delivered `length` bytes of payload.
pub(crate) fn until_payload(raw: &mut Raw, id: u32, length: usize) {
    let mut have = payload(raw.seen(), id).len();
    while have < length {
        have += raw.until("payload", data_of(id)).payload.len();
    }
}
