//! The shared state of handles and driver, under one lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Waker;
use core::time::Duration;
use std::io;

use bytes::Bytes;

use super::addresses::Addresses;
use super::endings::Endings;
use super::error::PingError;
use super::observe::{Beat, GoAway, History};
use super::places::{Places, Side};
use super::sync::Mutex;
use super::waiters::Waiters;
use super::wake::{Wakes, wake};
use crate::{CloseReason, ErrorCode, Event, Session, StreamId, StreamMut, Timestamp, Warning};

/// A request of a handle that needs the time, which only the driver has.
#[derive(Debug)]
pub(super) enum Request {
    Close { code: ErrorCode, text: Bytes },
    GoAway { code: ErrorCode, text: Bytes },
    Abort { code: ErrorCode, text: Bytes },
    Ping,
}

/// The results of heartbeats that tasks wait for.
#[derive(Debug, Default)]
pub(super) struct Pings {
    pub(super) waiting: Waiters,
    /// Beats that came back, and that did not.
    pub(super) returned: u64,
    pub(super) missed: u64,
    pub(super) rtt: Duration,
    pub(super) history: History,
    /// Why none can be sent. Once set, it stays set.
    pub(super) refused: Option<PingError>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) session: Session,
    /// By [`StreamMut::slot`].
    pub(super) streams: Places,
    pub(super) opening: Waiters,
    pub(super) accepting: Waiters,
    pub(super) closing: Waiters,
    /// Tasks that wait for the peer to go away.
    pub(super) leaving: Waiters,
    /// The latest announcement of the peer that it goes away.
    pub(super) going_away: Option<Box<GoAway>>,
    /// The name that the application has given the peer.
    pub(super) peer_name: Option<Arc<str>>,
    pub(super) endings: Endings,
    /// Allocated when a task asks for a heartbeat.
    pings: Option<Box<Pings>>,
    #[allow(clippy::box_collection, reason = "there are none at most times, in most sessions")]
    pub(super) requests: Option<Box<Vec<Request>>>,
    /// The driver's waker while it sleeps.
    pub(super) driver: Option<Waker>,
    /// The driver waits for the transport to take output, so new output can wait, too.
    pub(super) output_blocked: bool,
    /// The driver has ended, or will never run again.
    pub(super) driver_gone: bool,
    /// Handles to the session; a handle and its clones count as one.
    session_handles: u32,
    /// The error of the transport.
    pub(super) transport_error: Option<Arc<io::Error>>,
    /// The latest warning.
    pub(super) warning: Option<Warning>,
}

/// One session with its handles and its driver.
pub(super) struct Shared {
    /// The number of this session in the process.
    pub(super) number: u64,
    pub(super) addresses: Addresses,
    pub(super) state: Mutex<State>,
}

/// The number of sessions so far in the process. It does not use the layer's primitives, which a
/// model checker replaces, because nothing depends on it.
static SESSIONS: AtomicUsize = AtomicUsize::new(0);

impl fmt::Debug for Shared {
    /// Shows nothing: the state contains payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        session: Session,
        addresses: Addresses,
        peer_name: Option<Arc<str>>,
    ) -> Arc<Self> {
        let state = State {
            session,
            streams: Places::default(),
            opening: Waiters::default(),
            accepting: Waiters::default(),
            closing: Waiters::default(),
            leaving: Waiters::default(),
            going_away: None,
            peer_name,
            endings: Endings::default(),
            pings: None,
            requests: None,
            driver: None,
            output_blocked: false,
            driver_gone: false,
            session_handles: 0,
            transport_error: None,
            warning: None,
        };
        let before = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let number = u64::try_from(before.wrapping_add(1)).unwrap_or(u64::MAX);
        Arc::new(Self { number, addresses, state: Mutex::new(state) })
    }

    pub(super) fn peer_name(&self) -> Option<Arc<str>> {
        self.state.lock().peer_name.clone()
    }

    /// Runs a command, delivers the events it caused and wakes the driver if it left work.
    pub(super) fn command<R>(&self, command: impl FnOnce(&mut State, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        let result = command(&mut state, &mut wakes);
        state.deliver(&mut wakes);
        let driver = state.kick();
        drop(state);
        wakes.wake();
        driver.into_iter().for_each(wake);
        result
    }
}

impl State {
    pub(super) fn pings(&mut self) -> &mut Pings {
        self.pings.get_or_insert_default()
    }

    /// The waker of a sleeping driver, if it has work to do.
    #[inline]
    pub(super) fn kick(&mut self) -> Option<Waker> {
        // A driver that is awake, or was woken, looks for work itself.
        let has_work = self.driver.is_some()
            && (self.requests.is_some() || (!self.output_blocked && self.session.wants_transmit()));
        if has_work { self.driver.take() } else { None }
    }

    /// The driver sleeps until there is work. Returns the previous waker, to be dropped after the
    /// lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn register_driver(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.driver {
            Some(known) if known.will_wake(waker) => None,
            _ => self.driver.replace(waker.clone()),
        }
    }

    /// Whether a driver that slept, and got input, can sleep on: nobody has woken it for work, and
    /// the input has left it none.
    pub(super) fn lets_sleep(&self, driver: &Waker) -> bool {
        self.driver.as_ref().is_some_and(|known| known.will_wake(driver))
            && !self.output_blocked
            && self.requests.is_none()
            && self.close_reason().is_none()
            && !self.session.wants_transmit()
    }

    /// Requests something from the driver.
    pub(super) fn request(&mut self, request: Request) {
        if !self.driver_gone {
            self.requests.get_or_insert_default().push(request);
        }
    }

    /// Carries out the requests.
    #[inline]
    pub(super) fn carry_out(&mut self, now: Timestamp, wakes: &mut Wakes) {
        if let Some(requests) = self.requests.take() {
            self.carry_out_requests(*requests, now, wakes);
        }
    }

    fn carry_out_requests(&mut self, requests: Vec<Request>, now: Timestamp, wakes: &mut Wakes) {
        for request in requests {
            match request {
                Request::Close { code, text } => self.session.close(now, code, text),
                Request::GoAway { code, text } => self.session.go_away(now, code, text),
                Request::Abort { code, text } => self.session.abort(now, code, text),
                Request::Ping => {
                    if let Err(error) = self.session.ping(now) {
                        let pings = self.pings();
                        pings.refused = Some(PingError::from_core(error));
                        pings.waiting.wake_all(wakes);
                    }
                }
            }
        }
    }

    /// Delivers the pending events: collects the wakers of their waiters.
    #[inline]
    pub(super) fn deliver(&mut self, wakes: &mut Wakes) {
        if self.session.has_events() {
            self.deliver_events(wakes);
        }
    }

    fn deliver_events(&mut self, wakes: &mut Wakes) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Readable(id) => {
                    wakes.extend(self.waker(id, Side::Reader));
                }
                Event::Writable(id) | Event::Flushed(id) => {
                    wakes.extend(self.waker(id, Side::Writer));
                }
                Event::Ended(id) => self.endings.wake(id, wakes),
                Event::Acceptable => self.accepting.wake_one(wakes),
                Event::OpenReady => self.opening.wake_one(wakes),
                Event::Pong { rtt } => {
                    let pings = self.pings();
                    pings.rtt = rtt;
                    pings.history.record(Beat::Returned { rtt });
                    pings.returned = pings.returned.wrapping_add(1);
                    pings.waiting.wake_all(wakes);
                }
                Event::HeartbeatMissed => {
                    let pings = self.pings();
                    pings.history.record(Beat::Missed);
                    pings.missed = pings.missed.wrapping_add(1);
                    pings.waiting.wake_all(wakes);
                }
                Event::Closed(_) => self.wake_everybody(wakes),
                Event::GoAway { code, text } => {
                    self.going_away = Some(Box::new(GoAway::new(code, text)));
                    self.leaving.wake_all(wakes);
                    // Waiting openers will not get a stream.
                    self.opening.wake_all(wakes);
                }
                Event::StreamsExhausted => self.opening.wake_all(wakes),
                Event::Warning(warning) => self.warning = Some(warning),
            }
        }
    }

    /// Wakes all waiters except those on streams, whose events come from the session.
    pub(super) fn wake_everybody(&mut self, wakes: &mut Wakes) {
        self.opening.wake_all(wakes);
        self.accepting.wake_all(wakes);
        if let Some(pings) = &mut self.pings {
            pings.waiting.wake_all(wakes);
        }
        self.closing.wake_all(wakes);
        self.leaving.wake_all(wakes);
    }

    /// The stream with this id, for a handle to it.
    #[inline]
    pub(super) fn stream(&mut self, id: StreamId) -> Option<StreamMut<'_>> {
        self.session.stream(id)
    }

    fn waker(&mut self, id: StreamId, side: Side) -> Option<Waker> {
        let slot = self.session.stream(id)?.slot();
        self.streams.take(slot, side)
    }

    /// Creates a place for the wakers of a stream that gets a handle.
    pub(super) fn adopt(&mut self, id: StreamId) {
        let Some(slot) = self.slot(id) else { return };
        self.streams.adopt(slot);
    }

    pub(super) fn slot(&mut self, id: StreamId) -> Option<u32> {
        self.session.stream(id).map(|stream| stream.slot())
    }

    pub(super) fn add_handle(&mut self) {
        if self.session_handles == 0 {
            // Somebody can accept streams again.
            self.session.set_accepting(true);
        }
        self.session_handles = self.session_handles.saturating_add(1);
    }

    pub(super) fn remove_handle(&mut self) {
        self.session_handles = self.session_handles.saturating_sub(1);
        if self.session_handles == 0 {
            // Nobody can accept streams from now on: they are refused, so that the peer does not
            // wait.
            self.session.set_accepting(false);
        }
        self.close_if_unused();
    }

    /// Whether no handles and no streams are left.
    pub(super) fn is_unused(&self) -> bool {
        self.session_handles == 0 && self.streams.streams() == 0
    }

    /// Closes the session when no handles and no streams are left.
    pub(super) fn close_if_unused(&mut self) {
        if self.is_unused() {
            self.request(Request::Close { code: ErrorCode::NO_ERROR, text: Bytes::new() });
        }
    }

    /// Why the session is over; the end of the driver counts, too.
    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        self.session.close_reason()
    }
}
