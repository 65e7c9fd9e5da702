//! A second codec, written only from PROTOCOL.md §2, to compare with the core's codec. The codec of
//! ngrok's crate is private.

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The high four bits of the fourth byte.
    pub kind: u8,
    /// The low four.
    pub flags: u8,
    /// The stream, without the top bit.
    pub id: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// The wire form.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let length = u32::try_from(frame.payload.len()).expect("a small payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.push(frame.kind * 16 + frame.flags % 16);
    bytes.extend(frame.id.to_be_bytes());
    bytes.extend(&frame.payload);
    bytes
}

/// The whole frames at the front of `bytes`.
pub fn decode(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while bytes.len() >= 8 {
        let length = usize::from(bytes[0]) * 65536 + usize::from(bytes[1]) * 256;
        let end = 8 + length + usize::from(bytes[2]);
        if bytes.len() < end {
            break;
        }
        let id = bytes[4..8].iter().fold(0u64, |id, byte| id * 256 + u64::from(*byte));
        frames.push(Frame {
            kind: bytes[3] / 16,
            flags: bytes[3] % 16,
            id: u32::try_from(id % (1 << 31)).expect("31 bits"),
            payload: bytes[8..end].to_vec(),
        });
        bytes = &bytes[end..];
    }
    frames
}
