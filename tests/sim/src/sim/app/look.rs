//! What an application asks about its streams, and whether it was told of every change.

use muxado_proto::{OpenError, ReadError, Session, StreamId, WriteError};

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

    /// When nothing more can happen, every blocked operation must still be blocked.
    pub fn probe(&self, session: &mut Session) -> Verdict {
        let side = self.side;
        let half = session.config().send_buffer() / 2;
        let full = session.stats().send_buffered >= session.config().session_send_buffer().into();
        if !self.can_accept && session.stats().backlog > 0 {
            return Err(format!("side {side} was not told of a stream to accept"));
        }
        for (&id, handle) in &self.handles {
            let Some(mut stream) = session.stream(StreamId::new(id)) else {
                return Err(format!("side {side} lost stream {id}"));
            };
            if !handle.readable && !matches!(stream.read(&mut [0]), Err(ReadError::Blocked)) {
                return Err(format!("stream {id}: side {side} was not told that it is readable"));
            }
            if handle.flushing && stream.flushed() != Err(WriteError::Blocked) {
                return Err(format!("stream {id}: side {side} was not told that it is flushed"));
            }
            if handle.ending && stream.ended().is_some() {
                return Err(format!("stream {id}: side {side} was not told of its end"));
            }
            let waits = !handle.writable && !handle.finished;
            let (room, stats) = (stream.room(), stream.stats());
            // Only half a buffer of room causes a wake-up. Room in a full session causes none for a
            // stream that cannot send its data.
            let little = stats.send_buffered > half
                || full && stats.send_buffered > 0 && stats.send_credit == 0;
            let told_later = room.is_ok() && little;
            if waits && !told_later && room != Err(WriteError::Blocked) {
                return Err(format!(
                    "stream {id}: side {side} was not told of {room:?}: {stats:?}"
                ));
            }
        }
        if !self.can_open && !self.typed {
            match session.open() {
                Err(OpenError::Blocked) => {}
                other => {
                    return Err(format!("side {side} was not told that it can open: {other:?}"));
                }
            }
        }
        Ok(())
    }
}
