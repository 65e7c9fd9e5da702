//! Tasks of one thread, polled in the order in which they are woken: a minimal executor.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use muxado_proto::Timestamp;
use muxado_proto::task::Clock;

type Queue = Arc<Mutex<VecDeque<usize>>>;

/// Wakes a task: puts it at the end of the queue, once.
struct Place {
    task: usize,
    queued: AtomicBool,
    queue: Queue,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.lock().expect("nobody panics with the lock held").push_back(self.task);
        }
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    place: Arc<Place>,
}

/// All tasks.
#[derive(Default)]
pub struct Executor {
    tasks: Vec<Task>,
    queue: Queue,
}

impl Executor {
    /// Adds a task.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        let (task, queue) = (self.tasks.len(), Arc::clone(&self.queue));
        let place = Arc::new(Place { task, queued: AtomicBool::new(false), queue });
        Arc::clone(&place).wake();
        self.tasks.push(Task { future: Box::pin(future), place });
    }

    /// Polls tasks until none is woken.
    pub fn run(&mut self) {
        loop {
            let next = self.queue.lock().expect("nobody panics with the lock held").pop_front();
            let Some(task) = next.and_then(|task| self.tasks.get_mut(task)) else { return };
            task.place.queued.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(&task.place));
            if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                task.future = Box::pin(std::future::pending());
            }
        }
    }
}

/// The time, which passes only when it is advanced.
#[derive(Clone, Default)]
pub struct Time(Rc<Cell<Timestamp>>);

impl Time {
    /// Lets time pass.
    pub fn pass(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }
}

/// The clock of one session.
pub struct VirtualClock {
    time: Time,
    sleeper: Rc<Cell<Option<(Timestamp, Waker)>>>,
}

/// Wakes a session at its deadline.
pub struct Alarm(Rc<Cell<Option<(Timestamp, Waker)>>>);

impl VirtualClock {
    pub fn new(time: Time) -> (Self, Alarm) {
        let sleeper = Rc::new(Cell::new(None));
        (Self { time, sleeper: Rc::clone(&sleeper) }, Alarm(sleeper))
    }
}

impl Alarm {
    /// Wakes the session if its deadline has come.
    pub fn check(&self, time: &Time) {
        match self.0.take() {
            Some((deadline, waker)) if deadline <= time.0.get() => waker.wake(),
            other => self.0.set(other),
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.time.0.get()
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Timestamp) -> Poll<()> {
        if deadline <= self.time.0.get() {
            return Poll::Ready(());
        }
        self.sleeper.set(Some((deadline, cx.waker().clone())));
        Poll::Pending
    }
}
