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
        if self.is_overfull() {
            self.reset_large(last);
        }
    }

    /// Whether more is unread than the session may hold. Only settings that overcommit let a peer
    /// send so much.
    fn is_overfull(&self) -> bool {
        self.credit.unread() > self.config.session_receive_buffer
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::frame::{Flags, Header, Role, StreamId};
    use crate::stream::buffer::Size;
    use crate::time::Timestamp;

    #[test]
    fn a_session_may_hold_its_receive_buffer_to_the_byte() {
        let config = Config::builder().session_receive_buffer(300_000).overcommit(true);
        let config = config.build().unwrap();
        let mut session =
            Session::new(Role::Server, config.into(), Timestamp::ZERO, [1; 16].into());
        let mut arrive = |id: u32, count: usize| {
            let length = u32::try_from(count).unwrap();
            let header = Header::data(StreamId::new(id), length, Flags::SYN).encode();
            session.handle_slice(Timestamp::ZERO, &header);
            session.handle_slice(Timestamp::ZERO, &alloc::vec![0; count]);
            session.is_overfull()
        };
        assert!(!arrive(3, 200_000));
        assert!(!arrive(5, 100_000));
        assert!(arrive(7, 1));
    }

    #[test]
    fn so_many_records_are_examined_as_bytes_arrive() {
        let config = Config::default().into();
        let mut session = Session::new(Role::Server, config, Timestamp::ZERO, [1; 16].into());
        for id in (3..203).step_by(2) {
            let header = Header::data(StreamId::new(id), 0, Flags::SYN).encode();
            session.handle_slice(Timestamp::ZERO, &header);
        }
        // More than any record accounts for, so that none that is compacted ends the search.
        let held = 2 * session.config.promises();
        session.credit.resize(Size::default(), Size { bytes: 0, held });
        let last = session.store.key(StreamId::new(3)).unwrap();
        let mut before = session.credit.hand();
        for (bytes, looks) in [(0, 8), (63, 8), (64, 9), (640, 18)] {
            session.save_memory(last, bytes);
            assert_eq!(session.credit.hand() - before, looks, "{bytes} bytes have arrived");
            before = session.credit.hand();
        }
    }
}
