//! An application on the bare core: what comes on a stream goes back on it, up to the end.
//!
//! It holds one chunk of each stream at most. While the peer does not take it nothing more is read,
//! so the window of the stream stays closed and the peer has to wait.

use std::collections::HashMap;

use bytes::Bytes;
use muxado_proto::{Event, ReadError, Session, StreamId, StreamMut, WriteError};

/// Echoes on one session.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    /// What was read and not written yet, of every stream that was accepted and not released.
    pending: HashMap<StreamId, Bytes>,
}

impl Echo {
    /// Does all that can be done now.
    pub(crate) fn react(&mut self, session: &mut Session) {
        while let Some(event) = session.poll_event() {
            match event {
                Event::Acceptable => {
                    while let Some(id) = session.accept() {
                        self.pending.insert(id, Bytes::new());
                        self.go_on(session, id);
                    }
                }
                // The same for both: whatever is possible on that stream now is done.
                Event::Readable(id) | Event::Writable(id) => self.go_on(session, id),
                _ => {}
            }
        }
    }

    fn go_on(&mut self, session: &mut Session, id: StreamId) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let Some(mut stream) = session.stream(id) else { return };
        if echo(&mut stream, pending) {
            // What was written is still sent, and then the end of the stream; of one that was
            // reset, or whose session is over, nothing is left.
            stream.release();
            self.pending.remove(&id);
        }
    }
}

/// Moves what can be moved; `true` at the end, whichever it is.
fn echo(stream: &mut StreamMut<'_>, pending: &mut Bytes) -> bool {
    loop {
        while !pending.is_empty() {
            match stream.write_chunk(pending) {
                Ok(_) => {}
                Err(error) => return error != WriteError::Blocked,
            }
        }
        match stream.read_chunk(usize::MAX) {
            Ok(Some(chunk)) => *pending = chunk,
            Ok(None) => return true,
            Err(error) => return error != ReadError::Blocked,
        }
    }
}
