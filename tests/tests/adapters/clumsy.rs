//! Applications that are honest, and clumsy, slow or impatient. Nothing of theirs is refused, reset,
//! stuck, or reported as clean when bytes were lost.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{join, join_all};
use muxado_proto::task::{ReadError, error_code};
use muxado_proto::{CloseReason, Config, ErrorCode, StreamEnd};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Reader, Runtime, Writer, read_exact, read_more, read_to_end, write_all, yield_now,
};

use crate::{cause, streams, suite};

suite! {
    a_patient_close_behind_impatient_ones,
    everybody_closes_while_requests_are_under_way,
    requests_that_ask_back_on_streams_of_their_own,
    an_answer_in_the_middle_of_an_upload,
    a_proxy_that_ends_each_direction_when_it_ends,
    streams_that_outlive_every_other_handle,
    readers_that_take_one_byte_and_wait,
    half_of_all_calls_are_given_up,
    a_reset_is_never_taken_for_an_end,
    a_server_that_leaves_loses_nothing_that_it_said,
}

fn text(seed: u32, length: usize) -> Vec<u8> {
    (0..length)
        .map(|place| (place as u32).wrapping_mul(31).wrapping_add(seed).to_le_bytes()[0])
        .collect()
}

/// Polls a future once and drops it.
fn once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Serves each stream of a session by echoing it; returns how the session ended.
async fn echo_all<R: Runtime>(session: R::Session) -> CloseReason {
    let mut echoes = Vec::new();
    let reason = loop {
        match session.accept().await {
            Ok(mut stream) => echoes.push(R::spawn(async move {
                let question = read_to_end(&mut stream).await?;
                write_all(&mut stream, &question).await?;
                stream.half_close().await
            })),
            Err(reason) => break reason,
        }
    };
    for echo in echoes {
        echo.await.expect("an honest stream");
    }
    reason
}

async fn ask<R: Runtime>(session: &R::Session, seed: u32, length: usize) {
    let mut stream = session.open().await.expect("a stream can be opened");
    let question = text(seed, length);
    write_all(&mut stream, &question).await.expect("the peer reads");
    stream.half_close().await.expect("the stream is open");
    assert!(read_to_end(&mut stream).await.expect("the peer answers") == question);
}

async fn a_patient_close_behind_impatient_ones<R: Runtime>() {
    let (client, server) = R::pair(512, Config::default());
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    write_all(&mut near, &text(1, 200_000)).await.unwrap();
    drop(near);
    for _ in 0..10 {
        assert!(once(client.close()).is_pending());
        yield_now().await;
    }
    let closing: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            R::spawn(async move { client.close().await })
        })
        .collect();
    assert!(read_to_end(&mut far).await.unwrap() == text(1, 200_000));
    drop(far);
    for closed in closing {
        assert!(closed.await.is_clean());
    }
    assert!(server.closed().await.is_clean());
}

/// Requests that could be opened are answered; the others are told why they could not be.
async fn everybody_closes_while_requests_are_under_way<R: Runtime>() {
    for both in [false, true] {
        let (client, server) = R::pair(1024, Config::default());
        let served = R::spawn(echo_all::<R>(server.clone()));
        let asking: Vec<_> = (0..300u32)
            .map(|n| {
                let client = client.clone();
                R::spawn(async move {
                    let mut answered = 0;
                    for round in 0..4 {
                        let Ok(mut stream) = client.open().await else { break };
                        let question = text(n + round, 3000);
                        let asked = async {
                            write_all(&mut stream, &question).await?;
                            stream.half_close().await?;
                            read_to_end(&mut stream).await
                        };
                        match asked.await {
                            Ok(answer) => {
                                assert!(answer == question);
                                answered += 1;
                            }
                            // It was not announced when this side closed, or not accepted when the
                            // other one did.
                            Err(error) => {
                                let code = error_code(&error).expect("an error of a stream");
                                let refused = match code {
                                    ErrorCode::SESSION_CLOSED => true,
                                    ErrorCode::STREAM_REFUSED => both,
                                    ErrorCode::REMOTE_GONE_AWAY => both,
                                    _ => false,
                                };
                                assert!(refused, "{error:?}");
                            }
                        }
                    }
                    answered
                })
            })
            .collect();
        while client.stats().streams_opened < 400 {
            yield_now().await;
        }
        let other = server.clone();
        let closing = R::spawn(async move { if both { Some(other.close().await) } else { None } });
        let reason = client.close().await;
        assert!(reason.is_clean(), "{reason}");
        if let Some(reason) = closing.await {
            assert!(reason.is_clean(), "{reason}");
        }
        let mut answered = 0;
        for asked in asking {
            answered += asked.await;
        }
        assert!(answered > 0);
        let reason = served.await;
        assert!(reason.is_clean(), "{reason}");
    }
}

/// Each handler asks the client back before it answers, on a stream of the server, with all streams
/// of the client in use.
async fn requests_that_ask_back_on_streams_of_their_own<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let back = R::spawn(echo_all::<R>(client.clone()));
    let acceptor = server.clone();
    let served = R::spawn(async move {
        let mut handlers = Vec::new();
        while let Ok(mut stream) = acceptor.accept().await {
            let session = acceptor.clone();
            handlers.push(R::spawn(async move {
                let question = read_to_end(&mut stream).await.expect("a whole request");
                ask::<R>(&session, 7, question.len()).await;
                write_all(&mut stream, &question).await.expect("the client reads");
                stream.half_close().await.expect("the stream is open");
            }));
        }
        join_all(handlers).await;
    });
    let asking = (0..1500u32).map(|n| {
        let client = client.clone();
        R::spawn(async move { ask::<R>(&client, n, 500).await })
    });
    join_all(asking.collect::<Vec<_>>()).await;
    assert_eq!(client.stats().streams_refused + server.stats().streams_refused, 0);
    assert!(client.close().await.is_clean());
    served.await;
    assert!(back.await.is_clean());
}

/// The server has seen enough and answers. The client, which writes on, reads the whole answer.
async fn an_answer_in_the_middle_of_an_upload<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    for round in 0..20 {
        let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
        let (mut reader, mut writer) = R::split(near);
        let upload = R::spawn(async move {
            // It ends as the server likes.
            let _stopped = write_all(&mut writer, &text(1, 2_000_000)).await;
        });
        read_exact(&mut far, 1000 * (round + 1)).await.unwrap();
        write_all(&mut far, &text(2, 20_000)).await.unwrap();
        drop(far);
        assert!(read_to_end(&mut reader).await.unwrap() == text(2, 20_000));
        upload.await;
    }
    assert!(client.close().await.is_clean());
    assert!(server.closed().await.is_clean());
}

/// Copies one direction, and half-closes what it writes to.
async fn pump(mut from: impl Reader, mut to: impl Writer) {
    let mut buf = [0; 700];
    loop {
        let count = from.recv(&mut buf).await.expect("an honest stream");
        if count == 0 {
            break;
        }
        write_all(&mut to, &buf[..count]).await.expect("an honest stream");
    }
    to.half_close().await.expect("an honest stream");
}

/// Two sessions, and a proxy that copies between their streams by hand.
async fn a_proxy_that_ends_each_direction_when_it_ends<R: Runtime>() {
    let (client, inner) = R::pair(300, Config::default());
    let (outer, server) = R::pair(5000, Config::default());
    let served = R::spawn(echo_all::<R>(server));
    let proxy = R::spawn(async move {
        let mut pumps = Vec::new();
        while let Ok(stream) = inner.accept().await {
            let outer = outer.clone();
            pumps.push(R::spawn(async move {
                let other = outer.open().await.expect("a stream can be opened");
                let (from_client, to_client) = R::split(stream);
                let (from_server, to_server) = R::split(other);
                join(pump(from_client, to_server), pump(from_server, to_client)).await;
            }));
        }
        join_all(pumps).await;
        outer.close().await
    });
    let asking = (0..100u32).map(|n| {
        let client = client.clone();
        R::spawn(async move { ask::<R>(&client, n, 400 * n as usize).await })
    });
    join_all(asking.collect::<Vec<_>>()).await;
    assert!(client.close().await.is_clean());
    assert!(proxy.await.is_clean());
    assert!(served.await.is_clean());
}

async fn streams_that_outlive_every_other_handle<R: Runtime>() {
    let (client, server) = R::pair(256, Config::default());
    let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let (weak, end) = (client.downgrade(), server.downgrade());
    drop((client, server));
    let (mut reader, mut writer) = R::split(near);
    let back = R::spawn(async move {
        let question = read_to_end(&mut far).await.unwrap();
        write_all(&mut far, &question).await.unwrap();
    });
    write_all(&mut writer, &text(3, 100_000)).await.unwrap();
    drop(writer);
    assert!(read_to_end(&mut reader).await.unwrap() == text(3, 100_000));
    back.await;
    drop(reader);
    assert!(R::Session::end_of(&weak).await.is_clean());
    assert!(R::Session::end_of(&end).await.is_clean());
}

async fn readers_that_take_one_byte_and_wait<R: Runtime>() {
    let (client, server) = R::pair(64, Config::default());
    let served = R::spawn(echo_all::<R>(server));
    let asking = (0..20u32).map(|n| {
        let client = client.clone();
        R::spawn(async move {
            let mut stream = client.open().await.unwrap();
            for byte in text(n, 600) {
                write_all(&mut stream, &[byte]).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream.half_close().await.unwrap();
            let mut answer = Vec::new();
            let mut byte = [0];
            while stream.recv(&mut byte).await.unwrap() == 1 {
                answer.push(byte[0]);
                yield_now().await;
            }
            assert!(answer == text(n, 600));
            assert_eq!(stream.ended().await, StreamEnd::Finished);
        })
    });
    join_all(asking.collect::<Vec<_>>()).await;
    assert!(client.close().await.is_clean());
    assert!(served.await.is_clean());
}

/// Every call is first made in vain, for one poll, as behind a time limit that is too short.
async fn half_of_all_calls_are_given_up<R: Runtime>() {
    let (client, server) = R::pair(100, Config::default());
    let served = R::spawn(echo_all::<R>(server));
    let asking = (0..50u32).map(|n| {
        let client = client.clone();
        R::spawn(async move {
            drop(once(client.open()));
            let mut stream = client.open().await.unwrap();
            let question = text(n, 5000);
            let mut left = &question[..];
            while !left.is_empty() {
                let count = match once(stream.send(left)) {
                    Poll::Ready(count) => count.unwrap(),
                    Poll::Pending => {
                        drop(once(stream.flush()));
                        stream.send(left).await.unwrap()
                    }
                };
                left = &left[count..];
            }
            drop(once(stream.ended()));
            drop(once(stream.stopped()));
            stream.half_close().await.unwrap();
            let (mut answer, mut buf) = (Vec::new(), [0; 333]);
            loop {
                let count = match once(stream.recv(&mut buf)) {
                    Poll::Ready(count) => count.unwrap(),
                    Poll::Pending => stream.recv(&mut buf).await.unwrap(),
                };
                if count == 0 {
                    break;
                }
                answer.extend_from_slice(&buf[..count]);
            }
            assert!(answer == question);
        })
    });
    join_all(asking.collect::<Vec<_>>()).await;
    assert!(client.close().await.is_clean());
    assert!(served.await.is_clean());
}

/// Whoever resets at whatever moment: a reader gets all, or an error.
async fn a_reset_is_never_taken_for_an_end<R: Runtime>() {
    let config = Config::builder().reset_on_drop(true).build().unwrap();
    let (client, server) = R::pair(900, Arc::new(config));
    for written in (0..40_000).step_by(1371) {
        let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
        let reader = R::spawn(async move {
            let mut bytes = Vec::new();
            let end = read_more(&mut far, &mut bytes).await;
            (bytes, end)
        });
        write_all(&mut near, &text(5, written)).await.unwrap();
        let finishes = written % 2 == 0;
        if finishes {
            near.half_close().await.unwrap();
        }
        drop(near);
        let (bytes, end) = reader.await;
        if finishes {
            end.unwrap();
            assert!(bytes == text(5, written));
        } else {
            let error = cause(&end.unwrap_err());
            assert_eq!(error, Some(ReadError::Reset(ErrorCode::STREAM_CANCELLED)));
        }
    }
    assert!(client.close().await.is_clean());
    drop(server);
}

/// The server closes when its handlers have returned, as a program that is asked to stop.
async fn a_server_that_leaves_loses_nothing_that_it_said<R: Runtime>() {
    for size in [0, 10, 100_000] {
        let (client, server) = R::pair(700, Config::default());
        let mut held = Vec::new();
        for n in 0..20 {
            let (near, mut far) = streams::<R>(&client, &server).await.unwrap();
            held.push(R::spawn(async move {
                let mut near = near;
                near.half_close().await.unwrap();
                read_to_end(&mut near).await.map(|bytes| bytes == text(n, size))
            }));
            write_all(&mut far, &text(n, size)).await.unwrap();
        }
        let reason = server.close().await;
        assert!(reason.is_clean(), "{reason}");
        drop(server);
        for whole in held {
            assert_eq!(whole.await.ok(), Some(true));
        }
        assert!(client.closed().await.is_clean());
    }
}
