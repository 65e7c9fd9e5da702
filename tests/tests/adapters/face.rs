//! Information about a session and its peer, weak handles, and errors in the form that users see.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt as _;
use muxado_proto::task::{Beat, Error, ReadError, error_code};
use muxado_proto::{CloseReason, Config, ErrorCode, Role};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{RawPeer, Runtime, park, pipe, read_exact, write_all};

use crate::{streams, suite};

suite! {
    a_weak_handle_keeps_no_session_open,
    a_weak_handle_finds_a_session_that_only_streams_keep,
    the_peers_goaway_is_awaited,
    a_session_without_a_goaway_ends_the_wait_for_it,
    heartbeats_are_a_stream_that_keeps_no_session_open,
    a_stream_leads_back_to_its_session,
    a_session_found_through_a_stream_accepts_again,
    w15_poll_forms_wait_in_places_of_their_own,
    codes_are_found_behind_io_errors,
}

async fn a_weak_handle_keeps_no_session_open<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let weak = client.downgrade();
    let again = R::Session::upgrade(&weak).expect("it is open");
    assert_eq!(again.number(), client.number());
    drop(client);
    assert_eq!(R::Session::upgrade(&weak).map(|session| session.number()), Some(again.number()));
    let observer = weak.clone();
    let observer = park::<R, _>(async move { R::Session::end_of(&observer).await }).await;
    drop(again);
    assert!(R::Session::upgrade(&weak).is_none());
    assert!(observer.await.is_clean());
    assert!(server.closed().await.is_clean());
}

async fn a_weak_handle_finds_a_session_that_only_streams_keep<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    let weak = client.downgrade();
    drop(client);
    let client = R::Session::upgrade(&weak).expect("a stream keeps it open");
    assert!(client.close_reason().is_none());
    let second = client.open().await.unwrap();
    drop((near, far, second));
    assert!(client.close().await.is_clean());
}

async fn the_peers_goaway_is_awaited<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let mut polled = client.clone();
    let polled =
        park::<R, _>(async move { poll_fn(|cx| polled.poll_going_away(cx)).await.unwrap() }).await;
    let waiting = client.clone();
    let waiting = park::<R, _>(async move { waiting.going_away().await.unwrap() }).await;
    server.go_away(ErrorCode(7), "new version");
    let said = waiting.await;
    assert_eq!((said.code, &said.text[..]), (ErrorCode(7), &b"new version"[..]));
    assert_eq!(polled.await, said);
    // Later calls return it, too; open streams continue.
    assert_eq!(client.going_away().await.unwrap(), said);
    write_all(&mut near, b"go on").await.unwrap();
    assert_eq!(read_exact(&mut far, 5).await.unwrap(), b"go on");
    drop((near, far));
    client.closed().await;
    assert_eq!(client.going_away().await.unwrap(), said);
}

async fn a_session_without_a_goaway_ends_the_wait_for_it<R: Runtime>() {
    let (near, far) = pipe(4096);
    let client = R::session(near, Role::Client, Arc::default());
    let waiting = client.clone();
    let waiting = park::<R, _>(async move { waiting.going_away().await.unwrap_err() }).await;
    drop(far);
    assert_eq!(waiting.await, client.closed().await);
}

async fn heartbeats_are_a_stream_that_keeps_no_session_open<R: Runtime>() {
    let config = Arc::new(Config::builder().typed(true).build().unwrap());
    let (client, server) = R::pair(4096, config);
    let (mut beats, mut others) = (client.heartbeats(), client.heartbeats());
    for _ in 0..3 {
        let rtt = client.ping().await.unwrap();
        assert_eq!(beats.next().await, Some(Beat::Returned { rtt }));
    }
    // Each observer has its own place in the sequence.
    for _ in 0..3 {
        assert!(matches!(others.next().await, Some(Beat::Returned { .. })));
    }
    drop(client);
    assert_eq!(beats.next().await, None);
    assert!(server.closed().await.is_clean());
}

async fn a_stream_leads_back_to_its_session<R: Runtime>() {
    let (client, server) = R::tcp(Arc::default()).await.unwrap();
    assert_ne!(client.number(), server.number());
    server.set_peer_name("agent 7");
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    assert_eq!(far.peer_name().as_deref(), Some("agent 7"));
    assert_eq!(near.peer_name(), None);
    assert_eq!((far.local_addr(), far.peer_addr()), (server.local_addr(), server.peer_addr()));
    assert_eq!((near.peer_addr(), near.local_addr()), (far.local_addr(), far.peer_addr()));
    let (recv, send) = R::split(far);
    assert_eq!(send.peer_addr(), recv.peer_addr());
    let back = near.session();
    drop(client);
    assert_eq!(back.stats().streams_opened, 1);
    assert!(back.open().await.is_ok());
}

async fn a_session_found_through_a_stream_accepts_again<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    drop(client);
    let client = near.session();
    let mut opened = server.open().await.unwrap();
    write_all(&mut opened, b"call").await.unwrap();
    let mut accepted = client.accept().await.unwrap();
    assert_eq!(read_exact(&mut accepted, 4).await.unwrap(), b"call");
    drop((near, far, opened, accepted));
}

async fn w15_poll_forms_wait_in_places_of_their_own<R: Runtime>() {
    let config = Config::builder().max_outbound_streams(1).build().unwrap();
    let (client, mut server) = R::pair(4096, config);
    let (mut first, mut second) = (client.clone(), client.clone());
    let only = poll_fn(|cx| first.poll_open(cx)).await.unwrap();
    let waiting = park::<R, _>(async move { poll_fn(|cx| first.poll_open(cx)).await }).await;
    // A handle that polled once and was dropped does not keep its turn.
    assert!(poll_fn(|cx| Poll::Ready(second.poll_open(cx))).await.is_pending());
    drop(second);
    let mut only = only;
    write_all(&mut only, b"x").await.unwrap();
    let far = poll_fn(|cx| server.poll_accept(cx)).await.unwrap();
    drop((only, far));
    let next = waiting.await.unwrap();
    assert_eq!(next.stats().receive_buffered, 0);
    drop(next);
    let mut closing = client.clone();
    let reason = poll_fn(|cx| closing.poll_close(cx)).await;
    assert_eq!(poll_fn(|cx| closing.poll_closed(cx)).await, reason);
    assert!(reason.is_clean());
    let end = poll_fn(|cx| server.poll_accept(cx)).await.unwrap_err();
    assert_eq!(end, server.closed().await);
}

async fn codes_are_found_behind_io_errors<R: Runtime>() {
    let (near, far) = pipe(4096);
    let server = R::session(near, Role::Server, Arc::default());
    let mut peer = RawPeer::new(far);
    peer.send(peer::syn(3, b"hello")).await;
    let mut stream = server.accept().await.unwrap();
    read_exact(&mut stream, 5).await.unwrap();
    peer.send(peer::rst(3, 4711)).await;
    let error = read_exact(&mut stream, 1).await.unwrap_err();
    assert_eq!(error_code(&error), Some(ErrorCode(4711)));
    let wrapped = std::io::Error::other(error);
    assert_eq!(error_code(&wrapped), Some(ErrorCode(4711)));
    let error = read_exact(&mut stream, 1).await.unwrap_err();
    assert!(matches!(Error::from(error), Error::Read(ReadError::Reset(ErrorCode(4711)))));
    peer.send(peer::go_away(0, 12, b"")).await;
    drop(peer);
    let reason = server.closed().await;
    let error = std::io::Error::from(server.accept().await.unwrap_err());
    assert_eq!(error_code(&error), Some(reason.code()));
    assert!(matches!(Error::from(error), Error::Closed(CloseReason::Remote { .. })));
}
