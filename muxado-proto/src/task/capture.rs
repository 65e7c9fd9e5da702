//! Writes the bytes of a transport into a pcapng file, as a TCP connection.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::io::{self, Write};

/// Payload of one packet: with its headers it has to fit into the 16 bits of an IPv4 length.
const PACKET: usize = 60_000;

/// Blocks of a pcapng file.
const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// The link type of packets that begin with an IP header.
const RAW_IP: u16 = 101;

/// The flags of a TCP header.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this side to the peer.
    Sent,
    /// From the peer to this side.
    Received,
}

/// A pcapng file of one session: the bytes of its transport in the form of a TCP connection, for
/// Wireshark and the dissector `wireshark/muxado.lua`. Above TLS it shows the plain bytes.
///
/// If the transport has no IPv4 addresses, this side is `127.0.0.1:40000` and the peer
/// `127.0.0.2:40001`.
///
/// ```
/// use core::time::Duration;
/// use muxado_proto::task::{Capture, Direction};
///
/// let mut file = Vec::new(); // or a buffered file
/// let mut capture = Capture::new(&mut file, Duration::ZERO)?;
/// capture.record(Duration::from_millis(1), Direction::Sent, b"\0\0\x02\x12\0\0\0\x03hi")?;
/// capture.end(Duration::from_millis(2), Direction::Sent)?;
/// assert_eq!(file[..4], [0x0A, 0x0D, 0x0D, 0x0A]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Capture<W> {
    file: W,
    /// This side and the peer.
    ends: [SocketAddrV4; 2],
    /// The next sequence number of this side and of the peer.
    sequence: [u32; 2],
}

impl<W: Write> Capture<W> {
    /// Starts a file: its header, and the handshake of the connection. `now` is the time since the
    /// start of 1970 (UTC), here and in the other methods.
    ///
    /// # Errors
    ///
    /// Errors of `file`.
    pub fn new(file: W, now: Duration) -> io::Result<Self> {
        let ours = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1), 40_000);
        let theirs = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 40_001);
        Self::between(file, now, ours, theirs)
    }

    /// As [`new`](Self::new), between these addresses.
    ///
    /// # Errors
    ///
    /// Errors of `file`.
    pub fn between(
        file: W,
        now: Duration,
        ours: SocketAddrV4,
        theirs: SocketAddrV4,
    ) -> io::Result<Self> {
        let mut capture = Self { file, ends: [ours, theirs], sequence: [0, 0] };
        let mut section = Vec::from(0x1A2B_3C4D_u32.to_le_bytes()); // tells the byte order
        section.extend(1u32.to_le_bytes()); // version 1.0
        section.extend(u64::MAX.to_le_bytes()); // of unknown length
        capture.block(SECTION_HEADER, &section)?;
        let mut interface = Vec::from(u32::from(RAW_IP).to_le_bytes());
        interface.extend(0u32.to_le_bytes()); // packets are complete
        capture.block(INTERFACE, &interface)?;
        capture.packet(now, Direction::Sent, SYN, &[])?;
        capture.packet(now, Direction::Received, SYN | ACK, &[])?;
        capture.packet(now, Direction::Sent, ACK, &[])?;
        Ok(capture)
    }

    /// Records bytes that the transport has taken or delivered.
    ///
    /// # Errors
    ///
    /// Errors of the file. Then bytes are missing in the capture.
    pub fn record(&mut self, now: Duration, way: Direction, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PACKET) {
            self.packet(now, way, PUSH | ACK, piece)?;
        }
        Ok(())
    }

    /// Records the end of one direction, and flushes the file.
    ///
    /// # Errors
    ///
    /// Errors of the file.
    pub fn end(&mut self, now: Duration, way: Direction) -> io::Result<()> {
        self.packet(now, way, FIN | ACK, &[])?;
        self.file.flush()
    }

    fn packet(&mut self, now: Duration, way: Direction, flags: u8, data: &[u8]) -> io::Result<()> {
        let [ours, theirs] = self.ends;
        let [own, other] = &mut self.sequence;
        let (from, to, sequence, acknowledged) = match way {
            Direction::Sent => (ours, theirs, own, *other),
            Direction::Received => (theirs, ours, other, *own),
        };
        let length = u16::try_from(data.len().saturating_add(40)).unwrap_or(u16::MAX);
        let mut packet = Vec::with_capacity(usize::from(length));
        // IPv4: version and header length, total length, no fragment, 64 hops, TCP.
        packet.extend([0x45, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(from.ip().octets());
        packet.extend(to.ip().octets());
        // TCP: ports, sequence numbers, header length, flags, window.
        packet.extend(from.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(sequence.to_be_bytes());
        packet.extend(acknowledged.to_be_bytes());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(data);
        let counted = u32::from(flags & (SYN | FIN) != 0);
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        *sequence = sequence.wrapping_add(bytes).wrapping_add(counted);

        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX).to_le_bytes();
        let (low, high) = micros.split_at(4);
        let captured = u32::from(length).to_le_bytes();
        let mut block = Vec::from(0u32.to_le_bytes()); // the interface
        block.extend(high);
        block.extend(low);
        block.extend(captured);
        block.extend(captured);
        block.extend(packet);
        self.block(ENHANCED_PACKET, &block)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let padding = body.len().wrapping_neg() % 4;
        let length = body.len().saturating_add(padding).saturating_add(12);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        self.file.write_all(&kind.to_le_bytes())?;
        self.file.write_all(&length)?;
        self.file.write_all(body)?;
        self.file.write_all([0; 3].get(..padding).unwrap_or_default())?;
        self.file.write_all(&length)
    }
}

/// A [`Capture`] that does not disturb its transport: when the file fails, recording ends and the
/// error is kept. The adapters' `Tap` uses it.
///
/// ```
/// use core::time::Duration;
/// use std::io::IoSlice;
/// use muxado_proto::task::{Capture, Direction, Recorder};
///
/// let full = std::io::Cursor::new([0; 600]); // a file with little room
/// let mut recorder = Recorder::new(Capture::new(full, Duration::ZERO)?);
/// // Of what a vectored write was given, the transport has taken three bytes.
/// recorder.record_vectored(Duration::ZERO, &[IoSlice::new(b"some"), IoSlice::new(b"more")], 3);
/// assert!(recorder.error().is_none());
/// recorder.record(Duration::ZERO, Direction::Sent, &[7; 1000]);
/// assert!(recorder.error().is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Recorder<W>(Result<Capture<W>, io::Error>);

impl<W: Write> Recorder<W> {
    /// Records into this capture.
    pub const fn new(capture: Capture<W>) -> Self {
        Self(Ok(capture))
    }

    /// Why recording has ended, if it has.
    #[must_use]
    pub const fn error(&self) -> Option<&io::Error> {
        match &self.0 {
            Ok(_) => None,
            Err(error) => Some(error),
        }
    }

    /// As [`Capture::record`].
    pub fn record(&mut self, now: Duration, way: Direction, bytes: &[u8]) {
        self.run(|capture| capture.record(now, way, bytes));
    }

    /// Records the first `count` bytes of `buffers`, which a vectored write has sent.
    pub fn record_vectored(&mut self, now: Duration, buffers: &[io::IoSlice<'_>], count: usize) {
        let mut left = count;
        for buffer in buffers {
            let sent = buffer.get(..left).unwrap_or(buffer);
            self.record(now, Direction::Sent, sent);
            left = left.saturating_sub(sent.len());
        }
    }

    /// As [`Capture::end`].
    pub fn end(&mut self, now: Duration, way: Direction) {
        self.run(|capture| capture.end(now, way));
    }

    fn run(&mut self, write: impl FnOnce(&mut Capture<W>) -> io::Result<()>) {
        if let Err(error) = self.0.as_mut().map_or(Ok(()), write) {
            self.0 = Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of a file: kind and body.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |at: &[u8]| u32::from_le_bytes([at[0], at[1], at[2], at[3]]);
        let mut found = Vec::new();
        while !file.is_empty() {
            let length = word(&file[4..]) as usize;
            assert_eq!(word(&file[length - 4..]) as usize, length);
            found.push((word(file), file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        found
    }

    #[test]
    fn bytes_become_packets_with_sequence_numbers() {
        let mut file = Vec::new();
        let mut capture = Capture::new(&mut file, Duration::ZERO).unwrap();
        let large = alloc::vec![7; PACKET + 1];
        capture.record(Duration::from_secs(5), Direction::Sent, &large).unwrap();
        capture.record(Duration::from_secs(6), Direction::Received, b"abc").unwrap();
        let blocks = blocks(&file);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE, 6, 6, 6, 6, 6, 6]);
        // The ports and the sequence number follow 20 bytes of block and 20 of IP.
        let sequence = |index: usize| blocks[index].1[44..48].to_vec();
        assert_eq!(sequence(5), 1u32.to_be_bytes());
        assert_eq!(sequence(6), (PACKET as u32 + 1).to_be_bytes());
        assert_eq!(sequence(7), 1u32.to_be_bytes());
        assert_eq!(blocks[7].1[60..63], *b"abc");
    }
}
