//! One session on two blocking threads, on the bare core. Needs `tests/rpc` of the repository.
//! One thread reads, the other writes.
//!
//! ```sh
//! cargo run --release -p muxado-proto --example threads -- --listen 127.0.0.1:4000
//! cargo run --release -p muxado-tokio --example rpc -- --connect 127.0.0.1:4000
//! ```
//!
//! An end of the `rpc` examples, server or client, with only the standard library between the
//! session and the socket. It needs two threads for two reasons. A blocking read cannot be
//! interrupted when there is something to write. And reading must continue while a write blocks:
//! two peers that write without reading would wait for each other forever.

mod application;
mod driving;

use std::error::Error;
use std::io::{self, ErrorKind, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use application::Application;
use clap::{CommandFactory as _, Parser as _};
use driving::Clock;
use muxado_proto::{Role, Session, Timestamp, Transmit, TransportError};
use muxado_rpc::{End, Ends, Options, Work};

/// Bytes of output requested from the session at a time.
const BATCH: usize = 128 << 10;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("threads: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything succeeded.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let (address, socket, role) = match options.ends() {
        Ends::Listen(address) => {
            let listener = TcpListener::bind(address)?;
            let address = listener.local_addr()?;
            muxado_rpc::listening(options.output, address)?;
            (address, listener.accept()?.0, Role::Server)
        }
        Ends::Connect(address) => (address, TcpStream::connect(address)?, Role::Client),
        Ends::Both => {
            let message = "one of --listen and --connect is needed";
            Options::command()
                .error(clap::error::ErrorKind::MissingRequiredArgument, message)
                .exit()
        }
    };
    let progress = options.output.progress(&options.load, 1);
    let work = Work::new(&options.load, "threads").with_progress(progress.clone());
    let end = Connection::new(socket, role, work)?.run();
    progress.finish_and_clear();
    Ok(muxado_rpc::print(options.output, address, end?)?)
}

/// What both threads share.
struct Connection {
    socket: TcpStream,
    clock: Clock,
    state: Mutex<State>,
    /// Something has changed that may concern the writer.
    changed: Condvar,
}

/// Never locked while a thread blocks on the socket.
struct State {
    session: Session,
    application: Application,
}

impl Connection {
    fn new(socket: TcpStream, role: Role, work: Work) -> io::Result<Self> {
        let config = Arc::new(muxado_rpc::config());
        // Batches are sent when they are ready; TCP must not wait for more.
        socket.set_nodelay(true)?;
        // While a write blocks nobody checks the clock, so the write needs its own time limit.
        socket.set_write_timeout(Some(config.write_stall_timeout()))?;
        let clock = Clock::start();
        let now = clock.now();
        let session = driving::session(role, &config, now);
        let state = State { session, application: Application::new(work, now) };
        Ok(Self { socket, clock, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn run(self) -> Result<End, Box<dyn Error>> {
        thread::scope(|scope| {
            scope.spawn(|| self.read());
            self.write();
            // If the peer does not end its side in time, the reader is still blocked in a read:
            // this ends the read. It is harmless if the socket is already closed.
            let _ = self.socket.shutdown(Shutdown::Both);
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.application.end(&state.session)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread that reads, until the peer has ended its side or the socket fails.
    fn read(&self) {
        let mut buffer = vec![0; 64 << 10];
        let mut socket = &self.socket;
        loop {
            let result = socket.read(&mut buffer);
            if matches!(&result, Err(error) if error.kind() == ErrorKind::Interrupted) {
                continue;
            }
            let mut state = self.lock();
            let now = self.clock.now();
            let open = match result {
                Ok(0) => {
                    state.session.handle_eof(now);
                    false
                }
                Ok(count) => {
                    state.session.handle_slice(now, &buffer[..count]);
                    true
                }
                Err(error) => {
                    state.session.handle_transport_error(now, TransportError::new(error));
                    false
                }
            };
            state.react(now);
            drop(state);
            self.changed.notify_one();
            if !open {
                return;
            }
        }
    }

    /// The thread that writes and handles deadlines, until the session is finished.
    fn write(&self) {
        let mut out = Transmit::new();
        let mut shut = false;
        loop {
            let result = match self.next_step(&mut out, shut) {
                // Blocks while the socket takes nothing; it may take a part.
                Step::Write => driving::write_some(&self.socket, &mut out),
                Step::Shutdown => {
                    shut = true;
                    self.socket.shutdown(Shutdown::Write)
                }
                Step::Finished => return,
            };
            if let Err(error) = result {
                let mut state = self.lock();
                let now = self.clock.now();
                // If the time limit of the write has passed, so has that of the session, which then
                // is the reason for the end.
                state.session.handle_timeout(now);
                state.session.handle_transport_error(now, TransportError::new(error));
                state.react(now);
            }
        }
    }

    /// Waits until there is something for the writer to do.
    fn next_step(&self, out: &mut Transmit, shut: bool) -> Step {
        let mut state = self.lock();
        loop {
            let now = self.clock.now();
            state.session.handle_timeout(now);
            state.react(now);
            if state.session.is_finished() {
                return Step::Finished;
            }
            // A batch is cut when the one before has been written. What is not cut yet can still
            // be overtaken by what is more urgent.
            if !out.is_empty() {
                return Step::Write;
            }
            if state.session.poll_transmit(now, out, BATCH) > 0 {
                // That made room in send buffers: streams may continue while this batch is written.
                state.react(now);
                return Step::Write;
            }
            // The session has said its last word, and the socket has taken it. The peer sees the
            // end and ends its side, too; the session has a deadline for that.
            if state.session.wants_shutdown() && !shut {
                return Step::Shutdown;
            }
            state = match state.poll_timeout() {
                Some(due) => {
                    let result = self.changed.wait_timeout(state, due - now);
                    result.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    fn react(&mut self, now: Timestamp) {
        self.application.react(&mut self.session, now);
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let both = [self.session.poll_timeout(), self.application.poll_timeout()];
        both.into_iter().flatten().min()
    }
}

/// What the writer has to do.
enum Step {
    /// There is a batch to be written.
    Write,
    /// Shut the write side of the socket.
    Shutdown,
    /// Nothing more to do.
    Finished,
}
