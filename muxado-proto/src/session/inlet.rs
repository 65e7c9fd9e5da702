//! Input of the session: the current frame, and where its payload goes.

use core::time::Duration;

use crate::decode::{Decoder, Item};
use crate::error::ErrorCode;
use crate::event::Warning;
use crate::frame::StreamId;
use crate::greeting;
use crate::heartbeat::BEAT_LEN;
use crate::stream::key::Key;
use crate::stream::{StreamType, TYPE_LEN};

/// Bytes of a frame that have to arrive to restart its time limit.
const FRAME_PROGRESS: u32 = 4096;

/// Extra time for a frame if a piece of it arrives exactly when its time limit is checked: after a
/// jump of the clock, the rest may be in flight.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Where the payload of the current DATA frame goes.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "audit", derive(PartialEq, Eq, Hash))]
pub(super) enum Sink {
    /// Nowhere: the frame was refused, or came too late.
    Discard,
    /// To a stream that has a record.
    Stream { key: Key, id: StreamId, fin: bool },
    /// To a stream without a record. Its type decides whether it gets one.
    Newcomer(Newcomer),
}

/// A stream of the peer that is refused unless its type is that of heartbeats. Its first frame
/// contains the type.
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

    /// Takes bytes of the type from the front of `input`; returns the type when it is complete.
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

/// A stream of an untyped session that may be the heartbeat of a typed peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
enum Suspect {
    None,
    /// Its SYN has as many bytes as a type.
    Opening(StreamId),
    /// The first bytes were the type of heartbeats: a beat comes next.
    Beating(StreamId),
}

/// What to do with the time limit on the current frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameLimit {
    /// There is no current frame.
    Off,
    /// It restarts.
    Restart,
    /// It continues.
    Keep,
}

/// The decoder and the current frame.
///
/// Invariant: the sink names a stream only while the payload of a DATA frame for that stream is
/// arriving.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Inlet {
    decoder: Decoder,
    sink: Sink,
    /// The number of the latest frame: 0 before the first one, and 1 only then. After the largest
    /// number comes 2.
    frame: u32,
    /// The frame that is watched, and the bytes since its time limit was last set.
    watched: (u32, u32),
    /// Input has arrived at the current time.
    fresh: bool,
    /// The watched frame has had its [`GRACE`].
    graced: bool,
    suspect: Suspect,
    warning: Option<Warning>,
}

impl Inlet {
    pub(super) const fn new(text_limit: usize) -> Self {
        Self {
            decoder: Decoder::new(text_limit),
            sink: Sink::Discard,
            frame: 0,
            watched: (0, 0),
            fresh: false,
            graced: false,
            suspect: Suspect::None,
            warning: None,
        }
    }

    /// Which other protocol the first bytes of the session belong to; `input` are the latest of
    /// them. Costs nothing once a frame has begun.
    #[inline]
    pub(super) fn greeting_of(&self, input: &[u8]) -> Option<&'static str> {
        if self.frame > 0 { None } else { self.judge(input) }
    }

    fn judge(&self, input: &[u8]) -> Option<&'static str> {
        let mut first = [0; greeting::LEN];
        let bytes = self.decoder.partial()?.iter().chain(input);
        let count = first.iter_mut().zip(bytes).map(|(place, byte)| *place = *byte).count();
        greeting::recognise(first.get(..count)?)
    }

    /// The same when nothing more arrives.
    pub(super) fn greeting(&self) -> Option<&'static str> {
        self.greeting_of(&[])
    }

    /// The next item of `input`, `None` when it is used up.
    #[inline(always)]
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Item<'a>> {
        let item = self.decoder.decode_inline(input)?;
        if !matches!(item, Item::Payload { .. } | Item::Skipped(_)) {
            self.frame = self.frame.checked_add(1).unwrap_or(2);
            self.sink = Sink::Discard;
        }
        Some(item)
    }

    /// Whether the latest frame is the first one of the session.
    pub(super) const fn is_first_frame(&self) -> bool {
        self.frame == 1
    }

    /// The record of a stream is removed: what is left of a frame for it is discarded. Another stream
    /// may get its place, and even its id if it was never announced.
    pub(super) fn leave(&mut self, stream: Key) {
        if matches!(self.sink, Sink::Stream { key, .. } if key == stream) {
            self.sink = Sink::Discard;
        }
    }

    /// The payload of the new frame goes to this stream.
    pub(super) const fn deliver_to(&mut self, key: Key, id: StreamId, fin: bool) {
        self.sink = Sink::Stream { key, id, fin };
    }

    /// The payload of the new frame decides what to do with this stream.
    pub(super) const fn hold(&mut self, newcomer: Newcomer) {
        self.sink = Sink::Newcomer(newcomer);
    }

    /// Discards the rest of the payload of the current frame.
    pub(super) const fn discard(&mut self) {
        self.sink = Sink::Discard;
    }

    /// Where the payload of the current frame goes.
    pub(super) const fn sink(&self) -> Sink {
        self.sink
    }

    /// Watches the current frame, `received` bytes after the last call: its time limit restarts
    /// with every frame, and with every [`FRAME_PROGRESS`] bytes of one. `running`: whether a limit
    /// is set.
    pub(super) fn watch(&mut self, received: usize, running: bool) -> FrameLimit {
        self.fresh = true;
        if !self.decoder.is_mid_frame() {
            return FrameLimit::Off;
        }
        let (frame, bytes) = self.watched;
        let bytes = bytes.saturating_add(u32::try_from(received).unwrap_or(u32::MAX));
        if !running || frame != self.frame || bytes >= FRAME_PROGRESS {
            self.watched = (self.frame, 0);
            self.graced = false;
            FrameLimit::Restart
        } else {
            self.watched = (frame, bytes);
            FrameLimit::Keep
        }
    }

    /// A stream of an untyped session begins with a SYN of four bytes, the length of a type.
    pub(super) const fn suspect(&mut self, id: StreamId) {
        self.suspect = Suspect::Opening(id);
    }

    /// Payload of a stream of an untyped session; returns whether it shows that the peer is typed.
    #[inline]
    pub(super) fn shows_a_typed_peer(&mut self, id: StreamId, bytes: &[u8]) -> bool {
        match self.suspect {
            Suspect::Opening(suspect) if suspect == id => {
                let beats = bytes == StreamType::HEARTBEAT.0.to_be_bytes();
                self.suspect = if beats { Suspect::Beating(id) } else { Suspect::None };
                false
            }
            Suspect::Beating(suspect) if suspect == id => {
                self.suspect = Suspect::None;
                bytes.len() == BEAT_LEN
            }
            _ => false,
        }
    }

    /// Notes a warning for the application.
    pub(super) const fn warn(&mut self, warning: Warning) {
        self.warning = Some(warning);
    }

    /// The latest warning for the application.
    pub(super) const fn warning(&self) -> Option<Warning> {
        self.warning
    }

    /// Time passes.
    pub(super) const fn time_passes(&mut self) {
        self.fresh = false;
    }

    /// Whether the current frame, whose time limit has passed, gets a little more time: once, if a
    /// piece of it has just arrived.
    pub(super) const fn takes_grace(&mut self) -> bool {
        let may = !self.graced && self.fresh;
        self.graced |= may;
        may
    }

    /// Whether a frame has begun and not ended.
    pub(super) const fn is_mid_frame(&self) -> bool {
        self.decoder.is_mid_frame()
    }

    /// Bytes for this stream that were counted against its window and have not arrived yet.
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
        let Self {
            decoder,
            sink,
            frame,
            watched: (watched, bytes),
            fresh,
            graced,
            suspect,
            warning,
        } = self;
        decoder.digest(digest);
        digest.flag(*frame == 0);
        digest.value(suspect);
        digest.value(warning);
        if decoder.payload_left() > 0 {
            digest.value(sink);
        }
        if decoder.is_mid_frame() {
            digest.flag(frame == watched);
            digest.value(bytes);
            digest.flag(*fresh);
            digest.flag(*graced);
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

    /// An alert of TLS is shorter than a header, and often all that is sent.
    #[test]
    fn a_greeting_that_ends_inside_a_header_is_recognised() {
        let mut inlet = Inlet::new(0);
        let mut input: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";
        assert_eq!(inlet.greeting(), None);
        assert!(inlet.next(&mut input).is_none());
        assert!(inlet.greeting().is_some_and(|what| what.contains("TLS")));
    }

    #[test]
    fn l15_a_frame_is_given_time_once_if_it_moves_as_it_is_judged() {
        let mut inlet = Inlet::new(0);
        let mut input: &[u8] = &[0, 0x27, 0x10, 0x10, 0, 0, 0, 3];
        while inlet.next(&mut input).is_some() {}
        assert_eq!(inlet.watch(8, false), FrameLimit::Restart);
        inlet.time_passes();
        assert!(!inlet.takes_grace());
        assert_eq!(inlet.watch(100, true), FrameLimit::Keep);
        assert!(inlet.takes_grace());
        inlet.time_passes();
        assert_eq!(inlet.watch(100, true), FrameLimit::Keep);
        assert!(!inlet.takes_grace());
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
    fn one_frame_is_the_first_however_many_follow() {
        let mut inlet = Inlet::new(0);
        let mut next = |before: Option<u32>| {
            inlet.frame = before.unwrap_or(inlet.frame);
            let mut input: &[u8] = &[0, 0, 0, 0xF0, 0, 0, 0, 0];
            assert!(matches!(inlet.next(&mut input), Some(Item::Unknown { .. })));
            (inlet.is_first_frame(), inlet.greeting_of(b"HTTP/1.1"))
        };
        assert_eq!(next(None), (true, None));
        assert_eq!(next(None), (false, None));
        assert_eq!(next(Some(u32::MAX - 1)), (false, None));
        assert_eq!(next(None), (false, None));
        assert_eq!(next(None), (false, None));
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
