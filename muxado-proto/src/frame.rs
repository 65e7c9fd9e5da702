//! The frame header and its fields (PROTOCOL.md §2).
//!
//! ```
//! use muxado_proto::frame::{Flags, FrameType, GOAWAY_PAD, HEADER_LEN, Header, StreamId};
//! use muxado_proto::frame::{MAX_PAYLOAD, MAX_U31};
//!
//! let id = StreamId::new(3);
//! // RST and WNDINC as whole frames.
//! assert_eq!(Header::rst(id, 6)[HEADER_LEN..], [0, 0, 0, 6]);
//! assert_eq!(Header::wnd_inc(id, 5)[..HEADER_LEN], [0, 0, 4, 0x20, 0, 0, 0, 3]);
//!
//! // The flags of a DATA frame, and any header from its eight bytes.
//! let flags = Flags::SYN.with(Flags::FIN);
//! assert!(flags.is_syn() && flags.is_fin() && !Flags::NONE.is_fin());
//! assert_eq!(Flags::from_bits(flags.bits()), flags);
//! let pad = Header::decode(GOAWAY_PAD);
//! assert_eq!((pad.kind, pad.length), (FrameType::Unknown(15), 0));
//! assert_eq!(FrameType::from_bits(3), FrameType::GoAway);
//! assert_eq!(FrameType::Rst.bits() + FrameType::WndInc.bits(), 2);
//!
//! // The largest length and the largest id.
//! let largest = Header::data(StreamId::new(u32::MAX), MAX_PAYLOAD, Flags::NONE);
//! assert_eq!(u32::from(largest.id), MAX_U31);
//! assert_eq!(Header::decode(largest.encode()), largest);
//! ```

use core::fmt;

/// Bytes in every frame header.
pub const HEADER_LEN: usize = 8;

/// The largest payload one frame can carry: the length field has 24 bits.
pub const MAX_PAYLOAD: u32 = 0x00FF_FFFF;

/// The largest stream id, and the largest window increment: both have 31 bits.
pub const MAX_U31: u32 = 0x7FFF_FFFF;

/// The id of a stream within its session: 31 bits, odd for streams that the client opened, even for
/// streams that the server opened.
///
/// A session uses an id once, so an id that outlives its stream is harmless: calls with it find no
/// stream. The exception is a stream of this side that was released before its first frame: the
/// peer never saw its id, so a later stream gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// An id from its number. The top bit is masked, as the protocol demands on receipt.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id & MAX_U31)
    }

    /// The number in the frame header.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether the side with this role opens streams with ids like this one.
    #[must_use]
    pub const fn is_opened_by(self, role: Role) -> bool {
        self.0 % 2 == role.first_id() % 2
    }
}

impl From<StreamId> for u32 {
    fn from(id: StreamId) -> Self {
        id.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Which end of the session this is; it decides the parity of the ids it opens.
///
/// Usually the side that dialled the transport is the client. The two ends only have to differ.
///
/// ```
/// use muxado_proto::{Role, StreamId};
///
/// let first = StreamId::new(Role::Client.first_id());
/// assert_eq!(first.get(), 3);
/// assert!(first.is_opened_by(Role::Client) && !first.is_opened_by(Role::Client.peer()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opens streams 3, 5, 7 …
    Client,
    /// Opens streams 2, 4, 6 …
    Server,
}

impl Role {
    /// The id of the first stream this side opens: 3 for the client, 2 for the server.
    #[must_use]
    pub const fn first_id(self) -> u32 {
        match self {
            Self::Client => 3,
            Self::Server => 2,
        }
    }

    /// The role of the other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The kind of a frame: the high four bits of the fourth header byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Ends a stream at once, with a code.
    Rst,
    /// Carries payload; with flags it opens a stream or ends a direction.
    Data,
    /// Grants credit.
    WndInc,
    /// Ends the session.
    GoAway,
    /// Anything else (4 to 15): skipped on receipt.
    Unknown(u8),
}

impl FrameType {
    /// The type from its four bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0x0F {
            0 => Self::Rst,
            1 => Self::Data,
            2 => Self::WndInc,
            3 => Self::GoAway,
            other => Self::Unknown(other),
        }
    }

    /// The four bits of the type.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Rst => 0,
            Self::Data => 1,
            Self::WndInc => 2,
            Self::GoAway => 3,
            Self::Unknown(bits) => bits & 0x0F,
        }
    }
}

/// The flags of a DATA frame: the low four bits of the fourth header byte.
///
/// Undefined bits are ignored, but kept, so that decoding and encoding a header is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The sender will send no more DATA on this stream.
    pub const FIN: Self = Self(0x1);
    /// The first frame of a new stream.
    pub const SYN: Self = Self(0x2);

    /// Flags from their four bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x0F)
    }

    /// The four bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets of flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether FIN is set.
    #[must_use]
    pub const fn is_fin(self) -> bool {
        self.0 & Self::FIN.0 != 0
    }

    /// Whether SYN is set.
    #[must_use]
    pub const fn is_syn(self) -> bool {
        self.0 & Self::SYN.0 != 0
    }
}

/// The eight bytes before every payload.
///
/// ```
/// use muxado_proto::frame::{Flags, FrameType, Header};
/// use muxado_proto::StreamId;
///
/// // "hi" on a new stream 3.
/// let bytes = [0, 0, 2, 0x12, 0, 0, 0, 3];
/// let header = Header::decode(bytes);
/// assert_eq!(header.length, 2);
/// assert_eq!(header.kind, FrameType::Data);
/// assert_eq!(header.flags, Flags::SYN);
/// assert_eq!(header.id, StreamId::new(3));
/// assert_eq!(header.encode(), bytes);
/// assert_eq!(header, Header::new(FrameType::Data, Flags::SYN, StreamId::new(3), 2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Header {
    /// Bytes of payload that follow, at most [`MAX_PAYLOAD`].
    pub length: u32,
    /// What the frame is.
    pub kind: FrameType,
    /// Its flags; they have a meaning only on DATA.
    pub flags: Flags,
    /// Its stream; 0 for GOAWAY.
    pub id: StreamId,
}

impl Header {
    /// A header with these fields.
    #[must_use]
    pub const fn new(kind: FrameType, flags: Flags, id: StreamId, length: u32) -> Self {
        Self { length, kind, flags, id }
    }

    /// The wire form. A length above [`MAX_PAYLOAD`] is truncated to its low 24 bits.
    #[must_use]
    pub const fn encode(self) -> [u8; HEADER_LEN] {
        let tag = self.kind.bits() << 4 | self.flags.bits();
        let header = (self.length as u64) << 40 | (tag as u64) << 32 | self.id.get() as u64;
        header.to_be_bytes()
    }

    /// The header from its wire form; any eight bytes are a valid header. The top bit of the id is
    /// masked.
    #[must_use]
    pub const fn decode(bytes: [u8; HEADER_LEN]) -> Self {
        let header = u64::from_be_bytes(bytes);
        let tag = (header >> 32) as u8;
        Self {
            length: (header >> 40) as u32,
            kind: FrameType::from_bits(tag >> 4),
            flags: Flags::from_bits(tag),
            id: StreamId::new(header as u32),
        }
    }

    /// Whether it is the header of the [`GOAWAY_PAD`].
    pub(crate) fn is_pad(self) -> bool {
        self.encode() == GOAWAY_PAD
    }

    /// A DATA header.
    #[must_use]
    pub const fn data(id: StreamId, length: u32, flags: Flags) -> Self {
        Self { length, kind: FrameType::Data, flags, id }
    }

    /// An RST frame, whole: header and code.
    #[must_use]
    pub const fn rst(id: StreamId, code: u32) -> [u8; 12] {
        Self::with_word(FrameType::Rst, id, code)
    }

    /// A WNDINC frame, whole: header and increment.
    #[must_use]
    pub const fn wnd_inc(id: StreamId, increment: u32) -> [u8; 12] {
        Self::with_word(FrameType::WndInc, id, increment & MAX_U31)
    }

    const fn with_word(kind: FrameType, id: StreamId, word: u32) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h] = Self { length: 4, kind, flags: Flags::NONE, id }.encode();
        let [w0, w1, w2, w3] = word.to_be_bytes();
        [a, b, c, d, e, f, g, h, w0, w1, w2, w3]
    }
}

/// The empty frame of unknown type 15 that follows every GOAWAY.
///
/// The Go reference reads eight bytes too many after a GOAWAY and would misparse what follows; it
/// consumes this frame instead. Every other peer skips it (PROTOCOL.md §7.2).
pub const GOAWAY_PAD: [u8; HEADER_LEN] = [0, 0, 0, 0xF0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn recorded_headers() {
        assert_eq!(Header::rst(StreamId::new(0x105), 9), *b"\0\0\x04\0\0\0\x01\x05\0\0\0\x09");
        assert_eq!(Header::wnd_inc(StreamId::new(3), 2), *b"\0\0\x04\x20\0\0\0\x03\0\0\0\x02");
        let fin = Header::data(StreamId::new(3), 0, Flags::FIN);
        assert_eq!(fin.encode(), [0, 0, 0, 0x11, 0, 0, 0, 3]);
    }

    #[test]
    fn parity_follows_the_role() {
        assert!(StreamId::new(3).is_opened_by(Role::Client));
        assert!(StreamId::new(1).is_opened_by(Role::Client));
        assert!(StreamId::new(2).is_opened_by(Role::Server));
        assert!(!StreamId::new(2).is_opened_by(Role::Client));
    }

    proptest! {
        #[test]
        fn header_round_trip(mut bytes: [u8; HEADER_LEN]) {
            bytes[4] &= 0x7F;
            prop_assert_eq!(Header::decode(bytes).encode(), bytes);
        }

        #[test]
        fn top_bit_of_the_id_is_masked(bytes: [u8; HEADER_LEN]) {
            let mut set = bytes;
            set[4] |= 0x80;
            let mut clear = bytes;
            clear[4] &= 0x7F;
            prop_assert_eq!(Header::decode(set), Header::decode(clear));
        }
    }
}
