//! What concerns the task layer and the adapters.

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use muxado_proto::{Config, Role, task};
use muxado_tests::runtime::manual::{Manual, now, settle};
use muxado_tests::runtime::pipe;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::secrets::{PAYLOAD, shows_no_payload};

/// Every handle of an adapter, with payload in the streams and in the transport.
#[tokio::test]
async fn s3_the_adapters_show_no_payload() {
    let (near, far) = tokio::io::duplex(1 << 10);
    let (client, mut driver) = muxado_tokio::Session::client_with_driver(near, Config::default());
    let server = muxado_tokio::Session::server(far, Config::default());
    let mut stream = client.open().await.expect("open");
    stream.write_all(&PAYLOAD.repeat(1000)).await.expect("room");
    shows_no_payload(&stream);
    // The transport is full.
    assert!(
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut driver).poll(cx))).await.is_pending()
    );
    shows_no_payload(&driver);
    shows_no_payload(&client);
    let driver = tokio::spawn(driver);
    let mut accepted = server.accept().await.expect("accept");
    accepted.read_exact(&mut [0; 100]).await.expect("payload");
    shows_no_payload(&accepted);
    shows_no_payload(&server);
    let (reader, writer) = accepted.into_split();
    shows_no_payload(&reader);
    shows_no_payload(&writer);
    shows_no_payload(&server.incoming());
    driver.abort();
}

#[tokio::test]
async fn w8_only_what_is_read_into_is_initialised() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let client = muxado_tokio::Session::client(near, Config::default());
    let server = muxado_tokio::Session::server(far, Config::default());
    let mut ours = client.open().await.expect("opens");
    ours.write_all(&[7; 64]).await.expect("room");
    let mut theirs = server.accept().await.expect("arrives");
    let mut space = vec![MaybeUninit::uninit(); 1 << 20];
    let mut buf = ReadBuf::uninit(&mut space);
    std::future::poll_fn(|cx| Pin::new(&mut theirs).poll_read(cx, &mut buf)).await.expect("data");
    assert_eq!(buf.filled(), [7; 64]);
    assert_eq!(buf.initialized().len(), 64);
}

#[test]
fn w9_nothing_large_is_copied_under_the_lock() {
    let (near, far) = pipe(1 << 20);
    let config = Config::builder().receive_window(8 << 20).send_window(8 << 20).overcommit(true);
    let config = config.send_buffer(8 << 20).build().expect("valid");
    let mut client = Manual::new(near, Role::Client, config.clone());
    let mut server = Manual::new(far, Role::Server, config);
    let mut ours = now(client.session.open()).expect("opens");
    let cx = Context::from_waker(Waker::noop());
    assert!(ours.poll_write(&cx, &vec![7; 4 << 20]).is_ready());
    for _ in 0..100 {
        client.settle();
        server.settle();
    }
    let mut theirs = now(server.session.accept()).expect("arrives");
    assert!(theirs.stats().receive_buffered > 1 << 20);
    // The copying code calls the session in the meantime, which takes its lock.
    let (done, waits) = mpsc::channel();
    std::thread::spawn(move || {
        let cx = Context::from_waker(Waker::noop());
        let mut read = 0;
        let put = |piece: &[u8]| {
            assert!(server.session.stats().bytes_received > 0);
            read += piece.len();
        };
        let Poll::Ready(count) = theirs.poll_read_to(&cx, 4 << 20, put) else { return };
        let _gone = done.send((count.expect("data"), read));
    });
    let (count, read) = waits.recv_timeout(Duration::from_secs(60)).expect("no deadlock");
    assert!(count == read && count > 1 << 20, "{count} {read}");
}

/// A stream with 60 MB that nobody has read, on a session of the task layer.
fn sixty_mb_unread() -> (Manual, Manual, task::Stream, task::Stream) {
    let (near, far) = pipe(1 << 20);
    let config = Config::builder().receive_window(64 << 20).send_window(64 << 20).overcommit(true);
    let config = config.send_buffer(64 << 20).session_send_buffer(64 << 20).build().expect("valid");
    let mut client = Manual::new(near, Role::Client, config.clone());
    let mut server = Manual::new(far, Role::Server, config);
    let mut ours = now(client.session.open()).expect("opens");
    now(ours.write_chunk(vec![7; UNREAD].into())).expect("room");
    settle(&mut client, &mut server);
    let theirs = now(server.session.accept()).expect("arrives");
    assert_eq!(theirs.stats().receive_buffered as usize, UNREAD);
    (client, server, ours, theirs)
}

const UNREAD: usize = 60_000_000;

#[test]
fn w9_a_reader_with_60_mb_takes_all_of_it_without_the_lock() {
    let (_client, server, _ours, mut theirs) = sixty_mb_unread();
    let (done, waits) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut read, mut pieces) = (0, 0);
        let put = |piece: &[u8]| {
            // It takes the lock.
            assert!(server.session.stats().bytes_received > 0);
            (read, pieces) = (read + piece.len(), pieces + 1);
        };
        let cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(count)) = theirs.poll_read_to(&cx, UNREAD, put) else { return };
        let _gone = done.send((count, read, pieces));
    });
    let (count, read, pieces) = waits.recv_timeout(Duration::from_secs(60)).expect("no deadlock");
    assert_eq!((count, read), (UNREAD, UNREAD));
    assert!(pieces > 100, "{pieces}");
}

#[test]
fn w9_a_reader_dropped_with_60_mb_leaves_nothing_and_the_session_goes_on() {
    for half in [false, true] {
        let (mut client, mut server, mut ours, theirs) = sixty_mb_unread();
        let mut kept = None;
        if half {
            let (reader, writer) = theirs.into_split();
            kept = Some(writer);
            drop(reader);
        } else {
            drop(theirs);
        }
        assert_eq!(server.session.stats().receive_buffered, 0);
        settle(&mut client, &mut server);
        assert_eq!(client.session.close_reason(), None);
        // A writer whose reader has left may go on; one whose stream was dropped learns of it.
        let written = now(ours.write_chunk(vec![7; 1_000_000].into()));
        settle(&mut client, &mut server);
        assert_eq!(server.session.stats().receive_buffered, 0);
        assert_eq!(written, Ok(()));
        let more = now(ours.write_chunk(vec![7; 1_000_000].into()));
        assert_eq!(more.is_ok(), half, "{more:?}");
        let mut other = now(client.session.open()).expect("opens");
        now(other.write_some(b"hello")).expect("room");
        settle(&mut client, &mut server);
        let mut far = now(server.session.accept()).expect("arrives");
        assert_eq!(now(far.read_some(&mut [0; 8])), Ok(5));
        drop(kept);
    }
}
