//! The threads that the sessions are divided among.

use std::io;
use std::thread;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Tasks that a thread polls before it looks for new input. A message takes two or three, and to look
/// between them costs time: with 1, connecting took 351 µs instead of 340. A transfer moves up to some
/// hundred KiB in a poll, so more of them delay others: the median echo on a session that transfers
/// takes 0.75 ms, with 8 it took 1.2, and with Tokio's default of 61 it took 3.3.
const POLLS: u32 = 3;

/// Threads with a runtime each. A session stays at one, and so do the connections that it carries.
///
/// A thread that mostly waits gets a core at once when something arrives, also if others transfer. The
/// workers of one runtime share all sessions, so a transfer keeps all of them busy: the median echo on
/// another session took 0.3 ms instead of 0.1, and one of ten took more than 2.4 ms instead of 0.25.
pub struct Threads {
    runtimes: Vec<Handle>,
    /// Dropped with this, which ends the threads.
    _running: watch::Sender<()>,
}

impl Threads {
    /// Starts so many.
    pub fn start(count: usize) -> io::Result<Self> {
        let running = watch::Sender::new(());
        let start = |_| {
            let mut builder = Builder::new_current_thread();
            let runtime = builder.event_interval(POLLS).enable_all().build()?;
            let (handle, mut running) = (runtime.handle().clone(), running.subscribe());
            let run = move || runtime.block_on(async { while running.changed().await.is_ok() {} });
            thread::Builder::new().name("sessions".to_owned()).spawn(run)?;
            Ok(handle)
        };
        let runtimes = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { runtimes, _running: running })
    }

    /// The one with the fewest tasks.
    pub fn quietest(&self) -> &Handle {
        let tasks = |runtime: &&Handle| runtime.metrics().num_alive_tasks();
        self.runtimes.iter().min_by_key(tasks).expect("there is one")
    }
}

/// Moves a connection to the thread of the caller, which then learns first of its input. If that fails,
/// the connection is reset.
pub fn adopt(tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.set_zero_linger()?;
    let tcp = TcpStream::from_std(tcp.into_std()?)?;
    SockRef::from(&tcp).set_linger(None)?;
    Ok(tcp)
}
