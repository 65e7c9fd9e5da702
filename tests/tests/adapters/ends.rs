//! The end of a session, graceful or not: all waiters learn the same cause.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures_util::StreamExt as _;
use muxado_proto::task::{OpenError, PingError, ReadError, WriteError};
use muxado_proto::{CloseReason, Config, CutBy, ErrorCode, Role, StreamType};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Fault, Faults, RawPeer, Runtime, Task, Writer, park, pipe, read_exact, read_more, read_to_end,
    write_all, yield_now,
};
use muxado_tests::vectors::Frame;

use crate::{cause, streams, suite};

suite! {
    a_goaway_and_the_end_wake_everybody,
    the_end_of_the_transport_wakes_everybody,
    a_failing_transport_wakes_everybody,
    an_abort_wakes_everybody,
    a_violation_wakes_everybody,
    both_ends_abort,
    the_cause_is_told_with_code_and_text,
    closing_under_load_loses_nothing,
    closing_while_the_peer_sends_loses_nothing,
    both_ends_close_at_once,
    going_away_lets_streams_finish,
    closing_has_a_time_limit,
    what_arrived_is_read_after_the_end,
    a_session_that_ended_says_so_to_late_comers,
}

/// Waiters of every kind on a session, and the results that they get.
struct Waiters {
    reader: Task<io::Error>,
    writer: Task<io::Error>,
    opener: Task<OpenError>,
    acceptor: Task<CloseReason>,
    sequence: Task<Vec<CloseReason>>,
    pinger: Task<PingError>,
    closed: [Task<CloseReason>; 2],
}

impl Waiters {
    /// Waiters of every kind on a typed session that may open one stream. Its peer grants nothing
    /// and answers nothing. When this returns, all of them wait, and all output was written.
    async fn start<R: Runtime>(session: &R::Session, peer: &mut RawPeer) -> Self {
        let stream = session.open_typed(StreamType(1)).await.unwrap();
        let (mut recv, mut send) = R::split(stream);
        let each = || session.clone();
        let (opener, acceptor, pinger) = (each(), each(), each());
        let (first, second) = (each(), each());
        let mut incoming = session.incoming();
        let waiters = Self {
            reader: park::<R, _>(async move { read_exact(&mut recv, 1).await.unwrap_err() }).await,
            writer: R::spawn(async move {
                loop {
                    if let Err(error) = send.send(&[0; 10_000]).await {
                        return error;
                    }
                }
            }),
            opener: park::<R, _>(
                async move { opener.open_typed(StreamType(2)).await.unwrap_err() },
            )
            .await,
            acceptor: park::<R, _>(async move { acceptor.accept().await.unwrap_err() }).await,
            sequence: park::<R, _>(async move {
                let mut ends = Vec::new();
                while let Some(next) = incoming.next().await {
                    ends.push(next.unwrap_err());
                }
                ends
            })
            .await,
            pinger: park::<R, _>(async move { pinger.ping().await.unwrap_err() }).await,
            closed: [
                park::<R, _>(async move { first.closed().await }).await,
                park::<R, _>(async move { second.closed().await }).await,
            ],
        };
        // The window is used up, and the beat was sent.
        let (mut payload, mut beat) = (0, 0);
        while payload < 262_144 || beat < 8 {
            let frame = peer.frame().await.unwrap().unwrap();
            *(if frame.id() == 3 { &mut payload } else { &mut beat }) += frame.payload.len();
        }
        // The writer fills the send buffer, and then it waits as well, until half of the buffer is
        // free; that never happens.
        while session.stats().send_buffered <= 131_072 {
            yield_now().await;
        }
        waiters
    }

    /// Asserts that all of them learn this cause.
    async fn learn(self, reason: &CloseReason) {
        for closed in self.closed {
            assert_eq!(&closed.await, reason);
        }
        let expected = ReadError::SessionClosed(reason.clone());
        assert_eq!(cause::<ReadError>(&self.reader.await), Some(expected));
        let expected = WriteError::SessionClosed(reason.clone());
        assert_eq!(cause::<WriteError>(&self.writer.await), Some(expected));
        let opener = self.opener.await;
        if !matches!(reason, CloseReason::Remote { .. }) {
            assert_eq!(opener, OpenError::SessionClosed(reason.clone()));
        }
        assert_eq!(&self.acceptor.await, reason);
        assert_eq!(self.pinger.await, PingError::SessionClosed(reason.clone()));
        assert_eq!(&self.sequence.await, std::slice::from_ref(reason));
    }
}

fn typed() -> Arc<Config> {
    Arc::new(Config::builder().typed(true).max_outbound_streams(1).build().unwrap())
}

/// A client whose peer is the test.
fn scripted<R: Runtime>() -> (R::Session, RawPeer) {
    let (near, far) = pipe(1 << 20);
    (R::session(near, Role::Client, typed()), RawPeer::new(far))
}

async fn a_goaway_and_the_end_wake_everybody<R: Runtime>() {
    let (client, mut peer) = scripted::<R>();
    let waiters = Waiters::start::<R>(&client, &mut peer).await;
    peer.send(peer::go_away(u32::MAX >> 1, 77, b"enough")).await;
    drop(peer);
    let reason = CloseReason::Remote { code: ErrorCode(77), text: "enough".into() };
    waiters.learn(&reason).await;
}

async fn the_end_of_the_transport_wakes_everybody<R: Runtime>() {
    let (client, mut peer) = scripted::<R>();
    let waiters = Waiters::start::<R>(&client, &mut peer).await;
    drop(peer);
    waiters.learn(&CloseReason::TransportEof).await;
}

async fn a_failing_transport_wakes_everybody<R: Runtime>() {
    let (near, far) = pipe(1 << 20);
    let faults = Faults { read: Some((8, Fault::Error)), ..Faults::default() };
    let client = R::session(faults.spoil(near), Role::Client, typed());
    let mut peer = RawPeer::new(far);
    let waiters = Waiters::start::<R>(&client, &mut peer).await;
    peer.send([0, 0, 0, 0xf0, 0, 0, 0, 0]).await;
    let reason = client.closed().await;
    assert_eq!(reason.to_string(), "transport failed: spoiled");
    let source = reason.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(ErrorKind::Other));
    waiters.learn(&reason).await;
    let error = client.transport_error().expect("it is kept");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Other, "spoiled"));
}

async fn an_abort_wakes_everybody<R: Runtime>() {
    let (client, mut peer) = scripted::<R>();
    let waiters = Waiters::start::<R>(&client, &mut peer).await;
    client.abort(ErrorCode(5), "stop");
    waiters.learn(&CloseReason::Local { code: ErrorCode(5) }).await;
    let goaway = peer.find(|frame| frame.kind() == Frame::GOAWAY).await;
    assert_eq!(goaway.word(4), 5);
    assert!(goaway.to_bytes().ends_with(b"stop"));
}

async fn a_violation_wakes_everybody<R: Runtime>() {
    let (client, mut peer) = scripted::<R>();
    let waiters = Waiters::start::<R>(&client, &mut peer).await;
    peer.send(peer::data(0, b"x")).await;
    let reason = client.closed().await;
    assert_eq!(reason.code(), ErrorCode::PROTOCOL);
    assert!(matches!(reason, CloseReason::Violation { .. }), "{reason:?}");
    waiters.learn(&reason).await;
}

async fn both_ends_abort<R: Runtime>() {
    let (client, server) = R::pair(16, Config::default());
    client.abort(ErrorCode(1), "one");
    server.abort(ErrorCode(2), "two");
    let told = CloseReason::Remote { code: ErrorCode(2), text: "two".into() };
    let own = CloseReason::Local { code: ErrorCode(1) };
    assert!([told, own].contains(&client.close().await));
    // The first GOAWAY may have arrived before the second was sent.
    let told = CloseReason::Remote { code: ErrorCode(1), text: "one".into() };
    let own = CloseReason::Local { code: ErrorCode(2) };
    assert!([told, own].contains(&server.close().await));
}

async fn the_cause_is_told_with_code_and_text<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    client.abort(ErrorCode(0xdead_beef), "goodbye");
    let told = CloseReason::Remote { code: ErrorCode(0xdead_beef), text: "goodbye".into() };
    assert_eq!(server.closed().await, told);
    let error = read_exact(&mut far, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(cause::<ReadError>(&error), Some(ReadError::SessionClosed(told)));
    let own = CloseReason::Local { code: ErrorCode(0xdead_beef) };
    let error = near.send(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(cause::<WriteError>(&error), Some(WriteError::SessionClosed(own)));
}

/// Opens 300 streams with data on them, more than buffers and pipe hold.
async fn load<R: Runtime>(client: &R::Session, server: &R::Session) -> [Vec<R::Stream>; 2] {
    let mut ends = [Vec::new(), Vec::new()];
    for _ in 0..300 {
        let (near, far) = streams::<R>(client, server).await.unwrap();
        ends[0].push(near);
        ends[1].push(far);
    }
    ends
}

fn text(number: usize) -> Vec<u8> {
    (0..10_000 + number * 10).map(|place| (place * 7 + number).to_le_bytes()[0]).collect()
}

async fn closing_under_load_loses_nothing<R: Runtime>() {
    let (client, server) = R::pair(1024, Config::default());
    let [near, far] = load::<R>(&client, &server).await;
    let readers: Vec<_> = far
        .into_iter()
        .map(|mut stream| R::spawn(async move { read_to_end(&mut stream).await }))
        .collect();
    for (number, mut stream) in near.into_iter().enumerate() {
        write_all(&mut stream, &text(number)).await.unwrap();
    }
    // Every stream was dropped with most of its data unsent.
    assert!(client.close().await.is_clean());
    for (number, reader) in readers.into_iter().enumerate() {
        assert!(reader.await.expect("a whole stream") == text(number));
    }
    assert!(server.closed().await.is_clean());
}

async fn closing_while_the_peer_sends_loses_nothing<R: Runtime>() {
    let (client, server) = R::pair(1024, Config::default());
    let [near, far] = load::<R>(&client, &server).await;
    let writers: Vec<_> = near
        .into_iter()
        .enumerate()
        .map(|(number, mut stream)| {
            R::spawn(async move { write_all(&mut stream, &text(number)).await })
        })
        .collect();
    let closer = server.clone();
    let closer = R::spawn(async move { closer.close().await });
    for (number, mut stream) in far.into_iter().enumerate() {
        assert!(read_to_end(&mut stream).await.expect("a whole stream") == text(number));
    }
    for writer in writers {
        writer.await.expect("all was taken");
    }
    assert!(closer.await.is_clean());
    assert!(client.closed().await.is_clean());
}

async fn both_ends_close_at_once<R: Runtime>() {
    let (client, server) = R::pair(16, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let closers = [&client, &server].map(|session| {
        let session = session.clone();
        R::spawn(async move { session.close().await })
    });
    write_all(&mut near, b"there").await.unwrap();
    write_all(&mut far, b"back").await.unwrap();
    near.finish().unwrap();
    far.finish().unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"there");
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"back");
    drop((near, far));
    for closer in closers {
        assert!(closer.await.is_clean());
    }
}

async fn going_away_lets_streams_finish<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    server.go_away(ErrorCode::NO_ERROR, "restart");
    // The client learns of it when it can open no more streams.
    while client.open().await.is_ok() {
        yield_now().await;
    }
    assert_eq!(client.open().await.unwrap_err(), OpenError::GoingAway);
    assert_eq!(server.open().await.unwrap_err(), OpenError::GoingAway);
    write_all(&mut near, b"going on").await.unwrap();
    assert_eq!(read_exact(&mut far, 8).await.unwrap(), b"going on");
    assert_eq!((client.close_reason(), server.close_reason()), (None, None));
    drop((near, far));
    let told = CloseReason::Remote { code: ErrorCode::NO_ERROR, text: "restart".into() };
    assert_eq!(client.closed().await, told);
    assert!(server.closed().await.is_clean());
}

async fn closing_has_a_time_limit<R: Runtime>() {
    let limit = std::time::Duration::from_millis(20);
    let config = Config::builder().drain_timeout(limit).linger_timeout(limit).build().unwrap();
    let (near, far) = pipe(4096);
    let client = R::session(near, Role::Client, Arc::new(config));
    let mut peer = RawPeer::new(far);
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, b"never finished").await.unwrap();
    // The stream stays open, and the peer does not end its side either.
    let reason = client.close().await;
    assert_eq!(reason, CloseReason::Cut { streams: 1, by: CutBy::Time });
    let told = peer.find(|frame| frame.kind() == Frame::GOAWAY && frame.word(4) != 0).await;
    assert_eq!(told.word(4), ErrorCode::WRITE_TIMEOUT.0);
    assert!(told.to_bytes().ends_with(b"1 stream was cut: not finished in time"));
    let error = stream.send(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

async fn what_arrived_is_read_after_the_end<R: Runtime>() {
    let (near, far) = pipe(1 << 20);
    let server = R::session(near, Role::Server, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    peer.send(peer::syn(3, b"whole")).await;
    peer.send(peer::fin(3)).await;
    peer.send(peer::syn(5, b"torn")).await;
    drop(peer);
    assert_eq!(server.closed().await, CloseReason::TransportEof);
    let mut whole = server.accept().await.unwrap();
    assert_eq!(read_to_end(&mut whole).await.unwrap(), b"whole");
    let mut torn = server.accept().await.unwrap();
    let mut bytes = Vec::new();
    let error = read_more(&mut torn, &mut bytes).await.unwrap_err();
    assert_eq!(bytes, b"torn");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(server.accept().await.unwrap_err(), CloseReason::TransportEof);
}

async fn a_session_that_ended_says_so_to_late_comers<R: Runtime>() {
    let (client, server) = R::pair(64, Config::default());
    let reason = client.close().await;
    assert!(reason.is_clean());
    assert_eq!(client.close().await, reason);
    assert_eq!(client.closed().await, reason);
    assert_eq!(client.open().await.unwrap_err(), OpenError::SessionClosed(reason.clone()));
    assert_eq!(client.accept().await.unwrap_err(), reason);
    assert_eq!(client.ping().await.unwrap_err(), PingError::SessionClosed(reason));
    client.go_away(ErrorCode::NO_ERROR, "");
    client.abort(ErrorCode::INTERNAL, "");
    assert!(server.closed().await.is_clean());
}
