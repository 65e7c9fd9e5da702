//! The share of a session in a memory budget: what it has reserved, and when it has to give
//! something up.

use alloc::boxed::Box;
use core::time::Duration;

use super::Session;
use super::send_budget::SendBudget;
use crate::config::Config;
use crate::event::Signal;
use crate::frame::StreamId;
use crate::memory::Seat;
use crate::timers::Timer;

/// How long an application may leave bytes unread before it counts as not reading, and how often a
/// session that waits for memory checks again.
const LOOK: Duration = Duration::from_secs(1);

/// The step by which the send buffers of a session grow and shrink.
const STEP: u64 = 64 << 10;

/// What a session has reserved.
///
/// Invariant: the seat has reserved the session's minimum, the streams that the minimum does not
/// cover, window growth, and the send buffers beyond their minimum.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Share {
    seat: Seat,
    /// Records of streams of the peer, and of this side.
    inbound: u32,
    outbound: u32,
    /// The growth of all windows.
    growth: u64,
    /// The application has read something since the last check.
    reads: bool,
    /// A stream was not opened for lack of memory, and the opener has not been woken.
    wanting: bool,
}

impl Share {
    /// Reserves the minimum, if it fits.
    pub(super) fn new(config: &Config) -> Option<Box<Self>> {
        let seat = Seat::take(config.memory_budget()?, config.min_memory())?;
        Some(Box::new(Self {
            seat,
            inbound: 0,
            outbound: 0,
            growth: 0,
            reads: false,
            wanting: false,
        }))
    }

    /// Reserves what one more stream may hold, mainly its initial window.
    fn add_stream(&mut self, own: bool, config: &Config) -> bool {
        let covered = config.covered_streams();
        let count = if own { &mut self.outbound } else { &mut self.inbound };
        let fits = *count < covered || self.seat.reserve(config.stream_memory());
        *count = count.saturating_add(u32::from(fits));
        fits
    }

    fn remove_stream(&mut self, own: bool, config: &Config) {
        let covered = config.covered_streams();
        let count = if own { &mut self.outbound } else { &mut self.inbound };
        debug_assert!(*count > 0, "a stream that is removed was added");
        *count = count.saturating_sub(1);
        if *count >= covered {
            self.seat.release(config.stream_memory());
        }
        self.wanting = false;
    }

    /// What the peer may have been promised, without growth.
    pub(super) fn first_windows(&self, config: &Config) -> u64 {
        let streams = u64::from(self.inbound).saturating_add(self.outbound.into());
        streams.saturating_mul(config.receive_window.into())
    }

    /// Reserves growth of a window.
    pub(super) fn reserve_growth(&mut self, bytes: u32) -> bool {
        let more = self.growth.saturating_add(bytes.into());
        let price = Config::held_for(more).saturating_sub(Config::held_for(self.growth));
        let fits = self.seat.reserve(price);
        if fits {
            self.growth = more;
        }
        fits
    }

    /// A window has given growth back.
    pub(super) fn release_growth(&mut self, bytes: u32) {
        debug_assert!(u64::from(bytes) <= self.growth, "growth that is given back was reserved");
        let less = self.growth.saturating_sub(bytes.into());
        self.seat.release(Config::held_for(self.growth).saturating_sub(Config::held_for(less)));
        self.growth = less;
    }

    /// Whether windows have to give back their growth.
    pub(super) fn is_tight(&self) -> bool {
        self.seat.is_tight()
    }

    /// Reserves space for more send buffer, as far as there is any.
    pub(super) fn fund(&mut self, budget: &mut SendBudget, config: &Config) {
        let wanted = u64::from(config.send_buffer).saturating_add(budget.unsent());
        while budget.most() < wanted.min(config.session_send_buffer.into()) {
            let more = budget.most().saturating_add(STEP).min(config.session_send_buffer.into());
            let price = config.send_memory(more).saturating_sub(config.send_memory(budget.most()));
            if !self.seat.reserve(price) {
                break;
            }
            budget.limit(more);
        }
    }

    /// Gives back unneeded space for written bytes. All output was written.
    fn defund(&mut self, budget: &mut SendBudget, config: &Config) {
        let least = config.min_send_buffer();
        while budget.most() > least {
            let less = budget.most().saturating_sub(STEP).max(least);
            if budget.unsent().saturating_add(STEP) > less || budget.exceeds(less) {
                break;
            }
            self.seat.release(
                config.send_memory(budget.most()).saturating_sub(config.send_memory(less)),
            );
            budget.limit(less);
        }
    }
}

#[cfg(feature = "audit")]
impl Share {
    /// Compares with what the streams and buffers say: `records` of streams of the peer, and of this
    /// side, and the growth of their windows.
    pub(super) fn audit(
        &self,
        records: [u32; 2],
        growth: u64,
        budget: &SendBudget,
        config: &Config,
    ) -> super::audit::Finding {
        super::audit::same("streams in the budget", [self.inbound, self.outbound], records)?;
        super::audit::same("window growth in the budget", self.growth, growth)?;
        let covered = config.covered_streams();
        let more = records.map(|count| u64::from(count.saturating_sub(covered)));
        let streams = more.into_iter().fold(0, u64::saturating_add);
        let least = config.send_memory(config.min_send_buffer());
        let sum = config
            .min_memory()
            .saturating_add(streams.saturating_mul(config.stream_memory()))
            .saturating_add(Config::held_for(growth))
            .saturating_add(config.send_memory(budget.most()).saturating_sub(least));
        super::audit::same("reserved in the budget", self.seat.reserved(), sum)
    }
}

impl Session {
    /// Reserves memory for one more stream; `false` if there is none.
    pub(super) fn reserve_stream(&mut self, own: bool) -> bool {
        let Some(share) = &mut self.share else { return true };
        let fits = share.add_stream(own, &self.config);
        if own && !fits {
            share.wanting = true;
            self.arm_share();
        }
        fits
    }

    /// A stream has lost its record.
    pub(super) fn release_stream(&mut self, id: StreamId, growth: u32) {
        if let Some(share) = &mut self.share {
            share.release_growth(growth);
            share.remove_stream(self.ids.is_own(id), &self.config);
        }
    }

    /// Whether a stream cannot be opened for lack of memory.
    pub(super) fn wants_memory(&self) -> bool {
        self.share.as_ref().is_some_and(|share| share.wanting)
    }

    /// The application has read something.
    pub(super) fn reads(&mut self) {
        if let Some(share) = &mut self.share {
            if !core::mem::replace(&mut share.reads, true) {
                share.seat.report(0);
            }
        }
    }

    /// Space for written bytes is given back.
    pub(super) fn defund(&mut self) {
        if let Some(share) = &mut self.share {
            share.defund(&mut self.budget, &self.config);
        }
    }

    /// Checks for unread bytes later.
    pub(super) fn arm_share(&mut self) {
        if self.share.is_some() && self.timers.get(Timer::Share).is_none() {
            self.timers.set(Timer::Share, Some(self.now + LOOK));
        }
    }

    /// Reports unread bytes to the budget, gives up a stream if requested, and lets waiting openers
    /// try again.
    pub(super) fn look_at_share(&mut self) {
        let Some(share) = &mut self.share else { return };
        let reads = core::mem::replace(&mut share.reads, false);
        let yields = !reads && share.seat.must_yield();
        let wanted = core::mem::replace(&mut share.wanting, false);
        if yields && self.credit.unread() > 0 {
            let next = self.store.key_at(self.credit.hand());
            self.reset_large(next);
        }
        let unread = if reads { 0 } else { self.credit.unread() };
        if let Some(share) = &mut self.share {
            share.seat.report(unread);
        }
        if wanted && self.counts.take_waiting_opener() {
            self.signals.raise(Signal::OpenReady);
        }
        if self.credit.unread() > 0 && !self.closing.is_over() {
            self.arm_share();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorCode, OpenError, ReadError};
    use crate::event::Event;
    use crate::stream::buffer::Size;
    use crate::{MemoryBudget, Role, Timestamp, Transmit};

    /// Settings of sessions that share a budget. A window is a KiB.
    fn config(budget: &MemoryBudget, typed: bool) -> Config {
        Config::builder()
            .typed(typed)
            .receive_window(1 << 10)
            .max_inbound_streams(8)
            .max_outbound_streams(8)
            .session_receive_buffer(32 << 10)
            .session_send_buffer(1 << 20)
            .memory_budget(budget.clone())
            .build()
            .unwrap()
    }

    fn least() -> u64 {
        config(&MemoryBudget::new(0), false).min_memory()
    }

    fn session(budget: &MemoryBudget) -> Session {
        let config = config(budget, false).into();
        Session::new(Role::Server, config, Timestamp::ZERO, [1; 16].into())
    }

    fn seat(session: &Session) -> &Seat {
        &session.share.as_ref().unwrap().seat
    }

    /// A session that was asked to give up a stream. It has two, of 512 and 1024 bytes.
    fn asked(budget: &MemoryBudget) -> Session {
        let mut session = session(budget);
        for head in [b"\0\x02\0\x12\0\0\0\x03", b"\0\x04\0\x12\0\0\0\x05"] {
            let bytes = [&head[..], &[7; 1024][..usize::from(head[1]) * 256]].concat();
            session.handle_slice(Timestamp::ZERO, &bytes);
            session.accept().unwrap();
        }
        session.look_at_share();
        let mut other = Seat::take(budget, 1).unwrap();
        assert!(!seat(&session).must_yield() && !other.reserve(budget.limit()));
        session
    }

    /// Reads a byte of a stream.
    fn read(session: &mut Session, id: u32) -> Result<usize, ReadError> {
        session.stream(StreamId::new(id)).unwrap().read(&mut [0])
    }

    #[test]
    fn who_does_not_read_for_a_second_loses_the_stream_that_holds_most() {
        let budget = MemoryBudget::new(4 * least());
        for reads in [false, true] {
            let mut session = asked(&budget);
            assert!(seat(&session).must_yield());
            if reads {
                assert_eq!(read(&mut session, 3), Ok(1));
                assert!(!seat(&session).must_yield(), "reading answers");
            }
            session.handle_timeout(Timestamp::ZERO + LOOK);
            let lost = Err(ReadError::ResetLocally(ErrorCode::ENHANCE_YOUR_CALM));
            assert_eq!(read(&mut session, 5), if reads { Ok(1) } else { lost });
            assert_eq!(read(&mut session, 3), Ok(1));
            // As long as something is unread, it looks again.
            assert_eq!(session.timers.get(Timer::Share), Some(Timestamp::ZERO + 2 * LOOK));
        }
    }

    #[test]
    fn a_look_that_takes_nothing_is_no_reading() {
        let budget = MemoryBudget::new(4 * least());
        let mut session = asked(&budget);
        let mut stream = session.stream(StreamId::new(3)).unwrap();
        assert_eq!((stream.consume(0), stream.take_chunks(0, |_| true)), (0, 0));
        assert!(seat(&session).must_yield());
    }

    #[test]
    fn who_holds_nothing_any_more_loses_no_stream() {
        let budget = MemoryBudget::new(4 * least());
        let mut session = asked(&budget);
        for id in [3, 5] {
            session.stream(StreamId::new(id)).unwrap().reset(ErrorCode::STREAM_CANCELLED);
            session.stream(StreamId::new(id)).unwrap().release();
        }
        session.poll_transmit(Timestamp::ZERO, &mut Transmit::new(), usize::MAX);
        // It takes the place of the first, at which a search would begin.
        session.handle_slice(Timestamp::ZERO, b"\0\0\0\x12\0\0\0\x07");
        session.accept().unwrap();
        assert_eq!(session.store.key(StreamId::new(7)), Some(session.store.key_at(0)));
        assert!(seat(&session).must_yield() && session.credit.unread() == 0);
        session.handle_timeout(Timestamp::ZERO + LOOK);
        assert_eq!(read(&mut session, 7), Err(ReadError::Blocked));
    }

    #[test]
    fn an_opener_that_waits_for_memory_is_told_to_try_again() {
        let budget = MemoryBudget::new(2 * least());
        let mut session = session(&budget);
        let mut other = Seat::take(&budget, budget.limit() - least()).unwrap();
        // The minimum covers the first stream.
        session.open().unwrap();
        for second in 0..3 {
            assert_eq!(session.open(), Err(OpenError::Blocked));
            assert!(!session.can_open() && session.poll_event().is_none());
            session.handle_timeout(Timestamp::ZERO + LOOK * second + LOOK);
            assert_eq!(session.poll_event(), Some(Event::OpenReady));
        }
        other.release(budget.limit() - least());
        assert!(session.open().is_ok());
        // Nobody waits any more, and nothing is unread.
        assert_eq!(session.timers.get(Timer::Share), None);
    }

    #[test]
    fn windows_are_promised_to_the_streams_that_there_are() {
        let budget = MemoryBudget::new(4 * least());
        let mut session = session(&budget);
        let promised =
            |session: &Session| session.share.as_ref().unwrap().first_windows(&session.config);
        assert_eq!(promised(&session), 0);
        let id = session.open().unwrap();
        session.handle_slice(Timestamp::ZERO, b"\0\0\0\x12\0\0\0\x03");
        assert_eq!(promised(&session), 2 << 10);
        session.stream(id).unwrap().release();
        assert_eq!(promised(&session), 1 << 10);
    }

    #[test]
    fn the_least_covers_a_stream_each_way_and_the_heartbeats_of_a_typed_session() {
        let budget = MemoryBudget::new(0);
        let [plain, typed] = [false, true].map(|typed| config(&budget, typed));
        assert_eq!(typed.min_memory(), plain.min_memory() + 2 * plain.stream_memory());
        for config in [plain, typed] {
            let budget = MemoryBudget::new(4 * config.min_memory());
            let config = config.into_builder().memory_budget(budget.clone()).build().unwrap();
            let mut share = Share::new(&config).unwrap();
            for own in [false, true] {
                for count in 1..=3 {
                    let before = budget.reserved();
                    assert!(share.add_stream(own, &config));
                    let more = count > config.covered_streams();
                    let price = if more { config.stream_memory() } else { 0 };
                    assert_eq!(budget.reserved() - before, price, "stream {count}");
                }
            }
            for own in [false, true] {
                (0..3).for_each(|_| share.remove_stream(own, &config));
            }
            assert_eq!(budget.reserved(), config.min_memory());
        }
    }

    #[test]
    fn send_buffers_grow_with_what_is_written_and_shrink_when_it_is_sent() {
        let size = |bytes: u64, held: u64| Size { bytes: bytes << 10, held: held << 10 };
        let budget = MemoryBudget::new(1 << 30);
        let config = config(&budget, false);
        let mut share = Share::new(&config).unwrap();
        let mut buffers = SendBudget::new(&config);
        let (none, written) = (Size::default(), size(200, 200));
        assert_eq!(buffers.most(), 64 << 10);
        share.fund(&mut buffers, &config);
        assert_eq!(buffers.most(), 256 << 10, "as much as one stream may hold");
        buffers.resize(none, written);
        share.fund(&mut buffers, &config);
        assert_eq!(buffers.most(), 512 << 10, "as much more");
        let more = config.send_memory(512 << 10) - config.send_memory(64 << 10);
        assert_eq!(budget.reserved(), config.min_memory() + more);
        // A step more than is written stays.
        share.defund(&mut buffers, &config);
        assert_eq!(buffers.most(), 320 << 10);
        // So does what the last bytes of large blocks keep alive.
        buffers.resize(written, size(1, 500));
        share.defund(&mut buffers, &config);
        assert_eq!(buffers.most(), 256 << 10);
        buffers.resize(size(1, 500), none);
        share.defund(&mut buffers, &config);
        assert_eq!((buffers.most(), budget.reserved()), (64 << 10, config.min_memory()));
        // The limit of the session is the most.
        buffers.resize(none, size(900, 900));
        share.fund(&mut buffers, &config);
        assert_eq!(buffers.most(), 1 << 20);
    }

    #[test]
    fn growth_is_reserved_and_given_back() {
        let budget = MemoryBudget::new(4 << 20);
        let config = config(&budget, false);
        let mut share = Share::new(&config).unwrap();
        assert!(share.reserve_growth(6400));
        assert_eq!(budget.reserved(), config.min_memory() + 6500);
        share.release_growth(3200);
        assert_eq!(budget.reserved(), config.min_memory() + 3250);
        assert!(!share.is_tight() && !share.reserve_growth(u32::MAX));
        let rest = Seat::take(&budget, budget.limit() - budget.reserved()).unwrap();
        assert!(share.is_tight());
        drop(rest);
        share.release_growth(3200);
        assert_eq!(budget.reserved(), config.min_memory());
    }

    #[test]
    fn a_session_gives_back_its_send_buffers_when_all_is_sent() {
        let budget = MemoryBudget::new(1 << 30);
        let mut session = session(&budget);
        let id = session.open().unwrap();
        assert_eq!(session.stream(id).unwrap().write(&[7; 200_000]), Ok(200_000));
        assert!(budget.reserved() > session.config.min_memory());
        let mut out = crate::Transmit::new();
        while session.poll_transmit(Timestamp::ZERO, &mut out, usize::MAX) > 0 {
            out = crate::Transmit::new();
        }
        assert_eq!(budget.reserved(), session.config.min_memory());
    }

    #[test]
    fn send_buffers_grow_as_far_as_the_budget_goes() {
        let config = |limit| config(&MemoryBudget::new(limit), false);
        let least = least();
        let step = config(0).send_memory(128 << 10) - config(0).send_memory(64 << 10);
        // More than half of a share is reserved only up to the part that is spare.
        let config = config((least + 2 * step) * 8 / 7 + 8);
        let mut share = Share::new(&config).unwrap();
        let mut buffers = SendBudget::new(&config);
        share.fund(&mut buffers, &config);
        assert_eq!(buffers.most(), (64 << 10) + 2 * STEP);
    }
}
