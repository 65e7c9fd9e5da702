//! Counters.

use core::time::Duration;

macro_rules! stats {
    ({ $($(#[$doc:meta])* $counter:ident: $size:ty;)* } { $($(#[$note:meta])* $now:ident: $kind:ty,)* }) => {
        /// What a session has done so far, and what it holds now.
        ///
        /// ```
        /// # use muxado_proto::{Config, Role, Session, Timestamp};
        /// # let mut server = Session::new(Role::Server, Config::default().into(), Timestamp::ZERO, [1; 16].into());
        /// server.handle_slice(Timestamp::ZERO, b"\0\0\x02\x12\0\0\0\x03hi");
        /// let stats = server.stats();
        /// assert_eq!((stats.frames_received, stats.payload_received), (1, 2));
        /// assert_eq!((stats.open_streams, stats.backlog, stats.receive_buffered), (1, 1, 2));
        /// ```
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct SessionStats {
            $($(#[$doc])* pub $counter: u64,)*
            $($(#[$note])* pub $now: $kind,)*
        }

        /// What a session has done so far. Its parts know what it holds now. The counters of frames
        /// and bytes would wrap after centuries; the others stay at their maximum.
        #[derive(Debug, Default)]
        #[cfg_attr(feature = "audit", derive(Clone))]
        pub(crate) struct Counters {
            $(pub(crate) $counter: $size,)*
        }

        impl Counters {
            /// The counters; the caller fills in what the session holds now.
            pub(crate) fn stats(&self) -> SessionStats {
                SessionStats { $($counter: self.$counter.into(),)* ..SessionStats::default() }
            }
        }
    };
}

stats! {
    {
        /// Frames cut for the transport.
        frames_sent: u64;
        /// Frames received, including invalid ones.
        frames_received: u64;
        /// Bytes cut for the transport, headers included.
        bytes_sent: u64;
        /// Bytes received from the transport.
        bytes_received: u64;
        /// Payload bytes sent.
        payload_sent: u64;
        /// Payload bytes that streams have received.
        payload_received: u64;
        /// Streams this side has opened.
        streams_opened: u32;
        /// Streams of the peer that were admitted.
        streams_accepted: u32;
        /// Streams of the peer that were refused: backlog, limit, reuse or going away.
        streams_refused: u32;
        /// RSTs sent on streams.
        resets_sent: u32;
        /// RSTs received for streams.
        resets_received: u32;
        /// DATA frames for streams without a record.
        stray_frames: u32;
        /// Frames of unknown type.
        unknown_frames: u32;
        /// Faults of the peer that were answered or ignored, including resets by rule.
        oddities: u32;
        /// RSTs that were not generated because too many were waiting.
        resets_dropped: u32;
        /// Streams that the end of the session has cut: not ended by both sides, or the transport
        /// may not have taken their end.
        streams_cut: u32;
        /// Heartbeats sent.
        beats_sent: u32;
        /// Heartbeats that came back.
        beats_returned: u32;
        /// Heartbeats that were missed.
        beats_missed: u32;
        /// Heartbeats of the peer that were answered.
        beats_answered: u32;
    }
    {
        /// Streams open now, of both sides: not finished or reset in both directions.
        open_streams: u32,
        /// Streams that are over and that the application has not released.
        ended_streams: u32,
        /// Open streams that only the peer still uses: the application has released them,
        /// everything it wrote was sent, and the peer has not ended them.
        given_up_streams: u32,
        /// Streams waiting to be accepted now.
        backlog: u32,
        /// Bytes written and not sent now.
        send_buffered: u64,
        /// Bytes received and not read now.
        receive_buffered: u64,
        /// Bytes by which receive windows have grown, now.
        window_growth: u64,
        /// The round-trip time of the latest heartbeat.
        rtt: Option<Duration>,
    }
}

/// What a stream holds now.
///
/// ```
/// # use muxado_proto::{Config, DEFAULT_WINDOW, Role, Session, Timestamp};
/// # let mut server = Session::new(Role::Server, Config::default().into(), Timestamp::ZERO, [1; 16].into());
/// server.handle_slice(Timestamp::ZERO, b"\0\0\x02\x12\0\0\0\x03hi");
/// let id = server.accept().unwrap();
/// let stats = server.stream(id).unwrap().stats();
/// assert_eq!((stats.receive_buffered, stats.receive_credit), (2, DEFAULT_WINDOW - 2));
/// assert_eq!((stats.send_buffered, stats.send_credit), (0, DEFAULT_WINDOW));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Bytes written and not sent.
    pub send_buffered: u32,
    /// Bytes received and not read.
    pub receive_buffered: u32,
    /// Bytes that the peer has allowed us to send.
    pub send_credit: u32,
    /// Bytes that we have allowed the peer to send.
    pub receive_credit: u32,
    /// The size of the receive window.
    pub receive_window: u32,
}
