//! Relays: half-close, resets and ends on both sides, in all cases.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::task::{Poll, ready};

use muxado_proto::task::{ReadError, RelayFault};
use muxado_proto::{Config, ErrorCode};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Io, Reader, Runtime, Task, Wire, Writer, pipe, read_exact, read_more, read_to_end, write_all,
    yield_now,
};

use crate::{cause, streams, suite};

suite! {
    a_relay_moves_both_ways_at_once_and_counts,
    the_end_of_each_side_is_the_half_close_of_the_other,
    a_reset_of_the_stream_resets_the_tcp_connection,
    a_reset_of_the_tcp_connection_resets_the_stream,
    w7_a_client_that_gives_up_after_its_request_resets_the_tcp_connection,
    a_stream_relayed_to_a_stream_keeps_the_code_of_a_reset,
    five_hundred_relays_at_once,
    a_relay_aborted_at_any_point_tells_both_sides,
    a_relay_to_tcp_aborted_at_any_point_tells_both_ends,
}

/// Bytes each way; set `MUXADO_RELAY_BYTES` for more than CI has time for.
fn amount() -> usize {
    let asked = std::env::var("MUXADO_RELAY_BYTES").ok();
    asked.map_or(8 << 20, |bytes| bytes.parse().expect("a number of bytes"))
}

/// The most bytes that are sent or checked at once.
const PIECE: usize = 64 << 10;

/// Bytes that depend on their position in the sequence, and repeat only after more bytes than are
/// read at once. Comparing slices is fast without optimisation, too, and so is 1 GiB each way.
struct Pattern(Vec<u8>);

impl Pattern {
    const PERIOD: usize = 64 << 10;

    fn new(salt: usize) -> Self {
        let byte = |at: usize| (at.wrapping_mul(31) ^ (at >> 8) ^ salt).to_le_bytes()[0];
        Self((0..Self::PERIOD + PIECE).map(byte).collect())
    }

    /// At most [`PIECE`] bytes from a position, before the end of all.
    fn at(&self, position: usize, most: usize) -> &[u8] {
        &self.0[position % Self::PERIOD..][..most.min(PIECE)]
    }
}

async fn send(writer: &mut impl Writer, total: usize, salt: usize) {
    let (pattern, mut position) = (Pattern::new(salt), 0);
    while position < total {
        let piece = pattern.at(position, (total - position).min(50_000));
        write_all(writer, piece).await.unwrap();
        position += piece.len();
    }
    writer.half_close().await.unwrap();
}

async fn receive(reader: &mut impl Reader, total: usize, salt: usize) {
    let (pattern, mut position, mut buf) = (Pattern::new(salt), 0, vec![0; PIECE]);
    loop {
        let count = reader.recv(&mut buf).await.unwrap();
        if count == 0 {
            break;
        }
        assert!(&buf[..count] == pattern.at(position, count), "after {position}");
        position += count;
    }
    assert_eq!(position, total);
}

/// The other side of a relay, without the traits of a runtime.
struct Plain(Io);

impl Reader for Plain {
    async fn recv(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        poll_fn(|cx| Wire::poll_read(&mut self.0, cx, buf)).await
    }
}

impl Writer for Plain {
    async fn send(&mut self, data: &[u8]) -> std::io::Result<usize> {
        poll_fn(|cx| Wire::poll_write(&mut self.0, cx, data)).await
    }

    async fn send_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        Writer::send(self, bufs.first().map_or(&[], |buf| buf)).await
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    async fn half_close(&mut self) -> std::io::Result<()> {
        poll_fn(|cx| Wire::poll_close(&mut self.0, cx)).await
    }
}

async fn a_relay_moves_both_ways_at_once_and_counts<R: Runtime>() {
    let total = amount();
    let (client, server) = R::pair(64 << 10, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    let (inside, outside) = pipe(16 << 10);
    let relay = R::spawn(R::Session::relay(far, inside));
    let (mut recv, mut send_half) = R::split(near);
    let upload = R::spawn(async move { send(&mut send_half, total, 1).await });
    let download = R::spawn(async move { receive(&mut recv, total, 2).await });
    // Both directions of the pipe are served by one task.
    let (mut outside, mut buf) = (outside, vec![0; 16 << 10]);
    let (mut sent, mut received) = (0, 0);
    let (outgoing, incoming) = (Pattern::new(2), Pattern::new(1));
    poll_fn(|cx| {
        while sent < total {
            let piece = outgoing.at(sent, (total - sent).min(10_000));
            let Poll::Ready(count) = Wire::poll_write(&mut outside, cx, piece) else { break };
            sent += count.unwrap();
            if sent == total {
                assert!(Wire::poll_close(&mut outside, cx).is_ready());
            }
        }
        loop {
            let count = ready!(Wire::poll_read(&mut outside, cx, &mut buf)).unwrap();
            if count == 0 {
                // The end of one direction does not end the other.
                return if sent == total { Poll::Ready(()) } else { Poll::Pending };
            }
            assert!(&buf[..count] == incoming.at(received, count), "after {received}");
            received += count;
        }
    })
    .await;
    assert_eq!(sent, total);
    assert_eq!(received, total);
    upload.await;
    download.await;
    let relayed = relay.await.unwrap();
    let expected = u64::try_from(total).unwrap();
    assert_eq!((relayed.from_stream, relayed.to_stream), (expected, expected));
}

async fn the_end_of_each_side_is_the_half_close_of_the_other<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    for stream_first in [true, false] {
        let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
        let (inside, outside) = pipe(4096);
        let mut outside = Plain(outside);
        let relay = R::spawn(R::Session::relay(far, inside));
        if stream_first {
            write_all(&mut near, b"question").await.unwrap();
            near.half_close().await.unwrap();
            assert_eq!(read_to_end(&mut outside).await.unwrap(), b"question");
            write_all(&mut outside, b"answer").await.unwrap();
            outside.half_close().await.unwrap();
            assert_eq!(read_to_end(&mut near).await.unwrap(), b"answer");
        } else {
            write_all(&mut outside, b"banner").await.unwrap();
            outside.half_close().await.unwrap();
            assert_eq!(read_to_end(&mut near).await.unwrap(), b"banner");
            write_all(&mut near, b"thanks").await.unwrap();
            near.half_close().await.unwrap();
            assert_eq!(read_to_end(&mut outside).await.unwrap(), b"thanks");
        }
        let relayed = relay.await.unwrap();
        assert_eq!(relayed.from_stream + relayed.to_stream, if stream_first { 14 } else { 12 });
    }
}

/// Runs blocking code in its own thread.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = futures_channel::oneshot::channel();
    let thread = std::thread::spawn(move || done.send(run()).is_ok());
    let result = result.await.expect("the thread does not panic");
    thread.join().expect("it has ended");
    result
}

/// A connection whose far end is used by a thread.
fn tcp() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

async fn a_reset_of_the_stream_resets_the_tcp_connection<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
    let (inside, mut outside) = tcp();
    let relay: Task<_> = R::spawn(R::Session::relay_tcp(far, inside));
    write_all(&mut near, b"half of it").await.unwrap();
    let (mut outside, buf) = blocking(move || {
        let mut buf = [0; 10];
        outside.read_exact(&mut buf).unwrap();
        (outside, buf)
    })
    .await;
    assert_eq!(&buf, b"half of it");
    near.reset(ErrorCode(33));
    let error = relay.await.unwrap_err();
    assert!(matches!(error.fault(), RelayFault::Read(ReadError::Reset(ErrorCode(33)))));
    assert_eq!(error.relayed().from_stream, 10);
    let end = blocking(move || outside.read(&mut [0; 10])).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

async fn w7_a_client_that_gives_up_after_its_request_resets_the_tcp_connection<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
    let (inside, mut outside) = tcp();
    let relay: Task<_> = R::spawn(R::Session::relay_tcp(far, inside));
    write_all(&mut near, b"a whole request").await.unwrap();
    near.half_close().await.unwrap();
    let (mut outside, request) = blocking(move || {
        let mut request = Vec::new();
        outside.read_to_end(&mut request).unwrap();
        (outside, request)
    })
    .await;
    assert_eq!(request, b"a whole request");
    // The stream is no longer read, and the service is still running.
    near.reset(ErrorCode(55));
    let error = relay.await.unwrap_err();
    assert!(matches!(error.fault(), RelayFault::Read(ReadError::Reset(ErrorCode(55)))));
    let late = blocking(move || {
        loop {
            if let Err(error) = outside.write_all(b"an answer") {
                return error.kind();
            }
        }
    });
    assert!(matches!(late.await, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
}

async fn a_reset_of_the_tcp_connection_resets_the_stream<R: Runtime>() {
    let (client, server) = R::pair(4096, Config::default());
    let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
    let (inside, mut outside) = tcp();
    let relay: Task<_> = R::spawn(R::Session::relay_tcp(far, inside));
    outside.write_all(b"begun").unwrap();
    assert_eq!(read_exact(&mut near, 5).await.unwrap(), b"begun");
    socket2::SockRef::from(&outside).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(outside);
    let mut rest = Vec::new();
    let error = read_more(&mut near, &mut rest).await.unwrap_err();
    let reset = ReadError::Reset(ErrorCode::STREAM_RESET);
    assert_eq!(cause::<ReadError>(&error), Some(reset));
    let error = relay.await.unwrap_err();
    assert!(matches!(error.fault(), RelayFault::Other(_)));
    assert_eq!(std::io::Error::from(error).kind(), ErrorKind::ConnectionReset);
}

async fn a_stream_relayed_to_a_stream_keeps_the_code_of_a_reset<R: Runtime>() {
    let (client, middle_near) = R::pair(4096, Config::default());
    let (middle_far, server) = R::pair(4096, Config::default());
    for from_client in [true, false] {
        let (mut near, inside) = streams::<R>(&client, &middle_near).await.unwrap();
        let (onward, mut far) = streams::<R>(&middle_far, &server).await.unwrap();
        let relay: Task<_> = R::spawn(R::Session::relay_streams(inside, onward));
        write_all(&mut near, b"through two sessions").await.unwrap();
        assert_eq!(read_exact(&mut far, 20).await.unwrap(), b"through two sessions");
        let (resets, told) = if from_client { (&near, &mut far) } else { (&far, &mut near) };
        resets.reset(ErrorCode(4711));
        let error = read_exact(told, 1).await.unwrap_err();
        let reset = ReadError::Reset(ErrorCode(4711));
        assert_eq!(cause::<ReadError>(&error), Some(reset));
        relay.await.unwrap_err();
    }
}

async fn five_hundred_relays_at_once<R: Runtime>() {
    let (client, server) = R::pair(64 << 10, Config::default());
    let acceptor = R::spawn(async move {
        let mut relays = Vec::new();
        for _ in 0..500 {
            let far = server.accept().await.unwrap();
            let (inside, outside) = pipe(1024);
            relays.push(R::spawn(R::Session::relay(far, inside)));
            // Behind each is an echo.
            drop(R::spawn(async move {
                let mut outside = Plain(outside);
                let text = read_to_end(&mut outside).await.unwrap();
                write_all(&mut outside, &text).await.unwrap();
                outside.half_close().await.unwrap();
            }));
        }
        for relay in relays {
            let relayed = relay.await.unwrap();
            assert_eq!(relayed.from_stream, relayed.to_stream);
        }
    });
    let tasks: Vec<Task<()>> = (0..500usize)
        .map(|number| {
            let client = client.clone();
            R::spawn(async move {
                let text = vec![number.to_le_bytes()[0]; 1000 + number * 10];
                let mut stream = client.open().await.unwrap();
                write_all(&mut stream, &text).await.unwrap();
                stream.half_close().await.unwrap();
                assert!(read_to_end(&mut stream).await.unwrap() == text);
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    acceptor.await;
}

async fn a_relay_aborted_at_any_point_tells_both_sides<R: Runtime>() {
    let (client, server) = R::pair(256, Arc::new(Config::default()));
    for polls in (0..200).chain([usize::MAX]) {
        let (mut near, far) = streams::<R>(&client, &server).await.unwrap();
        let (inside, outside) = pipe(64);
        let mut outside = Plain(outside);
        let mut relay = R::Session::relay(far, inside);
        let near = R::spawn(async move {
            write_all(&mut near, &[7; 500]).await?;
            near.half_close().await?;
            let mut answer = Vec::new();
            read_more(&mut near, &mut answer).await.map(|()| answer.len())
        });
        let outside = R::spawn(async move {
            let mut question = Vec::new();
            read_more(&mut outside, &mut question).await?;
            write_all(&mut outside, &[8; 500]).await?;
            outside.half_close().await.map(|()| question.len())
        });
        let mut finished = None;
        for _ in 0..polls {
            let polled = poll_fn(|cx| Poll::Ready(relay.as_mut().poll(cx))).await;
            if let Poll::Ready(result) = polled {
                finished = Some(result);
                break;
            }
            yield_now().await;
        }
        drop(relay);
        let (asked, answered) = (near.await, outside.await);
        if let Some(relayed) = finished {
            assert!(relayed.is_ok(), "{relayed:?}");
            assert_eq!((asked.unwrap(), answered.unwrap()), (500, 500));
            continue;
        }
        // The near side never mistakes a part for the whole.
        match asked {
            Ok(count) => assert_eq!(count, 500),
            Err(error) => assert_eq!(
                muxado_proto::task::error_code(&error),
                Some(ErrorCode::STREAM_CANCELLED),
                "{error}"
            ),
        }
    }
}

/// Neither end takes a part of what the other has sent for the whole of it.
async fn a_relay_to_tcp_aborted_at_any_point_tells_both_ends<R: Runtime>() {
    const LENGTH: usize = 100_000;
    let (client, server) = R::pair(4096, Arc::new(Config::default()));
    let mut cut = 0;
    for polls in (0..100).map(|step| step * step / 4).chain([usize::MAX]) {
        let (near, far) = streams::<R>(&client, &server).await.unwrap();
        let (inside, mut outside) = tcp();
        let mut relay = R::Session::relay_tcp(far, inside);
        let (mut recv, mut send) = R::split(near);
        let question = R::spawn(async move {
            write_all(&mut send, &[7; LENGTH]).await?;
            send.half_close().await
        });
        let answer = R::spawn(async move {
            let mut answer = Vec::new();
            read_more(&mut recv, &mut answer).await.map(|()| answer)
        });
        let service = R::spawn(blocking(move || {
            let mut writer = outside.try_clone()?;
            let answering = std::thread::spawn(move || {
                writer.write_all(&[8; LENGTH])?;
                writer.shutdown(std::net::Shutdown::Write)
            });
            let mut question = Vec::new();
            let read = outside.read_to_end(&mut question);
            let answered = answering.join().expect("it does not panic");
            read.map(|_| (question, answered.is_ok()))
        }));
        let mut finished = false;
        for _ in 0..polls {
            if poll_fn(|cx| Poll::Ready(relay.as_mut().poll(cx).is_ready())).await {
                finished = true;
                break;
            }
            yield_now().await;
        }
        drop(relay);
        let (asked, answer, served) = (question.await, answer.await, service.await);
        if finished {
            asked.unwrap();
            assert!(answer.unwrap() == [8; LENGTH]);
            assert!(served.unwrap() == (vec![7; LENGTH], true));
            continue;
        }
        cut += 1;
        match answer {
            Ok(answer) => assert!(answer == [8; LENGTH], "{} bytes", answer.len()),
            Err(error) => {
                let code = muxado_proto::task::error_code(&error);
                assert_eq!(code, Some(ErrorCode::STREAM_CANCELLED), "{error}");
            }
        }
        match served {
            Ok((question, true)) => assert!(question == [7; LENGTH], "{} bytes", question.len()),
            // The system tells of a reset once, and it was the writer who heard of it.
            Ok((_, false)) => {}
            Err(error) => {
                let kind = error.kind();
                let told = matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
                assert!(told, "{error}");
            }
        }
    }
    // Those that were not polled at all, at least. How far one poll comes depends on the scheduler.
    assert!(cut >= 2, "only {cut} were cut");
}
