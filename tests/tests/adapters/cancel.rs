//! A future that is dropped loses nothing, for every async method.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use muxado_proto::{CloseReason, Config, ErrorCode, Role, StreamType};
use muxado_tests::peer;
use muxado_tests::runtime::{
    RawPeer, Runtime, pipe, read_exact, read_to_end, write_all, yield_now,
};

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

/// Runs `attempt` again and again, each time polled once and dropped, until one is ready.
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
    // Some wait, and those in front go away when it is their turn.
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(client.open())).collect();
    let mut context = Context::from_waker(Waker::noop());
    for waiter in &mut waiting {
        assert!(waiter.as_mut().poll(&mut context).is_pending());
    }
    let patient = client.clone();
    let patient = R::spawn(async move { patient.open().await.unwrap() });
    yield_now().await;
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
    let second = stuttering(|| client.open_typed(StreamType(3))).await.unwrap();
    assert_eq!(client.stats().open_streams, 1);
    assert_eq!(server.accept().await.unwrap().stream_type(), Some(StreamType(1)));
    assert_eq!(server.accept().await.unwrap().stream_type(), Some(StreamType(3)));
    drop(second);
}

async fn cancelled_accepts<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let opener = R::spawn(async move {
        for number in 0..100u32 {
            let mut stream = client.open().await.unwrap();
            write_all(&mut stream, &number.to_be_bytes()).await.unwrap();
        }
        client
    });
    // One that never waits long enough, and one that waits behind those that went away.
    let patient = server.clone();
    let patient = R::spawn(async move {
        let mut numbers = Vec::new();
        while let Ok(mut stream) = patient.accept().await {
            numbers.push(read_to_end(&mut stream).await.unwrap());
        }
        numbers
    });
    let mut numbers = Vec::new();
    for _ in 0..500 {
        let mut waiter = Box::pin(server.accept());
        if waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            // A stream that is not used is a stream all the same.
            continue;
        }
        yield_now().await;
        if let Poll::Ready(accepted) = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            numbers.push(read_to_end(&mut accepted.unwrap()).await.unwrap());
        }
    }
    let client = opener.await;
    assert!(client.close().await.is_clean());
    let unused = 100 - numbers.len() - {
        let others = patient.await;
        numbers.extend(others.iter().cloned());
        others.len()
    };
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len() + unused, 100);
    assert_eq!(server.stats().streams_accepted, 100);
    assert_eq!(server.stats().backlog, 0);
}

async fn cancelled_waits_for_the_next_stream<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let mut incoming = server.incoming();
    for _ in 0..10 {
        assert!(once(incoming.next_stream()).is_pending());
    }
    let mut near = client.open().await.unwrap();
    write_all(&mut near, b"for whoever waits").await.unwrap();
    let accepted = server.accept().await.unwrap();
    assert_eq!(accepted.id(), near.id());
    let mut near = client.open().await.unwrap();
    write_all(&mut near, b"next").await.unwrap();
    let next = loop {
        if let Poll::Ready(next) = once(incoming.next_stream()) {
            break next.unwrap();
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
            if let Poll::Ready(count) = once(far.read_some(&mut buf)) {
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
        // Whatever a future that was dropped had taken would be there twice.
        match once(near.write_some(&rest[..size.min(rest.len())])) {
            Poll::Ready(count) => rest = &rest[count.unwrap()..],
            Poll::Pending => yield_now().await,
        }
    }
    drop(near);
    assert!(reader.await == text);
}

async fn cancelled_chunk_writes<R: Runtime>() {
    let config = Config::builder().send_buffer(1000).build().unwrap();
    let (client, server) = R::pair(100, config);
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let reader = R::spawn(async move { read_to_end(&mut far).await.unwrap() });
    let text = text(50_000);
    // The documented way to know how much was taken: the chunk keeps the rest.
    let mut chunk = Bytes::from(text.clone());
    while !chunk.is_empty() {
        let context = Context::from_waker(Waker::noop());
        match near.poll_write_chunk(&context, &mut chunk) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => yield_now().await,
        }
    }
    // A future that is dropped has taken a front part, and nothing else.
    let lost = Bytes::from(vec![b'!'; 50_000]);
    let cancelled = once(near.write_chunk(lost));
    assert!(cancelled.is_pending());
    drop(near);
    let received = reader.await;
    assert!(received.starts_with(&text));
    let tail = &received[text.len()..];
    assert!(tail.len() < 50_000 && tail.iter().all(|byte| *byte == b'!'));
}

async fn cancelled_pings<R: Runtime>() {
    let config = Config::builder().typed(true).build().unwrap();
    let (client, _server) = R::pair(4096, config);
    for _ in 0..10 {
        assert!(once(client.ping()).is_pending());
    }
    let rtt = client.ping().await.unwrap();
    assert!(client.rtt().is_some());
    let others: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            R::spawn(async move { client.ping().await.unwrap() })
        })
        .collect();
    drop(once(client.ping()));
    for other in others {
        let _any = other.await;
    }
    let _any = rtt;
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
