//! Typed streams, and the heartbeat that runs on them. Tests that depend on time use virtual time:
//! Tokio's paused clock, and a driver polled by hand on the other runtimes.

use std::sync::Arc;
use std::time::Duration;

use muxado_proto::task::{OpenError, PingError};
use muxado_proto::{CloseReason, Config, ConfigBuilder, Heartbeat, Role, StreamType};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::manual::{Manual, Polled, now, settle};
use muxado_tests::runtime::{
    RawPeer, Runtime, TokioPaused, pipe, read_exact, read_to_end, watched, write_all,
};

use crate::suite;

suite! {
    the_type_arrives_with_the_stream,
    a_silent_stream_holds_nobody_up,
    the_type_must_fit_the_session,
    beats_are_answered_without_an_accept_loop,
    there_is_no_beat_in_an_untyped_session,
}

fn typed() -> ConfigBuilder {
    Config::builder().typed(true)
}

async fn the_type_arrives_with_the_stream<R: Runtime>() {
    let (client, server) = R::pair(4096, typed().build().unwrap());
    for number in [0, 1, 0xfe, u32::MAX - 1] {
        let mut near = client.open_typed(StreamType(number)).await.unwrap();
        assert_eq!(near.stream_type(), Some(StreamType(number)));
        let mut far = server.accept().await.unwrap();
        assert_eq!(far.stream_type(), Some(StreamType(number)));
        write_all(&mut near, b"payload").await.unwrap();
        drop(near);
        assert_eq!(read_to_end(&mut far).await.unwrap(), b"payload");
    }
}

async fn a_silent_stream_holds_nobody_up<R: Runtime>() {
    let (near, far) = pipe(4096);
    let server = R::session(near, Role::Server, Arc::new(typed().build().unwrap()));
    let mut peer = RawPeer::new(far);
    peer.send(peer::syn(3, b"")).await;
    peer.send(peer::syn(5, &[0, 0])).await;
    peer.send(peer::syn(7, &[0, 0, 0, 9])).await;
    let stream = server.accept().await.unwrap();
    assert_eq!((stream.id().get(), stream.stream_type()), (7, Some(StreamType(9))));
    peer.send(peer::data(5, &[0, 8, b'x'])).await;
    let mut stream = server.accept().await.unwrap();
    assert_eq!((stream.id().get(), stream.stream_type()), (5, Some(StreamType(8))));
    assert_eq!(read_exact(&mut stream, 1).await.unwrap(), b"x");
}

async fn the_type_must_fit_the_session<R: Runtime>() {
    let (client, _server) = R::pair(4096, typed().build().unwrap());
    assert_eq!(client.open().await.unwrap_err(), OpenError::WrongType);
    let reserved = client.open_typed(StreamType::HEARTBEAT).await.unwrap_err();
    assert_eq!(reserved, OpenError::WrongType);
    let (client, _server) = R::pair(4096, Config::default());
    assert_eq!(client.open_typed(StreamType(1)).await.unwrap_err(), OpenError::WrongType);
}

async fn beats_are_answered_without_an_accept_loop<R: Runtime>() {
    let (client, server) = R::pair(4096, typed().build().unwrap());
    assert_eq!(client.rtt(), None);
    for _ in 0..20 {
        client.ping().await.unwrap();
        server.ping().await.unwrap();
    }
    assert!(client.rtt().is_some() && server.rtt().is_some());
    // Heartbeats do not count as streams of the application.
    assert_eq!((client.stats().open_streams, client.stats().backlog), (0, 0));
    assert!(client.close().await.is_clean());
}

async fn there_is_no_beat_in_an_untyped_session<R: Runtime>() {
    let (client, _server) = R::pair(4096, Config::default());
    for _ in 0..2 {
        assert_eq!(client.ping().await.unwrap_err(), PingError::NotTyped);
    }
}

fn beating(close_on_timeout: bool) -> Config {
    let heartbeat = Heartbeat::new().with_close_on_timeout(close_on_timeout);
    typed().heartbeat(Some(heartbeat)).build().unwrap()
}

/// Heartbeats on the paused clock: a day of idling, and a peer that falls silent.
#[test]
fn heartbeat_in_virtual_time_on_tokio() {
    watched("heartbeat_in_virtual_time_on_tokio", || {
        TokioPaused::run(async {
            let (client, server) = TokioPaused::pair(4096, beating(true));
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!((client.close_reason(), server.close_reason()), (None, None));
            assert!(client.stats().frames_sent >= 359);
            assert!(client.rtt().unwrap() < Duration::from_millis(10));

            let (near, far) = pipe(4096);
            let start = tokio::time::Instant::now();
            let client = TokioPaused::session(near, Role::Client, Arc::new(beating(true)));
            assert_eq!(client.closed().await, CloseReason::HeartbeatTimeout);
            assert!(start.elapsed() >= Duration::from_secs(15));
            assert!(start.elapsed() < Duration::from_secs(16));
            drop(far);
        });
    });
}

#[test]
fn heartbeat_in_virtual_time_by_hand() {
    let (near, far) = pipe(4096);
    let config = Arc::new(beating(true));
    let mut client = Manual::new(near, Role::Client, Arc::clone(&config));
    let mut server = Manual::new(far, Role::Server, config);
    for _ in 0..360 {
        client.clock.advance(Duration::from_secs(10));
        server.clock.advance(Duration::from_secs(10));
        settle(&mut client, &mut server);
    }
    assert!(client.session.stats().frames_sent >= 360);
    assert_eq!(client.session.rtt(), Some(Duration::ZERO));
    // From here on, nobody drives the server.
    assert_eq!(client.pass(Duration::from_secs(10)), None);
    assert_eq!(client.pass(Duration::from_millis(14_999)), None);
    assert_eq!(client.session.close_reason(), None);
    let _lingers = client.pass(Duration::from_millis(1));
    assert_eq!(client.session.close_reason(), Some(CloseReason::HeartbeatTimeout));
    assert_eq!(client.pass(Duration::from_secs(30)), Some(CloseReason::HeartbeatTimeout));
}

#[test]
fn a_ping_that_is_not_answered_is_missed() {
    let (near, _far) = pipe(4096);
    let mut client = Manual::new(near, Role::Client, beating(false));
    let session = client.session.clone();
    let mut pings: Vec<_> = (0..3).map(|_| Polled::new(session.ping())).collect();
    for ping in &mut pings {
        assert!(ping.poll().is_pending());
    }
    client.settle();
    assert_eq!(client.pass(Duration::from_secs(15)), None);
    for mut ping in pings {
        assert_eq!(ping.woken.take(), 1);
        match ping.poll() {
            std::task::Poll::Ready(result) => {
                assert_eq!(result, Err(PingError::Missed));
            }
            std::task::Poll::Pending => panic!("it has been missed"),
        }
    }
    assert_eq!(session.close_reason(), None);
}

#[test]
fn a_silent_stream_is_given_up_in_time() {
    let (near, mut far) = pipe(4096);
    let mut server = Manual::new(near, Role::Server, typed().build().unwrap());
    now(far.write_all(&peer::syn(3, &[0, 0]))).unwrap();
    server.settle();
    server.pass(Duration::from_secs(10));
    let mut bytes = [0; 64];
    let count = now(far.read(&mut bytes)).unwrap();
    assert!(bytes[..count].ends_with(&peer::rst(3, 6)));
    assert_eq!(server.session.close_reason(), None);
}
