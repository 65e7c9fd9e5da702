//! A number for a state: equal for states with the same future behaviour.

use core::hash::Hasher;

use crate::config::Config;
use crate::time::Timestamp;

/// Collects the parts of a state. Times count from now, and points in the past are distinguished
/// only if behaviour depends on them.
///
/// It has two lanes of 64 bits, so among 10^8 states the chance of a collision is below 10^-22.
#[derive(Debug)]
pub(crate) struct Digest<'a> {
    lanes: [u64; 2],
    pub(crate) now: Timestamp,
    pub(crate) config: &'a Config,
    /// The batch of output that the transport has not taken.
    pub(crate) batch: Option<u32>,
}

/// Combines the two halves of a product.
const fn fold(word: u64, by: u64) -> u64 {
    let product = (word as u128).wrapping_mul(by as u128);
    (product as u64) ^ (product >> 64) as u64
}

impl<'a> Digest<'a> {
    pub(crate) const fn new(now: Timestamp, config: &'a Config, batch: Option<u32>) -> Self {
        Self { lanes: [0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344], now, config, batch }
    }

    pub(crate) const fn number(&mut self, word: u64) {
        let [first, second] = self.lanes;
        self.lanes = [
            fold(first ^ word, 0x9E37_79B9_7F4A_7C15).wrapping_add(first.rotate_left(29)),
            fold(second.rotate_left(23) ^ word, 0xD6E8_FEB8_6659_FD93).wrapping_add(second),
        ];
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// A time limit: all expired ones are the same.
    pub(crate) fn deadline(&mut self, at: Option<Timestamp>) {
        self.number(at.map_or(u64::MAX, |at| (at - self.now).as_nanos() as u64));
    }

    /// A point in the past.
    pub(crate) fn since(&mut self, at: Timestamp) {
        self.number((self.now - at).as_nanos() as u64);
    }

    /// A value whose `Hash` covers its parts, and that contains no times.
    pub(crate) fn value(&mut self, value: &(impl core::hash::Hash + ?Sized)) {
        value.hash(self);
    }

    pub(crate) const fn end(self) -> u128 {
        let [first, second] = self.lanes;
        (fold(first, 0xA076_1D64_78BD_642F) as u128) << 64
            | fold(second, 0xE703_7ED1_A0B4_28DB) as u128
    }
}

impl Hasher for Digest<'_> {
    fn finish(&self) -> u64 {
        let [first, second] = self.lanes;
        first ^ second
    }

    fn write(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        for piece in bytes.chunks(8) {
            self.number(piece.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.number(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.number(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.number(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.number(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.number(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn small_differences_count() {
        let config = Config::default();
        let mut seen = BTreeSet::new();
        for first in 0..64 {
            for second in 0..64 {
                let mut digest = Digest::new(Timestamp::ZERO, &config, None);
                digest.number(first);
                digest.number(second);
                assert!(seen.insert(digest.end()), "{first} {second}");
            }
        }
    }

    #[test]
    fn times_count_from_now() {
        let config = Config::default();
        let at = |now: u64, deadline: u64| {
            let mut digest = Digest::new(Timestamp::from_millis(now), &config, None);
            digest.deadline(Some(Timestamp::from_millis(deadline)));
            digest.end()
        };
        assert_eq!(at(10, 15), at(20, 25));
        assert_ne!(at(10, 15), at(10, 16));
        assert_eq!(at(10, 3), at(10, 9));
    }
}
