//! An application on the bare core: it sends back everything that arrives on a stream, up to the
//! end.
//!
//! It holds at most one chunk of each stream. While the peer does not take the chunk, nothing more
//! is read, so the window of the stream stays closed and the peer has to wait.

use std::collections::HashMap;

use bytes::Bytes;
use muxado_proto::{Event, ReadError, Session, StreamId, StreamMut, WriteError};

/// Echoes on one session.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    /// Bytes that were read and not written yet, for every stream that was accepted and not
    /// released.
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
                // The same for both: do everything that is now possible on that stream.
                Event::Readable(id) | Event::Writable(id) => self.go_on(session, id),
                _ => {}
            }
        }
    }

    fn go_on(&mut self, session: &mut Session, id: StreamId) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let Some(mut stream) = session.stream(id) else { return };
        if echo(&mut stream, pending) {
            // What was written is still sent, and then the end of the stream, unless the stream was
            // reset or its session is over.
            stream.release();
            self.pending.remove(&id);
        }
    }
}

/// Moves as many bytes as possible; `true` at any end of the stream.
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
