//! Queries of an application that do not change a stream.

use muxado_proto::{ReadError, Session, StreamId, WriteError};

use super::App;
use crate::model::{Model, Verdict};

impl App {
    /// Asks how far a stream has come.
    pub(super) fn look(&mut self, session: &mut Session, model: &Model, id: u32) -> Verdict {
        let Some(handle) = self.handles.get_mut(&id) else { return Ok(()) };
        let Some(mut stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("side {} lost stream {id}", self.side));
        };
        if !handle.readable && stream.readable() != Err(ReadError::Blocked) {
            return Err(format!("stream {id}: side {} can read and was not told", self.side));
        }
        let flushed = stream.flushed();
        handle.flushing = flushed == Err(WriteError::Blocked);
        let end = stream.ended();
        handle.ending = end.is_none();
        if flushed.is_ok() && handle.finished && !handle.writing_over {
            model.flushed(id, self.side)?;
        }
        match end {
            Some(end) => model.over(id, self.side, &end),
            None => Ok(()),
        }
    }
}
