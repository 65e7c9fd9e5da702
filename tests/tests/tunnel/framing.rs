//! The reader in front of hyper, alone: requests in any pieces, one behind the other, and bodies that
//! look like heads.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};

#[path = "../../../muxado-tokio/examples/tunnel/server/framing.rs"]
mod subject;

use subject::{Framed, REFUSED};

/// A body for which no head may be taken, and whose end no length in it may change.
const BODY: &str = "GET / HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Requests whose length is certain.
fn certain() -> Vec<String> {
    let length = BODY.len();
    vec![
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "\r\nGET / HTTP/1.1\nHost: a\n\n".to_owned(),
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{BODY}"),
        format!(
            "POST / HTTP/1.1\r\nContent-Length: {length}\r\ncontent-length:{length}\r\n\r\n{BODY}"
        ),
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            {length:x}\r\n{BODY}\r\n1 ;with=\"more\"\r\n\r\r\n0{length:X}\r\n{BODY}\r\n\
            000\r\nContent-Length: 7\r\nTrailer: 1\r\n\r\n"
        ),
    ]
}

/// Heads that are refused.
fn doubtful() -> Vec<String> {
    let heads = [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: chunked\r\nX: y\r\ncontent-length: 0",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nX: y\r\nContent-Length: 3\r\nContent-Length: 0",
        "Content-Length: 3, 3",
        "Content-Length: -3",
        "Content-Length: 18446744073709551616",
        "Content-Length:",
        "Content-Length : 3",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Upgrade: echo\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        "Folded: a\r\n b",
    ];
    let mut heads = heads.map(str::to_owned).to_vec();
    heads.push("A: b\r\n".repeat(200));
    heads.push(format!("A: {}", "b".repeat(70_000)));
    heads.into_iter().map(|head| format!("POST / HTTP/1.1\r\n{head}\r\n\r\n")).collect()
}

/// A connection from which bytes arrive in these pieces.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    /// `sizes` are taken in turn.
    fn new(bytes: &[u8], sizes: &[usize]) -> Self {
        let (mut pieces, mut rest) = (VecDeque::new(), bytes);
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            pieces.push_back(piece.to_vec());
            rest = behind;
        }
        Self(pieces)
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.front_mut() {
            let count = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.0.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper gets of these bytes, if it reads with buffers of a size.
fn seen(bytes: &[u8], sizes: &[usize], buffer: usize) -> io::Result<Vec<u8>> {
    let mut framed = Framed::new(Pieces::new(bytes, sizes));
    let mut context = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    loop {
        let mut space = vec![0; buffer];
        let mut space = ReadBuf::new(&mut space);
        match Pin::new(&mut framed).poll_read(&mut context, &mut space) {
            Poll::Ready(result) => result?,
            Poll::Pending => unreachable!("the pieces are always ready"),
        }
        if space.filled().is_empty() {
            return Ok(seen);
        }
        seen.extend_from_slice(space.filled());
    }
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..200_usize, 1..20), Just(vec![100_000])]
}

fn requests() -> impl Strategy<Value = String> {
    vec(proptest::sample::select(certain()), 0..6).prop_map(|requests| requests.concat())
}

proptest! {
    #[test]
    fn requests_of_certain_length_pass_unchanged(
        requests in requests(), sizes in sizes(), buffer in 1..20_000_usize,
    ) {
        let passed = seen(requests.as_bytes(), &sizes, buffer).expect("no chunk is wrong");
        prop_assert_eq!(String::from_utf8_lossy(&passed), requests);
    }

    #[test]
    fn a_doubtful_head_is_replaced_and_nothing_passes_after_it(
        before in requests(), head in proptest::sample::select(doubtful()), after in requests(),
        sizes in sizes(), buffer in 1..20_000_usize,
    ) {
        let bytes = format!("{before}{head}{after}");
        let passed = seen(bytes.as_bytes(), &sizes, buffer).expect("no chunk is wrong");
        let expected = [before.as_bytes(), REFUSED].concat();
        prop_assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn after_a_request_for_another_protocol_everything_passes(
        before in requests(), after in vec(any::<u8>(), 0..500), sizes in sizes(),
        buffer in 1..20_000_usize,
    ) {
        for head in ["GET / HTTP/1.1\r\nUpgrade: echo\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n"] {
            let bytes = [before.as_bytes(), head.as_bytes(), &after].concat();
            prop_assert_eq!(seen(&bytes, &sizes, buffer).expect("no chunk is wrong"), bytes);
        }
    }

    /// Whatever arrives: what passes is a beginning of it, up to a replaced head.
    #[test]
    fn nothing_is_made_up(bytes in vec(any::<u8>(), 0..500), before in requests(), sizes in sizes()) {
        let bytes = [before.as_bytes(), &bytes].concat();
        if let Ok(passed) = seen(&bytes, &sizes, 512) {
            let passed = passed.strip_suffix(REFUSED).unwrap_or(&passed);
            prop_assert!(bytes.starts_with(passed));
        }
    }
}

#[test]
fn a_wrong_chunk_is_an_error_of_the_connection() {
    let many = format!("1;{}\r\n", "x".repeat(70_000));
    for line in ["x\r\n", "\r\n1\r\n", "-1\r\n", "fffffffffffffffff\r\n", "1\n", &many] {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for sizes in [[1], [100_000]] {
            let error = seen(format!("{head}{line}").as_bytes(), &sizes, 100);
            let error = error.expect_err("hyper must not get that");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{line:?}");
        }
    }
}

#[test]
fn half_a_head_is_no_head() {
    let passed = seen(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost:", &[1], 100);
    assert_eq!(passed.expect("no chunk is wrong"), b"GET / HTTP/1.1\r\n\r\n");
}
