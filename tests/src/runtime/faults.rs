//! Transports that misbehave.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::pipe::{Io, Wire};

/// The fault of a transport from some byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reads return the end of the transport. Writes take nothing, every time.
    End,
    /// Fails.
    Error,
    /// Never gets ready.
    Never,
}

/// How a transport misbehaves.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The most it moves at once.
    pub chunk: usize,
    /// Every other poll is pending for no reason.
    pub spurious: bool,
    /// The fault of reading after this many bytes.
    pub read: Option<(u64, Fault)>,
    /// The fault of writing after this many bytes.
    pub write: Option<(u64, Fault)>,
    /// Counts the bytes that passed.
    pub traffic: Arc<Traffic>,
}

impl Default for Faults {
    fn default() -> Self {
        let traffic = Arc::default();
        Self { chunk: usize::MAX, spurious: false, read: None, write: None, traffic }
    }
}

/// The bytes that passed a transport.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes read.
    pub read: AtomicU64,
    /// Bytes written.
    pub written: AtomicU64,
    /// Calls that read or write.
    pub polls: AtomicU64,
}

impl Faults {
    /// Spoils a transport.
    pub fn spoil(self, inner: Io) -> Io {
        Io::new(Faulty { inner, faults: self, balked: [false; 2] })
    }
}

struct Faulty {
    inner: Io,
    faults: Faults,
    /// Whether the last poll for reading, and for writing, was pending for no reason.
    balked: [bool; 2],
}

impl Faulty {
    /// Whether this poll is pending for no reason.
    fn balks(&mut self, cx: &Context<'_>, direction: usize) -> bool {
        self.faults.traffic.polls.fetch_add(1, Ordering::Relaxed);
        let balks = self.faults.spurious && !self.balked[direction];
        self.balked[direction] = balks;
        if balks {
            cx.waker().wake_by_ref();
        }
        balks
    }

    /// How much may pass now, at most `wanted`; the fault once it is due.
    fn pass(
        &self,
        wanted: usize,
        passed: u64,
        fault: Option<(u64, Fault)>,
    ) -> Result<usize, Fault> {
        let wanted = wanted.min(self.faults.chunk);
        match fault {
            Some((at, fault)) if passed >= at => Err(fault),
            Some((at, _)) => Ok(wanted.min(usize::try_from(at - passed).unwrap_or(usize::MAX))),
            None => Ok(wanted),
        }
    }
}

fn misbehave(fault: Fault) -> Poll<io::Result<usize>> {
    match fault {
        Fault::End => Poll::Ready(Ok(0)),
        Fault::Error => Poll::Ready(Err(io::Error::other("spoiled"))),
        Fault::Never => Poll::Pending,
    }
}

impl Wire for Faulty {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.balks(cx, 0) {
            return Poll::Pending;
        }
        let passed = &self.faults.traffic.read;
        let count = match self.pass(buf.len(), passed.load(Ordering::Relaxed), self.faults.read) {
            Ok(count) => count,
            Err(fault) => return misbehave(fault),
        };
        let result = self.inner.poll_read(cx, &mut buf[..count]);
        if let Poll::Ready(Ok(count)) = result {
            passed.fetch_add(count as u64, Ordering::Relaxed);
        }
        result
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.balks(cx, 1) {
            return Poll::Pending;
        }
        let passed = &self.faults.traffic.written;
        let count = match self.pass(data.len(), passed.load(Ordering::Relaxed), self.faults.write) {
            Ok(count) => count,
            Err(fault) => return misbehave(fault),
        };
        let result = self.inner.poll_write(cx, &data[..count]);
        if let Poll::Ready(Ok(count)) = result {
            passed.fetch_add(count as u64, Ordering::Relaxed);
        }
        result
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.faults.write.is_some_and(|(_, fault)| fault == Fault::Never) {
            return Poll::Pending;
        }
        self.inner.poll_close(cx)
    }
}
