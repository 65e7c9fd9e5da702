//! The rules of the task layer (`muxado_proto::task`), and the duties of a driver towards
//! transports, clocks and executors of all kinds. Reviews found these faults.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use muxado_proto::task::Endpoint;
use muxado_proto::{Config, Role};
use muxado_tests::peer;
use muxado_tests::runtime::manual::{Manual, ManualClock, Polled, now};
use muxado_tests::runtime::{Wire, pipe};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use crate::turns::Keeper;

/// Fails instead of hanging.
fn limited(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _gone = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(10)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("deadlock"),
        _ => thread.join().unwrap(),
    }
}

fn pull(io: &mut impl Wire, most: usize) -> Vec<u8> {
    let mut buf = vec![0; most];
    match io.poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
        Poll::Ready(Ok(count)) => buf[..count].to_vec(),
        _ => Vec::new(),
    }
}

/// Returns one record at a time, as TLS does.
struct Records(DuplexStream, usize);

impl AsyncRead for Records {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.1.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let result = Pin::new(&mut self.0).poll_read(cx, &mut part);
        let count = part.filled().len();
        buf.advance(count);
        result
    }
}

impl AsyncWrite for Records {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A runtime with a paused clock: time passes only when all tasks wait.
fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn credit_is_granted_after_a_burst(record: usize) {
    paused().block_on(async {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let session = muxado_tokio::Session::server(Records(near, record), Config::default());
        far.write_all(&peer::syn(3, &[0; 1000])).await.unwrap();
        let mut stream = session.accept().await.unwrap();
        // The session frees spare memory, so that no other timer is set.
        tokio::time::sleep(Duration::from_secs(1)).await;
        // More arrives, and the application empties the buffer of its stream.
        far.write_all(&peer::frame(0xf, 0, 0, &[0; 1000]).repeat(200)).await.unwrap();
        assert_eq!(stream.read(&mut [0; 4096]).await.unwrap(), 1000);
        // The credit is due 5 ms later.
        let mut frame = [0; 12];
        let granted = far.read_exact(&mut frame);
        let granted = tokio::time::timeout(Duration::from_secs(3600), granted).await;
        assert!(granted.is_ok(), "no credit after an hour");
        assert_eq!(frame[..], peer::wnd_inc(3, 1000)[..]);
    });
}

#[test]
fn timers_work_after_large_reads() {
    credit_is_granted_after_a_burst(64 << 10);
}

#[test]
fn timers_work_after_a_turn_that_has_used_up_the_budget_of_its_task() {
    credit_is_granted_after_a_burst(1024);
}

#[test]
fn the_driver_drops_no_waker_of_its_own_under_the_lock() {
    limited(|| {
        let (near, _far) = pipe(1024);
        let endpoint = Endpoint::new(near, ManualClock::default());
        let (session, mut driver) = endpoint.start(Role::Client);
        let dropped = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let keeper = Keeper { _session: session.clone(), dropped: Arc::clone(&dropped) };
            let waker = Waker::from(Arc::new(keeper));
            let pinned = Pin::new(&mut driver);
            assert!(pinned.poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        drop(driver);
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
    });
}

fn client() -> (Manual, impl Wire) {
    let (near, far) = pipe(64 << 10);
    (Manual::new(near, Role::Client, Config::default()), far)
}

#[test]
fn a_slow_transport_is_not_a_stalled_one() {
    let (near, mut far) = pipe(4096);
    let mut client = Manual::new(near, Role::Client, Config::default());
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_chunk(vec![0; 262_000].into())).unwrap();
    assert_eq!(client.settle(), None);
    for second in 0..70 {
        let moved = pull(&mut far, 4096).len();
        assert!(moved > 0 || stream.stats().send_buffered == 0);
        assert_eq!(client.pass(Duration::from_secs(1)), None, "in second {second}");
    }
}

#[test]
fn a_process_that_was_stopped_goes_on() {
    let (near, mut far) = pipe(600);
    let mut client = Manual::new(near, Role::Client, Config::default());
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_chunk(vec![0; 1000].into())).unwrap();
    assert_eq!(client.settle(), None);
    // The process was stopped for a minute (a debugger, Ctrl-Z). The peer has read everything in
    // the meantime.
    pull(&mut far, 600);
    assert_eq!(client.pass(Duration::from_secs(60)), None);
}

/// A buffered transport, such as TLS, on a slow connection.
fn close_over(buffered: bool) {
    paused().block_on(async {
        let (near, mut far) = tokio::io::duplex(1024);
        let config = Config::default();
        let session = if buffered {
            muxado_tokio::Session::client(tokio::io::BufStream::new(near), config)
        } else {
            muxado_tokio::Session::client(near, config)
        };
        let mut stream = session.open().await.unwrap();
        stream.write_all(&[7; 8000]).await.unwrap();
        stream.shutdown().await.unwrap();
        let reader = tokio::spawn(async move {
            let mut heard = vec![0; 8];
            far.read_exact(&mut heard).await.unwrap();
            // It has nothing to say on this stream.
            far.write_all(&peer::fin(3)).await.unwrap();
            let mut buf = vec![0; 1024];
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                match far.read(&mut buf).await {
                    Ok(0) | Err(_) => return heard,
                    Ok(count) => heard.extend_from_slice(&buf[..count]),
                }
            }
        });
        let reason = session.close().await;
        assert!(reason.is_clean(), "{reason:?}");
        drop(stream);
        let heard = reader.await.unwrap();
        // The data, the FIN and the GOAWAY.
        assert!(heard.len() > 8000, "the peer has got {} bytes", heard.len());
    });
}

#[test]
fn closing_over_a_slow_transport_loses_nothing() {
    close_over(false);
}

#[test]
fn closing_over_a_slow_buffered_transport_loses_nothing() {
    close_over(true);
}

/// Data that the peer sent before it closed is read, even if a write fails before the reactor
/// reports that there is something to read.
#[test]
fn the_last_words_are_heard_by_a_busy_executor() {
    use std::io::{Read, Write};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(1_000_000)
        .build()
        .unwrap();
    let test = runtime.spawn(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let session = muxado_tokio::Session::client(near, Config::default());
        let mut stream = session.open().await.unwrap();
        stream.write_all(b"question").await.unwrap();
        far.set_nonblocking(true).unwrap();
        let mut heard = [0; 16];
        while far.peek(&mut heard).is_err() {
            muxado_tests::runtime::yield_now().await;
        }
        far.read_exact(&mut heard).unwrap();
        let busy = tokio::spawn(async {
            loop {
                muxado_tests::runtime::yield_now().await;
            }
        });
        // From here on the reactor does not run until the driver's write has failed.
        far.write_all(&peer::data(3, b"answer")).unwrap();
        far.write_all(&peer::fin(3)).unwrap();
        far.write_all(&peer::go_away(3, 42, b"over")).unwrap();
        drop(far);
        for _ in 0..3 {
            let _late = stream.write(b"x").await;
            muxado_tests::runtime::yield_now().await;
            muxado_tests::runtime::yield_now().await;
        }
        busy.abort();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    });
    runtime.block_on(test).unwrap();
}

#[test]
fn the_debug_output_of_a_stream_shows_no_payload_of_others() {
    let (client, _far) = client();
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_some(b"password=hunter2")).unwrap();
    let other = now(client.session.open()).unwrap();
    let text = format!("{other:?}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_sequence_that_was_given_up_keeps_no_turn() {
    let (near, mut far) = pipe(64 << 10);
    let mut server = Manual::new(near, Role::Server, Config::default());
    let mut incoming = server.session.incoming();
    // What `select!` does with `incoming.next()`: polled, and dropped.
    assert!(incoming.poll_next(&Context::from_waker(Waker::noop())).is_pending());
    let session = server.session.clone();
    let mut other = Polled::new(session.accept());
    assert!(other.poll().is_pending());
    let _sent = far.poll_write(&mut Context::from_waker(Waker::noop()), &peer::syn(3, b"x"));
    server.settle();
    assert_eq!(server.session.stats().backlog, 1);
    assert_eq!(other.woken.take(), 1, "a stream waits, and so does one who accepts");
}
