//! A dropped future loses nothing, for every async method.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::StreamExt as _;
use muxado_proto::{CloseReason, Config, ErrorCode, Role, StreamType};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    RawPeer, Reader as _, Runtime, Writer as _, park, pipe, read_exact, read_to_end, write_all,
    yield_now,
};
use muxado_tests::vectors::Frame;

use crate::{streams, suite};

suite! {
    cancelled_opens,
    cancelled_typed_opens,
    cancelled_accepts,
    cancelled_waits_for_the_next_stream,
    cancelled_reads,
    cancelled_chunk_reads,
    cancelled_writes,
    cancelled_chunk_writes,
    cancelled_pings,
    a_cancelled_close_closes,
    cancelled_waits_for_the_end,
}

/// Polls a future once and drops it.
fn once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Repeats `attempt`, each time polled once and dropped, until one is ready.
async fn stuttering<T, F: Future<Output = T>>(mut attempt: impl FnMut() -> F) -> T {
    loop {
        if let Poll::Ready(value) = once(attempt()) {
            return value;
        }
        yield_now().await;
    }
}

async fn cancelled_opens<R: Runtime>() {
    let config = Config::builder().max_outbound_streams(2).build().unwrap();
    let (client, _server) = R::pair(4096, config);
    let first = client.open().await.unwrap();
    let second = client.open().await.unwrap();
    for _ in 0..10 {
        assert!(once(client.open()).is_pending());
    }
    // Some wait, and the first ones are dropped when it is their turn.
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(client.open())).collect();
    let mut context = Context::from_waker(Waker::noop());
    for waiter in &mut waiting {
        assert!(waiter.as_mut().poll(&mut context).is_pending());
    }
    let patient = client.clone();
    let patient = park::<R, _>(async move { patient.open().await.unwrap() }).await;
    drop(first);
    for waiter in waiting {
        drop(waiter);
    }
    let third = patient.await;
    assert!(once(client.open()).is_pending());
    assert_eq!(client.stats().open_streams, 2);
    drop((second, third));
}

async fn cancelled_typed_opens<R: Runtime>() {
    let config = Config::builder().max_outbound_streams(1).typed(true).build().unwrap();
    let (client, server) = R::pair(4096, config);
    let first = client.open_typed(StreamType(1)).await.unwrap();
    for _ in 0..10 {
        assert!(once(client.open_typed(StreamType(2))).is_pending());
    }
    drop(first);
    // Its place is free when the peer has finished it, too.
    assert!(once(client.open_typed(StreamType(2))).is_pending());
    assert_eq!(server.accept().await.unwrap().stream_type(), Some(StreamType(1)));
    let second = stuttering(|| client.open_typed(StreamType(3))).await.unwrap();
    assert_eq!(client.stats().open_streams, 1);
    assert_eq!(server.accept().await.unwrap().stream_type(), Some(StreamType(3)));
    drop(second);
}

async fn cancelled_accepts<R: Runtime>() {
    const STREAMS: u32 = 100;
    let (client, server) = R::pair(4096, Config::default());
    let opener = R::spawn(async move {
        for number in 0..STREAMS {
            let mut stream = client.open().await.unwrap();
            write_all(&mut stream, &number.to_be_bytes()).await.unwrap();
        }
        client
    });
    // One that waits after those that are dropped.
    let patient = server.clone();
    let patient = R::spawn(async move {
        let mut numbers = Vec::new();
        while let Ok(mut stream) = patient.accept().await {
            numbers.push(read_to_end(&mut stream).await.unwrap());
        }
        numbers
    });
    // And many that never wait long: each keeps what it gets at its first or second poll; what it
    // would have got later has to go to another one.
    let mut numbers = Vec::new();
    for _ in 0..500 {
        let mut waiter = pin!(server.accept());
        for _ in 0..2 {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(accepted) = waiter.as_mut().poll(&mut context) {
                numbers.push(read_to_end(&mut accepted.unwrap()).await.unwrap());
                break;
            }
            yield_now().await;
        }
    }
    let client = opener.await;
    assert!(client.close().await.is_clean());
    numbers.extend(patient.await);
    numbers.sort();
    let expected: Vec<_> = (0..STREAMS).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(numbers, expected, "some were lost, or delivered twice");
    assert_eq!(server.stats().streams_accepted, u64::from(STREAMS));
    assert_eq!(server.stats().backlog, 0);
}

async fn cancelled_waits_for_the_next_stream<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let mut incoming = server.incoming();
    for _ in 0..10 {
        assert!(once(incoming.next()).is_pending());
    }
    let mut near = client.open().await.unwrap();
    write_all(&mut near, b"for whoever waits").await.unwrap();
    let accepted = server.accept().await.unwrap();
    assert_eq!(accepted.id(), near.id());
    let mut near = client.open().await.unwrap();
    write_all(&mut near, b"next").await.unwrap();
    let next = loop {
        if let Poll::Ready(next) = once(incoming.next()) {
            break next.unwrap().unwrap();
        }
        yield_now().await;
    };
    assert_eq!(next.id(), near.id());
}

fn text(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n ^ n >> 8).to_le_bytes()[0]).collect()
}

async fn cancelled_reads<R: Runtime>() {
    let (client, server) = R::pair(97, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let writer = R::spawn(async move { write_all(&mut near, &text(100_000)).await.unwrap() });
    let mut received = Vec::new();
    loop {
        let mut buf = [0; 333];
        let count = loop {
            if let Poll::Ready(count) = once(far.recv(&mut buf)) {
                break count.unwrap();
            }
            yield_now().await;
        };
        if count == 0 {
            break;
        }
        received.extend_from_slice(&buf[..count]);
    }
    writer.await;
    assert!(received == text(100_000));
}

async fn cancelled_chunk_reads<R: Runtime>() {
    let (client, server) = R::pair(97, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let writer = R::spawn(async move { write_all(&mut near, &text(100_000)).await.unwrap() });
    let mut received = Vec::new();
    loop {
        let chunk = loop {
            if let Poll::Ready(chunk) = once(far.read_chunk(1000)) {
                break chunk.unwrap();
            }
            yield_now().await;
        };
        let Some(chunk) = chunk else { break };
        received.extend_from_slice(&chunk);
    }
    writer.await;
    assert!(received == text(100_000));
}

async fn cancelled_writes<R: Runtime>() {
    let (client, server) = R::pair(997, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let reader = R::spawn(async move { read_to_end(&mut far).await.unwrap() });
    let text = text(1_000_000);
    let mut rest = &text[..];
    let sizes = [1, 100, 20_000, 300_000];
    for size in sizes.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        // If a dropped future had taken bytes, they would be there twice.
        match once(near.send(&rest[..size.min(rest.len())])) {
            Poll::Ready(count) => rest = &rest[count.unwrap()..],
            Poll::Pending => yield_now().await,
        }
    }
    drop(near);
    assert!(reader.await == text);
}

async fn cancelled_chunk_writes<R: Runtime>() {
    const LOST: usize = 1_000_000;
    let config = Config::builder().send_buffer(1000).auto_tune(false).build().unwrap();
    let (client, server) = R::pair(100, config);
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let text = text(50_000);
    // After the text the reader pauses, so that window, buffer and pipe together have no room for
    // all that follows.
    let (go_on, rests) = oneshot::channel();
    let length = text.len();
    let reader = R::spawn(async move {
        let text = read_exact(&mut far, length).await.unwrap();
        rests.await.unwrap();
        (text, read_to_end(&mut far).await.unwrap())
    });
    // The documented way to find out how much was taken: the chunk keeps the rest.
    let mut chunk = Bytes::from(text.clone());
    while !chunk.is_empty() {
        let mut context = Context::from_waker(Waker::noop());
        match near.poll_write_chunk(&mut context, &mut chunk) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => yield_now().await,
        }
    }
    // A dropped future has taken a part from the front, and nothing else.
    assert!(once(near.write_chunk(vec![b'!'; LOST].into())).is_pending());
    go_on.send(()).unwrap();
    write_all(&mut near, b"end").await.unwrap();
    drop(near);
    let (received, tail) = reader.await;
    assert!(received == text);
    let (taken, end) = tail.split_at(tail.len() - 3);
    assert!(taken.len() < LOST && taken.iter().all(|byte| *byte == b'!'));
    assert_eq!(end, b"end");
}

async fn cancelled_pings<R: Runtime>() {
    let config = Arc::new(Config::builder().typed(true).build().unwrap());
    let (near, far) = pipe(4096);
    let client = R::session(near, Role::Client, config);
    let mut peer = RawPeer::new(far);
    let mut heard = Vec::new();
    for round in 0..3 {
        for _ in 0..10 {
            assert!(once(client.ping()).is_pending());
        }
        let mut others = Vec::new();
        for _ in 0..5 {
            let client = client.clone();
            others.push(park::<R, _>(async move { client.ping().await }).await);
        }
        // One beat is in flight, for all of them. It follows the type and the earlier beats.
        while heard.len() < 4 * (round + 2) {
            let frame = peer.find(|frame| frame.kind() == Frame::DATA && frame.id() == 3).await;
            heard.extend(frame.payload);
        }
        assert_eq!(heard.len(), 4 * (round + 2));
        peer.send(peer::data(3, &heard[4 * (round + 1)..])).await;
        for other in others {
            let rtt = other.await.unwrap();
            assert_eq!(client.rtt(), Some(rtt), "in round {round}");
        }
    }
    assert_eq!(client.close_reason(), None);
}

async fn a_cancelled_close_closes<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"last").await.unwrap();
    assert!(once(client.close_with(ErrorCode(9), "bye")).is_pending());
    assert_eq!(read_exact(&mut far, 4).await.unwrap(), b"last");
    drop((near, far));
    let told = CloseReason::Remote { code: ErrorCode(9), text: "bye".into() };
    assert_eq!(server.closed().await, told);
    assert_eq!(client.close().await, CloseReason::Local { code: ErrorCode(9) });
}

async fn cancelled_waits_for_the_end<R: Runtime>() {
    let (near, far) = pipe(4096);
    let client = R::session(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    for _ in 0..10 {
        assert!(once(client.closed()).is_pending());
    }
    peer.send(peer::go_away(0, 3, b"")).await;
    let told = CloseReason::Remote { code: ErrorCode(3), text: Bytes::new() };
    assert_eq!(stuttering(|| client.closed()).await, told);
    assert_eq!(once(client.closed()), Poll::Ready(told));
}
