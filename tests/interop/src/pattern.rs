//! Payloads in which every byte is computed from a seed and its offset.

/// The offset reported when every byte was right.
pub const NO_MISMATCH: u64 = u64::MAX;

/// One step of the SplitMix64 generator, a bijection of 64 bits.
fn split_mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Writes the payload of `seed` from `offset` on. It depends only on these two, so each end can
/// check every byte and detect a lost, repeated or misplaced piece.
pub fn fill(mut buffer: &mut [u8], seed: u64, mut offset: u64) {
    while !buffer.is_empty() {
        let word = split_mix(seed.wrapping_add(offset / 8)).to_le_bytes();
        let rest = &word[(offset % 8) as usize..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        buffer = &mut buffer[n..];
        offset += n as u64;
    }
}

/// Compares a received payload with the pattern.
#[derive(Debug)]
pub struct Checker {
    seed: u64,
    count: u64,
    mismatch: u64,
    expected: Vec<u8>,
}

impl Checker {
    /// Expects the payload of `seed` from `offset` on.
    pub fn new(seed: u64, offset: u64) -> Self {
        Self { seed, count: offset, mismatch: NO_MISMATCH, expected: Vec::new() }
    }

    /// Continues from the counts of another checker.
    pub fn from_counts(count: u64, mismatch: u64) -> Self {
        Self { seed: 0, count, mismatch, expected: Vec::new() }
    }

    /// Checks the next piece.
    pub fn check(&mut self, got: &[u8]) {
        self.expected.resize(got.len(), 0);
        fill(&mut self.expected, self.seed, self.count);
        if self.mismatch == NO_MISMATCH
            && let Some(at) = got.iter().zip(&self.expected).position(|(got, want)| got != want)
        {
            self.mismatch = self.count + at as u64;
        }
        self.count += got.len() as u64;
    }

    /// The bytes seen and the offset of the first wrong one.
    pub fn counts(&self) -> (u64, u64) {
        (self.count, self.mismatch)
    }

    /// Returns what is wrong with the payload, which should have `count` bytes.
    pub fn verdict(&self, count: u64) -> Result<(), String> {
        if self.mismatch != NO_MISMATCH {
            return Err(format!("wrong byte at {}", self.mismatch));
        }
        if self.count != count {
            return Err(format!("read {} bytes of {count}", self.count));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0; 100];
        fill(&mut whole, 7, 3);
        let mut pieces = [0; 100];
        for (n, piece) in pieces.chunks_mut(7).enumerate() {
            fill(piece, 7, 3 + 7 * n as u64);
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn a_lost_byte_is_found() {
        let mut data = [0; 64];
        fill(&mut data, 1, 0);
        let mut checker = Checker::new(1, 0);
        checker.check(&data[..20]);
        checker.check(&data[21..]);
        assert_eq!(checker.counts(), (63, 20));
        assert!(checker.verdict(64).is_err());
    }

    #[test]
    fn both_languages_make_the_same_payload() {
        let mut data = [0; 16];
        fill(&mut data, 1 << 63, 0);
        assert_eq!(data, GO_PAYLOAD);
    }

    /// The first bytes that the Go program computes from the same seed.
    const GO_PAYLOAD: [u8; 16] = [
        0xdb, 0xf3, 0xa9, 0x12, 0xa2, 0xc0, 0x1e, 0x48, 0x2a, 0xda, 0xbd, 0xbc, 0x39, 0xf4, 0x29,
        0xdc,
    ];
}
