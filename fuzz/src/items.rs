//! The items of the core's decoder, in a form that does not depend on how the bytes were split.

use muxado_proto::decode::{Decoder, Item};

/// A decoded frame and its payload, passed through or skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The item as text, with all its fields.
    pub item: String,
    /// The bytes of DATA.
    pub payload: Vec<u8>,
    /// Bytes of an unknown frame that were skipped.
    pub skipped: usize,
}

/// Decodes bytes in pieces of the sizes in `cuts`, cyclically; without cuts, at once.
pub fn decode(bytes: &[u8], cuts: &[u8]) -> (Vec<Whole>, bool) {
    let mut decoder = Decoder::new(64);
    let mut frames: Vec<Whole> = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let cut = cuts.next().map_or(rest.len(), |&cut| usize::from(cut) + 1);
        let (mut piece, tail) = rest.split_at(cut.min(rest.len()));
        rest = tail;
        while let Some(item) = decoder.decode(&mut piece) {
            match (item, frames.last_mut()) {
                (Item::Payload { bytes, .. }, Some(frame)) => {
                    assert!(!bytes.is_empty());
                    frame.payload.extend_from_slice(bytes);
                }
                (Item::Skipped(count), Some(frame)) => frame.skipped += count,
                (Item::Payload { .. } | Item::Skipped(_), None) => panic!("payload of no frame"),
                (item, _) => frames.push(Whole {
                    item: format!("{item:?}"),
                    payload: Vec::new(),
                    skipped: 0,
                }),
            }
        }
        assert!(piece.is_empty(), "the decoder left input behind");
    }
    (frames, decoder.is_mid_frame())
}
