//! Both sides learn the code of a reset, after the bytes that arrived before it.

use std::io::ErrorKind;

use muxado_proto::task::{ReadError, WriteError};
use muxado_proto::{Config, ErrorCode};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, Writer, read_exact, read_more, write_all};

use crate::{cause, streams, suite};

suite! {
    reader_and_writer_see_the_code,
    a_blocked_writer_is_woken,
    the_resetting_side_sees_its_own_code,
    what_arrived_is_read_first,
    code_zero_is_never_sent,
    a_half_resets_both_directions,
    a_reset_leaves_other_streams_alone,
}

async fn reader_and_writer_see_the_code<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    for code in [1, 7, 0x1234_5678, u32::MAX].map(ErrorCode) {
        let (near, far) = streams::<R>(&client, &server).await.unwrap();
        let (mut recv, mut send) = R::split(near);
        let reader = R::spawn(async move {
            let mut bytes = Vec::new();
            read_more(&mut recv, &mut bytes).await.unwrap_err()
        });
        far.reset(code);
        let error = reader.await;
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(cause::<ReadError>(&error), Some(ReadError::Reset(code)));
        let error = send.send(b"late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(cause::<WriteError>(&error), Some(WriteError::Reset(code)));
    }
}

async fn a_blocked_writer_is_woken<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let writer = R::spawn(async move {
        let text = vec![0; 100_000];
        loop {
            if let Err(error) = near.send(&text).await {
                return error;
            }
        }
    });
    // Half of the bytes that the writer can write without a reader were read, so it has been
    // blocked, or will be.
    read_exact(&mut far, 262_144).await.unwrap();
    far.reset(ErrorCode::STREAM_CANCELLED);
    let expected = WriteError::Reset(ErrorCode::STREAM_CANCELLED);
    assert_eq!(cause::<WriteError>(&writer.await), Some(expected));
}

async fn the_resetting_side_sees_its_own_code<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, _far) = streams::<R>(&client, &server).await.unwrap();
    near.reset(ErrorCode(99));
    let error = read_exact(&mut near, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(cause::<ReadError>(&error), Some(ReadError::ResetLocally(ErrorCode(99))));
    let error = near.send(b"late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(cause::<WriteError>(&error), Some(WriteError::ResetLocally(ErrorCode(99))));
}

async fn what_arrived_is_read_first<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"before").await.unwrap();
    assert_eq!(read_exact(&mut far, 1).await.unwrap(), b"b");
    near.reset(ErrorCode(42));
    let mut bytes = Vec::new();
    let error = read_more(&mut far, &mut bytes).await.unwrap_err();
    assert_eq!(bytes, b"efore");
    assert_eq!(cause::<ReadError>(&error), Some(ReadError::Reset(ErrorCode(42))));
}

async fn code_zero_is_never_sent<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.reset(ErrorCode::NO_ERROR);
    let error = read_exact(&mut far, 1).await.unwrap_err();
    let expected = ReadError::Reset(ErrorCode::STREAM_RESET);
    assert_eq!(cause::<ReadError>(&error), Some(expected));
}

async fn a_half_resets_both_directions<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let (mut recv, send) = R::split(near);
    let reader = R::spawn(async move { read_exact(&mut recv, 1).await.unwrap_err() });
    send.reset(ErrorCode(5));
    let own = ReadError::ResetLocally(ErrorCode(5));
    assert_eq!(cause::<ReadError>(&reader.await), Some(own));
    let error = read_exact(&mut far, 1).await.unwrap_err();
    assert_eq!(cause::<ReadError>(&error), Some(ReadError::Reset(ErrorCode(5))));
}

async fn a_reset_leaves_other_streams_alone<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (doomed, _far_doomed) = streams::<R>(&client, &server).await.unwrap();
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    doomed.reset(ErrorCode::INTERNAL);
    write_all(&mut near, b"well").await.unwrap();
    assert_eq!(read_exact(&mut far, 4).await.unwrap(), b"well");
    assert_eq!(client.stats().resets_sent, 1);
    assert_eq!(client.close_reason(), None);
}
