//! Bytes that were written and not sent: who may write more, and when waiting writers are woken.

use super::tally::change;
use crate::config::{BLOCK, Config};
use crate::stream::Stream;
use crate::stream::buffer::Size;
use crate::stream::schedule::Priority;

/// Written bytes that each stream may hold even if all streams together have used up the limit.
const RESERVED_ROOM: usize = 4096;

/// Each class leaves this fraction of the room to each class above it, but no more than one stream
/// may hold. So even the lowest class has most of the room.
const CLASS_SHARE: u64 = 64;

/// How much a stream accepts now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// This many bytes, at least one.
    Bytes(usize),
    /// None: the stream has used up its own limit.
    StreamFull,
    /// None: all streams together have used up the limit of the session.
    SessionFull,
}

/// Outgoing bytes of all streams.
///
/// Invariant: it is the sum of the sizes of the streams' outgoing buffers.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct SendBudget {
    /// Bytes written and not sent.
    unsent: u64,
    /// The memory that they keep alive: the last byte of a block counts as the whole block.
    held: u64,
    /// The limit on bytes written and not sent.
    most: u32,
    /// The most urgent of the writers that have waited for room since they were last woken.
    waiting: Priority,
}

/// The memory that `most` written bytes may keep alive.
fn memory(most: u64) -> u64 {
    most.saturating_mul(2).saturating_add(BLOCK as u64)
}

impl SendBudget {
    pub(super) fn new(config: &Config) -> Self {
        let most = match config.memory_budget() {
            Some(_) => u32::try_from(config.min_send_buffer()).unwrap_or(u32::MAX),
            None => config.session_send_buffer,
        };
        Self { unsent: 0, held: 0, most, waiting: Priority::LOWEST }
    }

    /// A writer of this class waits for room.
    pub(super) fn wait(&mut self, class: Priority) {
        self.waiting = self.waiting.max(class);
    }

    /// All writers that waited have been woken.
    pub(super) const fn woken(&mut self) {
        self.waiting = Priority::LOWEST;
    }

    /// The limit on bytes written and not sent.
    pub(super) fn most(&self) -> u64 {
        self.most.into()
    }

    /// Changes the limit on bytes written and not sent.
    pub(super) fn limit(&mut self, most: u64) {
        self.most = u32::try_from(most).unwrap_or(u32::MAX);
    }

    /// Whether more is held than `most` written bytes may keep alive.
    pub(super) fn exceeds(&self, most: u64) -> bool {
        self.held > memory(most)
    }

    /// Bytes written and not sent.
    pub(super) const fn unsent(&self) -> u64 {
        self.unsent
    }

    /// The memory that they keep alive.
    #[cfg(feature = "audit")]
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    /// The size of a stream's outgoing buffer has changed.
    pub(super) const fn resize(&mut self, before: Size, after: Size) {
        change(&mut self.unsent, before.bytes, after.bytes);
        change(&mut self.held, before.held, after.held);
    }

    #[cfg(feature = "audit")]
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        // The memory counts only if it reduces the space left.
        digest.value(&[self.unsent, self.left(), self.waiting.get().into()]);
    }

    /// How much all streams together may still take.
    fn left(&self) -> u64 {
        let most = self.most();
        // What is reserved for each stream may take them above it.
        most.saturating_sub(self.unsent).min(memory(most).saturating_sub(self.held))
    }

    /// How much the streams of a class may still take together. Each class leaves room to those above
    /// it, so that an urgent writer finds some in whatever order writers come back for it.
    fn left_for(&self, class: Priority, config: &Config) -> u64 {
        let step = u64::from(config.send_buffer).min(self.most() / CLASS_SHARE);
        let above = Priority::HIGHEST.get().saturating_sub(class.get());
        self.left().saturating_sub(step.saturating_mul(above.into()))
    }

    /// How much a stream accepts now.
    pub(super) fn room(&self, stream: &Stream, config: &Config) -> Room {
        let shared = self.left_for(stream.priority, config);
        let shared = usize::try_from(shared).unwrap_or(usize::MAX);
        let limit = usize::try_from(config.send_buffer).unwrap_or(usize::MAX);
        let buffered = stream.outgoing.len();
        let own = limit.saturating_sub(buffered);
        // Bytes of streams without credit must not stop streams with credit.
        let reserved = limit.min(RESERVED_ROOM).saturating_sub(buffered);
        match own.min(shared.max(reserved)) {
            0 if own == 0 => Room::StreamFull,
            0 => Room::SessionFull,
            room => Room::Bytes(room),
        }
    }

    /// Whether to wake the waiting writers now: not for every frame, but at the latest with the
    /// last frame that can be sent (`nothing_ready`), as streams without credit may hold the rest
    /// without a time limit.
    pub(super) fn wakes_writers(&self, nothing_ready: bool, config: &Config) -> bool {
        let room = self.left_for(self.waiting, config);
        let half = u64::from(self.most / 2);
        let enough = u64::from(config.send_buffer).min(half);
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
        stream.priority = Priority::HIGHEST;
        let mut budget = SendBudget::new(&config);
        let limit = config.send_buffer as usize;
        assert_eq!(budget.room(&stream, &config), Room::Bytes(limit));
        budget.unsent = u64::from(config.session_send_buffer);
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
        let mut budget = SendBudget::new(&config);
        budget.wait(Priority::HIGHEST);
        let all = u64::from(config.session_send_buffer);
        budget.unsent = all;
        assert!(!budget.wakes_writers(true, &config));
        budget.unsent = all - 1;
        assert!(!budget.wakes_writers(false, &config));
        assert!(budget.wakes_writers(true, &config));
        budget.unsent = all - u64::from(config.send_buffer);
        assert!(budget.wakes_writers(false, &config));
        // The last bytes of many blocks count as the blocks.
        (budget.unsent, budget.held) = (1000, 2 * all + BLOCK as u64);
        assert!(!budget.wakes_writers(true, &config));
    }

    #[test]
    fn written_bytes_may_keep_twice_their_size_and_a_block() {
        let mut budget = SendBudget::new(&Config::default());
        for (held, exceeds) in [(2000 + BLOCK, false), (2001 + BLOCK, true)] {
            budget.held = held as u64;
            assert_eq!(budget.exceeds(1000), exceeds, "{held} bytes");
        }
    }

    #[test]
    fn every_class_leaves_room_to_those_above_it() {
        let config = Config::default();
        let (step, all) = (u64::from(config.send_buffer), u64::from(config.session_send_buffer));
        let mut budget = SendBudget::new(&config);
        for class in 0..=7 {
            budget.unsent = all - step * u64::from(7 - class);
            assert_eq!(budget.left_for(Priority::new(class), &config), 0);
            assert_eq!(
                budget.left_for(Priority::new(class + 1), &config),
                step * u64::from(class < 7)
            );
        }
        // Writers are woken for the most urgent of them.
        budget.unsent = all - step;
        budget.wait(Priority::DEFAULT);
        assert!(!budget.wakes_writers(true, &config));
        budget.wait(Priority::HIGHEST);
        budget.wait(Priority::LOWEST);
        assert!(budget.wakes_writers(false, &config));
        budget.woken();
        assert!(!budget.wakes_writers(true, &config));
        // A small room is shared, too, and the lowest class has most of it.
        budget.limit(640);
        budget.unsent = 0;
        assert_eq!(budget.left_for(Priority::LOWEST, &config), 640 - 7 * 10);
    }
}
