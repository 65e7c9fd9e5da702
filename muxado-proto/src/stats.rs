//! Counters.

use core::time::Duration;

/// What a session has done so far, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Frames cut for the transport.
    pub frames_sent: u64,
    /// Frames received, wrong ones included.
    pub frames_received: u64,
    /// Bytes cut for the transport, headers included.
    pub bytes_sent: u64,
    /// Bytes received from the transport.
    pub bytes_received: u64,
    /// Payload bytes sent.
    pub payload_sent: u64,
    /// Payload bytes received on streams that took them.
    pub payload_received: u64,
    /// Streams this side has opened.
    pub streams_opened: u64,
    /// Streams of the peer that were let in.
    pub streams_accepted: u64,
    /// Streams of the peer that were refused: backlog, limit, reuse or going away.
    pub streams_refused: u64,
    /// RSTs sent on streams.
    pub resets_sent: u64,
    /// RSTs received for streams.
    pub resets_received: u64,
    /// DATA frames for streams that are not there.
    pub stray_frames: u64,
    /// Frames of unknown type.
    pub unknown_frames: u64,
    /// Faults of the peer that were answered or overlooked, resets by rule included.
    pub oddities: u64,
    /// RSTs that were not generated because too many were waiting.
    pub resets_dropped: u64,
    /// Streams open now, both ways.
    pub open_streams: u32,
    /// Streams waiting to be accepted now.
    pub backlog: u32,
    /// Bytes written and not sent now.
    pub send_buffered: u64,
    /// Bytes received and not read now.
    pub receive_buffered: u64,
    /// Bytes by which receive windows have grown, now.
    pub window_growth: u64,
    /// The round-trip time of the latest heartbeat.
    pub rtt: Option<Duration>,
}

/// What a stream holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Bytes written and not sent.
    pub send_buffered: u32,
    /// Bytes received and not read.
    pub receive_buffered: u32,
    /// Bytes the peer has allowed us to send.
    pub send_credit: u32,
    /// Bytes we have allowed the peer to send.
    pub receive_credit: u32,
    /// The size of the receive window.
    pub receive_window: u32,
}
