//! The driver and what uses the session, polled by one task.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use muxado_proto::{Config, Role};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Driver, Runtime, Writer as _, pipe, read_to_end, write_all};

/// Streams that are opened at once.
const STREAMS: usize = 512;

/// Bytes that go each way on each of them.
const LENGTH: usize = 128 << 10;

/// Sends each stream of the peer back what it sent.
async fn echo<R: Runtime>(mut stream: R::Stream) -> std::io::Result<()> {
    let question = read_to_end(&mut stream).await?;
    write_all(&mut stream, &question).await?;
    stream.half_close().await
}

/// A server whose driver and `incoming` one task polls, in this order or the other; returns how the
/// session ended.
async fn serve<R: Runtime>(server: R::Session, mut driver: Driver, driver_first: bool) -> bool {
    let mut incoming = server.incoming();
    drop(server);
    let mut drive = move |cx: &mut Context<'_>| driver.as_mut().poll(cx);
    let mut accept = move |cx: &mut Context<'_>| {
        while let Poll::Ready(Some(Ok(stream))) = incoming.poll_next_unpin(cx) {
            drop(R::spawn(echo::<R>(stream)));
        }
    };
    poll_fn(|cx| {
        if driver_first {
            let driven = drive(cx);
            accept(cx);
            driven
        } else {
            accept(cx);
            drive(cx)
        }
    })
    .await
    .is_clean()
}

async fn l16_driver_and_accept_in_one_task_may_be_polled_in_any_order<R: Runtime>() {
    for driver_first in [true, false] {
        let (near, far) = pipe(64 << 10);
        let config = Arc::new(Config::default());
        let client = R::session(near, Role::Client, Arc::clone(&config));
        let (server, driver) = R::with_driver(far, Role::Server, config);
        let served = R::spawn(serve::<R>(server, driver, driver_first));
        let asked = (0..STREAMS).map(|n| {
            let client = client.clone();
            R::spawn(async move {
                let question = vec![n.to_le_bytes()[0]; LENGTH];
                let mut stream = client.open().await.expect("a stream can be opened");
                write_all(&mut stream, &question).await.expect("the server reads");
                stream.half_close().await.expect("the stream is open");
                let answer = read_to_end(&mut stream).await.expect("the server answers");
                assert!(answer == question, "{} bytes on stream {n}", answer.len());
            })
        });
        join_all(asked.collect::<Vec<_>>()).await;
        assert!(client.close().await.is_clean());
        assert!(served.await);
    }
}

crate::suite!(l16_driver_and_accept_in_one_task_may_be_polled_in_any_order);
