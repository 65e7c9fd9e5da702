//! What the machine can do at best, and what of it bounds each workload.
//!
//! The figures are measured with blocking threads and nothing of what is compared: copies of memory,
//! the wake-up of a thread that sleeps, and one connection over loopback.

use std::{
    fs::File,
    hint::black_box,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::{
    congestion,
    relay::{BANDWIDTH, DELAY},
    workloads::{Workload, beside::Small},
};

/// What the machine can do at best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bytes a second that one thread copies, 64 KiB at a time, from and to more memory than a cache
    /// holds.
    pub(crate) copy: f64,
    /// Bytes a second over one connection, between two blocking threads, in writes of 64 KiB.
    pub(crate) loopback: f64,
    /// Nanoseconds for 64 bytes there and back over one connection, between two blocking threads:
    /// two wake-ups and four system calls.
    pub(crate) round_trip: f64,
    /// Nanoseconds from a write to a pipe until the thread that slept on it runs.
    pub(crate) wake: f64,
    /// Nanoseconds of a system call that does next to nothing.
    pub(crate) call: f64,
}

/// The time for each measurement.
const TIME: Duration = Duration::from_millis(150);
/// Bytes of a piece.
const PIECE: usize = 64 * 1024;
/// Bytes that are copied round and round.
const MEMORY: usize = 64 * 1024 * 1024;
/// Bytes of a message.
const MESSAGE: usize = 64;

impl Limits {
    /// Measures this machine. It takes a second.
    pub(crate) fn measure() -> io::Result<Self> {
        Ok(Self {
            copy: copy(),
            loopback: loopback()?,
            round_trip: round_trip()?,
            wake: wake()?,
            call: call()?,
        })
    }
}

fn copy() -> f64 {
    let from = vec![1_u8; MEMORY];
    let mut to = vec![0_u8; MEMORY];
    let began = Instant::now();
    let mut copied = 0_u64;
    while began.elapsed() < TIME {
        for (to, from) in to.chunks_mut(PIECE).zip(from.chunks(PIECE)) {
            to.copy_from_slice(from);
        }
        black_box(&mut to);
        copied += MEMORY as u64;
    }
    copied as f64 / began.elapsed().as_secs_f64()
}

/// Both ends of a connection, with the congestion control that all use.
fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    congestion::apply(&listener)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(1)?;
    let listener = TcpListener::from(listener);
    let near = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    congestion::apply(&near)?;
    near.connect(&listener.local_addr()?.into())?;
    let (near, (far, _)) = (TcpStream::from(near), listener.accept()?);
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

fn loopback() -> io::Result<f64> {
    let (mut near, mut far) = connection()?;
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        let mut seen = 0_u64;
        loop {
            match far.read(&mut buffer)? {
                0 => return Ok::<_, io::Error>(seen),
                n => seen += n as u64,
            }
        }
    });
    let piece = vec![7; PIECE];
    let began = Instant::now();
    while began.elapsed() < TIME {
        near.write_all(&piece)?;
    }
    near.shutdown(Shutdown::Write)?;
    let seen = reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    Ok(seen as f64 / began.elapsed().as_secs_f64())
}

/// The median time of a message there and back.
fn rally(
    mut send: impl Write,
    mut recv: impl Read,
    mut far_recv: impl Read + Send + 'static,
    mut far_send: impl Write + Send + 'static,
) -> io::Result<f64> {
    let echo = thread::spawn(move || {
        let mut message = [0; MESSAGE];
        while far_recv.read_exact(&mut message).is_ok() && far_send.write_all(&message).is_ok() {}
    });
    let began = Instant::now();
    let mut times = Vec::new();
    let mut message = [1; MESSAGE];
    while began.elapsed() < TIME {
        let began = Instant::now();
        send.write_all(&message)?;
        recv.read_exact(&mut message)?;
        times.push(began.elapsed());
    }
    drop((send, recv));
    echo.join().map_err(|_| io::Error::other("the echo panicked"))?;
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(middle.as_nanos() as f64)
}

fn round_trip() -> io::Result<f64> {
    let (near, far) = connection()?;
    rally(near.try_clone()?, near, far.try_clone()?, far)
}

/// Half of a round trip over two pipes: a pipe does nothing but copy and wake.
fn wake() -> io::Result<f64> {
    let (there, far_recv) = pipe()?;
    let (far_send, back) = pipe()?;
    Ok(rally(there, back, far_recv, far_send)? / 2.0)
}

/// The writing end and the reading end.
fn pipe() -> io::Result<(File, File)> {
    let (read, write) = nix::unistd::pipe()?;
    Ok((File::from(write), File::from(read)))
}

fn call() -> io::Result<f64> {
    const CALLS: u32 = 20_000;
    let (_write, read) = pipe()?;
    let began = Instant::now();
    for _ in 0..CALLS {
        black_box(read.metadata()?);
    }
    Ok(began.elapsed().as_nanos() as f64 / f64::from(CALLS))
}

/// What bounds a workload, in a sentence; with figures if they were measured.
pub(crate) fn of(workload: Workload, limits: Option<Limits>) -> String {
    let connection = limits.map_or_else(String::new, |limits| {
        format!(
            " Two blocking threads move {:.1} GB/s over one connection; a thread copies {:.1} GB/s.",
            limits.loopback / 1e9,
            limits.copy / 1e9
        )
    });
    let wake = limits.map_or_else(String::new, |limits| {
        format!(
            " Two blocking threads take {:.1} µs for a round trip over TCP; a wake-up alone takes \
             {:.1} µs.",
            limits.round_trip / 1e3,
            limits.wake / 1e3
        )
    });
    match workload {
        Workload::Request { inflight: 1 } | Workload::PingPong => {
            format!("two wake-ups of a thread that sleeps, and four system calls.{wake}")
        }
        Workload::Request { .. } | Workload::Burst => format!(
            "the CPU: messages share their system calls and wake-ups, so what is left is the work \
             for a stream at both ends.{wake}"
        ),
        Workload::Bulk { .. } | Workload::Unread => format!(
            "four copies of every byte, two of them in the kernel, and a wake-up for each segment of \
             64 KiB that finds its reader asleep.{connection}"
        ),
        Workload::Echo { payload, .. } if payload <= 1024 => {
            format!("two wake-ups a round, and the work for each stream.{wake}")
        }
        Workload::Echo { .. } | Workload::EchoWhileReading { .. } => format!(
            "eight copies of every byte, there and back, on two CPUs.{connection}"
        ),
        Workload::Beside(beside) => {
            let begin = match beside.small {
                Small::Echo => "",
                Small::Request => "the same as for an echo: ",
            };
            format!(
                "{begin}what the kernel holds already of bulk is before the message, there up to a \
                 socket buffer, and each end is busy with a segment of 64 KiB.{wake}{connection}"
            )
        }
        Workload::IdleStreams | Workload::Streams { .. } => {
            "two records, the handles, and a tree or table that finds a stream by its number."
                .to_owned()
        }
        Workload::IdleSessions { .. } | Workload::Sessions { .. } | Workload::Peak => {
            "two tasks, two sessions and one stream at both ends; with TCP the kernel's memory does \
             not count."
                .to_owned()
        }
        Workload::Link => format!(
            "the link: {:.0} MB/s, once {:.1} MB are in flight.",
            BANDWIDTH as f64 / 1e6,
            BANDWIDTH as f64 * 2.0 * DELAY.as_secs_f64() / 1e6
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_a_limit() {
        for workload in Workload::all() {
            assert!(of(workload, None).ends_with('.'), "{workload}");
        }
    }

    #[test]
    fn this_machine_has_limits() {
        let limits = Limits::measure().expect("loopback and pipes work");
        for figure in [limits.copy, limits.loopback, limits.round_trip, limits.wake, limits.call] {
            assert!(figure.is_finite() && figure > 0.0, "{limits:?}");
        }
    }
}
