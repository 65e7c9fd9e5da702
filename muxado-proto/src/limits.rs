//! Rate limits on what a peer may cause: token buckets that refill with time.

use alloc::boxed::Box;

use crate::config::RateLimit;
use crate::time::Timestamp;

/// The state of one rate limit.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Tokens taken and not refilled, in billionths.
    used: u64,
    /// When `used` was last brought up to date.
    at: Timestamp,
}

const NANO: u64 = 1_000_000_000;

impl Bucket {
    /// Takes `count` tokens; `false` if the bucket has fewer.
    #[must_use]
    fn take(&mut self, count: u32, limit: RateLimit, now: Timestamp) -> bool {
        let elapsed = now.as_nanos().saturating_sub(self.at.as_nanos());
        self.at = self.at.max(now);
        self.used = self.used.saturating_sub(elapsed.saturating_mul(u64::from(limit.per_second)));
        let used = self.used.saturating_add(u64::from(count).saturating_mul(NANO));
        if used > u64::from(limit.burst).saturating_mul(NANO) {
            return false;
        }
        self.used = used;
        true
    }

    /// Puts one token back.
    const fn give_back(&mut self) {
        self.used = self.used.saturating_sub(NANO);
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// DATA on streams that never existed.
    Stray,
    /// RSTs for DATA on streams whose tombstone has expired.
    Late,
    /// Resets that the peer sent before an answer, or caused by breaking a rule.
    Resets,
    /// Empty DATA.
    Empty,
    /// Bytes of unknown frames.
    Unknown,
}

const COUNT: usize = Excess::Unknown as usize + 1;

/// All buckets of a session; allocated when the first token is taken.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Limits(Option<Box<[Bucket; COUNT]>>);

impl Limits {
    /// Takes `count` tokens out of one bucket; `false` if it has fewer.
    #[must_use]
    pub(crate) fn take(
        &mut self,
        excess: Excess,
        count: u32,
        limit: RateLimit,
        now: Timestamp,
    ) -> bool {
        #[allow(clippy::indexing_slicing, reason = "there is a bucket for each")]
        let bucket = &mut self.0.get_or_insert_default()[excess as usize];
        bucket.take(count, limit, now)
    }

    /// Puts one token back into a bucket, if any was taken.
    pub(crate) fn give_back(&mut self, excess: Excess) {
        if let Some(buckets) = &mut self.0 {
            #[allow(clippy::indexing_slicing, reason = "there is a bucket for each")]
            buckets[excess as usize].give_back();
        }
    }
}

#[cfg(feature = "audit")]
impl Limits {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let config = digest.config;
        let rates = [
            config.stray_data_limit,
            config.stray_data_limit,
            config.reset_limit,
            config.empty_data_limit,
            config.unknown_bytes_limit,
        ];
        let none = Default::default();
        for (bucket, limit) in self.0.as_ref().unwrap_or(&none).iter().zip(rates) {
            // States that differ only in refilled tokens are equal.
            let Bucket { used, at } = bucket;
            let elapsed = digest.now.as_nanos().saturating_sub(at.as_nanos());
            digest.number(used.saturating_sub(elapsed.saturating_mul(limit.per_second.into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let limit = RateLimit { burst: 10, per_second: 2 };
        let mut bucket = Bucket::default();
        let start = Timestamp::from_millis(5000);
        for _ in 0..10 {
            assert!(bucket.take(1, limit, start));
        }
        assert!(!bucket.take(1, limit, start));
        let later = Timestamp::from_millis(5499);
        assert!(!bucket.take(1, limit, later));
        assert!(bucket.take(1, limit, Timestamp::from_millis(5500)));
        // A clock that goes back adds no tokens.
        assert!(!bucket.take(1, limit, Timestamp::ZERO));
        bucket.give_back();
        assert!(bucket.take(1, limit, Timestamp::ZERO));
    }
}
