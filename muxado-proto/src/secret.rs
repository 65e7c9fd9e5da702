//! What a peer cannot predict: one key per session, and the secrets derived from it.

use core::fmt;
use core::hash::Hasher;
#[allow(deprecated, reason = "see `Prf`")]
use core::hash::SipHasher;

/// The secret of one session: 16 bytes that nobody else knows.
///
/// Take them from a random source that is suitable for keys, such as the operating system's, and
/// use them for one session only: therefore a key is not `Clone`. Tests may use fixed bytes for
/// reproducible runs.
///
/// The values of this side's heartbeats and the order of the map of stream ids are derived from the
/// key, independently of each other. A peer sees the heartbeats. They reveal neither the next
/// heartbeat nor anything about the map, so the peer cannot pick ids that make every look-up slow.
///
/// ```
/// use muxado_proto::{Config, Role, Session, SessionKey, Timestamp};
///
/// # fn random_bytes() -> [u8; 16] { [7; 16] }
/// let key = SessionKey::new(random_bytes());
/// assert_eq!(format!("{key:?}"), "SessionKey(..)");
/// let session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, key);
/// ```
#[derive(PartialEq, Eq)]
pub struct SessionKey([u8; 16]);

/// The purpose of a secret. No two purposes share an input of the function.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    IdMap,
    Beats,
    Beat,
}

impl SessionKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret of the map of ids.
    pub(crate) fn id_map(&self) -> IdKey {
        let [factor, second] = Prf::new(self.0).pair(Purpose::IdMap);
        IdKey { factor: factor | 1, second: second | 1 }
    }

    /// The secret of this side's heartbeats.
    pub(crate) fn beats(&self) -> BeatKey {
        let [low, high] = Prf::new(self.0).pair(Purpose::Beats);
        BeatKey(Prf { low, high })
    }
}

impl From<[u8; 16]> for SessionKey {
    fn from(bytes: [u8; 16]) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for SessionKey {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// The secret of the map of ids. No output depends on it.
#[derive(Clone, Copy)]
pub(crate) struct IdKey {
    factor: u64,
    second: u64,
}

impl IdKey {
    #[inline]
    pub(crate) const fn hash(self, id: u32) -> u64 {
        // A product is linear in the id: an unlucky factor would put ids with some stride next to
        // each other. The second product, of the two halves of the first, is not linear.
        let product = (id as u64).wrapping_mul(self.factor);
        (product ^ (product >> 32)).wrapping_mul(self.second) >> 32
    }
}

impl fmt::Debug for IdKey {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(..)")
    }
}

/// The secret of the values of heartbeats.
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct BeatKey(Prf);

impl BeatKey {
    /// The value of a beat. It cannot be predicted from all other values.
    pub(crate) fn value(&self, number: u64) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0.value(Purpose::Beat, number).to_be_bytes();
        [a, b, c, d]
    }
}

impl fmt::Debug for BeatKey {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeatKey(..)")
    }
}

/// A pseudo-random function: SipHash-2-4 of `core`. It is only deprecated for hash maps, for which
/// `std` has a faster one.
#[derive(Clone, Copy)]
struct Prf {
    low: u64,
    high: u64,
}

impl Prf {
    const fn new(key: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = key;
        Self {
            low: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            high: u64::from_le_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    fn pair(self, purpose: Purpose) -> [u64; 2] {
        [self.value(purpose, 0), self.value(purpose, 1)]
    }

    fn value(self, purpose: Purpose, number: u64) -> u64 {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        self.hash(&[purpose as u8, a, b, c, d, e, f, g, h])
    }

    #[allow(deprecated, reason = "see the type")]
    fn hash(self, input: &[u8]) -> u64 {
        let mut hasher = SipHasher::new_with_keys(self.low, self.high);
        hasher.write(input);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::vec::Vec;

    /// The vector in the paper that describes SipHash-2-4.
    #[test]
    fn the_function_is_siphash_2_4() {
        let key = core::array::from_fn(|n| u8::try_from(n).unwrap());
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(Prf::new(key).hash(&input), 0xa129_ca61_49be_45e5);
    }

    /// Everything derived from a key: the secrets, and the values of the first beats.
    fn secrets(key: [u8; 16]) -> Vec<u64> {
        let key = SessionKey::new(key);
        let (ids, beats) = (key.id_map(), key.beats());
        let values = (0..3).map(|n| u64::from(u32::from_be_bytes(beats.value(n))));
        [ids.factor, ids.second, beats.0.low, beats.0.high].into_iter().chain(values).collect()
    }

    #[test]
    fn s1_secrets_have_nothing_to_do_with_one_another() {
        let mut seen = BTreeSet::new();
        for byte in 0..=u8::MAX {
            for secret in secrets([byte; 16]) {
                assert!(seen.insert(secret), "{secret:#x} comes out of two keys, or twice");
            }
        }
    }

    /// Changing one bit of the key changes half of the bits of each secret.
    #[test]
    fn s1_every_secret_depends_on_all_of_the_key() {
        let before = secrets([0; 16]);
        let mut changed = [0; 7];
        for bit in 0..128 {
            let mut key = [0; 16];
            key[bit / 8] = 1 << (bit % 8);
            for ((sum, before), after) in changed.iter_mut().zip(&before).zip(secrets(key)) {
                *sum += (before ^ after).count_ones();
            }
        }
        for (sum, bits) in changed.into_iter().zip([64, 64, 64, 64, 32, 32, 32]) {
            let expected = 128 * bits / 2;
            assert!(sum.abs_diff(expected) < expected / 8, "{sum} of {}", 128 * bits);
        }
    }

    /// An even factor would lose a bit of each id, and a step that is no permutation many ids.
    #[test]
    fn s1_ids_collide_no_more_often_than_numbers_drawn_at_random() {
        let mut equal = 0;
        for byte in 0..8 {
            let key = SessionKey::new([byte; 16]).id_map();
            assert_eq!((key.factor % 2, key.second % 2), (1, 1));
            let mut hashes: Vec<u64> = (0..1 << 13).map(|id| key.hash(id)).collect();
            hashes.sort_unstable();
            equal += hashes.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        // 2^26 pairs for each key, of which one in 2^32 is expected to be equal.
        assert!(equal <= 1, "{equal} collisions");
    }

    #[test]
    fn s3_debug_shows_no_key() {
        let key = SessionKey::new([0xab; 16]);
        let shown = format!("{key:?} {:?} {:?}", key.id_map(), key.beats());
        assert_eq!(shown, "SessionKey(..) IdKey(..) BeatKey(..)");
    }
}
