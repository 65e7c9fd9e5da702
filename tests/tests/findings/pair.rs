//! Two sessions of ours and the transport between them, in virtual time; and short names.

use std::io;
use std::time::Duration;

use muxado_proto::{CloseReason, Config, CutBy, ErrorCode, TransportError};
use muxado_tests::peer::Peer;

pub(super) const NO_ERROR: ErrorCode = ErrorCode::NO_ERROR;
pub(super) const PAD: &str = "UNKNOWN type=15 id=0 len=0";

/// Two sessions of ours and the transport between them.
pub(super) struct Pair {
    pub(super) client: Peer,
    pub(super) server: Peer,
}

impl Pair {
    pub(super) fn new(client: Config, server: Config) -> Self {
        Self { client: Peer::of_client(client), server: Peer::of_server(server) }
    }

    pub(super) fn at_defaults() -> Self {
        Self::new(Config::default(), Config::default())
    }

    /// A stream that the client has opened and the server accepted, with nothing left on it.
    pub(super) fn stream(&mut self) -> u32 {
        let id = self.client.open();
        self.client.write(id, b"hello");
        self.settle();
        assert_eq!(self.server.accept(), id);
        assert_eq!(self.server.read(id).0, b"hello");
        self.settle();
        id
    }

    /// Carries everything both ways until neither side has output. The transport closes when it is
    /// shut.
    pub(super) fn settle(&mut self) {
        loop {
            let there = self.client.receive_bytes();
            let back = self.server.receive_bytes();
            self.server.send(&there);
            self.client.send(&back);
            if there.is_empty() && back.is_empty() {
                break;
            }
        }
    }

    /// As `settle`, with the ends of the transport carried as well.
    pub(super) fn settle_to_the_end(&mut self) {
        self.settle();
        for _ in 0..2 {
            if self.client.session.wants_shutdown() {
                self.server.shut();
            }
            if self.server.session.wants_shutdown() {
                self.client.shut();
            }
            self.settle();
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.client.now() + time;
        while self.client.now() < until {
            let step = (until - self.client.now()).min(Duration::from_millis(100));
            self.client.pass(step);
            self.server.pass(step);
            self.settle();
        }
    }

    pub(super) fn close_client(&mut self) {
        let now = self.client.now();
        self.client.session.close(now, NO_ERROR, "");
    }
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn reason(peer: &Peer) -> CloseReason {
    peer.session.close_reason().cloned().expect("the session is over")
}

pub(super) fn cut(streams: u32, by: CutBy) -> CloseReason {
    CloseReason::Cut { streams, by }
}

pub(super) fn remote(code: ErrorCode, text: &'static str) -> CloseReason {
    CloseReason::Remote { code, text: text.into() }
}

pub(super) fn broken() -> TransportError {
    TransportError::new(io::Error::from(io::ErrorKind::ConnectionReset))
}
