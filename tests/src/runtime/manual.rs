//! No runtime: the driver is polled by hand, and time stands still unless the test advances it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use muxado_proto::task::{Clock, Driver, Endpoint, Session, Transport};
use muxado_proto::{CloseReason, Config, Role, Timestamp};

use super::pipe::{Io, Wire};

/// A waker that counts.
#[derive(Debug, Default)]
pub struct Count(AtomicUsize);

impl Count {
    /// How often it was woken since the last call.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future and its waker.
#[derive(Debug)]
pub struct Polled<F> {
    future: Pin<Box<F>>,
    /// Counts the wake-ups.
    pub woken: Arc<Count>,
}

impl<F: Future> Polled<F> {
    /// A future that was not polled yet.
    pub fn new(future: F) -> Self {
        Self { future: Box::pin(future), woken: Arc::default() }
    }

    /// Polls it once.
    pub fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Polls a future once; it must be ready.
///
/// # Panics
///
/// If it is not.
#[track_caller]
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

/// A clock that is set by hand.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<Mutex<Time>>);

#[derive(Debug, Default)]
struct Time {
    now: Timestamp,
    /// Every read of the clock advances the time by this much.
    step: Duration,
    sleeper: Option<(Timestamp, Waker)>,
    /// How often the runtime could look for input.
    looks: usize,
}

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.now = time.now + by;
        let now = time.now;
        let due = time.sleeper.take_if(|(deadline, _)| *deadline <= now);
        drop(time);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Sets it back, as no clock should be.
    pub fn set_back(&self, by: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = time.now.as_duration().saturating_sub(by);
        time.now = Timestamp::from_duration(earlier);
    }

    /// How often the driver has let the runtime look for input since the last call.
    pub fn take_looks(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).looks)
    }

    /// Lets time pass with every read of the clock.
    pub fn step(&self, by: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).step = by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.now = time.now + time.step;
        time.now
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Timestamp) -> Poll<()> {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.now = time.now + time.step;
        if deadline <= time.now {
            return Poll::Ready(());
        }
        time.sleeper = Some((deadline, cx.waker().clone()));
        Poll::Pending
    }

    fn yield_now(&mut self, cx: &mut Context<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).looks += 1;
        cx.waker().wake_by_ref();
    }
}

impl Transport for Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Wire::poll_read(self, cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Wire::poll_write(self, cx, bufs.first().map_or(&[], |buf| buf))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Wire::poll_close(self, cx)
    }
}

/// One end of a session, driven by hand.
#[derive(Debug)]
pub struct Manual {
    /// The handle.
    pub session: Session,
    /// The driver.
    pub driver: Polled<Driver<Io, ManualClock>>,
    /// Its clock.
    pub clock: ManualClock,
}

impl Manual {
    /// A session over a transport.
    pub fn new(io: Io, role: Role, config: impl Into<Arc<Config>>) -> Self {
        let clock = ManualClock::default();
        let (session, driver) = Endpoint::new(io, clock.clone()).config(config).start(role);
        Self { session, driver: Polled::new(driver), clock }
    }

    /// Polls the driver until nothing wakes it; returns its result, if it has one.
    pub fn settle(&mut self) -> Option<CloseReason> {
        loop {
            if let Poll::Ready(reason) = self.driver.poll() {
                return Some(reason);
            }
            if self.driver.woken.take() == 0 {
                return None;
            }
        }
    }

    /// Lets time pass and polls the driver.
    pub fn pass(&mut self, time: Duration) -> Option<CloseReason> {
        self.clock.advance(time);
        self.settle()
    }
}

/// Polls two drivers until both wait for something else.
pub fn settle(near: &mut Manual, far: &mut Manual) {
    loop {
        near.settle();
        far.settle();
        if near.driver.woken.take() == 0 {
            return;
        }
        // It is polled first thing in the next round.
    }
}
