//! Other functions of the adapters.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use futures_util::StreamExt;
use muxado_proto::task::{OpenError, ReadError, WriteError};
use muxado_proto::{CloseReason, Config, ErrorCode, Priority, Role};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    RawPeer, Runtime, Writer, pipe, read_exact, read_to_end, write_all, yield_now,
};
use muxado_tests::vectors::Frame;

use crate::{streams, suite};

suite! {
    the_peers_streams_as_a_sequence,
    peeking_takes_nothing,
    vectored_writes_keep_their_order,
    a_more_urgent_stream_goes_first,
    an_urgent_stream_overtakes_what_is_not_sent_yet,
    figures_of_session_and_stream,
    addresses_of_tcp_and_of_nothing,
    sessions_over_tcp,
    stopping_lets_the_peer_go_on,
    errors_keep_kind_and_source,
    handles_are_shared_between_threads,
}

async fn the_peers_streams_as_a_sequence<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let mut incoming = server.incoming();
    let mut ids = Vec::new();
    for _ in 0..10 {
        let mut stream = client.open().await.unwrap();
        write_all(&mut stream, b"x").await.unwrap();
        ids.push(stream.id());
        assert_eq!(
            incoming.next().await.unwrap().map(|stream| stream.id()).ok(),
            ids.last().copied()
        );
    }
    client.abort(ErrorCode::NO_ERROR, "");
    let reason = server.closed().await;
    assert_eq!(incoming.next().await.unwrap().unwrap_err(), reason);
    assert!(incoming.next().await.is_none());
}

async fn peeking_takes_nothing<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(far.peek(&mut buf), 0);
    write_all(&mut near, b"look at this").await.unwrap();
    while far.stats().receive_buffered < 12 {
        yield_now().await;
    }
    for _ in 0..2 {
        let count = far.peek(&mut buf);
        assert_eq!(&buf[..count], b"look at this");
    }
    assert_eq!(read_exact(&mut far, 5).await.unwrap(), b"look ");
    let count = far.peek(&mut buf[..2]);
    assert_eq!(&buf[..count], b"at");
}

async fn vectored_writes_keep_their_order<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let reader = R::spawn(async move { read_to_end(&mut far).await.unwrap() });
    let mut expected = Vec::new();
    for round in 0..30usize {
        let parts: Vec<Vec<u8>> =
            (0..5).map(|part| vec![b'a' + part; usize::from(part) * round * round * 40]).collect();
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let whole = parts.concat();
        let count = near.send_vectored(&slices).await.unwrap();
        assert!(count > 0 || whole.is_empty());
        expected.extend_from_slice(&whole[..count]);
    }
    drop(near);
    assert!(reader.await == expected);
}

/// Reads DATA until `total` bytes of payload have arrived. Returns (stream, bytes) in order;
/// adjacent frames of one stream are joined.
async fn hear(peer: &mut RawPeer, total: usize) -> Vec<(u32, usize)> {
    let (mut heard, mut left) = (Vec::<(u32, usize)>::new(), total);
    while left > 0 {
        let frame = peer.find(|frame| frame.kind() == Frame::DATA).await;
        let (id, length) = (frame.id(), frame.payload.len());
        match heard.last_mut().filter(|(last, _)| *last == id) {
            Some((_, before)) => *before += length,
            None => heard.push((id, length)),
        }
        left = left.saturating_sub(length);
    }
    heard
}

async fn a_more_urgent_stream_goes_first<R: Runtime>() {
    let (near, far) = pipe(4096);
    let (client, driver) = R::with_driver(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    let mut low = client.open().await.unwrap();
    let mut plain = client.open().await.unwrap();
    let mut urgent = client.open().await.unwrap();
    low.set_priority(Priority::LOWEST);
    urgent.set_priority(Priority::HIGHEST);
    // Written in the wrong order before anything is sent, but sent in the right order.
    write_all(&mut low, &[0; 100_000]).await.unwrap();
    write_all(&mut plain, &[0; 60_000]).await.unwrap();
    write_all(&mut urgent, &[0; 40_000]).await.unwrap();
    drop(R::spawn(driver));
    let expected = [(7, 40_000), (5, 60_000), (3, 100_000)];
    assert_eq!(hear(&mut peer, 200_000).await, expected);
}

async fn an_urgent_stream_overtakes_what_is_not_sent_yet<R: Runtime>() {
    const BULK: usize = 500_000;
    let (near, far) = pipe(4096);
    let config = Config::builder().send_window(1 << 20).send_buffer(1 << 20).build().unwrap();
    let client = R::session(near, Role::Client, Arc::new(config));
    let mut peer = RawPeer::new(far);
    let mut bulk = client.open().await.unwrap();
    let mut other = client.open().await.unwrap();
    other.set_priority(Priority::LOWEST);
    write_all(&mut bulk, &[0; BULK]).await.unwrap();
    // Nothing is sent for a stream that has to wait.
    write_all(&mut other, b"now").await.unwrap();
    let begin = hear(&mut peer, 1).await;
    assert_eq!(begin[0].0, 3);
    // With a higher priority it is sent before everything that was not yet cut into frames.
    other.set_priority(Priority::HIGHEST);
    let heard = hear(&mut peer, BULK + 3 - begin[0].1).await;
    let (before, behind) = match *heard.as_slice() {
        [(3, before), (5, 3), (3, behind)] => (before, behind),
        [(5, 3), (3, behind)] => (0, behind),
        _ => panic!("{heard:?}"),
    };
    // The first frame, and one batch of 16 frames.
    assert!(begin[0].1 + before <= 17 * 16_360, "{before} bytes before, {behind} behind");
}

async fn figures_of_session_and_stream<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let mut near = client.open().await.unwrap();
    write_all(&mut near, b"hello").await.unwrap();
    // Nothing is read, so no WNDINC comes back, which would count as well.
    let mut far = server.accept().await.unwrap();
    write_all(&mut far, &[0; 1000]).await.unwrap();
    while near.stats().receive_buffered < 1000 {
        yield_now().await;
    }
    let stats = client.stats();
    assert_eq!((stats.streams_opened, stats.open_streams), (1, 1));
    assert_eq!((stats.payload_sent, stats.payload_received), (5, 1000));
    assert_eq!((stats.receive_buffered, stats.send_buffered), (1000, 0));
    assert_eq!(stats.bytes_received, 1008);
    let stats = near.stats();
    assert_eq!((stats.send_credit, stats.receive_credit), (262_139, 261_144));
    assert_eq!(server.stats().streams_accepted, 1);
    assert_eq!((client.role(), server.role()), (Role::Client, Role::Server));
    assert_eq!(*client.config(), Config::default());
    near.finish().unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"hello");
}

async fn addresses_of_tcp_and_of_nothing<R: Runtime>() {
    let addresses = |session: &R::Session| (session.local_addr(), session.peer_addr());
    let (client, server) = R::tcp(Arc::new(Config::default())).await.unwrap();
    let (local, peer) = addresses(&client);
    assert!(local.is_some() && peer.is_some());
    assert_eq!(addresses(&server), (peer, local));
    let (client, _server) = R::pair(16, Config::default());
    assert_eq!(addresses(&client), (None, None));
}

async fn sessions_over_tcp<R: Runtime>() {
    let (client, server) = R::tcp(Arc::new(Config::default())).await.unwrap();
    let echo = R::spawn(async move {
        while let Ok(mut stream) = server.accept().await {
            drop(R::spawn(async move {
                let text = read_to_end(&mut stream).await.unwrap();
                write_all(&mut stream, &text).await.unwrap();
            }));
        }
        server.close().await
    });
    let tasks: Vec<_> = (0..50usize)
        .map(|number| {
            let client = client.clone();
            R::spawn(async move {
                let text = vec![number.to_le_bytes()[0]; number * 5000];
                let mut stream = client.open().await.unwrap();
                write_all(&mut stream, &text).await.unwrap();
                stream.half_close().await.unwrap();
                assert!(read_to_end(&mut stream).await.unwrap() == text);
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    assert!(client.close().await.is_clean());
    assert!(echo.await.is_clean());
}

async fn stopping_lets_the_peer_go_on<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.stop();
    write_all(&mut far, &vec![0; 1_000_000]).await.unwrap();
    write_all(&mut near, b"not interested").await.unwrap();
    assert_eq!(read_exact(&mut far, 14).await.unwrap(), b"not interested");
}

async fn errors_keep_kind_and_source<R: Runtime>() {
    use std::error::Error;
    let (client, server) = R::pair(4096, Config::default());
    let (near, _far) = streams::<R>(&client, &server).await.unwrap();
    server.abort(ErrorCode(7), "over");
    let reason = client.closed().await;
    let (mut recv, mut send) = R::split(near);
    let error = read_exact(&mut recv, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ReadError>()).unwrap();
    let source = inner.source().and_then(|source| source.downcast_ref::<CloseReason>());
    assert_eq!(source, Some(&reason));
    let error = send.send(b"x").await.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<WriteError>()).unwrap();
    let source = inner.source().and_then(|source| source.downcast_ref::<CloseReason>());
    assert_eq!(source, Some(&reason));
    let error = client.open().await.unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<CloseReason>());
    assert_eq!(source, Some(&reason));
    assert_eq!(std::io::Error::from(error).kind(), ErrorKind::ConnectionAborted);
    let error = client.accept().await.unwrap_err();
    assert_eq!(error, reason);
    assert_eq!(std::io::Error::from(error).kind(), ErrorKind::ConnectionAborted);
    assert_eq!(std::io::Error::from(OpenError::GoingAway).kind(), ErrorKind::ConnectionAborted);
}

async fn handles_are_shared_between_threads<R: Runtime>() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<R::Session>();
    fn moved<T: Send + 'static>() {}
    moved::<R::Stream>();
    moved::<R::RecvHalf>();
    moved::<R::SendHalf>();
    moved::<R::Incoming>();
    let (client, server) = R::pair(4096, Config::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (client, server) = (client.clone(), server.clone());
            std::thread::spawn(move || (client.stats(), server.stats(), drop((client, server))))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let (_near, _far) = streams::<R>(&client, &server).await.unwrap();
}
