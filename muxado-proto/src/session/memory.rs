//! What a session does when it holds more memory than it promised.

use super::{Session, Unread};
use crate::error::ErrorCode;
use crate::stream::key::Key;

/// Bytes copied for each byte that arrives, and minimum for each input. It bounds the time under
/// the lock of a shared session.
const COPIES: usize = 4;
const COPIED: usize = 64 << 10;

/// Records examined for each input, and one more for each this many bytes of it.
const LOOKS: usize = 8;
const BYTES_A_LOOK: usize = 64;

/// Records among which the one that holds most is searched.
const CANDIDATES: usize = 64;

impl Session {
    /// Whether more memory is held than was promised.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.credit.may_be_short() && self.exceeds_promises()
    }

    fn exceeds_promises(&self) -> bool {
        let promises = match &self.share {
            Some(share) => share.first_windows(&self.config).saturating_add(self.credit.growth()),
            None => self.config.promises(),
        };
        self.credit.is_short(promises)
    }

    /// More memory is held than was promised: examines the next streams in turn, and compacts those
    /// that hold more than their bytes. `bytes` have just arrived on the stream `last`.
    ///
    /// The streams are compacted round robin, so the cost of a call does not depend on their
    /// number. Input is copied in the meantime, so that little is added during one round. If
    /// everything is compact and it is still too much, the settings promise more than the session
    /// may hold ([`overcommit`](crate::Config::overcommit)), and a stream is reset.
    pub(super) fn save_memory(&mut self, last: Key, bytes: usize) {
        let mut left = bytes.saturating_mul(COPIES).max(COPIED);
        for _ in 0..LOOKS.saturating_add(bytes / BYTES_A_LOOK) {
            let key = self.store.key_at(self.credit.hand());
            if let Some(stream) = self.store.get_mut(key) {
                let before = stream.incoming.size();
                left = left.saturating_sub(stream.incoming.compact(left));
                self.credit.resize(before, stream.incoming.size());
                if left == 0 {
                    return;
                }
            }
            self.credit.move_hand(self.store.end());
            if !self.is_short() {
                return;
            }
        }
        if self.config.overcommit && self.credit.unread() > self.config.session_receive_buffer {
            self.reset_large(last);
        }
    }

    /// Resets the stream that holds most unread bytes, among the next ones in turn and `last`.
    pub(super) fn reset_large(&mut self, last: Key) {
        let unread = |key: Key| self.store.get(key).map_or(0, |stream| stream.incoming.len());
        let (mut largest, mut most) = (last, unread(last));
        for _ in 0..CANDIDATES.min(self.store.end() as usize) {
            let key = self.store.key_at(self.credit.hand());
            if unread(key) > most {
                (largest, most) = (key, unread(key));
            }
            self.credit.move_hand(self.store.end());
        }
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        self.reset_stream(largest, ErrorCode::ENHANCE_YOUR_CALM, Unread::Drop);
    }
}
