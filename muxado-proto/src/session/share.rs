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
        if self.credit.unread() > 0 && !self.farewell.is_over() {
            self.arm_share();
        }
    }
}
