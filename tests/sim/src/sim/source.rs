//! The source of a run's choices: a seed, or the bytes of a fuzzer.

use std::time::Duration;

/// A supply of choices. The same seed, or the same bytes, gives the same choices.
#[derive(Debug)]
pub enum Source<'a> {
    /// SplitMix64: it never ends.
    Seed(u64),
    /// A fuzzer's input. When it is used up, every choice is the first one, which is always the
    /// harmless one.
    Bytes(&'a [u8]),
}

impl Source<'_> {
    /// Whether only first choices are left.
    pub const fn is_exhausted(&self) -> bool {
        matches!(self, Self::Bytes([]))
    }

    /// Whether a fuzzer chooses: it prefers many small runs to few large ones.
    pub const fn is_fuzzed(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound <= 1 {
            return 0;
        }
        match self {
            Self::Seed(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                (z ^ (z >> 31)) % bound
            }
            Self::Bytes(rest) => {
                // Takes only as many bytes as the bound needs, so that an input holds many choices.
                let mut number = 0u64;
                let mut span = 1u64;
                while span < bound {
                    let Some((first, tail)) = rest.split_first() else { break };
                    *rest = tail;
                    number = number << 8 | u64::from(*first);
                    span = span.saturating_mul(256);
                }
                number % bound
            }
        }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: u64) -> bool {
        // The last choice, so that an exhausted source says no.
        self.below(count) == count.saturating_sub(1).max(1)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// An index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A size from 1 to `max`, small ones as likely as large ones.
    pub fn size(&mut self, max: usize) -> usize {
        let bits = u64::from(usize::BITS - max.leading_zeros());
        let top = max >> self.below(bits);
        1 + self.index(top)
    }

    /// A time up to `max`.
    pub fn duration(&mut self, max: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(max.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A step of a hash that distinguishes runs: FNV-1a over words.
pub const fn digest(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3)
}

/// Fills `out` with the payload of a stream: bytes that depend on the stream, the writing side and
/// their position, so that a lost, doubled, moved or misdirected byte is detected.
pub fn fill(id: u32, side: usize, offset: u64, out: &mut [u8]) {
    for (at, byte) in (offset..).zip(out) {
        *byte = payload(id, side, at);
    }
}

/// The byte at one place of a stream's payload.
pub const fn payload(id: u32, side: usize, offset: u64) -> u8 {
    let word = (offset as u32).wrapping_mul(0x9E37_79B1) ^ id.wrapping_mul(0x85EB_CA6B);
    (word >> 24) as u8 ^ (side as u8).wrapping_mul(0x55)
}
