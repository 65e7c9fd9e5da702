//! Each direction of a stream ends independently.

use muxado_proto::Config;
use muxado_proto::task::WriteError;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, Writer, read_exact, read_to_end, write_all};

use crate::{cause, streams, suite};

suite! {
    the_opener_finishes_first,
    the_acceptor_finishes_first,
    both_finish_and_read_on,
    finishing_says_syn_and_fin_on_a_silent_stream,
    halves_finish_and_read_apart,
    nothing_is_written_after_the_end,
    a_finished_stream_outlives_its_session_handle,
}

async fn the_opener_finishes_first<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"request").await.unwrap();
    near.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"request");
    write_all(&mut far, b"answer").await.unwrap();
    far.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"answer");
    // A later read returns the end again.
    assert_eq!(near.recv_once().await, 0);
}

async fn the_acceptor_finishes_first<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut far, b"all there is").await.unwrap();
    far.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"all there is");
    write_all(&mut near, b"thanks").await.unwrap();
    assert_eq!(read_exact(&mut far, 6).await.unwrap(), b"thanks");
    near.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
}

async fn both_finish_and_read_on<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"from near").await.unwrap();
    write_all(&mut far, b"from far").await.unwrap();
    near.half_close().await.unwrap();
    far.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"from far");
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"from near");
}

async fn finishing_says_syn_and_fin_on_a_silent_stream<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let mut near = client.open().await.unwrap();
    near.half_close().await.unwrap();
    let mut far = server.accept().await.unwrap();
    assert_eq!(far.id(), near.id());
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
    write_all(&mut far, b"still writable").await.unwrap();
    drop(far);
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"still writable");
}

async fn halves_finish_and_read_apart<R: Runtime>() {
    let (client, server) = R::pair(256, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    let text: Vec<u8> = (0..100_000u32).map(|n| n.to_be_bytes()[3]).collect();
    let ends = [near, far].map(|stream| {
        let (mut recv, mut send) = R::split(stream);
        let data = text.clone();
        let writer = R::spawn(async move {
            write_all(&mut send, &data).await.unwrap();
            send.half_close().await.unwrap();
        });
        (writer, R::spawn(async move { read_to_end(&mut recv).await.unwrap() }))
    });
    for (writer, reader) in ends {
        writer.await;
        assert!(reader.await == text);
    }
}

async fn nothing_is_written_after_the_end<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, _far) = streams::<R>(&client, &server).await.unwrap();
    near.half_close().await.unwrap();
    near.half_close().await.unwrap();
    let error = near.send(b"late").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(cause::<WriteError>(&error), Some(WriteError::Finished));
}

async fn a_finished_stream_outlives_its_session_handle<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.half_close().await.unwrap();
    drop(client);
    write_all(&mut far, b"answer").await.unwrap();
    drop(far);
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"answer");
}

trait Once {
    /// One read, into a small buffer.
    async fn recv_once(&mut self) -> usize;
}

impl<T: muxado_tests::runtime::Reader> Once for T {
    async fn recv_once(&mut self) -> usize {
        self.recv(&mut [0; 8]).await.unwrap()
    }
}
