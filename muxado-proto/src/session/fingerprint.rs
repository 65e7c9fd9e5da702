//! The state of a session as one number.

use super::Session;
use crate::digest::Digest;

impl Session {
    /// A number that is equal for two sessions with the same settings if their future behaviour is
    /// the same: what they return, send and report for any calls. Times count from now; counters
    /// and arbitrary values are left out. For tests that explore states; takes time in proportion
    /// to what the session holds.
    ///
    /// ```
    /// use muxado_proto::{Config, Role, Session, Timestamp};
    ///
    /// let (config, key) = (Config::default(), [7; 16].into());
    /// let mut session = Session::new(Role::Client, config.into(), Timestamp::ZERO, key);
    /// let before = session.fingerprint();
    /// assert_eq!(session.clone().fingerprint(), before);
    /// session.open()?;
    /// assert_ne!(session.fingerprint(), before);
    /// # Ok::<(), muxado_proto::OpenError>(())
    /// ```
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let mut digest = Digest::new(self.now, &self.config, self.handover.with_the_driver());
        self.digest(&mut digest);
        digest.end()
    }

    fn digest(&self, digest: &mut Digest<'_>) {
        let Self {
            role,
            config: _,
            now: _,
            closing,
            handover,
            inlet,
            ids,
            counts,
            credit,
            budget,
            // It is shared with other sessions, so it does not determine the behaviour.
            share: _,
            orphans,
            unanswered: _,
            pace,
            beats,
            store,
            pool,
            limits,
            timers,
            signals,
            stats: _,
        } = self;
        digest.value(role);
        closing.digest(digest);
        handover.digest(digest);
        inlet.digest(digest);
        digest.value(ids);
        counts.digest(digest);
        credit.digest(digest);
        budget.digest(digest);
        orphans.digest(digest);
        beats.digest(digest);
        // The rest of it counts sent bytes without a bound. It only decides batch sizes of 512 bytes
        // or more, and no small world sends that much.
        if self.config.typed {
            digest.flag(pace.waits_since().is_some());
            digest.since(pace.waits_since().unwrap_or_default());
        }
        store.digest(digest);
        pool.digest(digest);
        limits.digest(digest);
        timers.digest(digest);
        digest.value(signals);
    }
}
