//! Input on its way into the session: the frame that is arriving, and where its payload goes.

use crate::decode::{Decoder, Item};
use crate::error::ErrorCode;
use crate::frame::StreamId;
use crate::stream::key::Key;
use crate::stream::{StreamType, TYPE_LEN};

/// Bytes of a frame that have to arrive for its time limit to start anew.
const FRAME_PROGRESS: u32 = 4096;

/// Where the payload of the current DATA frame goes.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "audit", derive(PartialEq, Eq, Hash))]
pub(super) enum Sink {
    /// Nowhere: a frame that was refused, or that came too late.
    Discard,
    /// To a stream. Its place may belong to another one by the time payload arrives, so both are
    /// compared.
    Stream { key: Key, id: StreamId, fin: bool },
    /// To a stream that has no record, until its type tells whether it gets one.
    Newcomer(Newcomer),
}

/// A stream of the peer that is refused unless its type, which its first frame has in it, is that of
/// heartbeats.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "audit", derive(PartialEq, Eq, Hash))]
pub(super) struct Newcomer {
    pub(super) id: StreamId,
    /// Of its first frame.
    pub(super) length: u32,
    /// Whether it ends with its first frame.
    pub(super) fin: bool,
    /// Why it is refused.
    pub(super) code: ErrorCode,
    stream_type: [u8; TYPE_LEN as usize],
    /// Bytes of the type that have arrived.
    have: u8,
}

impl Newcomer {
    pub(super) const fn new(id: StreamId, length: u32, fin: bool, code: ErrorCode) -> Self {
        Self { id, length, fin, code, stream_type: [0; TYPE_LEN as usize], have: 0 }
    }

    /// Takes bytes of the type off the front of `input`; the type once it is complete.
    pub(super) fn take_type(&mut self, input: &mut &[u8]) -> Option<StreamType> {
        let missing = self.stream_type.iter_mut().skip(usize::from(self.have));
        for byte in missing {
            let (first, rest) = input.split_first()?;
            *byte = *first;
            *input = rest;
            self.have = self.have.saturating_add(1);
        }
        Some(StreamType(u32::from_be_bytes(self.stream_type)))
    }
}

/// What has to happen with the time limit on the frame that is arriving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameLimit {
    /// No frame is under way.
    Off,
    /// It starts anew.
    Restart,
    /// It runs on.
    Keep,
}

/// The decoder and what it is in the middle of.
///
/// Invariant: the sink names a stream only while the payload of a DATA frame for that stream is
/// arriving.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Inlet {
    decoder: Decoder,
    sink: Sink,
    /// The number of the frame that arrived last.
    frame: u32,
    /// The frame that is watched, and the bytes since its time limit was last set.
    watched: (u32, u32),
}

impl Inlet {
    pub(super) const fn new(text_limit: usize) -> Self {
        Self { decoder: Decoder::new(text_limit), sink: Sink::Discard, frame: 0, watched: (0, 0) }
    }

    /// The next item of `input`, `None` when it is used up.
    #[inline]
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Item<'a>> {
        let item = self.decoder.decode(input)?;
        if !matches!(item, Item::Payload { .. } | Item::Skipped(_)) {
            self.frame = self.frame.wrapping_add(1);
            self.sink = Sink::Discard;
        }
        Some(item)
    }

    /// The payload of the frame that has just begun goes to this stream.
    pub(super) const fn deliver_to(&mut self, key: Key, id: StreamId, fin: bool) {
        self.sink = Sink::Stream { key, id, fin };
    }

    /// The payload of the frame that has just begun tells what to do with this stream.
    pub(super) const fn hold(&mut self, newcomer: Newcomer) {
        self.sink = Sink::Newcomer(newcomer);
    }

    /// Nobody wants the rest of the payload of the current frame.
    pub(super) const fn discard(&mut self) {
        self.sink = Sink::Discard;
    }

    /// Where the payload of the current frame goes.
    pub(super) const fn sink(&self) -> Sink {
        self.sink
    }

    /// Keeps watch over the frame that is arriving, `received` bytes after the last call: its time
    /// limit starts anew with every frame and whenever a fair amount of one arrives. `running`:
    /// whether a limit is set.
    pub(super) fn watch(&mut self, received: usize, running: bool) -> FrameLimit {
        if !self.decoder.is_mid_frame() {
            return FrameLimit::Off;
        }
        let (frame, bytes) = self.watched;
        let bytes = bytes.saturating_add(u32::try_from(received).unwrap_or(u32::MAX));
        if !running || frame != self.frame || bytes >= FRAME_PROGRESS {
            self.watched = (self.frame, 0);
            FrameLimit::Restart
        } else {
            self.watched = (frame, bytes);
            FrameLimit::Keep
        }
    }

    #[cfg(feature = "audit")]
    pub(super) const fn is_mid_frame(&self) -> bool {
        self.decoder.is_mid_frame()
    }

    /// Bytes for this stream that its window has let in and that have not arrived.
    #[cfg(feature = "audit")]
    pub(super) fn under_way(&self, stream: StreamId) -> usize {
        match self.sink {
            Sink::Stream { id, .. } if id == stream => self.decoder.payload_left(),
            _ => 0,
        }
    }
}

#[cfg(feature = "audit")]
impl Inlet {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { decoder, sink, frame, watched: (watched, bytes) } = self;
        decoder.digest(digest);
        if decoder.payload_left() > 0 {
            digest.value(sink);
        }
        if decoder.is_mid_frame() {
            digest.flag(frame == watched);
            digest.value(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_starts_anew_with_a_frame_and_with_progress() {
        let mut inlet = Inlet::new(0);
        let feed = |inlet: &mut Inlet, mut bytes: &[u8], running: bool| {
            let count = bytes.len();
            while inlet.next(&mut bytes).is_some() {}
            inlet.watch(count, running)
        };
        assert_eq!(feed(&mut inlet, &[], false), FrameLimit::Off);
        // DATA of 10000 bytes on stream 3.
        assert_eq!(
            feed(&mut inlet, &[0, 0x27, 0x10, 0x10, 0, 0, 0, 3], false),
            FrameLimit::Restart
        );
        assert_eq!(feed(&mut inlet, &[0; FRAME_PROGRESS as usize - 1], true), FrameLimit::Keep);
        assert_eq!(feed(&mut inlet, &[0], true), FrameLimit::Restart);
        assert_eq!(feed(&mut inlet, &[0; 1], true), FrameLimit::Keep);
        assert_eq!(
            feed(&mut inlet, &[0; 10_000 - FRAME_PROGRESS as usize - 1], true),
            FrameLimit::Off
        );
    }

    #[test]
    fn a_new_frame_forgets_where_the_last_one_went() {
        let mut inlet = Inlet::new(0);
        let mut input: &[u8] = &[0, 0, 1, 0x10, 0, 0, 0, 3, 7, 0, 0, 1, 0x10, 0, 0, 0, 5];
        assert!(matches!(inlet.next(&mut input), Some(Item::Data { .. })));
        inlet.deliver_to(Key::NONE, StreamId::new(3), false);
        assert!(matches!(inlet.next(&mut input), Some(Item::Payload { .. })));
        assert!(matches!(inlet.sink(), Sink::Stream { .. }));
        assert!(matches!(inlet.next(&mut input), Some(Item::Data { .. })));
        assert!(matches!(inlet.sink(), Sink::Discard));
    }

    #[test]
    fn a_type_is_taken_in_any_pieces_and_nothing_behind_it() {
        let id = StreamId::new(3);
        for cut in 0..=4 {
            let mut newcomer = Newcomer::new(id, 6, false, ErrorCode::STREAM_REFUSED);
            let (mut first, mut second) = [0, 0, 0, 7, 8, 9].split_at(cut);
            assert_eq!(newcomer.take_type(&mut first), (cut == 4).then_some(StreamType(7)));
            if cut < 4 {
                assert_eq!(newcomer.take_type(&mut second), Some(StreamType(7)));
            }
            assert_eq!((first, second), (&[][..], &[8, 9][..]), "{cut}");
        }
    }
}
