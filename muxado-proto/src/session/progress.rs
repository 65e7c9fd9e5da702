//! The progress of a stream that the application can query and wait for: what can be read or
//! written, whether the transport has taken everything, and how the stream has ended.

use super::Session;
use crate::error::{ReadError, StreamEnd, WriteError};
use crate::stream::key::Key;
use crate::stream::schedule::Queue;
use crate::stream::state::{RecvState, SendState};
use crate::stream::{Edge, Stream};

impl Session {
    /// Why nothing can be read from a stream whose buffer is empty; `Ok` at its end.
    pub(super) fn nothing_to_read(&self, stream: &Stream) -> Result<(), ReadError> {
        match stream.recv {
            RecvState::Finished => Ok(()),
            RecvState::Reset(code) => Err(match self.closing.error_received(code) {
                Some(reason) => ReadError::SessionClosed(reason),
                None => ReadError::Reset(code),
            }),
            RecvState::ResetLocally(code) => Err(ReadError::ResetLocally(code)),
            RecvState::Stopped | RecvState::Ignored => Err(ReadError::Stopped),
            RecvState::Open => Err(self
                .closing
                .reason()
                .map_or(ReadError::Blocked, |reason| ReadError::SessionClosed(reason.clone()))),
        }
    }

    /// Why nothing more can be written to a stream. It is `Finished` only if the transport has
    /// taken what was written, or may still take it.
    #[inline]
    pub(super) fn writing_is_over(&self, stream: &Stream) -> Result<(), WriteError> {
        let writes =
            matches!(stream.send, SendState::Fresh | SendState::Announcing | SendState::Open);
        let goes_on = writes && self.closing.reason().is_none();
        if goes_on { Ok(()) } else { Err(self.end_of_writing(stream)) }
    }

    #[cold]
    fn end_of_writing(&self, stream: &Stream) -> WriteError {
        match stream.send {
            SendState::Resetting(code) | SendState::ResetLocally(code) => {
                return WriteError::ResetLocally(code);
            }
            SendState::ResetByPeer(code) => {
                let ended = self.closing.error_received(code);
                return ended.map_or(WriteError::Reset(code), WriteError::SessionClosed);
            }
            SendState::Finished if self.handover.has_taken(stream.batch) => {
                return WriteError::Finished;
            }
            _ => {}
        }
        let ended = self.closing.reason().cloned();
        ended.map_or(WriteError::Finished, WriteError::SessionClosed)
    }

    /// Whether the transport has taken everything that the stream has to send.
    pub(super) fn is_flushed(&self, stream: &Stream) -> bool {
        let unsent = matches!(stream.send, SendState::Announcing | SendState::Finishing { .. });
        stream.outgoing.is_empty() && !unsent && self.handover.has_taken(stream.batch)
    }

    /// How a stream has ended, if it has ended in both directions.
    pub(super) fn end_of(&self, stream: &Stream) -> Option<StreamEnd> {
        match (stream.send, stream.recv) {
            (SendState::Resetting(code) | SendState::ResetLocally(code), _)
            | (_, RecvState::ResetLocally(code)) => Some(StreamEnd::ResetLocally(code)),
            (SendState::ResetByPeer(code), _) | (_, RecvState::Reset(code)) => {
                Some(StreamEnd::Reset(code))
            }
            (SendState::Finished, RecvState::Finished | RecvState::Ignored)
                if self.handover.has_taken(stream.batch) =>
            {
                Some(StreamEnd::Finished)
            }
            _ => self.closing.reason().map(|reason| StreamEnd::SessionClosed(reason.clone())),
        }
    }

    /// The application waits for `edge`, which the transport may cause.
    pub(super) fn watch(&mut self, key: Key, edge: Edge) {
        self.wait_for(key, edge);
        let Some(stream) = self.store.live(key) else { return };
        if stream.outgoing.is_empty() && !self.handover.has_taken(stream.batch) {
            self.store.push(Queue::Taking, key);
        }
    }

    /// The previous batch was written: reports that to streams that wait for it.
    pub(super) fn report_taken(&mut self) {
        while let Some(key) = self.store.pop(Queue::Taking) {
            self.report_progress(key);
        }
    }

    /// Reports, if true, that the transport has taken everything of a stream, or that the stream
    /// has ended.
    pub(super) fn report_progress(&mut self, key: Key) {
        let Some(stream) = self.store.live(key) else { return };
        let ended = stream.edges.are_watched(Edge::Ended) && self.end_of(stream).is_some();
        if stream.edges.are_watched(Edge::Flushed) && self.is_flushed(stream) {
            self.notify(key, Edge::Flushed);
        }
        if ended {
            self.notify(key, Edge::Ended);
        }
    }

    /// A stream is over: reports that to all its waiters.
    pub(super) fn notify_all(&mut self, key: Key) {
        self.store.unlink(Queue::Taking, key);
        for edge in Edge::ALL {
            self.notify(key, edge);
        }
    }
}
