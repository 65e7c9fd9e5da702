//! What an application has done and observed, and what it may observe.

use muxado_proto::{CloseReason, ErrorCode, ReadError, WriteError};

/// The code with which applications reset streams.
pub const RESET: ErrorCode = ErrorCode(77);

/// One side's view of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// It was opened, or accepted.
    pub had: bool,
    /// It was released.
    pub released: bool,
    /// Bytes that the session took from the application.
    pub written: u8,
    pub finished: bool,
    pub reset: bool,
    pub stopped: bool,
    /// Bytes that the application has read.
    pub read: u8,
    /// The end of what can be read.
    pub end: Option<End>,
    /// Writing has failed.
    pub failed: bool,
    /// Reading was blocked, and no event has come since.
    pub awaits_data: bool,
    /// Writing was blocked, and no event has come since.
    pub awaits_room: bool,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The peer has finished.
    Finished,
    /// There was an error.
    Error,
}

impl View {
    /// Whether the application has it now.
    pub const fn is_held(&self) -> bool {
        self.had && !self.released
    }

    /// Whether it still reads.
    pub const fn reads(&self) -> bool {
        self.is_held() && !self.stopped && !self.reset && self.end.is_none()
    }

    /// Whether it may still write.
    pub const fn writes(&self) -> bool {
        self.is_held() && !self.finished && !self.reset && !self.failed
    }
}

/// One application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct App {
    /// All streams of the world, the client's first.
    pub views: Vec<View>,
    /// How many it has opened.
    pub opened: u8,
    /// Opening was blocked, and no event has come since.
    pub awaits_slot: bool,
    /// There was nothing to accept, and no event has come since.
    pub awaits_stream: bool,
    /// It has announced the end, closed or aborted.
    pub leaving: bool,
    /// It has closed or aborted.
    pub closing: bool,
    /// The session was told that the transport has failed.
    pub broken: bool,
    /// The session has said that it is over.
    pub closed: bool,
}

/// The byte at position `at` of what `side` writes to a stream.
pub const fn pattern(side: u8, at: u8) -> u8 {
    side * 100 + at
}

/// The views of both sides on one stream.
#[derive(Debug, Clone, Copy)]
pub struct Facing<'a> {
    pub own: &'a View,
    pub peer: &'a View,
    /// The peer has announced the end, closed or aborted.
    pub peer_leaving: bool,
}

impl Facing<'_> {
    /// Whether the peer can have caused an RST with this code.
    fn explains(&self, code: ErrorCode) -> bool {
        let Self { peer, peer_leaving, .. } = *self;
        match code {
            RESET => peer.reset,
            ErrorCode::STREAM_CLOSED => peer.released || peer.stopped,
            ErrorCode::ACCEPT_QUEUE_FULL => !peer.had,
            ErrorCode::STREAM_REFUSED => !peer.had,
            ErrorCode::REMOTE_GONE_AWAY => !peer.had && peer_leaving,
            _ => false,
        }
    }

    /// Whether the reader may be told that the stream has ended.
    pub fn may_end(&self) -> Result<(), String> {
        let Self { own, peer, .. } = *self;
        if !peer.finished && !peer.released {
            return Err("reads the end of a stream that was not finished".into());
        }
        if own.read != peer.written {
            return Err(format!("reads the end after {} of {} bytes", own.read, peer.written));
        }
        Ok(())
    }

    /// Whether the reader may be told of this error.
    pub fn may_fail_to_read(&self, error: &ReadError) -> Result<(), String> {
        let right = match *error {
            ReadError::Blocked | ReadError::SessionClosed(_) => true,
            ReadError::Reset(code) => self.explains(code),
            ReadError::ResetLocally(code) if code == RESET => self.own.reset,
            // It was not written to when this side began to end the session.
            ReadError::ResetLocally(ErrorCode::SESSION_CLOSED) => self.own.written == 0,
            ReadError::Stopped => self.own.stopped,
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("reads {error:?} without a cause")) }
    }

    /// Whether the writer may be told of this error.
    pub fn may_fail_to_write(&self, error: &WriteError) -> Result<(), String> {
        let right = match *error {
            WriteError::Blocked | WriteError::SessionClosed(_) => true,
            WriteError::Finished => self.own.finished,
            WriteError::Reset(code) => self.explains(code),
            WriteError::ResetLocally(code) if code == RESET => self.own.reset,
            WriteError::ResetLocally(ErrorCode::SESSION_CLOSED) => self.own.written == 0,
            WriteError::ResetLocally(ErrorCode::STREAM_CLOSED) => {
                self.own.stopped && self.own.finished
            }
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("writes {error:?} without a cause")) }
    }
}

/// Whether the session of `own` may be over for this reason.
pub fn may_close(reason: &CloseReason, own: &App, peer: &App, lost: bool) -> Result<(), String> {
    let right = match reason {
        CloseReason::Local { .. } => own.leaving,
        CloseReason::Remote { .. } => peer.leaving || peer.closed,
        // The peer may have left after its time limit, and its last frames were lost with the
        // transport.
        CloseReason::TransportEof => lost || peer.closed,
        CloseReason::TransportError(_) => own.broken,
        CloseReason::Cut { .. } => own.leaving || peer.leaving || peer.closed || lost,
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("is over for {reason:?}")) }
}
