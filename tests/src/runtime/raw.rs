//! A peer that speaks frames by hand.

use std::io;

use super::pipe::Io;
use crate::vectors::Frame;

/// The other end of a transport, controlled by a test.
#[derive(Debug)]
pub struct RawPeer {
    io: Io,
    unparsed: Vec<u8>,
}

impl RawPeer {
    /// The peer at this end.
    pub const fn new(io: Io) -> Self {
        Self { io, unparsed: Vec::new() }
    }

    /// Sends bytes.
    ///
    /// # Panics
    ///
    /// If the session's end of the transport is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.expect("the session reads");
    }

    /// The next frame, `None` at the end of the transport.
    ///
    /// # Errors
    ///
    /// If the transport fails.
    pub async fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.unparsed) {
                return Ok(Some(frame));
            }
            let mut buf = [0; 4096];
            match self.io.read(&mut buf).await? {
                0 => return Ok(None),
                count => self.unparsed.extend_from_slice(&buf[..count]),
            }
        }
    }

    /// The next frame, in words.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn hear(&mut self) -> String {
        let frame = self.frame().await.expect("the transport is whole");
        frame.expect("the session goes on").meaning()
    }

    /// The next frame that `wanted` accepts; others are skipped.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.frame().await.expect("the transport is whole");
            let frame = frame.expect("the session goes on");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Reads to the end of the transport: all frames that were left.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}
