//! What a session is, in one number.

use super::Session;
use crate::digest::Digest;

impl Session {
    /// A number that two sessions with the same settings share if everything that follows is the
    /// same for both: what they answer, send and report, whatever is done with them. Times count from
    /// now; counters, and what is arbitrary, are left out. For tests that explore states; takes time
    /// in proportion to what the session holds.
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
            farewell,
            handover,
            inlet,
            ids,
            counts,
            credit,
            budget,
            // It is shared with others, so there is no telling what follows.
            share: _,
            orphans,
            unanswered: _,
            outlet,
            // It counts what was sent, without end. What it decides, how much is cut at once, begins at
            // 512 bytes, which no small world has to send.
            pace: _,
            beats,
            store,
            pool,
            limits,
            timers,
            signals,
            stats: _,
        } = self;
        digest.value(role);
        farewell.digest(digest);
        handover.digest(digest);
        inlet.digest(digest);
        digest.value(ids);
        counts.digest(digest);
        credit.digest(digest);
        budget.digest(digest);
        digest.value(orphans);
        beats.digest(digest);
        if self.config.typed {
            outlet.digest(beats.place(), digest);
        }
        store.digest(digest);
        pool.digest(digest);
        limits.digest(digest);
        timers.digest(digest);
        digest.value(signals);
    }
}
