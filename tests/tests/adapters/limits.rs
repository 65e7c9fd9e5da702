//! Many streams, and the limits on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use muxado_proto::task::ReadError;
use muxado_proto::{Config, ErrorCode, Role};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    RawPeer, Runtime, park, pipe, read_exact, read_to_end, write_all, yield_now,
};

use crate::{cause, suite};

suite! {
    a_thousand_streams_at_once,
    a_stream_beyond_the_backlog_is_refused_with_rst_9,
    a_stream_beyond_the_limit_is_refused_with_rst_5,
    opening_waits_at_the_limit,
    opening_waits_for_answers,
    handlers_that_a_peer_starts_and_resets_are_bounded,
}

async fn a_thousand_streams_at_once<R: Runtime>() {
    let (client, server) = R::pair(16 << 10, Config::default());
    let mut near = Vec::new();
    for number in 0..1000u32 {
        let mut stream = client.open().await.unwrap();
        write_all(&mut stream, &number.to_be_bytes()).await.unwrap();
        near.push(stream);
    }
    let mut far = Vec::new();
    for _ in 0..1000 {
        far.push(server.accept().await.unwrap());
    }
    assert_eq!(client.stats().open_streams, 1000);
    assert_eq!(server.stats().open_streams, 1000);
    let echoes: Vec<_> = far
        .into_iter()
        .map(|mut stream| {
            R::spawn(async move {
                let text = read_to_end(&mut stream).await.unwrap();
                write_all(&mut stream, &text.repeat(100)).await.unwrap();
            })
        })
        .collect();
    let readers: Vec<_> = near
        .into_iter()
        .map(|mut stream| {
            R::spawn(async move {
                stream.finish().unwrap();
                read_to_end(&mut stream).await.unwrap()
            })
        })
        .collect();
    for echo in echoes {
        echo.await;
    }
    for (number, reader) in (0..1000u32).zip(readers) {
        assert!(reader.await == number.to_be_bytes().repeat(100));
    }
    assert!(client.close().await.is_clean());
    assert_eq!((client.stats().open_streams, server.stats().open_streams), (0, 0));
}

async fn a_stream_beyond_the_backlog_is_refused_with_rst_9<R: Runtime>() {
    let config = Config::builder().accept_backlog(128).build().unwrap();
    let (client, server) = R::pair(16 << 10, config);
    let mut near = Vec::new();
    for number in 0..129 {
        // Streams that arrive in one input are checked together.
        while server.stats().backlog < number {
            yield_now().await;
        }
        let mut stream = client.open().await.unwrap();
        write_all(&mut stream, b"x").await.unwrap();
        near.push(stream);
    }
    let error = read_exact(&mut near[128], 1).await.unwrap_err();
    let expected = ReadError::Reset(ErrorCode::ACCEPT_QUEUE_FULL);
    assert_eq!(cause::<ReadError>(&error), Some(expected));
    for stream in &mut near[..128] {
        let mut far = server.accept().await.unwrap();
        assert_eq!(far.id(), stream.id());
        write_all(&mut far, b"welcome").await.unwrap();
        assert_eq!(read_exact(stream, 7).await.unwrap(), b"welcome");
    }
    assert_eq!(server.stats().streams_refused, 1);
    // There is room again.
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, b"x").await.unwrap();
    assert_eq!(server.accept().await.unwrap().id(), stream.id());
}

async fn a_stream_beyond_the_limit_is_refused_with_rst_5<R: Runtime>() {
    let config = Config::builder().max_inbound_streams(3).build().unwrap();
    let (client, server) = R::pair(16 << 10, config);
    let mut near = Vec::new();
    let mut far = Vec::new();
    for _ in 0..3 {
        let mut stream = client.open().await.unwrap();
        write_all(&mut stream, b"x").await.unwrap();
        far.push(server.accept().await.unwrap());
        near.push(stream);
    }
    let mut fourth = client.open().await.unwrap();
    write_all(&mut fourth, b"x").await.unwrap();
    let error = read_exact(&mut fourth, 1).await.unwrap_err();
    let expected = ReadError::Reset(ErrorCode::STREAM_REFUSED);
    assert_eq!(cause::<ReadError>(&error), Some(expected));
    drop((near, far));
}

async fn opening_waits_at_the_limit<R: Runtime>() {
    const TASKS: u32 = 50;
    let config = Config::builder().max_outbound_streams(3).build().unwrap();
    let (client, server) = R::pair(4096, config);
    let acceptor = R::spawn(async move {
        let mut most = 0;
        while let Ok(mut stream) = server.accept().await {
            most = most.max(server.stats().open_streams);
            read_to_end(&mut stream).await.unwrap();
        }
        most
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let client = client.clone();
            R::spawn(async move {
                for _ in 0..10 {
                    let mut stream = client.open().await.unwrap();
                    assert!(client.stats().open_streams <= 3);
                    write_all(&mut stream, b"quick").await.unwrap();
                    stream.finish().unwrap();
                    // Until the peer has finished, too.
                    assert!(read_to_end(&mut stream).await.unwrap().is_empty());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    assert_eq!(client.stats().streams_opened, u64::from(TASKS * 10));
    assert!(client.close().await.is_clean());
    assert!(acceptor.await <= 4);
}

async fn opening_waits_for_answers<R: Runtime>() {
    let config = Config::builder().max_unanswered_streams(Some(2)).build().unwrap();
    let (client, server) = R::pair(4096, config);
    let mut first = client.open().await.unwrap();
    let mut second = client.open().await.unwrap();
    write_all(&mut first, b"1").await.unwrap();
    write_all(&mut second, b"2").await.unwrap();
    // The server's application has not answered, although its session has received everything.
    let mut far = server.accept().await.unwrap();
    let _other = server.accept().await.unwrap();
    let opener = client.clone();
    let third = park::<R, _>(async move { opener.open().await.unwrap() }).await;
    assert_eq!(client.stats().open_streams, 2);
    write_all(&mut far, b"an answer").await.unwrap();
    drop(third.await);
    assert_eq!(read_exact(&mut first, 9).await.unwrap(), b"an answer");
}

/// A peer that resets each stream when its handler has started, or makes this side reset it.
async fn handlers_that_a_peer_starts_and_resets_are_bounded<R: Runtime>() {
    let ends: [fn(u32) -> Vec<u8>; 2] = [|id| peer::rst(id, 6), |id| peer::wnd_inc(id, 0)];
    for end in ends {
        let begun = Instant::now();
        let (near, far) = pipe(1 << 20);
        let server = R::session(near, Role::Server, Arc::default());
        let started = Arc::new(AtomicU64::new(0));
        let (accepting, starts) = (server.clone(), Arc::clone(&started));
        let handlers = R::spawn(async move {
            while let Ok(mut stream) = accepting.accept().await {
                starts.fetch_add(1, Ordering::SeqCst);
                drop(R::spawn(async move { read_to_end(&mut stream).await }));
            }
        });
        let mut attacker = RawPeer::new(far);
        for n in 0.. {
            let id = 3 + 2 * n;
            attacker.send(peer::syn(id, b"work")).await;
            while started.load(Ordering::SeqCst) <= u64::from(n) && server.close_reason().is_none()
            {
                yield_now().await;
            }
            if server.close_reason().is_some() {
                break;
            }
            attacker.send(end(id)).await;
        }
        drop(attacker);
        handlers.await;
        assert_eq!(server.closed().await.code(), ErrorCode::ENHANCE_YOUR_CALM);
        // The burst, and 33 for each second.
        let most = 1001 + 33 * (1 + begun.elapsed().as_secs());
        let started = started.load(Ordering::SeqCst);
        assert!((1000..=most).contains(&started), "{started}");
    }
}
