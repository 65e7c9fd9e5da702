//! Counts what is allocated.

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Measures from its creation. Only one exists at a time.
pub(crate) struct Meter {
    at_start: isize,
    allocations: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = ALLOCATOR.stats();
        Self { at_start: live(), allocations: stats.allocations, _alone: alone }
    }

    /// Bytes that are allocated now and were not at the start.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(live() - self.at_start).unwrap_or(0)
    }

    /// Allocations since the start.
    pub(crate) fn allocations(&self) -> usize {
        ALLOCATOR.stats().allocations - self.allocations
    }

    /// Runs an attack in rounds and asserts that it takes at most `most` bytes, and at the end no
    /// more than after a tenth of the rounds.
    #[track_caller]
    pub(crate) fn assert_flat(&self, rounds: u32, most: usize, mut round: impl FnMut(u32)) {
        let mut early = 0;
        for n in 0..rounds {
            round(n);
            let held = self.held();
            assert!(held <= most, "{held} bytes held in round {n}, {most} allowed");
            if n == rounds / 10 {
                early = held;
            }
        }
        let held = self.held();
        // Less than a byte for each of many thousand frames: the harness allocates as well.
        assert!(held <= early + (32 << 10), "grew from {early} to {held} bytes");
    }
}

#[expect(clippy::cast_possible_wrap, reason = "less than half of the address space is in use")]
fn live() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated) as isize
}
