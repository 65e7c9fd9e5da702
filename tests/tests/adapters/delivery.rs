//! What an application can learn about its written data: failed ends, output that the transport
//! took, and a peer that has given up.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use muxado_proto::task::{ReadError, WriteError};
use muxado_proto::{CloseReason, Config, ErrorCode, Role, StreamEnd};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    RawPeer, Runtime, Writer, park, pipe, read_exact, read_more, read_to_end, write_all, yield_now,
};

use crate::{cause, streams, suite};

suite! {
    t5_shutdown_and_flush_of_a_stream_that_was_reset_fail,
    t5_shutdown_and_flush_on_a_dead_session_fail,
    t6_what_was_flushed_survives_the_driver,
    t6_flush_waits_for_credit_and_learns_of_a_reset,
    t6_the_end_of_both_directions_is_awaited,
    t7_a_stream_dropped_by_a_panic_is_reset,
    t7_a_stream_dropped_unfinished_is_reset_if_that_was_chosen,
    w7_a_handler_learns_that_its_client_has_reset,
    w7_a_handler_learns_of_the_end_of_the_session,
    w7_nobody_waits_for_what_cannot_come,
}

/// Polls `work` and the driver, and drops the driver when `work` is done, like a program that
/// returns from `main`.
async fn beside<T>(driver: impl Future + Unpin, work: impl Future<Output = T>) -> T {
    match select(driver, pin!(work)).await {
        Either::Left(_) => panic!("the session has ended"),
        Either::Right((result, _)) => result,
    }
}

async fn t5_shutdown_and_flush_of_a_stream_that_was_reset_fail<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"half of").await.unwrap();
    far.reset(ErrorCode(77));
    assert!(read_exact(&mut near, 1).await.is_err());
    let expected = Some(WriteError::Reset(ErrorCode(77)));
    for error in [near.half_close().await, near.flush().await] {
        assert_eq!(cause::<WriteError>(&error.unwrap_err()), expected);
    }
    assert_eq!(near.finish(), Err(WriteError::Reset(ErrorCode(77))));
}

async fn t5_shutdown_and_flush_on_a_dead_session_fail<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, _far) = streams::<R>(&client, &server).await.unwrap();
    server.abort(ErrorCode(7), "over");
    let reason = client.closed().await;
    let expected = Some(WriteError::SessionClosed(reason.clone()));
    for error in [near.half_close().await, near.flush().await, near.send(b"x").await.map(drop)] {
        assert_eq!(cause::<WriteError>(&error.unwrap_err()), expected);
    }
    assert_eq!(near.finish(), Err(WriteError::SessionClosed(reason)));
}

async fn t6_what_was_flushed_survives_the_driver<R: Runtime>() {
    let text: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    for finishes in [true, false] {
        let (near, far) = pipe(1 << 20);
        let (client, driver) = R::with_driver(near, Role::Client, Arc::new(Config::default()));
        let mut stream = client.open().await.unwrap();
        beside(driver, async {
            write_all(&mut stream, &text).await.unwrap();
            if finishes {
                stream.half_close().await.unwrap();
            }
            stream.flush().await.unwrap();
        })
        .await;
        drop((stream, client));
        let frames = RawPeer::new(far).rest().await;
        let payload: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.clone()).collect();
        assert!(payload == text, "{} bytes of {}", payload.len(), text.len());
        assert_eq!(frames.last().map(|frame| frame.is_fin()), Some(finishes));
    }
}

async fn t6_flush_waits_for_credit_and_learns_of_a_reset<R: Runtime>() {
    let (near, far) = pipe(1 << 20);
    let client = R::session(near, Role::Client, Arc::new(Config::default()));
    let mut peer = RawPeer::new(far);
    for reset in [false, true] {
        let mut stream = client.open().await.unwrap();
        let id = stream.id().get();
        write_all(&mut stream, &vec![0; 262_144 + 10]).await.unwrap();
        let flush = park::<R, _>(async move { stream.flush().await.map(|()| stream) }).await;
        let mut left = 262_144;
        while left > 0 {
            left -= peer.frame().await.unwrap().unwrap().payload.len();
        }
        if reset {
            peer.send(peer::rst(id, 9)).await;
            let error = flush.await.unwrap_err();
            assert_eq!(cause::<WriteError>(&error), Some(WriteError::Reset(ErrorCode(9))));
        } else {
            peer.send(peer::wnd_inc(id, 10)).await;
            let stream = flush.await.unwrap();
            assert_eq!(peer.hear().await, format!("DATA id={id} len=10"));
            drop(stream);
            assert_eq!(peer.hear().await, format!("DATA id={id} len=0 FIN"));
        }
    }
}

async fn t6_the_end_of_both_directions_is_awaited<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let (mut recv, mut send) = R::split(near);
    // Both halves may wait at the same time.
    let reader = R::spawn(async move {
        let end = recv.ended().await;
        (end, read_to_end(&mut recv).await.unwrap())
    });
    let writer = park::<R, _>(async move {
        send.half_close().await.unwrap();
        send.ended().await
    })
    .await;
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
    write_all(&mut far, b"the rest").await.unwrap();
    drop(far);
    assert_eq!(writer.await, StreamEnd::Finished);
    assert_eq!(reader.await, (StreamEnd::Finished, b"the rest".to_vec()));
}

/// Drops something while a panic unwinds the stack.
fn drop_in_panic<T>(thing: T) {
    let result = catch_unwind(AssertUnwindSafe(move || {
        let _thing = thing;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(result.is_err());
}

async fn t7_a_stream_dropped_by_a_panic_is_reset<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let reset = Some(ReadError::Reset(ErrorCode::INTERNAL));
    // A handler panics in the middle of its answer, as a whole stream or as its sending half.
    for split in [false, true] {
        let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
        write_all(&mut far, b"half of the answer").await.unwrap();
        assert_eq!(read_exact(&mut near, 18).await.unwrap(), b"half of the answer");
        let mut recv = None;
        if split {
            let halves = R::split(far);
            recv = Some(halves.0);
            drop_in_panic(halves.1);
        } else {
            drop_in_panic(far);
        }
        let error = read_exact(&mut near, 1).await.unwrap_err();
        assert_eq!(cause::<ReadError>(&error), reset);
        drop(recv);
    }
    // It had finished: the answer is whole.
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut far, b"all of it").await.unwrap();
    far.half_close().await.unwrap();
    drop_in_panic(far);
    assert_eq!(read_to_end(&mut near).await.unwrap(), b"all of it");
    // For a stream that was not announced, nothing is sent.
    let sent = client.stats().frames_sent;
    drop_in_panic(client.open().await.unwrap());
    drop(near);
    let (_near, _far) = streams::<R>(&client, &server).await.unwrap();
    assert_eq!(client.stats().resets_sent, 0, "{sent} frames before");
}

async fn t7_a_stream_dropped_unfinished_is_reset_if_that_was_chosen<R: Runtime>() {
    let cancelled = Some(ReadError::Reset(ErrorCode::STREAM_CANCELLED));
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.set_reset_on_drop(true);
    // Its owner runs out of time in the middle of a message that nobody reads.
    let mut writing = Box::pin(async move { write_all(&mut near, &vec![7; 2_000_000]).await });
    assert!(futures_util::poll!(&mut writing).is_pending());
    drop(writing);
    let mut bytes = Vec::new();
    let error = read_more(&mut far, &mut bytes).await.unwrap_err();
    assert_eq!(cause::<ReadError>(&error), cancelled, "after {} bytes", bytes.len());

    let config = Config::builder().reset_on_drop(true).build().unwrap();
    let (client, server) = R::pair(4096, config);
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    drop(near);
    let error = read_exact(&mut far, 1).await.unwrap_err();
    assert_eq!(cause::<ReadError>(&error), cancelled);
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, b"all of it").await.unwrap();
    near.half_close().await.unwrap();
    drop(near);
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"all of it");
}

async fn w7_a_handler_learns_that_its_client_has_reset<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
    let handler = park::<R, _>(async move { far.stopped().await }).await;
    near.reset(ErrorCode::STREAM_CANCELLED);
    assert_eq!(handler.await, Ok(Some(ErrorCode::STREAM_CANCELLED)));

    // A peer that only drops the stream is silent until it receives data.
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
    drop(near);
    write_all(&mut far, b"answer").await.unwrap();
    assert_eq!(far.stopped().await, Ok(Some(ErrorCode::STREAM_CLOSED)));
}

async fn w7_a_handler_learns_of_the_end_of_the_session<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (_near, far) = streams::<R>(&client, &server).await.unwrap();
    let handler = park::<R, _>(async move { far.stopped().await }).await;
    client.abort(ErrorCode(7), "over");
    let reason = CloseReason::Remote { code: ErrorCode(7), text: "over".into() };
    assert_eq!(handler.await, Err(reason));
}

async fn w7_nobody_waits_for_what_cannot_come<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    near.half_close().await.unwrap();
    far.half_close().await.unwrap();
    assert_eq!((near.stopped().await, far.stopped().await), (Ok(None), Ok(None)));
    let (near, _far) = streams::<R>(&client, &server).await.unwrap();
    near.reset(ErrorCode(9));
    assert_eq!(near.stopped().await, Ok(None));
    assert_eq!(near.ended().await, StreamEnd::ResetLocally(ErrorCode(9)));
    // A dropped waiter leaves nothing behind.
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    for _ in 0..3 {
        let mut waiting = Box::pin(near.ended());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        yield_now().await;
    }
    drop(near);
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"");
}
