//! When a stream without written data is announced to the peer.

use std::sync::Arc;

use muxado_proto::{Config, Role};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    RawPeer, Reader, Runtime, park, pipe, read_exact, read_to_end, write_all,
};

use crate::suite;

suite! {
    w1_a_service_that_speaks_first_is_heard,
    w1_two_that_copy_do_not_wait_for_each_other,
    w1_a_read_that_is_given_up_announces_nothing,
    w1_an_announced_stream_is_there,
    t13_a_stream_whose_halves_go_unwritten_leaves_no_trace,
    t13_a_reader_that_is_left_alone_hears_the_peer,
}

async fn w1_a_service_that_speaks_first_is_heard<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let service = R::spawn(async move {
        let mut stream = server.accept().await.unwrap();
        write_all(&mut stream, b"220 ready\r\n").await.unwrap();
        assert_eq!(read_exact(&mut stream, 6).await.unwrap(), b"EHLO\r\n");
        server
    });
    let mut stream = client.open().await.unwrap();
    assert_eq!(read_exact(&mut stream, 11).await.unwrap(), b"220 ready\r\n");
    write_all(&mut stream, b"EHLO\r\n").await.unwrap();
    service.await;
}

async fn w1_two_that_copy_do_not_wait_for_each_other<R: Runtime>() {
    // A proxy: a stream for a connection on which its client waits for the service.
    let (client, server) = R::pair(4096, Config::default());
    let (mut recv, mut send) = R::split(client.open().await.unwrap());
    let down = R::spawn(async move { read_exact(&mut recv, 7).await.unwrap() });
    let mut far = server.accept().await.unwrap();
    write_all(&mut far, b"SSH-2.0").await.unwrap();
    assert_eq!(down.await, b"SSH-2.0");
    write_all(&mut send, b"SSH-2.0").await.unwrap();
    assert_eq!(read_exact(&mut far, 7).await.unwrap(), b"SSH-2.0");
}

async fn w1_a_read_that_is_given_up_announces_nothing<R: Runtime>() {
    let (near, far) = pipe(4096);
    let (client, driver) = R::with_driver(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    let mut quiet = client.open().await.unwrap();
    {
        let mut reading = Box::pin(quiet.read_chunk(8));
        assert!(futures_util::poll!(&mut reading).is_pending());
    }
    assert_eq!(quiet.peek(&mut [0; 8]), 0);
    let _ = (quiet.stats(), client.stats());
    // A write in the same turn has the SYN.
    let mut loud = client.open().await.unwrap();
    {
        let mut reading = Box::pin(loud.read_chunk(8));
        assert!(futures_util::poll!(&mut reading).is_pending());
    }
    write_all(&mut loud, b"hi").await.unwrap();
    drop(R::spawn(driver));
    assert_eq!(peer.hear().await, "DATA id=5 len=2 SYN");
    drop(quiet);
    write_all(&mut loud, b"hi").await.unwrap();
    assert_eq!(peer.hear().await, "DATA id=5 len=2");
}

async fn w1_an_announced_stream_is_there<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let mut near = client.open().await.unwrap();
    near.announce().unwrap();
    let far = server.accept().await.unwrap();
    assert_eq!(far.id(), near.id());
    drop(far);
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"");
}

async fn t13_a_stream_whose_halves_go_unwritten_leaves_no_trace<R: Runtime>() {
    let (near, far) = pipe(4096);
    let client = R::session(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    for sending_first in [true, false] {
        let (recv, send) = R::split(client.open().await.unwrap());
        if sending_first {
            drop(send);
            drop(recv);
        } else {
            drop(recv);
            drop(send);
        }
    }
    let mut last = client.open().await.unwrap();
    write_all(&mut last, b"hi").await.unwrap();
    // Their id is free again.
    assert_eq!(peer.hear().await, "DATA id=3 len=2 SYN");
    assert_eq!(client.stats().frames_sent, 1);
}

async fn t13_a_reader_that_is_left_alone_hears_the_peer<R: Runtime>() {
    let (near, far) = pipe(4096);
    let client = R::session(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    let (mut recv, send) = R::split(client.open().await.unwrap());
    drop(send);
    let reader = park::<R, _>(async move {
        let mut buf = [0; 8];
        let count = recv.recv(&mut buf).await.unwrap();
        buf[..count].to_vec()
    })
    .await;
    assert_eq!(peer.hear().await, "DATA id=3 len=0 SYN");
    assert_eq!(peer.hear().await, "DATA id=3 len=0 FIN");
    peer.send(peer::data_fin(3, b"banner")).await;
    assert_eq!(reader.await, b"banner");
}
