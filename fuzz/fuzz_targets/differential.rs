//! The core's codec against a second one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muxado_fuzz::items;
use muxado_fuzz::reference::{self, Frame};
use muxado_proto::frame::{Flags, FrameType, Header};
use muxado_proto::{ErrorCode, StreamId};

fuzz_target!(|input: &[u8]| {
    let frames = reference::decode(input);
    let mut wire = Vec::new();
    for frame in &frames {
        let bytes = reference::encode(frame);
        let length = u32::try_from(frame.payload.len()).expect("24 bits");
        let (kind, flags) = (FrameType::from_bits(frame.kind), Flags::from_bits(frame.flags));
        let header = Header::new(kind, flags, StreamId::new(frame.id), length);
        assert_eq!(header.encode(), bytes[..8]);
        assert_eq!(Header::decode(header.encode()), header);
        wire.extend(bytes);
    }
    let (items, mid_frame) = items::decode(&wire, &[]);
    assert!(!mid_frame);
    assert_eq!(items.len(), frames.len());
    for (item, frame) in items.iter().zip(&frames) {
        assert_eq!(item.item, expected(frame));
        if frame.kind == 1 {
            assert_eq!(item.payload, frame.payload);
        }
    }
});

/// The expected item of the core for a frame.
fn expected(frame: &Frame) -> String {
    use muxado_proto::decode::Item;
    let id = StreamId::new(frame.id);
    let word = |at: usize| {
        let bytes = frame.payload.get(at..at + 4);
        bytes.map_or(0, |bytes| bytes.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)))
    };
    let length = u32::try_from(frame.payload.len()).expect("24 bits");
    let flags = Flags::from_bits(frame.flags);
    let header = Header::new(FrameType::from_bits(frame.kind), flags, id, length);
    let size = Item::Malformed { header, code: ErrorCode::FRAME_SIZE };
    let item = match (frame.kind, length) {
        (0, 4) => Item::Rst { id, code: ErrorCode(word(0)) },
        (1, _) => Item::Data { id, flags, length },
        (2, 4) => Item::WndInc { id, increment: word(0) & 0x7FFF_FFFF },
        (3, 8..) if frame.id == 0 => Item::GoAway {
            last: StreamId::new(word(0)),
            code: ErrorCode(word(4)),
            text: bytes::Bytes::copy_from_slice(&frame.payload[8..frame.payload.len().min(8 + 64)]),
        },
        (3, 8..) => Item::Malformed { header, code: ErrorCode::PROTOCOL },
        (0 | 2 | 3, _) => size,
        _ => Item::Unknown { header },
    };
    format!("{item:?}")
}
