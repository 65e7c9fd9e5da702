//! What is below TLS, alone: how much it asks the system for and delivers, before and after its peer is
//! known.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

#[path = "../../../muxado-tokio/examples/tunnel/reader.rs"]
mod subject;

use subject::Reader;

/// A system that has some bytes to read, and notes what it is asked for.
#[derive(Default)]
struct Asked {
    incoming: Vec<u8>,
    reads: Vec<usize>,
    /// Each write, with the number of its slices.
    writes: Vec<(usize, Vec<u8>)>,
    ends: Vec<&'static str>,
}

impl AsyncRead for &mut Asked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.push(buf.remaining());
        let count = self.incoming.len().min(buf.remaining());
        buf.put_slice(&self.incoming.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for &mut Asked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.push((1, buf.to_vec()));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let count = all.len();
        self.writes.push((bufs.len(), all));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ends.push("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ends.push("shutdown");
        Poll::Ready(Ok(()))
    }
}

/// Bytes of which no two pieces are alike.
fn bytes(count: u32) -> Vec<u8> {
    (0..count).flat_map(u32::to_be_bytes).collect()
}

#[tokio::test]
async fn a_stranger_has_no_buffer() {
    let sent = bytes(50_000);
    let mut system = Asked { incoming: sent.clone(), ..Asked::default() };
    let (mut reader, _known) = Reader::of_stranger(&mut system, sent.len());
    let mut received = Vec::new();
    let mut record = [0; 4096];
    loop {
        let count = reader.read(&mut record).await.expect("it reads");
        if count == 0 {
            break;
        }
        received.extend_from_slice(&record[..count]);
    }
    assert_eq!(received, sent);
    assert!(system.reads.iter().all(|&asked| asked == 4096), "{:?}", system.reads);
}

#[tokio::test]
async fn a_stranger_delivers_no_more_than_its_limit() {
    let mut system = Asked { incoming: bytes(1000), ..Asked::default() };
    let (mut reader, _known) = Reader::of_stranger(&mut system, 3999);
    let mut received = [0; 3900];
    reader.read_exact(&mut received).await.expect("it reads");
    let error = reader.read(&mut [0; 100]).await.expect_err("that is too much");
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(system.reads, [3900, 100]);
}

#[tokio::test]
async fn of_a_known_peer_much_is_read_at_once_and_nothing_lost() {
    let sent = bytes(200_000);
    let mut system = Asked { incoming: sent.clone(), ..Asked::default() };
    let (mut reader, known) = Reader::of_stranger(&mut system, 1000);
    let mut received = vec![0; 1000];
    reader.read_exact(&mut received).await.expect("it reads");
    known.store(true, Ordering::Relaxed);
    let mut piece = [0; 999];
    while let count @ 1.. = reader.read(&mut piece).await.expect("it reads") {
        received.extend_from_slice(&piece[..count]);
    }
    assert_eq!(received, sent);
    // 799,000 bytes in pieces of 256 KiB, and the end.
    assert_eq!(system.reads, [1000, 256 << 10, 256 << 10, 256 << 10, 256 << 10, 256 << 10]);
}

#[tokio::test]
async fn what_is_written_passes_as_it_is() {
    let mut system = Asked::default();
    let mut reader = Reader::new(&mut system);
    assert!(reader.is_write_vectored());
    reader.write_all(b"one").await.expect("it writes");
    let two = [IoSlice::new(b"two"), IoSlice::new(b"three")];
    assert_eq!(reader.write_vectored(&two).await.expect("it writes"), 8);
    reader.flush().await.expect("it flushes");
    reader.shutdown().await.expect("it ends");
    assert_eq!(system.writes, [(1, b"one".to_vec()), (2, b"twothree".to_vec())]);
    assert_eq!(system.ends, ["flush", "shutdown"]);
}
