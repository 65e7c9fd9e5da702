//! Bytes that were written and not sent: who may write more, and when those who wait are woken.

use super::tally::{add, take_off};
use crate::config::Config;
use crate::stream::Stream;

/// What each stream may hold of what was written to it even if the streams together hold all they
/// may.
const RESERVED_ROOM: usize = 4096;

/// How much a stream takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// So many bytes, at least one.
    Bytes(usize),
    /// None: the stream itself holds all it may.
    StreamFull,
    /// None: the streams together hold all they may.
    SessionFull,
}

/// The bytes that all streams hold for the peer.
///
/// Invariant: it is the sum of the streams' outgoing buffers.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
pub(super) struct SendBudget {
    held: u64,
}

impl SendBudget {
    /// Bytes written and not sent.
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    /// Bytes were written to a stream.
    pub(super) const fn wrote(&mut self, bytes: usize) {
        add(&mut self.held, bytes as u64);
    }

    /// Bytes have left a stream's buffer.
    pub(super) const fn left(&mut self, bytes: usize) {
        take_off(&mut self.held, bytes as u64);
    }

    /// How much a stream takes now.
    pub(super) fn room(&self, stream: &Stream, config: &Config) -> Room {
        let shared = u64::from(config.session_send_buffer).saturating_sub(self.held);
        let shared = usize::try_from(shared).unwrap_or(usize::MAX);
        let limit = usize::try_from(config.send_buffer).unwrap_or(usize::MAX);
        let buffered = stream.outgoing.len();
        let own = limit.saturating_sub(buffered);
        // What streams without credit hold must not stop those that have some.
        let reserved = limit.min(RESERVED_ROOM).saturating_sub(buffered);
        match own.min(shared.max(reserved)) {
            0 if own == 0 => Room::StreamFull,
            0 => Room::SessionFull,
            room => Room::Bytes(room),
        }
    }

    /// Whether the writers that wait for room are woken now: not for every frame, but at the
    /// latest with the last one that can leave (`nothing_ready`), as streams without credit may
    /// hold the rest for as long as the peer likes.
    pub(super) fn wakes_writers(&self, nothing_ready: bool, config: &Config) -> bool {
        let limit = u64::from(config.session_send_buffer);
        let room = limit.saturating_sub(self.held);
        let enough = u64::from(config.send_buffer).min(limit / 2);
        room > 0 && (room >= enough || nothing_ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::StreamId;
    use crate::stream::Owner;
    use crate::stream::state::SendState;

    #[test]
    fn a_stream_keeps_some_room_when_the_session_is_full() {
        let config = Config::default();
        let id = StreamId::new(3);
        let mut stream = Stream::new(id, Owner::Application, SendState::Open, &config);
        let mut budget = SendBudget::default();
        let limit = config.send_buffer as usize;
        assert_eq!(budget.room(&stream, &config), Room::Bytes(limit));
        budget.wrote(config.session_send_buffer as usize);
        assert_eq!(budget.room(&stream, &config), Room::Bytes(RESERVED_ROOM));
        let mut pool = crate::stream::buffer::Pool::default();
        stream.outgoing.push_copy(&[0; RESERVED_ROOM], &mut pool);
        assert_eq!(budget.room(&stream, &config), Room::SessionFull);
        stream.outgoing.push_copy(&alloc::vec![0; limit - RESERVED_ROOM], &mut pool);
        assert_eq!(budget.room(&stream, &config), Room::StreamFull);
    }

    #[test]
    fn writers_are_woken_for_a_fair_amount_or_with_the_last_frame() {
        let config = Config::default();
        let mut budget = SendBudget::default();
        budget.wrote(config.session_send_buffer as usize);
        assert!(!budget.wakes_writers(true, &config));
        budget.left(1);
        assert!(!budget.wakes_writers(false, &config));
        assert!(budget.wakes_writers(true, &config));
        budget.left(config.send_buffer as usize - 1);
        assert!(budget.wakes_writers(false, &config));
    }
}
