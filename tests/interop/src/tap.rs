//! A proxy between two peers that records every frame, and can change some.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::process::LIMIT;
use muxado_conformance::wire::{Decoder, Frame};

/// Which end of the transport a frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The end that dialed the tap.
    Dialer,
    /// The end the tap dialed.
    Listener,
}

/// A frame on its way.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Who sent it.
    pub from: From,
    /// What.
    pub frame: Frame,
}

/// Changes frames in transit. The payload of unknown types is lost.
pub type Change = Box<dyn Fn(From, Frame) -> Frame + Send + Sync>;

/// A running proxy for one transport.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    frames: Mutex<Vec<Seen>>,
    more: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    /// Starts a proxy to `target`.
    ///
    /// # Panics
    ///
    /// Where there is no socket to be had.
    pub fn start(target: SocketAddr) -> Self {
        Self::run(target, None)
    }

    /// Starts a proxy that changes some of the frames.
    ///
    /// # Panics
    ///
    /// Where there is no socket to be had.
    pub fn changing(target: SocketAddr, change: Change) -> Self {
        Self::run(target, Some(change))
    }

    fn run(target: SocketAddr, change: Option<Change>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let log = Arc::<Log>::default();
        let change = Arc::new(change);
        std::thread::spawn({
            let log = log.clone();
            move || {
                let (dialer, _) = listener.accept().expect("the listener works");
                let target = TcpStream::connect(target).expect("the peer listens");
                for (from, source, sink) in
                    [(From::Dialer, &dialer, &target), (From::Listener, &target, &dialer)]
                {
                    sink.set_nodelay(true).expect("a fresh socket takes options");
                    let source = source.try_clone().expect("sockets can be cloned");
                    let sink = sink.try_clone().expect("sockets can be cloned");
                    let (log, change) = (log.clone(), change.clone());
                    std::thread::spawn(move || {
                        forward(from, source, sink, &log, change.as_ref().as_ref())
                    });
                }
            }
        });
        Self { address, log }
    }

    /// Where to dial.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The frames so far.
    pub fn frames(&self) -> Vec<Seen> {
        self.log.lock().clone()
    }

    /// The frames one end has sent so far.
    pub fn sent_by(&self, from: From) -> Vec<Frame> {
        let log = self.log.lock();
        log.iter().filter(|seen| seen.from == from).map(|seen| seen.frame.clone()).collect()
    }

    /// Waits until an end has sent a frame that fulfils a condition.
    ///
    /// # Panics
    ///
    /// Where none comes, and nothing else comes for a long time.
    pub fn wait_for(&self, from: From, what: &str, holds: impl Fn(&Frame) -> bool) -> Frame {
        // Each frame is looked at once, because there may be very many.
        let mut looked = 0;
        self.wait_until(what, |log| {
            let new = log[looked..].iter().find(|seen| seen.from == from && holds(&seen.frame));
            looked = log.len();
            Some(new?.frame.clone())
        })
    }

    /// Waits until `tell` returns a value for the frames so far.
    ///
    /// # Panics
    ///
    /// If it does not, and no frame comes for a long time.
    pub fn wait_until<T>(&self, what: &str, mut tell: impl FnMut(&[Seen]) -> Option<T>) -> T {
        let mut log = self.log.lock();
        loop {
            if let Some(told) = tell(&log) {
                return told;
            }
            let before = log.len();
            let waited = self.log.more.wait_timeout(log, LIMIT);
            let timeout;
            (log, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            let silent = timeout.timed_out() && log.len() == before;
            assert!(!silent, "no {what}, and nothing else for {LIMIT:?}");
        }
    }
}

/// Copies one direction, including its end.
///
/// A frame is recorded before it is forwarded, so that its effects come after it in the record.
/// Unchanged bytes are forwarded as they came, because decoding must not alter a malformed frame.
fn forward(
    from: From,
    mut source: TcpStream,
    mut sink: TcpStream,
    log: &Log,
    change: Option<&Change>,
) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = source.read(&mut buffer) {
        decoder.push(&buffer[..n]);
        let mut changed = Vec::new();
        while let Some(frame) = decoder.next_frame() {
            if let Some(change) = change {
                let Frame { header, payload } = change(from, frame.clone());
                changed.extend(header.bytes());
                changed.extend(payload);
            }
            log.lock().push(Seen { from, frame });
            log.more.notify_all();
        }
        let bytes = if change.is_some() { &changed } else { &buffer[..n] };
        if sink.write_all(bytes).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = sink.shutdown(Shutdown::Write);
}
