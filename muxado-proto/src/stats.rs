//! Counters.

use core::time::Duration;

macro_rules! stats {
    ({ $($(#[$doc:meta])* $counter:ident;)* } { $($(#[$note:meta])* $now:ident: $kind:ty,)* }) => {
        /// What a session has done so far, and what it holds now.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct SessionStats {
            $($(#[$doc])* pub $counter: u64,)*
            $($(#[$note])* pub $now: $kind,)*
        }

        /// What a session has done so far. Its parts know what it holds now. The counters of frames
        /// and bytes would wrap after centuries.
        #[derive(Debug, Default)]
        #[cfg_attr(feature = "audit", derive(Clone))]
        pub(crate) struct Counters {
            $(pub(crate) $counter: u64,)*
        }

        impl Counters {
            /// The counters; the caller fills in what the session holds now.
            pub(crate) fn stats(&self) -> SessionStats {
                SessionStats { $($counter: self.$counter,)* ..SessionStats::default() }
            }
        }
    };
}

stats! {
    {
        /// Frames cut for the transport.
        frames_sent;
        /// Frames received, including invalid ones.
        frames_received;
        /// Bytes cut for the transport, headers included.
        bytes_sent;
        /// Bytes received from the transport.
        bytes_received;
        /// Payload bytes sent.
        payload_sent;
        /// Payload bytes that streams have received.
        payload_received;
        /// Streams this side has opened.
        streams_opened;
        /// Streams of the peer that were admitted.
        streams_accepted;
        /// Streams of the peer that were refused: backlog, limit, reuse or going away.
        streams_refused;
        /// RSTs sent on streams.
        resets_sent;
        /// RSTs received for streams.
        resets_received;
        /// DATA frames for streams without a record.
        stray_frames;
        /// Frames of unknown type.
        unknown_frames;
        /// Faults of the peer that were answered or ignored, including resets by rule.
        oddities;
        /// RSTs that were not generated because too many were waiting.
        resets_dropped;
        /// Streams that the end of the session has cut: not ended by both sides, or the transport
        /// may not have taken their end.
        streams_cut;
        /// Heartbeats sent.
        beats_sent;
        /// Heartbeats that came back.
        beats_returned;
        /// Heartbeats that were missed.
        beats_missed;
        /// Heartbeats of the peer that were answered.
        beats_answered;
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
