//! One direction of a transport that stores bytes frame by frame.

use muxado_proto::frame::{HEADER_LEN, Header};

/// What is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Link {
    bytes: Vec<u8>,
    /// The lengths of the frames in `bytes`; the first may have arrived in part.
    frames: Vec<u16>,
    /// The sender has ended it, after `bytes`.
    ended: bool,
    /// The receiver has seen the end, or is gone.
    over: bool,
}

/// What arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The end.
    End,
}

impl Link {
    /// Frames under way.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Takes whole frames; they are lost if the transport has ended, or the receiver is gone.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.ended || self.over {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
            let length = Header::decode(*header).length as usize;
            self.frames.push(u16::try_from(HEADER_LEN + length).expect("small frames"));
            bytes = &rest[length..];
        }
    }

    /// The sender ends it.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Drops the bytes in flight, and ends.
    pub fn lose(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.ended = true;
    }

    /// The receiver goes away.
    pub fn abandon(&mut self) {
        self.lose();
        self.over = true;
    }

    /// Whether the end is still to come.
    pub fn may_be_lost(&self) -> bool {
        !self.ended && !self.over
    }

    /// The next frame, or the rest of it, or the end.
    pub fn frame(&mut self) -> Option<Arrival> {
        match self.frames.first() {
            Some(&length) => Some(Arrival::Bytes(self.take(length.into()))),
            None if self.ended && !self.over => {
                self.over = true;
                Some(Arrival::End)
            }
            None => None,
        }
    }

    /// The next byte, unless it is the last byte of its frame.
    pub fn byte(&mut self) -> Option<Vec<u8>> {
        self.frames.first().is_some_and(|&length| length > 1).then(|| self.take(1))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(count);
        let left = usize::from(self.frames[0]) - count;
        if left == 0 {
            self.frames.remove(0);
        } else {
            self.frames[0] = u16::try_from(left).expect("less than before");
        }
        std::mem::replace(&mut self.bytes, rest)
    }
}
