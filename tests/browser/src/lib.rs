//! The core as wasm: plain functions that `page/muxado.js` wraps, without a tool that makes glue.
//!
//! A call takes its bytes from a buffer in this memory and leaves its bytes there. Times are
//! milliseconds since any moment, as `performance.now()` gives them. One instance is one session.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Buf as _;
use muxado_proto::{
    Config, ErrorCode, Event, ReadError, Role, Session, SessionKey, StreamId, Timestamp, Transmit,
    TransportError, WriteError,
};

/// Nothing now; an event follows when to try again.
const BLOCKED: i32 = -1;
/// The stream was reset, or the session is over.
const FAILED: i32 = -2;

struct Page {
    session: Session,
    out: Transmit,
    /// The stream of the latest event.
    stream: u32,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static PAGE: RefCell<Option<Page>> = const { RefCell::new(None) };
}

fn page<T>(call: impl FnOnce(&mut Page) -> T) -> T {
    PAGE.with_borrow_mut(|page| call(page.as_mut().expect("the page calls `start` first")))
}

fn time(now: f64) -> Timestamp {
    Timestamp::from_duration(Duration::from_secs_f64(now / 1000.0))
}

/// Leaves bytes for the page; returns how many.
fn leave(bytes: &[u8]) -> i32 {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.extend_from_slice(bytes);
    });
    i32::try_from(bytes.len()).unwrap_or(FAILED)
}

/// Makes the buffer so long, and tells where it is. It may move with every call.
#[unsafe(no_mangle)]
pub extern "C" fn buffer(length: usize) -> *mut u8 {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(length, 0);
        buffer.as_mut_ptr()
    })
}

/// Where the bytes of the latest call are.
#[unsafe(no_mangle)]
pub extern "C" fn left() -> *const u8 {
    BUFFER.with_borrow(|buffer| buffer.as_ptr())
}

/// Starts the client's end; the buffer has 16 random bytes.
#[unsafe(no_mangle)]
pub extern "C" fn start(now: f64) {
    let mut key = [0; 16];
    BUFFER.with_borrow(|buffer| key.copy_from_slice(&buffer[..16]));
    let config = Config::default().into();
    let session = Session::new(Role::Client, config, time(now), SessionKey::new(key));
    PAGE.set(Some(Page { session, out: Transmit::new(), stream: 0 }));
}

/// What the buffer has came from the server.
#[unsafe(no_mangle)]
pub extern "C" fn input(now: f64) {
    BUFFER.with_borrow(|buffer| page(|page| page.session.handle_slice(time(now), buffer)));
}

/// The transport has ended.
#[unsafe(no_mangle)]
pub extern "C" fn eof(now: f64, failed: bool) {
    page(|page| {
        if failed {
            let error = TransportError::new(std::io::Error::other("the WebSocket failed"));
            page.session.handle_transport_error(time(now), error);
        } else {
            page.session.handle_eof(time(now));
        }
    });
}

/// Leaves what is to be sent, and counts it as taken; returns how much.
#[unsafe(no_mangle)]
pub extern "C" fn output(now: f64) -> i32 {
    page(|page| {
        let now = time(now);
        page.session.handle_timeout(now);
        page.session.poll_transmit(now, &mut page.out, page.session.batch_size());
        let batch = page.out.copy_to_bytes(page.out.remaining());
        page.session.transmitted(now, batch.len());
        leave(&batch)
    })
}

/// When `output` is to be called next, negative for never.
#[unsafe(no_mangle)]
pub extern "C" fn next_time() -> f64 {
    let at = page(|page| page.session.poll_timeout());
    at.map_or(-1.0, |at| at.as_duration().as_secs_f64() * 1000.0)
}

/// The next event: 0 none, 1 there are streams to accept, 2 one is readable, 3 writable, 4 streams can be
/// opened, 5 the session is over.
#[unsafe(no_mangle)]
pub extern "C" fn event() -> u32 {
    page(|page| {
        while let Some(event) = page.session.poll_event() {
            let (kind, stream) = match event {
                Event::Acceptable => (1, 0),
                Event::Readable(id) => (2, id.get()),
                Event::Writable(id) => (3, id.get()),
                Event::OpenReady => (4, 0),
                Event::Closed(_) => (5, 0),
                _ => continue,
            };
            page.stream = stream;
            return kind;
        }
        0
    })
}

/// The stream of the latest event.
#[unsafe(no_mangle)]
pub extern "C" fn event_stream() -> u32 {
    page(|page| page.stream)
}

/// Opens a stream; 0 if none can be opened now.
#[unsafe(no_mangle)]
pub extern "C" fn open() -> u32 {
    page(|page| page.session.open().map_or(0, StreamId::get))
}

/// The next stream of the server; 0 if there is none now.
#[unsafe(no_mangle)]
pub extern "C" fn accept() -> u32 {
    page(|page| page.session.accept().map_or(0, StreamId::get))
}

/// Leaves what has come; 0 at the end of the stream.
#[unsafe(no_mangle)]
pub extern "C" fn read(stream: u32) -> i32 {
    page(|page| {
        let Some(mut stream) = page.session.stream(StreamId::new(stream)) else { return FAILED };
        match stream.read_chunk(64 << 10) {
            Ok(Some(chunk)) => leave(&chunk),
            Ok(None) => 0,
            Err(ReadError::Blocked) => BLOCKED,
            Err(_) => FAILED,
        }
    })
}

/// Writes what the buffer has; returns how much was taken.
#[unsafe(no_mangle)]
pub extern "C" fn write(stream: u32) -> i32 {
    page(|page| {
        let Some(mut stream) = page.session.stream(StreamId::new(stream)) else { return FAILED };
        match BUFFER.with_borrow(|buffer| stream.write(buffer)) {
            Ok(count) => i32::try_from(count).unwrap_or(FAILED),
            Err(WriteError::Blocked) => BLOCKED,
            Err(_) => FAILED,
        }
    })
}

/// Ends this side of a stream; tells whether it could.
#[unsafe(no_mangle)]
pub extern "C" fn finish(stream: u32) -> bool {
    page(|page| {
        let stream = page.session.stream(StreamId::new(stream));
        stream.is_some_and(|mut stream| stream.finish().is_ok())
    })
}

/// Lets go of a stream: what was written is sent, then its end.
#[unsafe(no_mangle)]
pub extern "C" fn release(stream: u32) {
    page(|page| {
        if let Some(stream) = page.session.stream(StreamId::new(stream)) {
            stream.release();
        }
    });
}

/// Closes the session gracefully.
#[unsafe(no_mangle)]
pub extern "C" fn close(now: f64) {
    page(|page| page.session.close(time(now), ErrorCode::NO_ERROR, "done"));
}

/// Leaves why the session is over; nothing while it is not.
#[unsafe(no_mangle)]
pub extern "C" fn close_reason() -> i32 {
    let reason = page(|page| page.session.close_reason().map(ToString::to_string));
    leave(reason.unwrap_or_default().as_bytes())
}

/// Whether the WebSocket can be closed.
#[unsafe(no_mangle)]
pub extern "C" fn is_finished() -> bool {
    page(|page| page.session.wants_shutdown() || page.session.is_finished())
}
