//! Incremental decoding: any chunking of the input gives the same items.
//!
//! The decoder stores at most one partial header, one fixed-size payload of 8 bytes and the text of
//! one GOAWAY up to a limit. It allocates nothing based on a length field: the payload of a DATA
//! frame passes through as it arrives.

use alloc::vec::Vec;

use bytes::Bytes;
use core::fmt;

use crate::error::ErrorCode;
use crate::frame::{Flags, FrameType, HEADER_LEN, Header, MAX_U31, StreamId};

/// An item of the decoded input, in order.
///
/// ```
/// use muxado_proto::decode::{Decoder, Item};
///
/// /// One line for each frame.
/// fn list(decoder: &mut Decoder, mut input: &[u8]) -> Vec<String> {
///     let mut lines = Vec::new();
///     while let Some(item) = decoder.decode(&mut input) {
///         lines.push(match item {
///             Item::Data { id, length, .. } => format!("DATA {id}: {length} bytes"),
///             Item::Rst { id, code } => format!("RST {id}: {code}"),
///             Item::WndInc { id, increment } => format!("WNDINC {id}: {increment}"),
///             Item::GoAway { code, .. } => format!("GOAWAY: {code}"),
///             Item::Unknown { header } | Item::Malformed { header, .. } => format!("{header:?}"),
///             Item::Payload { .. } | Item::Skipped(_) => continue,
///             _ => continue,
///         });
///     }
///     lines
/// }
///
/// let mut decoder = Decoder::new(4096);
/// // Any chunking gives the same items.
/// assert!(list(&mut decoder, b"\0\0\x04\x20\0\0").is_empty());
/// assert!(decoder.is_mid_frame());
/// assert_eq!(list(&mut decoder, b"\0\x03\0\0\0\x05"), ["WNDINC 3: 5"]);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// The header of a DATA frame. Unless `length` is zero, [`Item::Payload`]s with that many bytes
    /// in all follow.
    Data {
        /// The stream.
        id: StreamId,
        /// SYN and FIN.
        flags: Flags,
        /// Bytes of payload to come.
        length: u32,
    },
    /// A piece of the payload of the latest DATA frame; never empty.
    Payload {
        /// The piece, a part of the input.
        bytes: &'a [u8],
        /// Whether the frame ends with it.
        end: bool,
    },
    /// An RST frame.
    Rst {
        /// The stream.
        id: StreamId,
        /// Why.
        code: ErrorCode,
    },
    /// A WNDINC frame.
    WndInc {
        /// The stream.
        id: StreamId,
        /// Bytes of credit; the top bit is masked off.
        increment: u32,
    },
    /// A GOAWAY frame.
    GoAway {
        /// The highest stream id the peer has handled.
        last: StreamId,
        /// Why.
        code: ErrorCode,
        /// Debug text, cut to the decoder's limit.
        text: Bytes,
    },
    /// The header of a frame of unknown type. Its payload is skipped.
    Unknown {
        /// The header.
        header: Header,
    },
    /// A piece of an unknown frame's payload was skipped: this many bytes.
    Skipped(usize),
    /// The frame has an impossible length for its type, or a GOAWAY has a stream id. Its payload is
    /// skipped, so decoding could continue.
    Malformed {
        /// The header.
        header: Header,
        /// The code the protocol has for the fault.
        code: ErrorCode,
    },
}

impl fmt::Debug for Item<'_> {
    /// Shows only the length of a payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { id, flags, length } => f
                .debug_struct("Data")
                .field("id", id)
                .field("flags", flags)
                .field("length", length)
                .finish(),
            Self::Payload { bytes, end } => {
                f.debug_struct("Payload").field("len", &bytes.len()).field("end", end).finish()
            }
            Self::Rst { id, code } => {
                f.debug_struct("Rst").field("id", id).field("code", code).finish()
            }
            Self::WndInc { id, increment } => {
                f.debug_struct("WndInc").field("id", id).field("increment", increment).finish()
            }
            Self::GoAway { last, code, text } => f
                .debug_struct("GoAway")
                .field("last", last)
                .field("code", code)
                .field("text", text)
                .finish(),
            Self::Unknown { header } => f.debug_struct("Unknown").field("header", header).finish(),
            Self::Skipped(count) => f.debug_tuple("Skipped").field(count).finish(),
            Self::Malformed { header, code } => {
                f.debug_struct("Malformed").field("header", header).field("code", code).finish()
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "audit", derive(Hash))]
enum State {
    /// Collecting a header.
    Header,
    /// Passing payload through.
    Data { left: usize },
    /// Dropping payload; `told` says whether it is reported as [`Item::Skipped`].
    Skip { left: usize, told: bool },
    /// Collecting the four bytes of an RST or WNDINC.
    Word { header: Header },
    /// Collecting the eight fixed bytes of a GOAWAY; `left` bytes of text follow.
    GoAwayFixed { left: usize },
    /// Collecting the text of a GOAWAY.
    GoAwayText { last: StreamId, code: ErrorCode, left: usize },
}

/// The incremental decoder of one direction of a transport.
///
/// ```
/// use muxado_proto::decode::{Decoder, Item};
/// use muxado_proto::frame::Flags;
/// use muxado_proto::StreamId;
///
/// let mut decoder = Decoder::new(4096);
/// let mut input: &[u8] = b"\0\0\x02\x12\0\0\0\x03h";
/// let id = StreamId::new(3);
/// assert_eq!(decoder.decode(&mut input), Some(Item::Data { id, flags: Flags::SYN, length: 2 }));
/// assert_eq!(decoder.decode(&mut input), Some(Item::Payload { bytes: b"h", end: false }));
/// assert_eq!(decoder.decode(&mut input), None);
/// input = b"i";
/// assert_eq!(decoder.decode(&mut input), Some(Item::Payload { bytes: b"i", end: true }));
/// assert!(!decoder.is_mid_frame());
/// ```
#[cfg_attr(feature = "audit", derive(Clone))]
pub struct Decoder {
    state: State,
    /// The bytes of a header, word or GOAWAY that have arrived so far.
    partial: [u8; HEADER_LEN],
    have: usize,
    /// The text of a GOAWAY that has arrived so far.
    text: Vec<u8>,
    text_limit: usize,
}

impl fmt::Debug for Decoder {
    /// Shows the progress of the current frame, but none of its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("state", &self.state)
            .field("have", &self.have)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder at a frame boundary that keeps at most `text_limit` bytes of a GOAWAY's text.
    #[must_use]
    pub const fn new(text_limit: usize) -> Self {
        let partial = [0; HEADER_LEN];
        Self { state: State::Header, partial, have: 0, text: Vec::new(), text_limit }
    }

    /// Whether a frame has begun and not ended.
    #[must_use]
    pub const fn is_mid_frame(&self) -> bool {
        self.have != 0 || !matches!(self.state, State::Header)
    }

    /// What has arrived of the next header; `None` within a frame.
    pub(crate) fn partial(&self) -> Option<&[u8]> {
        let header = matches!(self.state, State::Header);
        self.partial.get(..self.have).filter(|_| header)
    }

    /// Bytes of the current DATA frame's payload that are still to come.
    #[cfg(feature = "audit")]
    pub(crate) const fn payload_left(&self) -> usize {
        match self.state {
            State::Data { left } => left,
            _ => 0,
        }
    }

    /// Takes the next item off the front of `input`; `None` when more input is needed, and then
    /// `input` is empty.
    #[must_use]
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Option<Item<'a>> {
        self.decode_inline(input)
    }

    /// As [`decode`](Self::decode), for the hot loop.
    #[inline(always)]
    pub(crate) fn decode_inline<'a>(&mut self, input: &mut &'a [u8]) -> Option<Item<'a>> {
        loop {
            match &mut self.state {
                State::Header => {
                    let header = Header::decode(self.collect::<HEADER_LEN>(input)?);
                    if let Some(item) = self.begin(header) {
                        return Some(item);
                    }
                }
                State::Data { left } => {
                    let bytes = take(input, *left)?;
                    *left = left.saturating_sub(bytes.len());
                    let end = *left == 0;
                    if end {
                        self.state = State::Header;
                    }
                    return Some(Item::Payload { bytes, end });
                }
                State::Skip { left, told } => {
                    let (skipped, told) = (take(input, *left)?.len(), *told);
                    *left = left.saturating_sub(skipped);
                    if *left == 0 {
                        self.state = State::Header;
                    }
                    if told {
                        return Some(Item::Skipped(skipped));
                    }
                }
                State::Word { header } => {
                    let Header { kind, id, .. } = *header;
                    let word = u32::from_be_bytes(self.collect::<4>(input)?);
                    self.state = State::Header;
                    return Some(if kind == FrameType::Rst {
                        Item::Rst { id, code: ErrorCode(word) }
                    } else {
                        Item::WndInc { id, increment: word & MAX_U31 }
                    });
                }
                State::GoAwayFixed { left } => {
                    let left = *left;
                    let [l0, l1, l2, l3, c0, c1, c2, c3] = self.collect::<8>(input)?;
                    self.state = State::GoAwayText {
                        last: StreamId::new(u32::from_be_bytes([l0, l1, l2, l3])),
                        code: ErrorCode(u32::from_be_bytes([c0, c1, c2, c3])),
                        left,
                    };
                }
                State::GoAwayText { last, code, left } => {
                    if *left > 0 {
                        let piece = take(input, *left)?;
                        *left = left.saturating_sub(piece.len());
                        let room = self.text_limit.saturating_sub(self.text.len());
                        self.text.extend_from_slice(piece.get(..room).unwrap_or(piece));
                    }
                    if *left == 0 {
                        let text = Bytes::from(core::mem::take(&mut self.text));
                        let item = Item::GoAway { last: *last, code: *code, text };
                        self.state = State::Header;
                        return Some(item);
                    }
                }
            }
        }
    }

    /// Reacts to a complete header; `None` if the frame's item comes with its payload.
    #[inline(always)]
    fn begin(&mut self, header: Header) -> Option<Item<'static>> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        match header.kind {
            FrameType::Data => {
                if length > 0 {
                    self.state = State::Data { left: length };
                }
                let Header { id, flags, length, .. } = header;
                Some(Item::Data { id, flags, length })
            }
            FrameType::Rst | FrameType::WndInc if length == 4 => {
                self.state = State::Word { header };
                None
            }
            FrameType::GoAway if length >= 8 && header.id.get() == 0 => {
                self.state = State::GoAwayFixed { left: length.saturating_sub(8) };
                None
            }
            FrameType::GoAway if length >= 8 => {
                Some(self.malformed(header, length, ErrorCode::PROTOCOL))
            }
            FrameType::Rst | FrameType::WndInc | FrameType::GoAway => {
                Some(self.malformed(header, length, ErrorCode::FRAME_SIZE))
            }
            FrameType::Unknown(_) => {
                self.skip(length, true);
                Some(Item::Unknown { header })
            }
        }
    }

    fn malformed(&mut self, header: Header, length: usize, code: ErrorCode) -> Item<'static> {
        self.skip(length, false);
        Item::Malformed { header, code }
    }

    fn skip(&mut self, left: usize, told: bool) {
        if left > 0 {
            self.state = State::Skip { left, told };
        }
    }

    /// The next `N` bytes once they have all arrived.
    #[inline(always)]
    fn collect<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        if self.have == 0 {
            if let Some((whole, rest)) = input.split_first_chunk::<N>() {
                *input = rest;
                return Some(*whole);
            }
        }
        self.collect_pieces(input)
    }

    #[cold]
    fn collect_pieces<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        let piece = take(input, N.saturating_sub(self.have))?;
        let end = self.have.saturating_add(piece.len());
        if let Some(room) = self.partial.get_mut(self.have..end) {
            room.copy_from_slice(piece);
        }
        self.have = end;
        if end < N {
            return None;
        }
        self.have = 0;
        self.partial.first_chunk::<N>().copied()
    }
}

/// Splits at most `max` bytes off the front of `input`; `None` if it is empty.
#[inline(always)]
fn take<'a>(input: &mut &'a [u8], max: usize) -> Option<&'a [u8]> {
    if input.is_empty() {
        return None;
    }
    let (head, tail) = input.split_at_checked(max).unwrap_or((input, &[]));
    *input = tail;
    Some(head)
}

#[cfg(feature = "audit")]
impl Decoder {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { state, partial, have, text, text_limit: _ } = self;
        digest.value(state);
        digest.value(partial.get(..*have).unwrap_or_default());
        digest.value(&text[..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Items with the payload pieces of a frame joined, so that chunkings compare equal.
    fn decode_all(decoder: &mut Decoder, chunks: &[&[u8]]) -> Vec<(Item<'static>, Vec<u8>)> {
        let mut items = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(item) = decoder.decode(&mut input) {
                match item {
                    Item::Payload { bytes, .. } => {
                        let last: &mut (Item<'static>, Vec<u8>) = items.last_mut().unwrap();
                        last.1.extend_from_slice(bytes);
                    }
                    Item::Skipped(count) => {
                        items.last_mut().unwrap().1.extend(vec![0; count]);
                    }
                    Item::Data { id, flags, length } => {
                        items.push((Item::Data { id, flags, length }, Vec::new()));
                    }
                    Item::Rst { id, code } => items.push((Item::Rst { id, code }, Vec::new())),
                    Item::WndInc { id, increment } => {
                        items.push((Item::WndInc { id, increment }, Vec::new()));
                    }
                    Item::GoAway { last, code, text } => {
                        items.push((Item::GoAway { last, code, text }, Vec::new()));
                    }
                    Item::Unknown { header } => items.push((Item::Unknown { header }, Vec::new())),
                    Item::Malformed { header, code } => {
                        items.push((Item::Malformed { header, code }, Vec::new()));
                    }
                }
            }
            assert!(input.is_empty());
        }
        items
    }

    #[test]
    fn goaway_with_text() {
        let frame = b"\0\0\x10\x30\0\0\0\0\0\0\0\x05\0\0\0\x00no error";
        let items = decode_all(&mut Decoder::new(4), &[frame]);
        let expected = Item::GoAway {
            last: StreamId::new(5),
            code: ErrorCode::NO_ERROR,
            text: Bytes::from_static(b"no e"),
        };
        assert_eq!(items, [(expected, vec![])]);
    }

    #[test]
    fn wrong_lengths_are_skipped_over() {
        let bytes = b"\0\0\x05\x00\0\0\0\x0312345\0\0\x04\x00\0\0\0\x03\0\0\0\x07";
        let items = decode_all(&mut Decoder::new(64), &[bytes]);
        assert!(matches!(items[0].0, Item::Malformed { code: ErrorCode::FRAME_SIZE, .. }));
        let rst = Item::Rst { id: StreamId::new(3), code: ErrorCode::STREAM_RESET };
        assert_eq!(items[1].0, rst);
    }

    #[test]
    fn a_length_reserves_nothing() {
        let mut decoder = Decoder::new(64);
        let mut input: &[u8] = b"\xFF\xFF\xFF\x30\0\0\0\0";
        assert_eq!(decoder.decode(&mut input), None);
        assert!(decoder.is_mid_frame());
        assert!(core::mem::size_of::<Decoder>() <= 128);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_items(
            frames in proptest::collection::vec(
                (0u8..6, 0u8..16, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..40)),
                0..12,
            ),
            cuts in proptest::collection::vec(1usize..30, 1..60),
        ) {
            let mut wire = Vec::new();
            for (kind, flags, id, payload) in &frames {
                let header = Header {
                    length: u32::try_from(payload.len()).unwrap(),
                    kind: FrameType::from_bits(*kind),
                    flags: Flags::from_bits(*flags),
                    id: StreamId::new(*id),
                };
                wire.extend_from_slice(&header.encode());
                wire.extend_from_slice(payload);
            }
            let whole = decode_all(&mut Decoder::new(16), &[&wire]);
            let mut chunks = Vec::new();
            let mut rest = &wire[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            let mut decoder = Decoder::new(16);
            prop_assert_eq!(decode_all(&mut decoder, &chunks), whole);
            prop_assert!(!decoder.is_mid_frame());
            let bytewise: Vec<&[u8]> = wire.chunks(1).collect();
            prop_assert_eq!(
                decode_all(&mut Decoder::new(16), &bytewise),
                decode_all(&mut Decoder::new(16), &[&wire])
            );
        }
    }
}
