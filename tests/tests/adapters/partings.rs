//! Ends of sessions that were once too slow, or that waiters did not learn of.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, Role};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Io, Runtime, Wire, pipe, read_to_end, write_all, yield_now};

use crate::{refused_beside_one_in_use, streams, suite};

suite! {
    l12_a_transport_whose_shutdown_closes_nothing_needs_no_wait,
    l12_a_stream_opened_in_the_turn_of_the_close_is_served,
    l13_a_stream_that_nobody_can_accept_is_refused,
    t4_an_abort_behind_a_go_away_is_told,
}

/// A transport whose write side cannot be shut, such as a pair of pipes.
struct Unshuttable(Io);

impl Wire for Unshuttable {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, data)
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn l12_a_transport_whose_shutdown_closes_nothing_needs_no_wait<R: Runtime>() {
    // A session that waited for its time limit would exceed the time of this test.
    let hour = Duration::from_secs(3600);
    let config = Config::builder().linger_timeout(hour).drain_timeout(hour).build().unwrap();
    let config = Arc::new(config);
    let (near, far) = pipe(4096);
    let client = R::session(Io::new(Unshuttable(near)), Role::Client, Arc::clone(&config));
    let server = R::session(Io::new(Unshuttable(far)), Role::Server, config);
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    drop((near, far));
    let acceptor = server.clone();
    let acceptor = R::spawn(async move { acceptor.accept().await.map(drop) });
    assert!(client.close().await.is_clean());
    let reason = acceptor.await.expect_err("nothing was opened");
    assert!(reason.is_clean());
    assert!(server.close().await.is_clean());
}

async fn l12_a_stream_opened_in_the_turn_of_the_close_is_served<R: Runtime>() {
    let (client, server) = R::pair(64, Config::default());
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, b"last words").await.unwrap();
    stream.finish().expect("it is open");
    let closer = client.clone();
    let closer = R::spawn(async move { closer.close().await });
    let mut far = server.accept().await.unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"last words");
    write_all(&mut far, b"heard").await.unwrap();
    drop(far);
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"heard");
    assert!(closer.await.is_clean());
    assert!(server.closed().await.is_clean());
}

async fn l13_a_stream_that_nobody_can_accept_is_refused<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    drop(server);
    let mut late = client.open().await.unwrap();
    write_all(&mut late, b"anybody there?").await.unwrap();
    refused_beside_one_in_use::<R>(&mut late, &mut near, &mut far).await;
    drop((near, far, late));
    assert!(client.closed().await.is_clean());
}

async fn t4_an_abort_behind_a_go_away_is_told<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    server.go_away(ErrorCode::NO_ERROR, "bye");
    while client.open().await.is_ok() {
        yield_now().await;
    }
    server.abort(ErrorCode::INTERNAL, "disk full");
    let told = CloseReason::Remote { code: ErrorCode::INTERNAL, text: "disk full".into() };
    assert_eq!(client.closed().await, told);
    drop((near, far));
}
