//! The application that runs on accepted streams.

use std::io;
use std::sync::Arc;

use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::crowd;
use super::early;
use super::endpoint::{Accepted, Endpoint, MuxStream};
use super::options::{App, Options};
use super::pattern::{Checker, fill};
use super::peer::Peer;
use super::report::Report;

/// The first byte of a stream is a command for its acceptor. `tests/interop/README.md` describes
/// the commands.
pub mod command {
    /// Echo.
    pub const ECHO: u8 = b'e';
    /// Count and check a pattern, reply after its end.
    pub const DIGEST: u8 = b'd';
    /// Send a pattern.
    pub const SOURCE: u8 = b's';
    /// Reply to requests.
    pub const REQUESTS: u8 = b'q';
    /// Tell the stream type, then echo.
    pub const TYPE: u8 = b't';
    /// Reset this stream.
    pub const RESET: u8 = b'x';
    /// Go away.
    pub const GO_AWAY: u8 = b'g';
    /// End the session.
    pub const SHUTDOWN: u8 = b'z';
    /// This side's drive is done.
    pub const BYE: u8 = b'b';
    /// Answer early, once told to.
    pub const EARLY: u8 = b'a';
    /// Begin such an answer.
    pub const BEGIN: u8 = b'n';
    /// Echo, but only after some time.
    pub const LATE: u8 = b'l';
}

/// Why a stream went wrong: where, and the error.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) at: String,
    pub(super) error: Option<io::Error>,
}

impl Trouble {
    /// An error that no call returned.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { at: text.into(), error: None }
    }
}

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{}: {error}", self.at),
            None => f.write_str(&self.at),
        }
    }
}

/// Says where an error happened.
pub(super) trait At<T> {
    fn at(self, place: impl Into<String>) -> Result<T, Trouble>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, place: impl Into<String>) -> Result<T, Trouble> {
        self.map_err(|error| Trouble { at: place.into(), error: Some(error) })
    }
}

/// Serves streams until the session is over.
pub(super) async fn accept_loop<E: Endpoint>(peer: Peer<E>) {
    loop {
        let (stream, stream_type) = match peer.session.accept().await {
            Accepted::Stream(stream, stream_type) => (stream, stream_type),
            Accepted::Failed(error) => {
                peer.report.serve_error(format!("accept: {error}"));
                continue;
            }
            Accepted::SessionOver => return,
        };
        peer.report.summary().accepted += 1;
        let peer = peer.clone();
        E::spawn(async move {
            let served = match peer.options.app {
                App::Echo => echo_and_finish(&peer, stream).await,
                _ => serve(&peer, stream, stream_type).await,
            };
            if let Err(trouble) = served {
                peer.report.serve_error(trouble.to_string());
            }
        });
    }
}

async fn serve<E: Endpoint>(
    peer: &Peer<E>,
    mut stream: E::Stream,
    stream_type: u32,
) -> Result<(), Trouble> {
    let mut command = [0];
    stream.read_exact(&mut command).await.at("read command")?;
    match command[0] {
        command::ECHO => echo_and_finish(peer, stream).await,
        command::DIGEST => digest(peer, stream).await,
        command::SOURCE => source(peer, stream).await,
        command::REQUESTS => answer(peer, stream).await,
        command::TYPE => {
            peer.io().write_all(&mut stream, &stream_type.to_be_bytes()).await.at("type")?;
            echo_and_finish(peer, stream).await
        }
        command::RESET => {
            let code = read_u32(&mut stream).await.at("read reset code")?;
            stream.reset(code);
            Ok(())
        }
        command::GO_AWAY => {
            peer.session.go_away(0, "draining".into()).await.at("go away")?;
            peer.io().write_all(&mut stream, &[command::GO_AWAY]).await.at("answer")?;
            stream.close().await.at("half-close")
        }
        command::SHUTDOWN => {
            // A graceful close waits for all streams, including this one.
            drop(stream);
            peer.session.close().await;
            Ok(())
        }
        command::EARLY => early::answer(peer, stream).await,
        command::BEGIN => early::begin(peer, stream).await,
        command::LATE => crowd::answer_late(peer, stream).await,
        command::BYE => {
            peer.bye.notify();
            Ok(())
        }
        other => Err(Trouble::new(format!("unknown command {other:#x}"))),
    }
}

pub(super) async fn echo_and_finish<E: Endpoint>(
    peer: &Peer<E>,
    mut stream: E::Stream,
) -> Result<(), Trouble> {
    let mut buffer = vec![0; peer.options.read_size];
    loop {
        let n = stream.read(&mut buffer).await.at("echo: read")?;
        if n == 0 {
            return stream.close().await.at("echo: half-close");
        }
        peer.report.moved(n, 0);
        peer.io().write_all(&mut stream, &buffer[..n]).await.at("echo: write")?;
    }
}

async fn digest<E: Endpoint>(peer: &Peer<E>, mut stream: E::Stream) -> Result<(), Trouble> {
    let seed = read_u64(&mut stream).await.at("digest")?;
    let mut checker = Checker::new(seed, 0);
    peer.io().read_all(&mut stream, &mut checker).await?;
    let (count, mismatch) = checker.counts();
    let mut reply = [0; 16];
    reply[..8].copy_from_slice(&count.to_be_bytes());
    reply[8..].copy_from_slice(&mismatch.to_be_bytes());
    peer.io().write_all(&mut stream, &reply).await.at("digest: reply")?;
    stream.close().await.at("digest: half-close")
}

async fn source<E: Endpoint>(peer: &Peer<E>, mut stream: E::Stream) -> Result<(), Trouble> {
    let seed = read_u64(&mut stream).await.at("source")?;
    let count = read_u64(&mut stream).await.at("source")?;
    peer.io().write_pattern(&mut stream, seed, 0, count).await?;
    stream.close().await.at("source: half-close")
}

/// Replies to each request with its complement.
async fn answer<E: Endpoint>(peer: &Peer<E>, mut stream: E::Stream) -> Result<(), Trouble> {
    loop {
        let mut length = [0; 4];
        if stream.read(&mut length[..1]).await.at("request")? == 0 {
            return stream.close().await.at("requests: half-close");
        }
        stream.read_exact(&mut length[1..]).await.at("request")?;
        let mut message = length.to_vec();
        message.resize(4 + u32::from_be_bytes(length) as usize, 0);
        stream.read_exact(&mut message[4..]).await.at("request")?;
        peer.report.moved(message.len(), 0);
        message[4..].iter_mut().for_each(|byte| *byte = !*byte);
        peer.io().write_all(&mut stream, &message).await.at("reply")?;
    }
}

/// Reads and writes in the sizes the options ask for, and counts.
pub(super) struct Io<'a> {
    pub(super) options: &'a Options,
    pub(super) report: &'a Arc<Report>,
}

impl Io<'_> {
    /// Writes in pieces of at most `--write-size` bytes.
    pub(super) async fn write_all(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        data: &[u8],
    ) -> io::Result<()> {
        for piece in data.chunks(self.options.write_size) {
            stream.write_all(piece).await?;
            self.report.moved(0, piece.len());
        }
        stream.flush().await
    }

    /// Writes the pattern of `seed` between two offsets.
    pub(super) async fn write_pattern(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        seed: u64,
        from: u64,
        to: u64,
    ) -> Result<(), Trouble> {
        let mut buffer = vec![0; self.options.write_size.min(to.saturating_sub(from) as usize)];
        let mut offset = from;
        while offset < to {
            let n = buffer.len().min((to - offset) as usize);
            fill(&mut buffer[..n], seed, offset);
            self.write_all(stream, &buffer[..n]).await.at(format!("write at {offset}"))?;
            offset += n as u64;
        }
        Ok(())
    }

    /// Checks everything up to the end of the stream.
    pub(super) async fn read_all(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        checker: &mut Checker,
    ) -> Result<(), Trouble> {
        let mut buffer = vec![0; self.options.read_size];
        loop {
            let at = checker.counts().0;
            let n = stream.read(&mut buffer).await.at(format!("read at {at}"))?;
            if n == 0 {
                return Ok(());
            }
            self.report.moved(n, 0);
            checker.check(&buffer[..n]);
        }
    }
}

pub(super) async fn read_u32(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await?;
    Ok(u32::from_be_bytes(bytes))
}

pub(super) async fn read_u64(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).await?;
    Ok(u64::from_be_bytes(bytes))
}
