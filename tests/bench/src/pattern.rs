//! The payload of the streams, and its check.
//!
//! The byte at an offset of a stream depends on that offset modulo [`PERIOD`]. The period is a
//! multiple of a cache line, so writers stay aligned, and not a multiple of any frame or buffer
//! size in use, so a lost, doubled or misplaced piece shifts the phase of everything after it.

use std::{io, sync::OnceLock};

use clap::ValueEnum;
use strum::Display;

/// After this many bytes the pattern repeats.
pub(crate) const PERIOD: usize = 1023 * 64;
/// The longest contiguous slice of the pattern.
pub(crate) const LONGEST: usize = 1024 * 1024;
/// The first byte of a stream that is never to be read; the pattern does not begin with it.
pub(crate) const HOLD: u8 = 0xFF;

/// How much of the received bytes is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Display)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Thoroughness {
    /// The first and last 64 bytes of every piece read and 16 bytes of every 4 KiB in between:
    /// under one percent of the bytes, at every place where two frames may have met.
    #[default]
    Sampled,
    /// Every byte.
    Full,
}

/// The `len` bytes at `offset` of every stream.
pub(crate) fn pattern(offset: u64, len: usize) -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        // A linear congruential generator; its high byte has no short cycle.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        period[0] = !HOLD;
        period.iter().copied().cycle().take(PERIOD + LONGEST).collect()
    });
    let start = (offset % PERIOD as u64) as usize;
    &table[start..start + len]
}

/// Follows the contents of one stream.
#[derive(Debug)]
pub(crate) struct Check {
    offset: u64,
    thoroughness: Thoroughness,
}

impl Check {
    /// A check of a stream of which nothing has been read.
    pub(crate) fn new(thoroughness: Thoroughness) -> Self {
        Self { offset: 0, thoroughness }
    }

    /// How many bytes were seen.
    pub(crate) fn seen(&self) -> u64 {
        self.offset
    }

    /// Takes the next piece of the stream.
    pub(crate) fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut at = 0;
        while at < piece.len() {
            let part = &piece[at..piece.len().min(at + LONGEST)];
            let expected = pattern(self.offset, part.len());
            let same = match self.thoroughness {
                Thoroughness::Full => part == expected,
                Thoroughness::Sampled => sampled_equal(part, expected),
            };
            if !same {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the contents differ after byte {} of a stream", self.offset),
                ));
            }
            self.offset += part.len() as u64;
            at += part.len();
        }
        Ok(())
    }
}

fn sampled_equal(seen: &[u8], expected: &[u8]) -> bool {
    let len = seen.len();
    let ends = len.min(64);
    seen[..ends] == expected[..ends]
        && seen[len - ends..] == expected[len - ends..]
        && (4096..len.saturating_sub(16))
            .step_by(4096)
            .all(|at| seen[at..at + 16] == expected[at..at + 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(pieces: &[&[u8]], thoroughness: Thoroughness) -> bool {
        let mut check = Check::new(thoroughness);
        pieces.iter().all(|piece| check.piece(piece).is_ok())
    }

    #[test]
    fn any_chunking_of_the_pattern_passes() {
        for thoroughness in [Thoroughness::Sampled, Thoroughness::Full] {
            let (a, b, c) = (pattern(0, 1), pattern(1, 100_000), pattern(100_001, LONGEST));
            assert!(arrives(&[a, b, c], thoroughness));
        }
    }

    #[test]
    fn a_lost_doubled_or_swapped_frame_is_found() {
        let frame = |n: u64| pattern(n * 16_384, 16_384);
        for thoroughness in [Thoroughness::Sampled, Thoroughness::Full] {
            assert!(!arrives(&[frame(0), frame(2)], thoroughness), "lost");
            assert!(!arrives(&[frame(0), frame(0)], thoroughness), "doubled");
            assert!(!arrives(&[frame(1), frame(0)], thoroughness), "swapped");
        }
    }

    #[test]
    fn a_lost_frame_inside_one_piece_is_found() {
        let mut piece = pattern(0, 16_384).to_vec();
        piece.extend_from_slice(pattern(3 * 16_384, 16_384));
        assert!(!arrives(&[&piece], Thoroughness::Sampled));
    }

    #[test]
    fn the_full_check_finds_one_wrong_byte() {
        let mut piece = pattern(0, 9000).to_vec();
        piece[100] ^= 1;
        assert!(!arrives(&[&piece], Thoroughness::Full));
    }
}
