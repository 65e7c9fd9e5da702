//! What the tests of hazards have in common.

use core::time::Duration;

use muxado_tests::conformance::wire::{self, Frame};
use muxado_tests::interop::control::Call;
use muxado_tests::interop::options::Implementation;
use muxado_tests::interop::process::{Kind, Peer, Programs};
use muxado_tests::interop::raw::Raw;

/// A fault of peers, or our way around it.
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

/// The window every peer starts with.
pub(crate) const WINDOW: usize = 262_144;

/// After this time a call that should block is taken to block.
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

    /// A peer that runs an application, and raw frames to it. The client's first stream is 3.
    pub(crate) fn raw(&self, kind: Kind, arguments: &[&str]) -> (Peer, Raw) {
        let peer = self.start(kind, arguments);
        let raw = Raw::connect(peer.address());
        (peer, raw)
    }

    /// A peer that makes the calls the test tells it to, and raw frames to it.
    pub(crate) fn control(&self, kind: Kind) -> (Peer, Raw) {
        self.raw(kind, &["--app", "control"])
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

/// Reads until a stream has brought so much payload.
pub(crate) fn until_payload(raw: &mut Raw, id: u32, length: usize) {
    let mut have = payload(raw.seen(), id).len();
    while have < length {
        have += raw.until("payload", data_of(id)).payload.len();
    }
}
