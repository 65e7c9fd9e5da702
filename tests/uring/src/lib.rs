//! An io_uring with buffers that it owns while the kernel has them. The event loop that uses it is
//! `examples/uring.rs`.
#![cfg(target_os = "linux")]

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use muxado_proto::Transmit;

/// Maximum number of pieces of memory for one write.
const PIECES: usize = 64;

/// Reads and writes of any number of sockets.
pub struct Ring {
    ring: IoUring,
    /// The operations of the kernel, by the number that it returns.
    flights: Vec<Option<Flight>>,
}

/// Memory that must not move or be freed until the kernel has finished.
struct Flight {
    /// Whose it is.
    token: usize,
    /// Keeps the descriptor open.
    _socket: Rc<TcpStream>,
    memory: Memory,
}

enum Memory {
    Read(BytesMut),
    /// The pieces point into the batch, whose memory does not move while nobody changes it.
    Write(Transmit, Box<[libc::iovec]>),
}

/// A finished operation, with the number that the caller gave it.
#[derive(Debug)]
pub enum Done {
    /// A read: the bytes, empty at the end of the peer's side.
    Read(usize, io::Result<BytesMut>),
    /// A write: the batch, not advanced yet, and how much of it was taken.
    Written(usize, Transmit, io::Result<usize>),
}

impl Ring {
    /// A ring for so many calls at once.
    ///
    /// # Errors
    ///
    /// Errors of the kernel. If it has no io_uring or forbids it: `Unsupported` or
    /// `PermissionDenied`.
    pub fn new(entries: u32) -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(entries)?, flights: Vec::new() })
    }

    /// Reads into the spare memory of `buffer`, which must be empty and have some.
    ///
    /// # Errors
    ///
    /// When the ring is full.
    pub fn read(
        &mut self,
        token: usize,
        socket: &Rc<TcpStream>,
        mut buffer: BytesMut,
    ) -> io::Result<()> {
        let spare = buffer.spare_capacity_mut();
        let length = u32::try_from(spare.len()).unwrap_or(u32::MAX);
        let call = opcode::Recv::new(Fd(socket.as_raw_fd()), spare.as_mut_ptr().cast(), length);
        self.start(token, socket, call.build(), Memory::Read(buffer))
    }

    /// Writes the beginning of a batch directly from its memory.
    ///
    /// # Errors
    ///
    /// When the ring is full.
    pub fn write(
        &mut self,
        token: usize,
        socket: &Rc<TcpStream>,
        batch: Transmit,
    ) -> io::Result<()> {
        let piece = |piece: &[u8]| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        };
        let pieces: Box<[_]> = batch.slices().take(PIECES).map(piece).collect();
        let count = u32::try_from(pieces.len()).unwrap_or(0);
        let call = opcode::Writev::new(Fd(socket.as_raw_fd()), pieces.as_ptr(), count);
        self.start(token, socket, call.build(), Memory::Write(batch, pieces))
    }

    fn start(
        &mut self,
        token: usize,
        socket: &Rc<TcpStream>,
        call: squeue::Entry,
        memory: Memory,
    ) -> io::Result<()> {
        let free = self.flights.iter().position(Option::is_none);
        let number = free.unwrap_or(self.flights.len());
        if free.is_none() {
            self.flights.push(None);
        }
        self.flights[number] = Some(Flight { token, _socket: socket.clone(), memory });
        let call = call.user_data(number as u64);
        // SAFETY: the memory that the call points to is on the heap, and owned by the flight until
        // the kernel has returned the call. Moving the flight does not move it. `Drop` never frees
        // it before.
        let pushed = unsafe { self.ring.submission().push(&call) };
        pushed.map_err(|_| {
            self.flights[number] = None;
            io::Error::other("the ring is full")
        })
    }

    /// Submits started operations to the kernel and waits until one is finished, at most for
    /// `limit`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Vec<Done>> {
        let limit = Timespec::from(limit);
        let arguments = SubmitArgs::new().timespec(&limit);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
        let mut done = Vec::new();
        for finished in self.ring.completion() {
            let number = usize::try_from(finished.user_data()).unwrap_or(usize::MAX);
            let Some(flight) = self.flights.get_mut(number).and_then(Option::take) else {
                continue;
            };
            let result = match usize::try_from(finished.result()) {
                Ok(count) => Ok(count),
                Err(_) => Err(io::Error::from_raw_os_error(-finished.result())),
            };
            done.push(match flight.memory {
                Memory::Read(mut buffer) => Done::Read(
                    flight.token,
                    result.map(|count| {
                        // SAFETY: the buffer was empty, and the kernel has written `count` bytes to
                        // it.
                        unsafe { buffer.set_len(count) };
                        buffer
                    }),
                ),
                Memory::Write(batch, _pieces) => Done::Written(flight.token, batch, result),
            });
        }
        Ok(done)
    }
}

impl Drop for Ring {
    /// Memory of unfinished operations is never freed.
    fn drop(&mut self) {
        for flight in self.flights.drain(..).flatten() {
            std::mem::forget(flight);
        }
    }
}
