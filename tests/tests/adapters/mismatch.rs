//! Peers that do not match, and what an application is told.

use std::sync::Arc;

use muxado_proto::task::ReadError;
use muxado_proto::{CloseReason, Config, Role, Warning};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{RawPeer, Runtime, pipe, read_exact, write_all};

use crate::{cause, streams, suite};

suite! {
    t9_two_clients_are_told_so_on_their_streams,
    t10_an_untyped_end_warns_of_a_typed_peer,
    t11_a_server_of_another_protocol_is_named,
    t11_a_client_of_another_protocol_is_named,
    t16_a_reader_that_has_stopped_is_told_that,
}

async fn t9_two_clients_are_told_so_on_their_streams<R: Runtime>() {
    let (near, far) = pipe(4096);
    let one = R::session(near, Role::Client, Arc::default());
    let other = R::session(far, Role::Client, Arc::default());
    let mut stream = one.open().await.unwrap();
    write_all(&mut stream, b"hello").await.unwrap();
    let error = read_exact(&mut stream, 1).await.unwrap_err();
    for text in [error.to_string(), one.closed().await.to_string()] {
        assert!(text.contains("are both ends clients?"), "{text}");
    }
    let text = other.closed().await.to_string();
    assert!(text.contains("are both ends clients?"), "{text}");
}

async fn t10_an_untyped_end_warns_of_a_typed_peer<R: Runtime>() {
    let (near, far) = pipe(4096);
    let typed = Config::builder().typed(true).build().unwrap();
    let client = R::session(near, Role::Client, Arc::new(typed));
    let server = R::session(far, Role::Server, Arc::default());
    assert_eq!(server.warning(), None);
    let pinging = client.clone();
    let ping = R::spawn(async move { pinging.ping().await });
    let mut beat = server.accept().await.unwrap();
    // The type, and the value.
    read_exact(&mut beat, 8).await.unwrap();
    assert_eq!(server.warning(), Some(Warning::TypedPeer));
    client.abort(7.into(), "");
    assert!(ping.await.is_err());
}

/// A session that receives this first; returns how it ended.
async fn greeted<R: Runtime>(role: Role, bytes: &'static [u8]) -> CloseReason {
    let (near, far) = pipe(4096);
    let session = R::session(near, role, Arc::default());
    let mut peer = RawPeer::new(far);
    let opened = session.open().await;
    if let (Role::Client, Ok(mut stream)) = (role, opened) {
        write_all(&mut stream, b"hello").await.unwrap();
        peer.send(bytes).await;
        let error = read_exact(&mut stream, 1).await.unwrap_err();
        let reason = session.closed().await;
        assert_eq!(cause(&error), Some(ReadError::SessionClosed(reason)));
    } else {
        peer.send(bytes).await;
    }
    session.closed().await
}

async fn t11_a_server_of_another_protocol_is_named<R: Runtime>() {
    for (bytes, name) in [(&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP"), (b"SSH-2.0-x\r\n", "SSH")]
    {
        let reason = greeted::<R>(Role::Client, bytes).await.to_string();
        assert!(reason.contains(name), "{reason}");
    }
}

async fn t11_a_client_of_another_protocol_is_named<R: Runtime>() {
    for (bytes, name) in
        [(&b"GET / HTTP/1.1\r\n"[..], "HTTP"), (b"\x16\x03\x01\x02\0\x01\0\x01", "TLS")]
    {
        let reason = greeted::<R>(Role::Server, bytes).await.to_string();
        assert!(reason.contains(name), "{reason}");
    }
}

async fn t16_a_reader_that_has_stopped_is_told_that<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    far.stop();
    let error = read_exact(&mut far, 1).await.unwrap_err();
    assert_eq!(cause(&error), Some(ReadError::Stopped));
    assert!(matches!(far.read_chunk(1).await, Err(ReadError::Stopped)));
    drop(near);
}
