//! Ours without an adapter: `muxado-proto` on an event loop of mio.
//!
//! One thread owns the transport and runs the loop. The application's tasks share the session with
//! it through a lock, and wake it when the session has something to send.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Buf as _;
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadHalf, WriteHalf};
use mio::{Events, Interest, Poll as MioPoll, Token};
use muxado_proto::{
    ErrorCode, Event, OpenError, ReadError, Session, StreamId, StreamType, Timestamp, Transmit,
    TransportError, WriteError,
};

use super::endpoint::{Accepted, Endpoint, MuxStream};
use super::options::Options;
use super::ours;
use super::peer::Flag;
use super::report::{End, Report};

const TRANSPORT: Token = Token(0);
const TASKS: Token = Token(1);

/// Bytes of output requested from the session at a time.
const BATCH: usize = 256 * 1024;

/// A session whose core runs in its own thread.
#[derive(Clone)]
pub struct Core(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    origin: Instant,
    /// Wakes the loop out of its wait.
    tasks: mio::Waker,
    report: Arc<Report>,
    /// The session is over.
    over: Flag,
    /// The loop has ended, and with it the transport.
    gone: Flag,
}

struct State {
    session: Session,
    readers: HashMap<StreamId, Waker>,
    writers: HashMap<StreamId, Waker>,
    openers: Vec<Waker>,
    acceptors: Vec<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.origin.elapsed())
    }

    /// Runs an operation on the session and wakes the loop.
    fn command<T>(&self, command: impl FnOnce(&mut State) -> T) -> T {
        let result = command(&mut self.lock());
        // It fails only if the loop has ended.
        let _ = self.tasks.wake();
        result
    }

    /// Fetches the events and wakes their waiters.
    fn react(&self, mut state: MutexGuard<'_, State>) {
        let mut woken = Vec::new();
        while let Some(event) = state.session.poll_event() {
            match event {
                Event::Acceptable => woken.append(&mut state.acceptors),
                Event::OpenReady => woken.append(&mut state.openers),
                Event::Readable(id) => woken.extend(state.readers.remove(&id)),
                Event::Writable(id) => woken.extend(state.writers.remove(&id)),
                Event::Pong { rtt } => self.report.beat(Some(rtt)),
                Event::HeartbeatMissed => self.report.beat(None),
                Event::Closed(_) => {
                    woken.append(&mut state.acceptors);
                    woken.append(&mut state.openers);
                    self.over.notify();
                }
                _ => {}
            }
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// The thread that turns the loop.
struct EventLoop {
    shared: Arc<Shared>,
    poll: MioPoll,
    transport: mio::net::TcpStream,
    out: Transmit,
    /// Nothing more can be read.
    ended: bool,
    /// The write side has been shut.
    shut: bool,
}

impl EventLoop {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Err(error) = self.turn(&mut buffer) {
                self.out = Transmit::new();
                let now = self.shared.now();
                let mut state = self.shared.lock();
                state.session.handle_transport_error(now, TransportError::new(error));
                self.shared.react(state);
                break;
            }
            if self.out.is_empty() && self.shared.lock().session.is_finished() {
                break;
            }
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        self.shared.gone.notify();
    }

    /// How long until the session's next deadline.
    fn wait(&self) -> Option<Duration> {
        let due = self.shared.lock().session.poll_timeout()?;
        // The poll counts in milliseconds and rounds down.
        Some(due - self.shared.now() + Duration::from_millis(1))
    }

    /// Reads and writes until the transport blocks in both directions.
    fn turn(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let read = self.read(buffer)?;
            let wrote = self.write()?;
            if !read && !wrote {
                return Ok(());
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        match self.transport.read(buffer) {
            Ok(n) => {
                let now = self.shared.now();
                let mut state = self.shared.lock();
                if n == 0 {
                    self.ended = true;
                    state.session.handle_eof(now);
                } else {
                    state.session.handle_slice(now, &buffer[..n]);
                }
                self.shared.react(state);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self) -> io::Result<bool> {
        if self.out.is_empty() {
            let now = self.shared.now();
            let mut state = self.shared.lock();
            state.session.handle_timeout(now);
            state.session.poll_transmit(now, &mut self.out, BATCH);
            let shut = state.session.wants_shutdown() && self.out.is_empty();
            self.shared.react(state);
            if self.out.is_empty() {
                if shut && !self.shut {
                    self.shut = true;
                    // If the transport has failed in the meantime, there is nothing to shut.
                    let _ = self.transport.shutdown(Shutdown::Write);
                }
                return Ok(false);
            }
        }
        let mut slices = [IoSlice::new(&[]); 64];
        let count = self.out.chunks_vectored(&mut slices);
        match self.transport.write_vectored(&slices[..count]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                self.out.advance(n);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Endpoint for Core {
    const NAME: &'static str = "core";

    type Stream = CoreStream;
    type Listener = smol::Async<TcpListener>;
    type Transport = TcpStream;

    fn block_on<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    async fn sleep(time: Duration) {
        smol::Timer::after(time).await;
    }

    async fn listen(address: SocketAddr) -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = smol::Async::<TcpListener>::bind(address)?;
        let address = listener.get_ref().local_addr()?;
        Ok((listener, address))
    }

    async fn accept_transport(listener: &Self::Listener) -> io::Result<TcpStream> {
        listener.accept().await?.0.into_inner()
    }

    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        smol::Async::<TcpStream>::connect(address).await?.into_inner()
    }

    async fn start(
        transport: TcpStream,
        options: &Options,
        report: &Arc<Report>,
    ) -> io::Result<Self> {
        transport.set_nodelay(true)?;
        let mut transport = mio::net::TcpStream::from_std(transport);
        let poll = MioPoll::new()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut transport, TRANSPORT, interest)?;
        let tasks = mio::Waker::new(poll.registry(), TASKS)?;
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let role = options.side().into();
        let session = Session::new(role, ours::config(options)?, Timestamp::ZERO, key.into());
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                session,
                readers: HashMap::new(),
                writers: HashMap::new(),
                openers: Vec::new(),
                acceptors: Vec::new(),
            }),
            origin: Instant::now(),
            tasks,
            report: report.clone(),
            over: Flag::default(),
            gone: Flag::default(),
        });
        let event_loop = EventLoop {
            shared: shared.clone(),
            poll,
            transport,
            out: Transmit::new(),
            ended: false,
            shut: false,
        };
        std::thread::spawn(|| event_loop.run());
        Ok(Self(shared))
    }

    async fn open(&self, stream_type: Option<u32>) -> io::Result<CoreStream> {
        let id = poll_fn(|cx| {
            self.0.command(|state| {
                let opened = match stream_type {
                    None => state.session.open(),
                    Some(stream_type) => state.session.open_typed(StreamType(stream_type)),
                };
                match opened {
                    Err(OpenError::Blocked) => {
                        state.openers.push(cx.waker().clone());
                        Poll::Pending
                    }
                    opened => Poll::Ready(opened),
                }
            })
        });
        Ok(CoreStream { shared: self.0.clone(), id: id.await? })
    }

    async fn accept(&self) -> Accepted<CoreStream> {
        let accepted = poll_fn(|cx| {
            self.0.command(|state| {
                let Some(id) = state.session.accept() else {
                    if state.session.close_reason().is_some() {
                        return Poll::Ready(None);
                    }
                    state.acceptors.push(cx.waker().clone());
                    return Poll::Pending;
                };
                let stream_type = state.session.stream(id).and_then(|stream| stream.stream_type());
                Poll::Ready(Some((id, stream_type.map_or(0, |stream_type| stream_type.0))))
            })
        });
        match accepted.await {
            None => Accepted::SessionOver,
            Some((id, stream_type)) => {
                Accepted::Stream(CoreStream { shared: self.0.clone(), id }, stream_type)
            }
        }
    }

    async fn go_away(&self, code: u32, text: String) -> io::Result<()> {
        let now = self.0.now();
        self.0.command(|state| state.session.go_away(now, ErrorCode(code), text));
        Ok(())
    }

    async fn close(&self) {
        let now = self.0.now();
        self.0.command(|state| state.session.close(now, ErrorCode::NO_ERROR, ""));
        self.0.gone.wait().await;
    }

    async fn ended(&self) -> End {
        self.0.gone.wait().await;
        let state = self.0.lock();
        state.session.close_reason().map(ours::end).unwrap_or_default()
    }

    fn error_code(error: &io::Error) -> Option<u32> {
        ours::error_code(error)
    }
}

/// A stream of a [`Core`] session.
pub struct CoreStream {
    shared: Arc<Shared>,
    id: StreamId,
}

impl AsyncRead for CoreStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let id = self.id;
        self.shared.command(|state| {
            let unknown = ReadError::UnknownStream(id);
            let read = state.session.stream(id).map_or(Err(unknown), |mut s| s.read(buffer));
            if read == Err(ReadError::Blocked) {
                state.readers.insert(id, cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(read.map_err(io::Error::from))
        })
    }
}

impl AsyncWrite for CoreStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let id = self.id;
        self.shared.command(|state| {
            let unknown = WriteError::UnknownStream(id);
            let wrote = state.session.stream(id).map_or(Err(unknown), |mut s| s.write(data));
            if wrote == Err(WriteError::Blocked) {
                state.writers.insert(id, cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(wrote.map_err(io::Error::from))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let finished = self.shared.command(|state| {
            state.session.stream(self.id).map_or(Ok(()), |mut stream| stream.finish())
        });
        Poll::Ready(finished.map_err(io::Error::from))
    }
}

impl Drop for CoreStream {
    fn drop(&mut self) {
        let id = self.id;
        self.shared.command(|state| {
            if let Some(stream) = state.session.stream(id) {
                stream.release();
            }
            state.readers.remove(&id);
            state.writers.remove(&id);
        });
    }
}

impl MuxStream for CoreStream {
    type Reader = ReadHalf<Self>;
    type Writer = WriteHalf<Self>;

    fn halves(self) -> (Self::Reader, Self::Writer) {
        self.split()
    }

    fn reset(self, code: u32) {
        self.shared.command(|state| {
            if let Some(mut stream) = state.session.stream(self.id) {
                stream.reset(ErrorCode(code));
            }
        });
    }

    fn id(&self) -> u32 {
        self.id.get()
    }
}
