//! What every loop has to add to the core: time, a key, and writing.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf as _;
use muxado_proto::{Config, Role, Session, SessionKey, Timestamp, Transmit};

/// Slices of one vectored write: a batch of large frames is a header and a payload each.
const SLICES: usize = 64;

/// The clock of the examples, because the core has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Timestamp {
        Timestamp::from_duration(self.0.elapsed())
    }
}

/// A new session. The core has no randomness either: its key comes from the operating system.
pub(crate) fn session(role: Role, config: &Arc<Config>, now: Timestamp) -> Session {
    let mut key = [0; 16];
    getrandom::fill(&mut key).expect("the operating system has randomness");
    Session::new(role, Arc::clone(config), now, SessionKey::new(key))
}

/// Writes as much of a batch as the socket takes in one call. The rest stays in the batch.
pub(crate) fn write_some(mut socket: impl Write, out: &mut Transmit) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    for (slot, slice) in slices.iter_mut().zip(out.slices()) {
        *slot = IoSlice::new(slice);
        count += 1;
    }
    match socket.write_vectored(&slices[..count]) {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(written) => {
            out.advance(written);
            Ok(())
        }
        // Nothing was written; the caller tries again.
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    }
}
