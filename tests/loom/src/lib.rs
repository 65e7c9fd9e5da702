//! A transport and a clock for the model checker. Run the tests with
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p muxado-loom
//! ```
#![cfg(loom)]

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::panicking;

use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use muxado_proto::task::{Clock, Driver, Endpoint, Session, Transport, WeakSession};
use muxado_proto::{CloseReason, Config, Role, Timestamp};

/// What the driver of a model is.
pub type ModelDriver = Driver<Wire, Still>;

/// The test's end of a transport: it sends the peer's bytes, and receives everything written. When
/// the test and the driver have dropped it, the counters of the session must be right.
#[derive(Debug, Default)]
pub struct Peer {
    flow: Mutex<Flow>,
    session: OnceLock<WeakSession>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(session) = self.session.get().filter(|_| !panicking()) {
            assert_eq!(session.audit(), Ok(()));
        }
    }
}

#[derive(Debug, Default)]
struct Flow {
    input: Vec<u8>,
    ended: bool,
    reader: Option<Waker>,
    output: Vec<u8>,
    taking: Taking,
    writer: Option<Waker>,
}

/// What happens to written bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// It is heard.
    #[default]
    All,
    /// It has to wait.
    Nothing,
    /// Writing fails.
    Failing,
}

impl Peer {
    /// Says something.
    pub fn say(&self, bytes: &[u8]) {
        let mut flow = self.flow.lock().unwrap();
        flow.input.extend_from_slice(bytes);
        let reader = flow.reader.take();
        drop(flow);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Ends its side of the transport.
    pub fn end(&self) {
        let mut flow = self.flow.lock().unwrap();
        flow.ended = true;
        let reader = flow.reader.take();
        drop(flow);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Sets what happens to bytes written from now on.
    pub fn take(&self, taking: Taking) {
        let mut flow = self.flow.lock().unwrap();
        flow.taking = taking;
        let writer = flow.writer.take();
        drop(flow);
        writer.into_iter().for_each(Waker::wake);
    }

    /// Whether it has received these bytes, contiguously.
    pub fn has_heard(&self, bytes: &[u8]) -> bool {
        self.flow.lock().unwrap().output.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// Type and flags of a DATA frame with FIN; the id of the stream follows.
const DATA_FIN: u8 = 0x11;

/// The session's end of the transport. The peer ends its side of a stream, and of the transport,
/// when this one does.
#[derive(Debug)]
pub struct Wire(Arc<Peer>);

impl Transport for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.0.flow.lock().unwrap();
        if flow.input.is_empty() {
            if flow.ended {
                return Poll::Ready(Ok(0));
            }
            let _same = flow.reader.replace(cx.waker().clone());
            return Poll::Pending;
        }
        let count = flow.input.len().min(buf.len());
        buf[..count].copy_from_slice(&flow.input[..count]);
        flow.input.drain(..count);
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let mut flow = self.0.flow.lock().unwrap();
        match flow.taking {
            Taking::All => {}
            Taking::Nothing => {
                let _same = flow.writer.replace(cx.waker().clone());
                return Poll::Pending;
            }
            Taking::Failing => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        flow.output.extend_from_slice(&bytes);
        let mut reader = None;
        for end in bytes.windows(5).filter(|bytes| bytes[0] == DATA_FIN) {
            flow.input.extend_from_slice(&[0, 0, 0]);
            flow.input.extend_from_slice(end);
            reader = reader.or(flow.reader.take());
        }
        drop(flow);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.flow.lock().unwrap().ended = true;
        let reader = self.0.flow.lock().unwrap().reader.take();
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still, because nothing in a model may depend on time.
#[derive(Debug)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    fn poll_sleep(&mut self, _cx: &mut Context<'_>, _deadline: Timestamp) -> Poll<()> {
        Poll::Pending
    }
}

/// A session whose peer the test plays.
pub fn session(role: Role, config: Config) -> (Session, ModelDriver, Arc<Peer>) {
    let peer = Arc::new(Peer::default());
    let transport = Wire(Arc::clone(&peer));
    let (session, driver) = Endpoint::new(transport, Still).config(config).start(role);
    assert!(peer.session.set(session.downgrade()).is_ok(), "a peer has one session");
    (session, driver, peer)
}

/// Runs a driver in a thread of its own.
pub fn drive(driver: ModelDriver) -> JoinHandle<CloseReason> {
    thread::spawn(move || wait(driver))
}

/// A thread that waits for a future.
#[derive(Debug, Default)]
struct Parked {
    woken: Mutex<bool>,
    condition: Condvar,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.condition.notify_one();
    }
}

/// Waits for a future.
pub fn wait<F: Future>(future: F) -> F::Output {
    let parked = Arc::new(Parked::default());
    let waker = Waker::from(Arc::clone(&parked));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let mut woken = parked.woken.lock().unwrap();
        while !*woken {
            woken = parked.condition.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// Polls a future once and drops it.
pub fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Tries every interleaving with at most two preemptions. In the experience of the checker's
/// authors more find nothing new, and they take hours.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(model);
}
