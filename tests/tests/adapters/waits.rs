//! How long a peer can make this side wait, and by what that is bounded.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use muxado_proto::task::ReadError;
use muxado_proto::{CloseReason, Config, ConfigBuilder, CutBy, ErrorCode, Role};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Io, RawPeer, Runtime, Task, Wire, Writer, park, pipe, read_exact, read_to_end, write_all,
    yield_now,
};
use muxado_tests::vectors::Frame;

use crate::{cause, refused_beside_one_in_use, streams, suite};

suite! {
    l9_streams_that_only_the_peer_has_are_visible,
    l9_streams_that_only_the_peer_has_end_after_a_time,
    l10_the_end_that_was_told_does_not_hurry,
    l10_a_session_whose_peer_went_away_and_fell_silent_ends,
    l11_a_close_is_bounded_in_sum,
    l11_an_abort_is_bounded_in_bytes,
    l11_an_abort_is_bounded_in_time,
    l13_a_stream_opened_in_the_turn_in_which_the_peer_closes_is_refused,
    l13_a_stream_opened_in_the_turn_in_which_the_peer_drops_its_session_is_refused,
}

/// No test waits for it.
const NEVER: Duration = Duration::from_secs(3600);

/// Short enough that a test can wait for it.
const SOON: Duration = Duration::from_millis(20);

/// A client whose peer is the test.
fn client<R: Runtime>(config: ConfigBuilder) -> (R::Session, RawPeer) {
    let (near, far) = pipe(4096);
    let config = config.build().expect("valid");
    (R::session(near, Role::Client, Arc::new(config)), RawPeer::new(far))
}

/// Opens eight streams and gives them up. The peer reads everything and ends none. Returns their ids,
/// and those of the streams that were reset meanwhile.
async fn give_up_eight<R: Runtime>(client: &R::Session, peer: &mut RawPeer) -> [Vec<u32>; 2] {
    let (mut ids, mut reset) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let mut stream = client.open().await.expect("fewer than eight are open");
        write_all(&mut stream, b"?").await.expect("a new stream takes data");
        ids.push(stream.id().get());
        drop(stream);
        loop {
            let frame = peer.find(|frame| frame.is_fin() || frame.kind() == Frame::RST).await;
            if frame.is_fin() {
                break;
            }
            reset.push(frame.id());
        }
    }
    [ids, reset]
}

async fn l9_streams_that_only_the_peer_has_are_visible<R: Runtime>() {
    let config = Config::builder().max_outbound_streams(8).given_up_timeout(NEVER);
    let (client, mut peer) = client::<R>(config);
    let [ids, reset] = give_up_eight::<R>(&client, &mut peer).await;
    assert!(reset.is_empty());
    while client.stats().given_up_streams < 8 {
        yield_now().await;
    }
    assert_eq!(client.stats().open_streams, 8);
    let opener = client.clone();
    let opener = park::<R, _>(async move { opener.open().await.map(drop) }).await;
    // The peer ends one of them, and makes room.
    peer.send(peer::fin(ids[5])).await;
    assert_eq!(opener.await, Ok(()));
    assert_eq!(client.stats().given_up_streams, 7);
}

async fn l9_streams_that_only_the_peer_has_end_after_a_time<R: Runtime>() {
    let config = Config::builder().max_outbound_streams(8).given_up_timeout(SOON);
    let (client, mut peer) = client::<R>(config);
    let [mut ids, mut reset] = give_up_eight::<R>(&client, &mut peer).await;
    // It waits until the first of them has ended.
    let mut late = client.open().await.expect("a place is made");
    write_all(&mut late, b"late").await.expect("a new stream takes data");
    while reset.len() < 8 {
        let frame = peer.find(|frame| frame.kind() == Frame::RST).await;
        assert_eq!(frame.word(0), ErrorCode::STREAM_CLOSED.0);
        reset.push(frame.id());
    }
    ids.sort_unstable();
    reset.sort_unstable();
    assert_eq!(ids, reset);
    while client.stats().given_up_streams > 0 {
        yield_now().await;
    }
    // The one in use has no such limit.
    peer.send(peer::data_fin(late.id().get(), b"answer")).await;
    assert_eq!(read_to_end(&mut late).await.unwrap(), b"answer");
}

/// A session that this side closes, and whose stream never ends; returns when its time is over.
async fn a_drain_of_its_own<R: Runtime>(config: ConfigBuilder) {
    let (client, _peer) = client::<R>(config);
    let mut stream = client.open().await.expect("a stream can be opened");
    write_all(&mut stream, b"never ends").await.expect("a new stream takes data");
    assert_eq!(client.close().await, CloseReason::Cut { streams: 1, by: CutBy::Time });
}

async fn l10_the_end_that_was_told_does_not_hurry<R: Runtime>() {
    let hasty = Config::builder().drain_timeout(SOON).linger_timeout(SOON);
    let (client, mut peer) = client::<R>(hasty.clone());
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, b"request").await.unwrap();
    assert_eq!(peer.hear().await, "DATA id=3 len=7 SYN");
    peer.send(peer::go_away(3, 0, b"restart")).await;
    client.going_away().await.unwrap();
    // A drain with the same settings, which begins later, is over.
    a_drain_of_its_own::<R>(hasty).await;
    assert_eq!(client.close_reason(), None);
    peer.send(peer::data_fin(3, b"the answer")).await;
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"the answer");
    drop(stream);
    peer.find(Frame::is_fin).await;
    drop(peer);
    let told = CloseReason::Remote { code: ErrorCode::NO_ERROR, text: "restart".into() };
    assert_eq!(client.closed().await, told);
}

async fn l10_a_session_whose_peer_went_away_and_fell_silent_ends<R: Runtime>() {
    let config = Config::builder().drain_timeout(SOON).drain_limit(SOON).linger_timeout(SOON);
    let (client, mut peer) = client::<R>(config);
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, b"request").await.unwrap();
    assert_eq!(peer.hear().await, "DATA id=3 len=7 SYN");
    peer.send(peer::go_away(3, 0, b"soon")).await;
    assert_eq!(client.closed().await, CloseReason::Cut { streams: 1, by: CutBy::Time });
    assert!(read_exact(&mut stream, 1).await.is_err());
}

/// A peer that reads everything and grants credit for all of it; returns at the end.
async fn a_generous_reader(mut peer: RawPeer) -> Vec<Frame> {
    let mut last = Vec::new();
    while let Ok(Some(frame)) = peer.frame().await {
        let count = u32::try_from(frame.payload.len()).expect("a frame");
        if frame.kind() == Frame::DATA && count > 0 {
            peer.send(peer::wnd_inc(frame.id(), count)).await;
        } else {
            last.push(frame);
        }
    }
    last
}

async fn l11_a_close_is_bounded_in_sum<R: Runtime>() {
    let config = Config::builder().drain_timeout(SOON).drain_limit(2 * SOON);
    let (client, mut peer) = client::<R>(config.linger_timeout(NEVER));
    let mut stream = client.open().await.unwrap();
    stream.announce().unwrap();
    assert_eq!(peer.hear().await, "DATA id=3 len=0 SYN");
    // The drain makes progress all the time.
    let writer = R::spawn(async move {
        loop {
            if let Err(error) = stream.send(&[7; 1000]).await {
                return error;
            }
        }
    });
    let reader = R::spawn(a_generous_reader(peer));
    assert_eq!(client.close().await, CloseReason::Cut { streams: 1, by: CutBy::Time });
    assert_eq!(writer.await.kind(), std::io::ErrorKind::TimedOut);
    // The reader, who was there to the end, knows that it was cut.
    let told = reader.await;
    let told = told.iter().rfind(|frame| frame.kind() == Frame::GOAWAY).expect("a GOAWAY");
    assert_eq!(told.word(4), ErrorCode::WRITE_TIMEOUT.0);
}

/// Aborts a session with waiters, which learn of it at once. Returns the peer's end, and what lives
/// as long as the session's end.
async fn aborted<R: Runtime>(config: ConfigBuilder) -> (Io, Weak<()>) {
    let (near, far) = pipe(4096);
    let held = near.token();
    let config = Arc::new(config.build().expect("valid"));
    let client = R::session(near, Role::Client, config);
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, &[7; 200_000]).await.unwrap();
    let (accepting, closing) = (client.clone(), client.clone());
    let reader: Task<_> =
        park::<R, _>(async move { read_exact(&mut stream, 1).await.unwrap_err() }).await;
    let acceptor = park::<R, _>(async move { accepting.accept().await.unwrap_err() }).await;
    let closing = park::<R, _>(async move { closing.closed().await }).await;
    client.abort(ErrorCode::INTERNAL, "");
    // The peer has read nothing.
    let reason = CloseReason::Local { code: ErrorCode::INTERNAL };
    assert_eq!((closing.await, acceptor.await), (reason.clone(), reason.clone()));
    let error = cause::<ReadError>(&reader.await);
    assert_eq!(error, Some(ReadError::SessionClosed(reason)));
    (far, held)
}

async fn l11_an_abort_is_bounded_in_bytes<R: Runtime>() {
    let (mut far, held) = aborted::<R>(Config::builder().linger_timeout(NEVER)).await;
    // The peer goes on and on, and does not read. One window is discarded, and then the transport
    // takes no more than what one read and the pipe hold.
    let flood = [7; 1000];
    let mut pushed = 0;
    poll_fn(|cx| {
        while let Poll::Ready(count) = Wire::poll_write(&mut far, cx, &flood) {
            pushed += count.expect("the session's end is there");
        }
        if pushed >= 262_144 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // Now it reads, and learns why.
    let mut heard = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(count @ 1..) = far.read(&mut buf).await {
        heard.extend_from_slice(&buf[..count]);
    }
    let frames: Vec<Frame> = std::iter::from_fn(|| Frame::take(&mut heard)).collect();
    let told = frames.iter().find(|frame| frame.kind() == Frame::GOAWAY).expect("a GOAWAY");
    assert_eq!(told.word(4), ErrorCode::INTERNAL.0);
    // What it sends after that soon ends the transport, whatever the time limit is.
    while far.write_all(&flood).await.is_ok() {
        pushed += flood.len();
    }
    while held.strong_count() > 0 {
        yield_now().await;
    }
    assert!(pushed <= 262_144 + (64 << 10) + 4096 + flood.len(), "{pushed}");
}

async fn l11_an_abort_is_bounded_in_time<R: Runtime>() {
    let (mut far, held) = aborted::<R>(Config::builder().linger_timeout(SOON)).await;
    // The peer neither reads nor writes, and keeps its end open.
    while held.strong_count() > 0 {
        yield_now().await;
    }
    let mut rest = 0;
    while let Ok(count @ 1..) = far.read(&mut [0; 512]).await {
        rest += count;
    }
    assert!(rest <= 4096, "more than the pipe holds: {rest}");
}

async fn l13_a_stream_opened_in_the_turn_in_which_the_peer_closes_is_refused<R: Runtime>() {
    let config = Config::builder().drain_timeout(NEVER).drain_limit(NEVER).linger_timeout(NEVER);
    // However long this task waits for a processor, the client does not know yet.
    let config = config.announce_close(false);
    let (client, server) = R::pair(4096, config.build().unwrap());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let closer = server.clone();
    let closer = park::<R, _>(async move { closer.close().await }).await;
    let mut late = client.open().await.expect("the client does not know yet");
    write_all(&mut late, b"anybody there?").await.unwrap();
    refused_beside_one_in_use::<R>(&mut late, &mut near, &mut far).await;
    drop((near, far, late));
    assert!(closer.await.is_clean());
    assert!(client.closed().await.is_clean());
}

async fn l13_a_stream_opened_in_the_turn_in_which_the_peer_drops_its_session_is_refused<
    R: Runtime,
>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let mut late = client.open().await.unwrap();
    write_all(&mut late, b"anybody there?").await.unwrap();
    drop(server);
    refused_beside_one_in_use::<R>(&mut late, &mut near, &mut far).await;
    // The last stream closes the session, though nobody calls close.
    drop((near, far, late));
    assert!(client.closed().await.is_clean());
}
