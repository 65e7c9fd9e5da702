//! The core's codec on whole frames: decoded in pieces, converted to text, encoded again.

use muxado_proto::decode::{Decoder, Item};
use muxado_proto::frame::{Flags, FrameType, Header};
use muxado_proto::{ErrorCode, StreamId};

/// A decoded frame: as text, and encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Its meaning, in the notation of PROTOCOL.md §1.3.
    pub meaning: String,
    /// Its encoding by the core. The payload of a skipped frame is `?`.
    pub bytes: Vec<u8>,
}

/// Runs `bytes` through the core's decoder in pieces of `size` bytes.
///
/// # Panics
///
/// If they end within a frame.
pub fn decode(bytes: &[u8], size: usize) -> Vec<Decoded> {
    let mut decoder = Decoder::new(4096);
    let mut frames: Vec<Decoded> = Vec::new();
    for mut input in bytes.chunks(size) {
        while let Some(item) = decoder.decode(&mut input) {
            let (meaning, bytes) = match item {
                Item::Payload { bytes, .. } => {
                    frames.last_mut().expect("a header first").bytes.extend_from_slice(bytes);
                    continue;
                }
                Item::Skipped(count) => {
                    let bytes = &mut frames.last_mut().expect("a header first").bytes;
                    bytes.resize(bytes.len() + count, b'?');
                    continue;
                }
                Item::Data { id, flags, length } => (
                    format!(
                        "DATA id={id} len={length}{}{}",
                        if flags.is_syn() { " SYN" } else { "" },
                        if flags.is_fin() { " FIN" } else { "" },
                    ),
                    Header::data(id, length, flags).encode().to_vec(),
                ),
                Item::Rst { id, code } => {
                    (format!("RST id={id} code={}", code.0), Header::rst(id, code.0).to_vec())
                }
                Item::WndInc { id, increment } => (
                    format!("WNDINC id={id} inc={increment}"),
                    Header::wnd_inc(id, increment).to_vec(),
                ),
                Item::GoAway { last, code, text } => (
                    format!(
                        "GOAWAY last={last} code={} text=\"{}\"",
                        code.0,
                        String::from_utf8_lossy(&text)
                    ),
                    goaway(last, code, &text),
                ),
                Item::Unknown { header } => (
                    format!(
                        "UNKNOWN type={} id={} len={}",
                        header.kind.bits(),
                        header.id,
                        header.length
                    ),
                    header.encode().to_vec(),
                ),
                Item::Malformed { header, code } => {
                    (format!("INVALID code={}", code.0), header.encode().to_vec())
                }
                other => panic!("an item this test does not know: {other:?}"),
            };
            frames.push(Decoded { meaning, bytes });
        }
    }
    assert!(!decoder.is_mid_frame(), "the last frame is not complete");
    frames
}

fn goaway(last: StreamId, code: ErrorCode, text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + text.len()).expect("a short text");
    let header = Header::new(FrameType::GoAway, Flags::NONE, StreamId::new(0), length);
    let fixed = [last.get().to_be_bytes(), code.0.to_be_bytes()].concat();
    [&header.encode()[..], &fixed, text].concat()
}
