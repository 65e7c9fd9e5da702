//! Tests that do not run on every adapter: transports and muxers by hand, the budget of Tokio's
//! tasks, the options of TCP, broken wakers, and the log.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use muxado_proto::task::OpenError;
use muxado_proto::{CloseReason, Config, ErrorCode, Role};
use muxado_tests::runtime::manual::{Count, Manual, Polled, now, settle};
use muxado_tests::runtime::{Io, Runtime, TokioPaused, TokioSingle, pipe};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::tcp;

/// A multiplexer with the interface of libp2p's `StreamMuxer`: all poll functions on one type.
trait Muxer {
    type Stream;
    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Stream, CloseReason>>;
    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Stream, OpenError>>;
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
}

macro_rules! muxer {
    ($($adapter:ident: $name:ident;)*) => {$(
        /// Nothing is boxed, and the transport is borrowed.
        struct $name<'a> {
            session: $adapter::Session,
            driver: $adapter::Driver<&'a mut Io>,
            ended: Option<CloseReason>,
        }

        impl<'a> $name<'a> {
            fn new(io: &'a mut Io, role: Role) -> Self {
                let builder = $adapter::Builder::new(io);
                let (session, driver) = match role {
                    Role::Client => builder.client_with_driver(),
                    Role::Server => builder.server_with_driver(),
                };
                Self { session, driver, ended: None }
            }
        }

        impl Muxer for $name<'_> {
            type Stream = $adapter::Stream;

            fn poll_inbound(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Self::Stream, CloseReason>> {
                self.session.poll_accept(cx)
            }

            fn poll_outbound(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Self::Stream, OpenError>> {
                self.session.poll_open(cx)
            }

            fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
                let closing = self.session.poll_close(cx);
                let _driven = self.poll(cx);
                if closing.is_ready() { closing } else { self.session.poll_close(cx) }
            }

            fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
                if self.ended.is_none() {
                    if let Poll::Ready(reason) = Future::poll(Pin::new(&mut self.driver), cx) {
                        self.ended = Some(reason);
                    }
                }
                self.ended.clone().map_or(Poll::Pending, Poll::Ready)
            }
        }
    )*};
}

muxer! {
    muxado_tokio: OnTokio;
    muxado_smol: OnSmol;
}

/// Opens a stream at one end, accepts it at the other and closes, all in one task.
async fn opens_accepts_and_closes<M: Muxer>(
    mut client: M,
    mut server: M,
    mut write: impl FnMut(&mut M::Stream, &mut Context<'_>) -> Poll<()>,
) {
    let mut near = poll_fn(|cx| client.poll_outbound(cx)).await.unwrap();
    let far = poll_fn(|cx| {
        let _written = write(&mut near, cx);
        assert!(client.poll(cx).is_pending() && server.poll(cx).is_pending());
        server.poll_inbound(cx)
    })
    .await
    .unwrap();
    drop((near, far));
    let mut closed = None;
    let ended = poll_fn(|cx| {
        if let (None, Poll::Ready(reason)) = (&closed, client.poll_close(cx)) {
            closed = Some(reason);
        }
        match server.poll(cx) {
            Poll::Ready(reason) if closed.is_some() => Poll::Ready(reason),
            _ => Poll::Pending,
        }
    })
    .await;
    assert!(closed.is_some_and(|reason| reason.is_clean()) && ended.is_clean());
    let end = poll_fn(|cx| server.poll_inbound(cx)).await;
    assert_eq!(end.err(), Some(ended));
}

#[test]
fn w15_a_muxer_in_poll_forms_over_a_borrowed_transport_on_tokio() {
    let (mut near, mut far) = pipe(64);
    TokioSingle::run(async move {
        let client = OnTokio::new(&mut near, Role::Client);
        let server = OnTokio::new(&mut far, Role::Server);
        let mut sent = false;
        opens_accepts_and_closes(client, server, |stream, cx| {
            let data = if std::mem::replace(&mut sent, true) { "" } else { "hello" };
            stream.poll_write_chunk(cx, &mut data.into()).map(drop)
        })
        .await;
    });
}

#[test]
fn w15_a_muxer_in_poll_forms_over_a_borrowed_transport_on_smol() {
    let (mut near, mut far) = pipe(64);
    smol::block_on(async move {
        let client = OnSmol::new(&mut near, Role::Client);
        let server = OnSmol::new(&mut far, Role::Server);
        let mut sent = false;
        opens_accepts_and_closes(client, server, |stream, cx| {
            let data = if std::mem::replace(&mut sent, true) { "" } else { "hello" };
            stream.poll_write_chunk(cx, &mut data.into()).map(drop)
        })
        .await;
    });
}

/// Repeats an operation that never waits four thousand times, and asserts that other tasks get a turn.
async fn others_get_a_turn(what: &str, mut work: impl AsyncFnMut()) {
    let turns = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    tokio::task::yield_now().await;
    let before = turns.load(Ordering::Relaxed);
    for _ in 0..4000 {
        work().await;
    }
    let after = turns.load(Ordering::Relaxed);
    other.abort();
    assert!(after > before + 2, "{what}: others had {} turns", after - before);
}

#[test]
fn w5_a_task_that_never_waits_gives_others_their_turn() {
    TokioSingle::run(async {
        let (near, far) = pipe(1 << 20);
        let client = muxado_tokio::Session::client(near, Config::default());
        let server = muxado_tokio::Session::server(far, Config::default());
        let mut stream = client.open().await.unwrap();
        stream.write_all(&[7; 150_000]).await.unwrap();
        let mut far = server.accept().await.unwrap();
        while far.stats().receive_buffered < 150_000 {
            tokio::task::yield_now().await;
        }
        others_get_a_turn("reading", async || {
            far.read_exact(&mut [0; 16]).await.unwrap();
        })
        .await;
        others_get_a_turn("reading chunks", async || {
            assert_eq!(far.read_chunk(8).await.unwrap().unwrap().len(), 8);
        })
        .await;
        others_get_a_turn("writing", async || stream.write_all(&[1; 8]).await.unwrap()).await;
        others_get_a_turn("writing chunks", async || {
            stream.write_chunk((&[1; 8][..]).into()).await.unwrap();
        })
        .await;
        others_get_a_turn("flushing", async || stream.flush().await.unwrap()).await;
        others_get_a_turn("opening", async || drop(client.open().await.unwrap())).await;
        let (mut reader, mut writer) = client.open().await.unwrap().into_split();
        others_get_a_turn("writing a half", async || writer.write_all(&[1; 16]).await.unwrap())
            .await;
        let (_far_reader, mut far_writer) = server.accept().await.unwrap().into_split();
        far_writer.write_all(&[7; 100_000]).await.unwrap();
        while reader.stats().receive_buffered < 100_000 {
            tokio::task::yield_now().await;
        }
        others_get_a_turn("reading a half", async || {
            reader.read_exact(&mut [0; 16]).await.unwrap();
        })
        .await;
        others_get_a_turn("reading chunks of a half", async || {
            assert_eq!(reader.read_chunk(8).await.unwrap().unwrap().len(), 8);
        })
        .await;
        server.abort(ErrorCode::NO_ERROR, "");
        client.closed().await;
        others_get_a_turn("the end of a stream", async || drop(stream.ended().await)).await;
        others_get_a_turn("a reset", async || drop(stream.stopped().await)).await;
        others_get_a_turn("a GOAWAY", async || drop(client.going_away().await)).await;
        others_get_a_turn("accepting", async || drop(client.accept().await.unwrap_err())).await;
        others_get_a_turn("the end", async || drop(client.closed().await)).await;
    });
}

/// A transport that takes everything, and is silent.
#[derive(Clone, Default)]
struct Abyss(Arc<AtomicUsize>);

impl AsyncRead for Abyss {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Abyss {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.fetch_add(buf.len(), Ordering::Relaxed);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Tokio looks for input, and polls the future that it blocks on, when no task is ready or after 61
/// tasks. A driver with bulk is always ready.
#[test]
fn w5_bulk_beside_small_messages_does_not_keep_a_runtime_from_its_input() {
    const BULK: usize = 32 << 20;
    // After a small message, the session expects more for some time. The clock is paused, so that this
    // time does not pass.
    TokioPaused::run(async {
        let config = Config::builder().send_window(64 << 20).build().unwrap();
        let abyss = Abyss::default();
        let session = muxado_tokio::Session::client(abyss.clone(), config);
        let mut bulk = session.open().await.unwrap();
        let pouring = tokio::spawn(async move {
            loop {
                bulk.write_all(&[7; 64 << 10]).await.unwrap();
            }
        });
        let mut small = session.open().await.unwrap();
        let mut looks = 0;
        while abyss.0.load(Ordering::Relaxed) < BULK {
            small.write_all(b"question").await.unwrap();
            tokio::task::yield_now().await;
            looks += 1;
        }
        pouring.abort();
        let segments = BULK >> 16;
        assert!(looks > segments / 6, "{looks} for {segments} segments");
    });
}

/// A call that moves so many bytes.
type Call = fn(&mut muxado_tokio::Stream, &mut Context<'_>, usize) -> Poll<usize>;

const WRITES: [Call; 3] = [
    |stream, cx, size| Pin::new(stream).poll_write(cx, &vec![7; size]).map(Result::unwrap),
    |stream, cx, size| {
        let (head, body) = (vec![7; 16], vec![7; size - 16]);
        let parts = [IoSlice::new(&head), IoSlice::new(&body)];
        AsyncWrite::poll_write_vectored(Pin::new(stream), cx, &parts).map(Result::unwrap)
    },
    |stream, cx, size| {
        let written = stream.poll_write_chunk(cx, &mut vec![7; size].into());
        written.map(|written| written.map(|()| size).unwrap())
    },
];

const READS: [Call; 3] = [
    |stream, cx, size| {
        let mut room = vec![0; size];
        let mut buf = ReadBuf::new(&mut room);
        let read = AsyncRead::poll_read(Pin::new(stream), cx, &mut buf);
        read.map(|read| read.map(|()| buf.filled().len()).unwrap())
    },
    |stream, cx, size| {
        let mut room = vec![0; size];
        let mut buf = hyper::rt::ReadBuf::new(&mut room);
        let read = hyper::rt::Read::poll_read(Pin::new(stream), cx, buf.unfilled());
        read.map(|read| read.map(|()| buf.filled().len()).unwrap())
    },
    |stream, cx, size| {
        let read = stream.poll_read_chunk(cx, size);
        read.map(|read| read.unwrap().map_or(0, |chunk| chunk.len()))
    },
];

/// How many calls succeed in one turn of a task, and what they move.
async fn in_a_turn(call: Call, stream: &mut muxado_tokio::Stream, size: usize) -> (u32, usize) {
    // A task has its whole budget again in each turn.
    tokio::task::yield_now().await;
    poll_fn(|cx| {
        let (mut calls, mut moved) = (0, 0);
        while let Poll::Ready(bytes) = call(stream, cx, size) {
            (calls, moved) = (calls + 1, moved + bytes);
        }
        Poll::Ready((calls, moved))
    })
    .await
}

#[test]
fn w5_a_call_that_moves_little_uses_an_eighth_of_a_unit_of_budget() {
    // A task has 128 units, and the unit of the call before may not be used up.
    const LITTLE: RangeInclusive<u32> = 8 * 128..=8 * 128 + 7;
    TokioSingle::run(async {
        let config = Config::builder().send_window(8 << 20).receive_window(8 << 20);
        let config = config.overcommit(true).send_buffer(8 << 20).session_send_buffer(64 << 20);
        let config = config.build().unwrap();
        let (near, far) = pipe(1 << 20);
        let client = muxado_tokio::Session::client(near, config.clone());
        let server = muxado_tokio::Session::server(far, config);
        let mut stream = client.open().await.unwrap();
        let mut left = 0;
        for call in WRITES {
            let (calls, moved) = in_a_turn(call, &mut stream, 2048).await;
            assert!(LITTLE.contains(&calls) && moved == calls as usize * 2048, "{calls} {moved}");
            let more = in_a_turn(call, &mut stream, 2049).await;
            assert!((128..=129).contains(&more.0), "{more:?}");
            left += moved + more.1;
        }
        stream.finish().unwrap();
        let mut far = server.accept().await.unwrap();
        while (far.stats().receive_buffered as usize) < left {
            tokio::task::yield_now().await;
        }
        for call in READS {
            let (calls, moved) = in_a_turn(call, &mut far, 1024).await;
            assert!(LITTLE.contains(&calls), "{calls}");
            // A chunk ends with the memory that it is in, so a few of them are small.
            let more = in_a_turn(call, &mut far, 4000).await;
            assert!((128..256).contains(&more.0), "{more:?}");
            left -= moved + more.1;
        }
        assert!(left > 0);
        while far.read_chunk(usize::MAX).await.unwrap().is_some() {}
        // The bytes count, not the room for them: at the end of the stream there are none.
        for call in READS {
            let (calls, moved) = in_a_turn(call, &mut far, 64 << 10).await;
            assert!(LITTLE.contains(&calls) && moved == 0, "{calls} {moved}");
        }
    });
}

#[test]
fn w4_w6_a_session_over_tcp_sets_nodelay_and_keepalive_on_tokio() {
    TokioSingle::run(async {
        let [near, _far, twin] = tcp();
        assert!(!twin.nodelay().unwrap());
        let near = tokio::net::TcpStream::from_std(near).unwrap();
        let _session = muxado_tokio::Session::client(near, Config::default());
        assert!(twin.nodelay().unwrap());
        assert!(socket2::SockRef::from(&twin).keepalive().unwrap());
        // The builder leaves the options alone.
        let [near, _far, twin] = tcp();
        let near = tokio::net::TcpStream::from_std(near).unwrap();
        let _session = muxado_tokio::Builder::new(near).client();
        assert!(!twin.nodelay().unwrap());
    });
}

#[test]
fn w4_w6_a_session_over_tcp_sets_nodelay_and_keepalive_on_smol() {
    smol::block_on(async {
        let [near, _far, twin] = tcp();
        assert!(!twin.nodelay().unwrap());
        let near = smol::net::TcpStream::try_from(near).unwrap();
        let _session = muxado_smol::Session::client(near, Config::default());
        assert!(twin.nodelay().unwrap());
        assert!(socket2::SockRef::from(&twin).keepalive().unwrap());
    });
}

/// A waker of a broken executor.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn w11_a_waker_that_panics_keeps_nobody_from_being_woken() {
    let (near, far) = pipe(4096);
    let mut client = Manual::new(near, Role::Client, Config::default());
    let mut server = Manual::new(far, Role::Server, Config::default());
    let mut streams: Vec<_> = (0..3).map(|_| now(client.session.open()).unwrap()).collect();
    for stream in &mut streams {
        now(stream.write_some(b"x")).unwrap();
    }
    settle(&mut client, &mut server);
    let broken = Waker::from(Arc::new(Panics));
    let woken: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        let good = Waker::from(Arc::clone(&woken[index]));
        let waker = if index == 1 { &broken } else { &good };
        assert!(stream.poll_read(&Context::from_waker(waker), &mut [0; 8]).is_pending());
    }
    let session = client.session.clone();
    let mut closed = Polled::new(session.closed());
    assert!(closed.poll().is_pending());
    for _ in 0..3 {
        let mut far = now(server.session.accept()).unwrap();
        now(far.write_some(b"answer")).unwrap();
    }
    settle(&mut client, &mut server);
    assert_eq!((woken[0].take(), woken[2].take()), (1, 1));
    // The session continues, also for the owner of the broken waker.
    assert_eq!(now(streams[1].read_some(&mut [0; 8])), Ok(6));
    client.session.abort(ErrorCode::NO_ERROR, "");
    settle(&mut client, &mut server);
    assert_eq!(closed.woken.take(), 1);
}
