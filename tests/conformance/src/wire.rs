//! The suite's own codec.
//!
//! It shares nothing with `muxado-proto`, so that a fault in that crate's codec is detected and
//! does not cancel out. Encoders return plain bytes, so that a case can join, split or damage them.

use std::fmt;

/// Bytes in a frame header.
pub const HEADER: usize = 8;
/// Frame type RST.
pub const RST: u8 = 0;
/// Frame type DATA.
pub const DATA: u8 = 1;
/// Frame type WNDINC.
pub const WNDINC: u8 = 2;
/// Frame type GOAWAY.
pub const GOAWAY: u8 = 3;
/// The unknown type that pads a GOAWAY.
pub const PAD: u8 = 0xf;
/// DATA flag: the sender's last byte on this stream.
pub const FIN: u8 = 1;
/// DATA flag: the first frame of a stream.
pub const SYN: u8 = 2;
/// The bit above the 31 of a stream id or of a window increment.
pub const TOP_BIT: u32 = 0x8000_0000;
/// The largest value of a 31-bit field.
pub const MAX_31: u32 = 0x7fff_ffff;
/// The largest payload a header can announce.
pub const MAX_LENGTH: u32 = 0xff_ffff;

/// A frame header as on the wire: no bit is interpreted or masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload bytes announced, 24 bits.
    pub length: u32,
    /// Frame type, 4 bits.
    pub kind: u8,
    /// Flags, 4 bits.
    pub flags: u8,
    /// Stream id, all 32 bits.
    pub id: u32,
}

impl Header {
    /// Decodes a header.
    pub fn parse(bytes: [u8; HEADER]) -> Self {
        let [l2, l1, l0, kind, id @ ..] = bytes;
        Self {
            length: u32::from_be_bytes([0, l2, l1, l0]),
            kind: kind >> 4,
            flags: kind & 0xf,
            id: u32::from_be_bytes(id),
        }
    }

    /// Encodes a header.
    pub fn bytes(self) -> [u8; HEADER] {
        let [_, l2, l1, l0] = self.length.to_be_bytes();
        let [i3, i2, i1, i0] = self.id.to_be_bytes();
        [l2, l1, l0, self.kind << 4 | self.flags & 0xf, i3, i2, i1, i0]
    }

    /// Whether this is DATA with every flag of `flags`.
    pub fn is_data_with(self, flags: u8) -> bool {
        self.kind == DATA && self.flags & flags == flags
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RST => f.write_str("RST")?,
            DATA => f.write_str("DATA")?,
            WNDINC => f.write_str("WNDINC")?,
            GOAWAY => f.write_str("GOAWAY")?,
            other => write!(f, "type {other:#x}")?,
        }
        if self.kind == DATA {
            f.write_str(["", "|FIN", "|SYN", "|SYN|FIN"][usize::from(self.flags & 3)])?;
        }
        let undefined = if self.kind == DATA { self.flags & !3 } else { self.flags };
        if undefined != 0 {
            write!(f, "|{undefined:#x}")?;
        }
        write!(f, " stream {} length {}", self.id, self.length)
    }
}

/// One frame with its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The payload; empty for unknown types, which are reported as soon as their header has
    /// arrived.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The payload as a u32 starting at byte `at`, if it is long enough.
    pub fn u32_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// Any frame that the caller asks for, valid or not.
pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("payloads of the suite are small");
    let mut bytes = Header { length, kind, flags, id }.bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A header that announces `length` bytes which do not follow.
pub fn header(kind: u8, flags: u8, id: u32, length: u32) -> Vec<u8> {
    Header { length, kind, flags, id }.bytes().to_vec()
}

/// DATA.
pub fn data(flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, id, payload)
}

/// RST.
pub fn rst(id: u32, code: u32) -> Vec<u8> {
    frame(RST, 0, id, &code.to_be_bytes())
}

/// WNDINC.
pub fn wndinc(id: u32, increment: u32) -> Vec<u8> {
    frame(WNDINC, 0, id, &increment.to_be_bytes())
}

/// GOAWAY.
pub fn goaway(last: u32, code: u32, debug: &[u8]) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[&last.to_be_bytes(), &code.to_be_bytes(), debug].concat())
}

/// The empty frame of unknown type that follows a GOAWAY, for peers that read eight bytes too many.
pub fn pad() -> Vec<u8> {
    frame(PAD, 0, 0, &[])
}

/// Splits an incoming byte stream into frames, in any chunking.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the undecoded part of `buffer` begins.
    start: usize,
    /// Payload bytes of an unknown frame that are still to be skipped.
    skip: usize,
}

impl Decoder {
    /// Takes in more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let rest = &self.buffer[self.start..];
        let skipped = self.skip.min(rest.len());
        self.skip -= skipped;
        self.start += skipped;
        let found = self.decode();
        if found.is_none() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        found
    }

    fn decode(&mut self) -> Option<Frame> {
        let rest = &self.buffer[self.start..];
        let header = Header::parse(*rest.first_chunk()?);
        let length = usize::try_from(header.length).ok()?;
        if header.kind > GOAWAY {
            self.start += HEADER;
            self.skip = length;
            return Some(Frame { header, payload: Vec::new() });
        }
        let payload = rest.get(HEADER..HEADER + length)?.to_vec();
        self.start += HEADER + length;
        Some(Frame { header, payload })
    }

    /// Bytes of a frame that is not complete.
    pub fn partial(&self) -> usize {
        self.buffer.len() - self.start + self.skip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_laid_out_as_the_protocol_says() {
        assert_eq!(data(SYN, 3, b"hi"), b"\x00\x00\x02\x12\x00\x00\x00\x03hi");
        assert_eq!(data(FIN, 3, b""), b"\x00\x00\x00\x11\x00\x00\x00\x03");
        assert_eq!(rst(5, 4), b"\x00\x00\x04\x00\x00\x00\x00\x05\x00\x00\x00\x04");
        assert_eq!(wndinc(7, 256), b"\x00\x00\x04\x20\x00\x00\x00\x07\x00\x00\x01\x00");
        assert_eq!(pad(), b"\x00\x00\x00\xf0\x00\x00\x00\x00");
        let bye = goaway(9, 1, b"bye");
        assert_eq!(bye, b"\x00\x00\x0b\x30\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x01bye");
    }

    #[test]
    fn the_decoder_finds_the_same_frames_in_any_chunking() {
        let bytes = [data(SYN, 3, b"hello"), frame(0xc, 0, 1, b"skipped"), rst(3, 7)].concat();
        for chunk in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for piece in bytes.chunks(chunk) {
                decoder.push(piece);
                frames.extend(std::iter::from_fn(|| decoder.next_frame()));
            }
            let kinds: Vec<u8> = frames.iter().map(|frame| frame.header.kind).collect();
            assert_eq!(kinds, [DATA, 0xc, RST], "chunks of {chunk}");
            assert_eq!(frames[0].payload, b"hello");
            assert_eq!(frames[2].u32_at(0), Some(7));
            assert_eq!(decoder.partial(), 0);
        }
    }

    #[test]
    fn an_incomplete_frame_is_counted() {
        let mut decoder = Decoder::default();
        decoder.push(&data(0, 3, b"hello")[..10]);
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.partial(), 10);
    }
}
