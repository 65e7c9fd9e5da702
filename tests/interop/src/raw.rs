//! A peer that sends only the frames that a test gives it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use super::process::LIMIT;
use muxado_conformance::wire::{Decoder, Frame};

/// One transport, with frames in and out.
#[derive(Debug)]
pub struct Raw {
    transport: TcpStream,
    decoder: Decoder,
    seen: Vec<Frame>,
}

impl Raw {
    /// Connects to a peer.
    ///
    /// # Panics
    ///
    /// Where it does not listen.
    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("the peer listens"))
    }

    /// Waits for a peer to connect.
    ///
    /// # Panics
    ///
    /// Where the socket is broken.
    pub fn accept(listener: &TcpListener) -> Self {
        Self::new(listener.accept().expect("the listener works").0)
    }

    fn new(transport: TcpStream) -> Self {
        transport.set_nodelay(true).expect("a fresh socket takes options");
        transport.set_read_timeout(Some(LIMIT)).expect("the limit is not zero");
        Self { transport, decoder: Decoder::default(), seen: Vec::new() }
    }

    /// Sends bytes as they are, in one write.
    ///
    /// # Panics
    ///
    /// Where the transport is gone.
    pub fn send(&mut self, frames: &[Vec<u8>]) {
        self.try_send(frames).expect("the transport is open");
    }

    /// Sends bytes to a peer that may be gone.
    ///
    /// # Errors
    ///
    /// Where it is.
    pub fn try_send(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        self.transport.write_all(&frames.concat())
    }

    /// The next frame, or `None` at the end of the transport.
    ///
    /// # Panics
    ///
    /// Where nothing comes.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                self.seen.push(frame.clone());
                return Some(frame);
            }
            match self.transport.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.decoder.push(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                // A read with a time limit ends when its process was stopped for a while.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} after {}", self.story()),
            }
        }
    }

    /// The next frame that fulfils a condition; earlier ones are kept in [`seen`](Self::seen).
    ///
    /// # Panics
    ///
    /// Where none comes.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Frame) -> bool) -> Frame {
        while let Some(frame) = self.next_frame() {
            if holds(&frame) {
                return frame;
            }
        }
        panic!("the transport ended before {what}: {}", self.story())
    }

    /// Reads to the end of the transport.
    pub fn until_end(&mut self) {
        while self.next_frame().is_some() {}
    }

    /// All frames so far.
    pub fn seen(&self) -> &[Frame] {
        &self.seen
    }

    /// The headers of the latest frames.
    fn story(&self) -> String {
        let latest = &self.seen[self.seen.len().saturating_sub(20)..];
        let headers: Vec<_> = latest.iter().map(|frame| frame.header.to_string()).collect();
        format!("{} frames, at last {}", self.seen.len(), headers.join(", "))
    }

    /// Ends the sending direction of the transport.
    ///
    /// # Panics
    ///
    /// Where the transport is gone.
    pub fn shut_down(&self) {
        self.transport.shutdown(Shutdown::Write).expect("the transport is open");
    }
}
