//! One frame in hex, and its meaning: a second, simple implementation of PROTOCOL.md §2.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// One frame as it was on the wire.
///
/// Its text is `HEX | MEANING`, as in PROTOCOL.md §1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The first 8 bytes.
    pub header: [u8; 8],
    /// The bytes after the header, up to the next header.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Type of the frames that reset a stream.
    pub const RST: u8 = 0;
    /// Type of the frames that carry a stream.
    pub const DATA: u8 = 1;
    /// Type of the frames that grant credit.
    pub const WNDINC: u8 = 2;
    /// Type of the frames that announce the end.
    pub const GOAWAY: u8 = 3;

    /// The type, 0 to 15.
    pub fn kind(&self) -> u8 {
        self.header[3] >> 4
    }

    /// Whether the SYN flag is set.
    pub fn is_syn(&self) -> bool {
        self.header[3] & 0x2 != 0
    }

    /// Whether the FIN flag is set.
    pub fn is_fin(&self) -> bool {
        self.header[3] & 0x1 != 0
    }

    /// The stream id, without the top bit.
    pub fn id(&self) -> u32 {
        let [.., a, b, c, d] = self.header;
        u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff
    }

    /// The length of the payload according to the header.
    pub fn length(&self) -> usize {
        let [a, b, c, ..] = self.header;
        usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
    }

    /// Whether the payload is as long as the header says.
    pub fn is_well_formed(&self) -> bool {
        self.length() == self.payload.len()
    }

    /// Takes one whole frame from the front of `input`, by its length field; `None` if it is not
    /// complete.
    pub fn take(input: &mut Vec<u8>) -> Option<Self> {
        let header = *input.first_chunk()?;
        let mut frame = Self { header, payload: Vec::new() };
        let end = 8 + frame.length();
        frame.payload = input.get(8..end)?.to_vec();
        input.drain(..end);
        Some(frame)
    }

    /// Header and payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.payload].concat()
    }

    /// The number in the payload at this offset: codes, increments, ids. 0 if the payload is too
    /// short.
    pub fn word(&self, offset: usize) -> u32 {
        let word = self.payload.get(offset..offset + 4).and_then(|word| word.try_into().ok());
        word.map_or(0, u32::from_be_bytes)
    }

    /// The meaning of the bytes, in the notation of PROTOCOL.md §1.3.
    pub fn meaning(&self) -> String {
        let id = self.id();
        let mut meaning = match self.kind() {
            Self::RST => format!("RST id={id} code={}", self.word(0)),
            Self::DATA => format!(
                "DATA id={id} len={}{}{}",
                self.length(),
                if self.is_syn() { " SYN" } else { "" },
                if self.is_fin() { " FIN" } else { "" },
            ),
            Self::WNDINC => format!("WNDINC id={id} inc={}", self.word(0) & 0x7fff_ffff),
            Self::GOAWAY => format!(
                "GOAWAY last={} code={} text=\"{}\"",
                self.word(0) & 0x7fff_ffff,
                self.word(4),
                String::from_utf8_lossy(self.payload.get(8..).unwrap_or_default()),
            ),
            kind => format!("UNKNOWN type={kind} id={id} len={}", self.length()),
        };
        if !self.is_well_formed() {
            meaning.push_str(" MALFORMED");
        }
        meaning
    }
}

impl FromStr for Frame {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hex, meaning) = text.split_once(" | ").ok_or("`|` expected")?;
        let bytes = parse_hex(hex)?;
        let (header, payload) = bytes.split_first_chunk().ok_or("a header has 8 bytes")?;
        let frame = Self { header: *header, payload: payload.to_vec() };
        if frame.meaning() != meaning {
            return Err(format!("this means `{}`", frame.meaning()));
        }
        Ok(frame)
    }
}

impl Display for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, id @ ..] = self.header;
        write!(f, "{:08x} ", u32::from_be_bytes([a, b, c, d]))?;
        write!(f, "{:08x} ", u32::from_be_bytes(id))?;
        match self.payload.as_slice() {
            [] => {}
            [first, rest @ ..] if rest.len() > 63 && rest.iter().all(|byte| byte == first) => {
                write!(f, "{first:02x}*{} ", self.payload.len())?;
            }
            payload => {
                payload.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(" ")?;
            }
        }
        write!(f, "| {}", self.meaning())
    }
}

/// Reads pairs of hex digits. Spaces between words are ignored, and `ab*65` is a byte repeated.
///
/// # Errors
///
/// Returns the text that is not hex.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, count) = match word.split_once('*') {
            None => (word, 1),
            Some((digits, count)) => {
                (digits, count.parse().map_err(|error| format!("`{count}`: {error}"))?)
            }
        };
        if digits.len() % 2 != 0 || !digits.is_ascii() {
            return Err(format!("`{digits}` is not pairs of hex digits"));
        }
        let group = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("`{digits}`: {error}"))?;
        bytes.extend(group.repeat(count));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_pairs_words_and_repeats() {
        assert_eq!(parse_hex("00ff 10"), Ok(vec![0, 255, 16]));
        assert_eq!(parse_hex("01 ab*3"), Ok(vec![1, 0xab, 0xab, 0xab]));
        assert_eq!(parse_hex(""), Ok(vec![]));
        assert!(parse_hex("abc").is_err());
        assert!(parse_hex("zz").is_err());
        assert!(parse_hex("ab*x").is_err());
    }

    #[test]
    fn a_frame_whose_meaning_is_another_is_refused() {
        let syn = "00000212 00000003 6869 | DATA id=3 len=2 SYN";
        assert_eq!(syn.parse::<Frame>().map(|frame| frame.to_string()), Ok(syn.to_owned()));
        assert!("00000212 00000003 6869 | DATA id=3 len=2 FIN".parse::<Frame>().is_err());
        assert!("00000212 000003 | DATA id=3 len=2 SYN".parse::<Frame>().is_err());
    }

    #[test]
    fn frames_are_taken_off_a_buffer_one_by_one() {
        let mut wire = parse_hex("00000212 00000003 6869 00000011 00000003 000001").expect("hex");
        assert_eq!(
            Frame::take(&mut wire).map(|frame| frame.meaning()).as_deref(),
            Some("DATA id=3 len=2 SYN")
        );
        assert_eq!(
            Frame::take(&mut wire).map(|frame| frame.meaning()).as_deref(),
            Some("DATA id=3 len=0 FIN")
        );
        assert_eq!(Frame::take(&mut wire), None);
        assert_eq!(wire, [0, 0, 1]);
    }

    #[test]
    fn a_length_that_lies_is_marked() {
        let line = "00000830 00000000 00000002000000006e6f5f6572726f72 \
                    | GOAWAY last=2 code=0 text=\"no_error\" MALFORMED";
        let frame: Frame = line.parse().expect("it says so");
        assert!(!frame.is_well_formed());
        assert_eq!(frame.length(), 8);
        assert_eq!(frame.payload.len(), 16);
    }
}
