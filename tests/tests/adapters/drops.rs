//! What happens when handles are dropped.

use std::io::ErrorKind;
use std::sync::Arc;

use muxado_proto::task::{ReadError, WriteError};
use muxado_proto::{CloseReason, Config, ErrorCode, Role};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    RawPeer, Runtime, Writer, park, pipe, read_exact, read_more, read_to_end, write_all, yield_now,
};

use crate::{cause, streams, suite};

suite! {
    what_was_written_arrives_and_then_the_end,
    a_stream_that_was_never_written_leaves_no_trace,
    data_for_a_dropped_stream_is_answered_by_rst_4,
    the_receiving_half_goes_first,
    the_sending_half_goes_first,
    both_halves_go_unread,
    the_last_handle_closes_the_session_in_order,
    a_stream_is_a_handle_too,
    an_unaccepted_stream_is_refused_when_the_last_handle_goes,
    a_dropped_driver_abandons_everybody,
    a_driver_that_never_ran_abandons_everybody,
    nothing_is_left_of_a_session,
    w9_a_reader_that_leaves_60_mb_unread_keeps_nobody_waiting,
}

async fn what_was_written_arrives_and_then_the_end<R: Runtime>() {
    let (client, server) = R::pair(128, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let text: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    write_all(&mut near, &text).await.unwrap();
    drop(near);
    assert!(read_to_end(&mut far).await.unwrap() == text);
}

async fn a_stream_that_was_never_written_leaves_no_trace<R: Runtime>() {
    let (near, far) = pipe(64 << 10);
    let client = R::session(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    drop(client.open().await.unwrap());
    let mut second = client.open().await.unwrap();
    write_all(&mut second, b"hi").await.unwrap();
    assert_eq!(peer.hear().await, "DATA id=3 len=2 SYN");
}

async fn data_for_a_dropped_stream_is_answered_by_rst_4<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
    drop(far);
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"");
    let error = loop {
        if let Err(error) = near.send(b"is anybody there?").await {
            break error;
        }
        yield_now().await;
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let expected = WriteError::Reset(ErrorCode::STREAM_CLOSED);
    assert_eq!(cause::<WriteError>(&error), Some(expected));
}

async fn the_receiving_half_goes_first<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let (recv, mut send) = R::split(near);
    drop(recv);
    // The peer can keep writing any amount.
    let writer = R::spawn(async move {
        write_all(&mut far, &vec![0; 2_000_000]).await.unwrap();
        far
    });
    let mut far = writer.await;
    write_all(&mut send, b"still writing").await.unwrap();
    drop(send);
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"still writing");
}

async fn the_sending_half_goes_first<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let (mut recv, mut send) = R::split(near);
    write_all(&mut send, b"last words").await.unwrap();
    drop(send);
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"last words");
    write_all(&mut far, b"still heard").await.unwrap();
    assert_eq!(read_exact(&mut recv, 11).await.unwrap(), b"still heard");
    drop(far);
    assert_eq!(read_to_end(&mut recv).await.unwrap(), b"");
}

async fn both_halves_go_unread<R: Runtime>() {
    for receiving_first in [true, false] {
        let (client, server) = R::pair(4096, Config::default());
        let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
        write_all(&mut far, b"unread").await.unwrap();
        let (recv, mut send) = R::split(near);
        write_all(&mut send, b"written").await.unwrap();
        if receiving_first {
            drop(recv);
            drop(send);
        } else {
            drop(send);
            drop(recv);
        }
        assert_eq!(read_exact(&mut far, 7).await.unwrap(), b"written");
        drop(far);
        assert!(client.close().await.is_clean());
        assert_eq!(client.stats().open_streams, 0);
    }
}

async fn the_last_handle_closes_the_session_in_order<R: Runtime>() {
    let (client, server) = R::pair(100, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, &[7; 100_000]).await.unwrap();
    let second = client.clone();
    drop(client);
    drop(near);
    drop(second);
    assert!(read_to_end(&mut far).await.unwrap() == [7; 100_000]);
    drop(far);
    let reason = CloseReason::Remote { code: ErrorCode::NO_ERROR, text: "".into() };
    assert_eq!(server.closed().await, reason);
}

async fn a_stream_is_a_handle_too<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    drop(client);
    let (mut recv, send) = R::split(near);
    write_all(&mut far, b"going on").await.unwrap();
    assert_eq!(read_exact(&mut recv, 8).await.unwrap(), b"going on");
    drop(send);
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
    assert_eq!(server.close_reason(), None);
    drop(recv);
    drop(far);
    assert!(server.closed().await.is_clean());
}

async fn an_unaccepted_stream_is_refused_when_the_last_handle_goes<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (_first, _) = streams::<R>(&client, &server).await.unwrap();
    let mut near = client.open().await.unwrap();
    write_all(&mut near, b"anybody?").await.unwrap();
    while server.stats().backlog < 1 {
        yield_now().await;
    }
    drop(server);
    let error = read_exact(&mut near, 1).await.unwrap_err();
    let expected = ReadError::Reset(ErrorCode::STREAM_REFUSED);
    assert_eq!(cause::<ReadError>(&error), Some(expected));
}

async fn a_dropped_driver_abandons_everybody<R: Runtime>() {
    let config = Arc::new(Config::builder().max_outbound_streams(1).build().unwrap());
    let (io, far) = pipe(16);
    let (client, driver) = R::with_driver(io, Role::Client, config);
    let stream = client.open().await.unwrap();
    let (mut recv, mut send) = R::split(stream);
    let reader = park::<R, _>(async move { read_exact(&mut recv, 1).await.unwrap_err() }).await;
    // Without a driver nothing is sent: the writer fills the send buffer, then it waits.
    let writer = park::<R, _>(async move {
        loop {
            if let Err(error) = send.send(&[0; 10_000]).await {
                return error;
            }
        }
    })
    .await;
    let (opener, acceptor, closer, waiter) =
        (client.clone(), client.clone(), client.clone(), client.clone());
    let opener = park::<R, _>(async move { opener.open().await.unwrap_err() }).await;
    let acceptor = park::<R, _>(async move { acceptor.accept().await.unwrap_err() }).await;
    let closer = park::<R, _>(async move { closer.close().await }).await;
    let waiter = park::<R, _>(async move { waiter.closed().await }).await;
    assert_eq!(client.stats().send_buffered, 262_144);
    drop(driver);
    let reason = CloseReason::Abandoned;
    let expected = ReadError::SessionClosed(reason.clone());
    assert_eq!(cause::<ReadError>(&reader.await), Some(expected));
    let expected = WriteError::SessionClosed(reason.clone());
    assert_eq!(cause::<WriteError>(&writer.await), Some(expected));
    assert_eq!(opener.await, muxado_proto::task::OpenError::SessionClosed(reason.clone()));
    assert_eq!(acceptor.await, reason);
    assert_eq!((closer.await, waiter.await), (reason.clone(), reason));
    // The transport went with it.
    assert!(RawPeer::new(far).rest().await.is_empty());
}

async fn a_driver_that_never_ran_abandons_everybody<R: Runtime>() {
    let (io, _far) = pipe(16);
    let (session, driver) = R::with_driver(io, Role::Server, Arc::new(Config::default()));
    drop(driver);
    assert_eq!(session.close().await, CloseReason::Abandoned);
    assert_eq!(session.closed().await, CloseReason::Abandoned);
    assert!(session.open().await.is_err());
}

async fn nothing_is_left_of_a_session<R: Runtime>() {
    let config = Arc::new(Config::default());
    let (near, far) = pipe(4096);
    let tokens = [near.token(), far.token()];
    let (client, driver) = R::with_driver(near, Role::Client, Arc::clone(&config));
    let client_ended = R::spawn(driver);
    let (server, driver) = R::with_driver(far, Role::Server, Arc::clone(&config));
    let server_ended = R::spawn(driver);
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"a few words").await.unwrap();
    let mut bytes = Vec::new();
    near.finish().unwrap();
    read_more(&mut far, &mut bytes).await.unwrap();
    let _cut = near.send(&peer::fin(3)).await.unwrap_err();
    drop((client, server, near, far));
    assert!(client_ended.await.is_clean());
    assert!(server_ended.await.is_clean());
    while tokens.iter().any(|token| token.upgrade().is_some()) || Arc::strong_count(&config) > 1 {
        yield_now().await;
    }
}

async fn w9_a_reader_that_leaves_60_mb_unread_keeps_nobody_waiting<R: Runtime>() {
    const UNREAD: usize = 60_000_000;
    let config = Config::builder().receive_window(64 << 20).send_window(64 << 20).overcommit(true);
    let config = config.send_buffer(64 << 20).session_send_buffer(64 << 20).build().unwrap();
    let config = Arc::new(config);
    for split in [false, true] {
        let (client, server) = R::pair(1 << 20, Arc::clone(&config));
        let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
        let (mut quick, mut echo) = streams::<R>(&client, &server).await.unwrap();
        near.write_chunk(vec![7; UNREAD].into()).await.unwrap();
        while (far.stats().receive_buffered as usize) < UNREAD {
            yield_now().await;
        }
        let echo = R::spawn(async move {
            for _ in 0..100 {
                let byte = read_exact(&mut echo, 1).await.unwrap();
                write_all(&mut echo, &byte).await.unwrap();
            }
        });
        let mut far = Some(far);
        let mut writer = None;
        for turn in 0..100 {
            write_all(&mut quick, &[turn]).await.unwrap();
            if let Some(far) = far.take_if(|_| turn == 50) {
                if split {
                    let (reader, sender) = R::split(far);
                    writer = Some(sender);
                    drop(reader);
                } else {
                    drop(far);
                }
                // The byte of the echo may be there already.
                assert!(server.stats().receive_buffered <= 1);
            }
            assert_eq!(read_exact(&mut quick, 1).await.unwrap(), [turn]);
            if far.is_none() {
                assert_eq!(server.stats().receive_buffered, 0);
            }
        }
        echo.await;
        // A writer whose reader is gone may go on; one whose stream was dropped learns of it.
        let more = near.write_chunk(vec![7; 2 * UNREAD].into()).await;
        let told = WriteError::Reset(ErrorCode::STREAM_CLOSED);
        assert_eq!(more, if split { Ok(()) } else { Err(told) });
        drop((near, writer, quick));
        assert!(client.close().await.is_clean());
        assert!(server.closed().await.is_clean());
    }
}
