//! A reader in front of hyper that refuses a request whose length is in doubt.
//!
//! If a request has a length and is chunked, hyper drops the length and tells nobody. A proxy on the
//! way may have used the length, and then the two disagree about where the next request begins. So
//! this reader passes on no head that it has not parsed, with the parser that hyper uses. In place
//! of a head that it refuses, hyper gets one that it answers with 400 before it closes the
//! connection. Answers to earlier requests are not affected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// Maximum bytes in a head, in the line before a chunk, and in trailers.
const MOST: usize = 64 << 10;

/// Maximum headers of a request, as in hyper.
const MOST_HEADERS: usize = 100;

/// What hyper reads in place of a head that is refused.
pub const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nContent-Length: refused\r\n\r\n";

/// The end of a line, which also follows each chunk.
const LINE_END: &[u8] = b"\r\n";

pub struct Framed<T> {
    io: Take<T>,
    /// Bytes that were read and not passed on.
    held: BytesMut,
    /// How many of them may be passed on.
    passed: usize,
    next: Part,
}

/// What the next byte belongs to.
#[derive(Clone, Copy)]
enum Part {
    Head,
    /// This many bytes up to the next head.
    Body(u64),
    /// The line before a chunk.
    Size,
    /// This many bytes up to the next line with a size.
    Chunk(u64),
    /// What follows the last chunk.
    Trailers,
    /// Another protocol: no further request follows.
    Rest,
    /// A request was refused: nothing more is read.
    Refused,
}

/// Why nothing more is passed on.
struct Doubt;

impl<T: AsyncRead + Unpin> Framed<T> {
    pub fn new(io: T) -> Self {
        Self { io: io.take(u64::MAX), held: BytesMut::new(), passed: 0, next: Part::Head }
    }

    /// Decides how many of the held bytes may be passed on.
    fn examine(&mut self) -> io::Result<()> {
        while let Some(rest) = self.held.get(self.passed..).filter(|rest| !rest.is_empty()) {
            let found = match self.next {
                Part::Head => head(rest),
                Part::Size => size(rest),
                Part::Trailers => Ok(trailers(rest)),
                part => Ok(Some(part.after(rest.len()))),
            };
            match found {
                Ok(Some((length, next))) if length <= MOST || self.next.known().is_some() => {
                    (self.passed, self.next) = (self.passed + length, next);
                }
                Ok(None) if rest.len() <= MOST => break,
                Ok(_) | Err(Doubt) => return self.refuse(),
            }
        }
        Ok(())
    }

    /// Between requests hyper can still answer, within a body only the connection can end.
    fn refuse(&mut self) -> io::Result<()> {
        if !matches!(self.next, Part::Head) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is not valid"));
        }
        self.held.truncate(self.passed);
        self.held.extend_from_slice(REFUSED);
        (self.passed, self.next) = (self.held.len(), Part::Refused);
        Ok(())
    }
}

impl Part {
    /// How many of `count` bytes belong to this part, which has a known length, and what follows.
    fn after(self, count: usize) -> (usize, Self) {
        let (left, end) = match self {
            Self::Body(left) => (left, Self::Head),
            Self::Chunk(left) => (left, Self::Size),
            other => return (count, other),
        };
        match left.checked_sub(count as u64) {
            None | Some(0) => (usize::try_from(left).unwrap_or(count), end),
            Some(left) if matches!(self, Self::Body(_)) => (count, Self::Body(left)),
            Some(left) => (count, Self::Chunk(left)),
        }
    }

    /// How many bytes can be passed on without a look at them.
    fn known(self) -> Option<u64> {
        match self {
            Self::Body(left) | Self::Chunk(left) => Some(left),
            Self::Rest => Some(u64::MAX),
            Self::Head | Self::Size | Self::Trailers | Self::Refused => None,
        }
    }
}

/// The length of a head and what follows it; `None` if it is not complete.
fn head(bytes: &[u8]) -> Result<Option<(usize, Part)>, Doubt> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let Status::Complete(length) = request.parse(bytes).map_err(|_| Doubt)? else {
        return Ok(None);
    };
    let named = |name: &'static str| {
        let headers = request.headers.iter();
        headers.filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|it| it.value)
    };
    let mut lengths = named("content-length");
    let mut codings = named("transfer-encoding");
    let body = match (lengths.next(), codings.next()) {
        (None, None) => Part::Head,
        (Some(first), None) if lengths.all(|other| other == first) => {
            let text = std::str::from_utf8(first).map_err(|_| Doubt)?;
            match text.parse().map_err(|_| Doubt)? {
                0 => Part::Head,
                length => Part::Body(length),
            }
        }
        // Another coding would have to be passed on with its name.
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
            codings.next().map_or(Ok(Part::Size), |_| Err(Doubt))?
        }
        _ => return Err(Doubt),
    };
    // Whoever asks for another protocol and is refused it, asks again on another connection.
    let is_last = request.method == Some("CONNECT") || named("upgrade").next().is_some();
    Ok(Some((length, if is_last { Part::Rest } else { body })))
}

/// The same for the line before a chunk.
fn size(bytes: &[u8]) -> Result<Option<(usize, Part)>, Doubt> {
    if !bytes.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(Doubt); // the parser takes no digits for 0
    }
    match httparse::parse_chunk_size(bytes) {
        Ok(Status::Complete((length, 0))) => Ok(Some((length, Part::Trailers))),
        Ok(Status::Complete((length, size))) => {
            let size = size.checked_add(LINE_END.len() as u64).ok_or(Doubt)?;
            Ok(Some((length, Part::Chunk(size))))
        }
        Ok(Status::Partial) => Ok(None),
        Err(_) => Err(Doubt),
    }
}

/// The same for what follows the last chunk: lines up to an empty one.
fn trailers(bytes: &[u8]) -> Option<(usize, Part)> {
    let end = if bytes.starts_with(LINE_END) {
        LINE_END.len()
    } else {
        let empty = b"\r\n\r\n";
        bytes.windows(empty.len()).position(|window| window == empty)? + empty.len()
    };
    Some((end, Part::Head))
}

impl<T: AsyncRead + Unpin> AsyncRead for Framed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.passed > 0 {
                let count = this.passed.min(buf.remaining());
                buf.put_slice(&this.held[..count]);
                this.held.advance(count);
                this.passed -= count;
                return Poll::Ready(Ok(()));
            }
            if let Some(most) = this.next.known().filter(|_| this.held.is_empty()) {
                let before = buf.filled().len();
                this.io.set_limit(most);
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                this.next = this.next.after(buf.filled().len() - before).1;
                return Poll::Ready(Ok(()));
            }
            if matches!(this.next, Part::Refused) {
                return Poll::Ready(Ok(()));
            }
            let mut space = [0; 8 << 10];
            let mut space = ReadBuf::new(&mut space);
            this.io.set_limit(u64::MAX);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Ok(())); // in the middle of a head, too
            }
            this.held.extend_from_slice(space.filled());
            // Without the end of a line, nothing that was incomplete is complete now.
            if space.filled().contains(&b'\n') || this.held.len() > MOST {
                this.examine()?;
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_shutdown(cx)
    }
}
