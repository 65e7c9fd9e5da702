//! Settings of a session: validated once, then trusted.

mod checks;
mod memory;
mod rates;

use core::time::Duration;

use crate::memory::MemoryBudget;
pub use checks::ConfigError;
#[cfg(test)]
pub(crate) use memory::OF_A_RESET;
pub use rates::{Heartbeat, RateLimit};

/// The initial window of every known implementation, in bytes per stream and direction.
///
/// Windows are not negotiated: each side assumes that the other uses the same value.
pub const DEFAULT_WINDOW: u32 = 262_144;

/// The largest block of memory into which written or received bytes are copied. One byte in it
/// keeps the whole block alive.
pub(crate) const BLOCK: usize = 64 << 10;

/// The default for the largest payload of a DATA frame: four such frames with their headers are
/// 65 472 bytes, which fit into one segment of loopback (65 483) and into one read.
pub(crate) const DEFAULT_FRAME: u32 = 16_360;

/// The initial windows of all streams that may be open by default, and the growth of windows.
const DEFAULT_RECEIVE_BUFFER: u64 = (1024 + 1024 + 4 + 1) * DEFAULT_WINDOW as u64 + (32 << 20);

/// The default for the streams that each side may have open at once.
const DEFAULT_STREAMS: u32 = 1024;

macro_rules! settings {
    (
        $($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr;)*
        @follow max_inbound_streams { $($(#[$note:meta])* $follower:ident;)* }
    ) => {
        /// The settings of a session. Immutable and cheap to share: one `Arc<Config>` serves any
        /// number of sessions.
        ///
        /// Most sessions need no changes. The settings by topic:
        ///
        /// | group | settings |
        /// |---|---|
        /// | the peer | [`typed`](Self::typed), [`heartbeat`](Self::heartbeat), [`receive_window`](Self::receive_window), [`send_window`](Self::send_window): both ends have to agree on these |
        /// | window growth | [`auto_tune`](Self::auto_tune), [`max_receive_window`](Self::max_receive_window), [`window_budget`](Self::window_budget), [`update_delay`](Self::update_delay) |
        /// | memory | [`send_buffer`](Self::send_buffer), [`session_send_buffer`](Self::session_send_buffer), [`session_receive_buffer`](Self::session_receive_buffer), [`overcommit`](Self::overcommit), [`memory_budget`](Self::memory_budget), [`max_frame_size`](Self::max_frame_size) |
        /// | number of streams | [`max_inbound_streams`](Self::max_inbound_streams), [`accept_backlog`](Self::accept_backlog), [`max_outbound_streams`](Self::max_outbound_streams), [`max_open_streams`](Self::max_open_streams), [`max_unanswered_streams`](Self::max_unanswered_streams), [`unanswered_timeout`](Self::unanswered_timeout), [`max_heartbeat_responders`](Self::max_heartbeat_responders) |
        /// | time limits of a stream | [`typed_timeout`](Self::typed_timeout), [`stream_stall_timeout`](Self::stream_stall_timeout), [`given_up_timeout`](Self::given_up_timeout), [`reset_on_drop`](Self::reset_on_drop) |
        /// | time limits of a session | [`write_stall_timeout`](Self::write_stall_timeout), [`frame_stall_timeout`](Self::frame_stall_timeout), [`idle_timeout`](Self::idle_timeout) |
        /// | end of a session | [`drain_timeout`](Self::drain_timeout), [`drain_limit`](Self::drain_limit), [`linger_timeout`](Self::linger_timeout), [`announce_close`](Self::announce_close), [`goaway_text`](Self::goaway_text) |
        /// | what a peer may cause | [`reset_limit`](Self::reset_limit), [`stray_data_limit`](Self::stray_data_limit), [`empty_data_limit`](Self::empty_data_limit), [`unknown_bytes_limit`](Self::unknown_bytes_limit), [`tombstones`](Self::tombstones), [`pending_resets`](Self::pending_resets), [`id_gaps`](Self::id_gaps) |
        ///
        /// ```
        /// use muxado_proto::Config;
        ///
        /// let config = Config::builder().accept_backlog(32).typed(true).build()?;
        /// assert_eq!(config.accept_backlog(), 32);
        ///
        /// // For a peer on Go. Fewer streams bound the memory of a session more tightly.
        /// let for_go = Config::for_go().build()?;
        /// let small = for_go.clone().into_builder().max_inbound_streams(64).max_outbound_streams(64);
        /// let small = small.build()?;
        /// assert_eq!(small.max_unanswered_streams(), for_go.max_unanswered_streams());
        /// assert!(small.max_memory() < for_go.max_memory() / 4);
        /// assert!(small.min_memory() < 2 << 20);
        ///
        /// // For a peer on ngrok's crate.
        /// assert!(!Config::for_ngrok().build()?.announce_close());
        /// # Ok::<(), muxado_proto::ConfigError>(())
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $(pub(crate) $name: $kind,)*
            $(pub(crate) $follower: u32,)*
            memory_budget: Option<MemoryBudget>,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($name: $default,)*
                    $($follower: DEFAULT_STREAMS,)*
                    memory_budget: None,
                }
            }
        }

        impl Config {
            $($(#[$doc])* #[must_use] pub const fn $name(&self) -> $kind { self.$name })*
            $($(#[$note])* #[must_use] pub const fn $follower(&self) -> u32 { self.$follower })*

            /// Starts from these settings. A setting whose default is `max_inbound_streams`, and
            /// that still has that value, changes with it.
            pub const fn into_builder(self) -> ConfigBuilder {
                let streams = self.max_inbound_streams;
                ConfigBuilder {
                    $($follower: if self.$follower == streams {
                        None
                    } else {
                        Some(self.$follower)
                    },)*
                    config: self,
                }
            }
        }

        /// Collects settings; [`build`](ConfigBuilder::build) checks them.
        ///
        /// Every setting with its default:
        ///
        /// ```
        /// use core::time::Duration;
        /// use muxado_proto::{Config, DEFAULT_WINDOW, RateLimit};
        ///
        /// let config = Config::builder()
        ///     .typed(false)
        ///     .heartbeat(None)
        ///     .receive_window(DEFAULT_WINDOW)
        ///     .send_window(DEFAULT_WINDOW)
        ///     .auto_tune(true)
        ///     .max_receive_window(16 << 20)
        ///     .window_budget(32 << 20)
        ///     .update_delay(Duration::from_millis(5))
        ///     .max_frame_size(16_360)
        ///     .send_buffer(256 << 10)
        ///     .session_send_buffer(16 << 20)
        ///     .session_receive_buffer(2053 * u64::from(DEFAULT_WINDOW) + (32 << 20))
        ///     .overcommit(false)
        ///     .reset_on_drop(false)
        ///     .max_inbound_streams(1024)
        ///     .accept_backlog(1024)
        ///     .id_gaps(1024)
        ///     .max_outbound_streams(1024)
        ///     .max_open_streams(None)
        ///     .max_unanswered_streams(None)
        ///     .unanswered_timeout(Duration::from_secs(1))
        ///     .typed_timeout(Duration::from_secs(10))
        ///     .max_heartbeat_responders(4)
        ///     .tombstones(1024)
        ///     .pending_resets(1024)
        ///     .stray_data_limit(RateLimit::new(100, 20))
        ///     .reset_limit(RateLimit::new(1000, 33))
        ///     .empty_data_limit(RateLimit::new(100, 100))
        ///     .unknown_bytes_limit(RateLimit::new(1 << 20, 1 << 20))
        ///     .goaway_text(4096)
        ///     .write_stall_timeout(Duration::from_secs(30))
        ///     .frame_stall_timeout(Duration::from_secs(30))
        ///     .idle_timeout(None)
        ///     .stream_stall_timeout(None)
        ///     .given_up_timeout(Duration::from_secs(60))
        ///     .drain_timeout(Duration::from_secs(10))
        ///     .drain_limit(Duration::from_secs(300))
        ///     .announce_close(true)
        ///     .linger_timeout(Duration::from_secs(2))
        ///     .build()?;
        /// assert_eq!(config, Config::default());
        /// # Ok::<(), muxado_proto::ConfigError>(())
        /// ```
        #[derive(Debug, Clone, Default)]
        #[must_use = "a builder does nothing until `build` is called"]
        pub struct ConfigBuilder {
            config: Config,
            $($follower: Option<u32>,)*
        }

        impl ConfigBuilder {
            $($(#[$doc])* pub const fn $name(mut self, $name: $kind) -> Self {
                self.config.$name = $name;
                self
            })*
            $($(#[$note])* pub const fn $follower(mut self, $follower: u32) -> Self {
                self.$follower = Some($follower);
                self
            })*

            /// The settings, with defaults that depend on other settings filled in.
            fn filled_in(self) -> Config {
                let streams = self.config.max_inbound_streams;
                Config { $($follower: self.$follower.unwrap_or(streams),)* ..self.config }
            }
        }
    };
}

settings! {
    /// Whether streams carry a 32-bit type (PROTOCOL.md §8). Both ends must
    /// agree. Default `false`.
    typed: bool = false;
    /// How this side sends heartbeats, if it does; only in typed sessions. Its times are above zero.
    /// Default none. Beats of the peer are always answered.
    heartbeat: Option<Heartbeat> = None;

    /// Bytes that the peer may send on a new stream before it is granted more. Default 262144,
    /// which every known peer assumes; 1 to 2^31 - 1, at least 4 in a typed session. With a smaller
    /// value than the peer assumes, the peer sends too much and loses streams.
    receive_window: u32 = DEFAULT_WINDOW;
    /// Bytes that this side may send on a new stream before it is granted more: the receive window
    /// of the peer. Default 262144; 1 to 2^31 - 1, at least 4 in a typed session. If the value is
    /// above the peer's real window, the peer resets streams.
    send_window: u32 = DEFAULT_WINDOW;
    /// Whether a stream's receive window grows while its reader keeps up and the peer runs out of
    /// credit. Default `true`.
    ///
    /// * A window grows up to 1 MiB as soon as the peer has no credit left. In this way all windows
    ///   of a session together grow by at most three times `receive_window`.
    /// * A window grows further when the peer has waited for half a millisecond.
    auto_tune: bool = true;
    /// The size to which auto-tuning may grow one receive window, in bytes. Default 16 MiB, at most
    /// 2^31 - 1.
    max_receive_window: u32 = 16 << 20;
    /// Bytes by which all windows of one session together may grow. Default 32 MiB.
    ///
    /// The growth has to fit into `session_receive_buffer` beside the initial windows of all
    /// streams that may be open. With `overcommit` it has to fit beside the streams that are open,
    /// and into half of the buffer. Then grown windows of slow readers shrink again when more
    /// streams are opened.
    window_budget: u32 = 32 << 20;
    /// How long credit may be owed to a stream whose buffer the reader has emptied. Default 5 ms,
    /// at most 1 s. A peer with a smaller window than this side assumes may be blocked for this
    /// time.
    update_delay: Duration = Duration::from_millis(5);

    /// The largest payload sent in one DATA frame, in bytes. Default 16 360, so that four frames fill
    /// a segment of loopback; 1024 to 0xFFFFFF. Nothing overtakes a frame that has begun, so on a
    /// transport that takes less than this in ten milliseconds, frames are smaller
    /// ([`batch_size`](crate::Session::batch_size)).
    max_frame_size: u32 = DEFAULT_FRAME;
    /// Bytes written to a stream and not yet sent, per stream. Default 256 KiB; 1 to 2^31 - 1.
    send_buffer: u32 = 256 << 10;
    /// Bytes written and not yet sent, per session. When this is used up, each stream may still
    /// hold 4 KiB, so that streams without credit do not stop the others. Default 16 MiB; 1 to
    /// 2^31 - 1. Each [priority class](crate::Priority) leaves one `send_buffer`, or a 64th of this
    /// if that is less, to each class above it.
    session_send_buffer: u32 = 16 << 20;
    /// Credit that the peer may hold and unread bytes together, in bytes, per session. Default
    /// 571736064: 2053 initial windows, and 32 MiB.
    ///
    /// It covers the initial windows of all streams that may be open, heartbeats included, and the
    /// growth of windows. [`build`](ConfigBuilder::build) refuses a value that does not cover the
    /// initial windows, unless `overcommit` is set. So memory is bounded when a stream is admitted,
    /// and nothing that was promised is refused later.
    session_receive_buffer: u64 = DEFAULT_RECEIVE_BUFFER;
    /// Whether the limits on streams may promise more than `session_receive_buffer` holds. Default
    /// `false`.
    ///
    /// This is for sessions with very many streams, few of them busy: a million streams are
    /// promised 256 GiB. If the session then receives more than `session_receive_buffer`, it resets
    /// the stream that holds most with `ENHANCE_YOUR_CALM`, although the peer broke no rule.
    overcommit: bool = false;

    /// Whether a stream that is released (in the adapters: dropped) before it was finished is reset
    /// with [`STREAM_CANCELLED`](crate::ErrorCode::STREAM_CANCELLED). Otherwise it is finished, and
    /// the peer cannot distinguish a truncated message from a complete one. Each stream can
    /// override this ([`set_reset_on_drop`](crate::StreamMut::set_reset_on_drop)). Default `false`.
    reset_on_drop: bool = false;

    /// Streams of the peer that may be open at once; further ones are refused with
    /// `STREAM_REFUSED`. Default 1024.
    ///
    /// A stream is open until both directions have ended, by a FIN or an RST that was sent or
    /// received. The peer can count the same, so two ends with the same limits never refuse each
    /// other's streams. The application may hold as many accepted streams; a reset one counts until
    /// it is released. Beyond that [`Session::accept`](crate::Session::accept) returns none.
    max_inbound_streams: u32 = DEFAULT_STREAMS;
    /// Streams of this side that may be open at once; opening one more blocks. Default 1024, at
    /// least 1.
    ///
    /// Released streams that the peer has not finished are open, too. Together with streams that
    /// are over and not released there may be twice as many.
    max_outbound_streams: u32 = DEFAULT_STREAMS;
    /// Opening blocks while this many streams of both sides together are open, at least 1. Default
    /// none: the limit of each side is enough. Some peers count both sides together.
    max_open_streams: Option<u32> = None;
    /// Streams of this side that the peer may leave unanswered at once, at least 1; opening one more
    /// blocks.
    /// The protocol has no acknowledgement of a SYN, so the first frame of the peer counts as the
    /// answer. Default none: no limit.
    max_unanswered_streams: Option<u32> = None;
    /// How long a stream counts as unanswered after its SYN was sent, because a peer may accept a
    /// stream long before it answers. Only used with `max_unanswered_streams`. Default 1 s.
    unanswered_timeout: Duration = Duration::from_secs(1);
    /// How long the peer may take to send the four bytes of a stream's type. Default 10 s; above
    /// zero.
    typed_timeout: Duration = Duration::from_secs(10);
    /// Heartbeat streams of the peer that are answered at once. Default 4.
    max_heartbeat_responders: u32 = 4;

    /// Ids of finished streams that are remembered, so that late frames can be distinguished from
    /// invalid ones. Default 1024 (at most 64 bytes each, allocated as needed).
    tombstones: u32 = 1024;
    /// RSTs for streams without a record that may wait to be sent; further ones are not generated.
    /// Default 1024 (at most 32 bytes each, allocated as needed), at least 1.
    pending_resets: u32 = 1024;
    /// DATA on streams that never existed, and ids used twice. Default 100, 20 per second.
    stray_data_limit: RateLimit = RateLimit { burst: 100, per_second: 20 };
    /// Streams that the peer opens and then resets, or makes us reset. Default 1000, 33 per second.
    reset_limit: RateLimit = RateLimit { burst: 1000, per_second: 33 };
    /// DATA frames without payload, SYN or FIN. Default 100, 100 per second.
    empty_data_limit: RateLimit = RateLimit { burst: 100, per_second: 100 };
    /// Bytes in frames of unknown type. Default 1 MiB, 1 MiB per second.
    unknown_bytes_limit: RateLimit = RateLimit { burst: 1 << 20, per_second: 1 << 20 };
    /// Bytes of the text of a GOAWAY: how many of a received one are kept, and how many are sent.
    /// Default 4 KiB.
    goaway_text: u32 = 4096;

    /// How long one batch of output may take to be written before the session is closed. Default
    /// 30 s; above zero.
    write_stall_timeout: Duration = Duration::from_secs(30);
    /// How long the peer may take over a header, a control frame, or 4 KiB of payload. Default
    /// 30 s; above zero.
    frame_stall_timeout: Duration = Duration::from_secs(30);
    /// How long the peer may send nothing before the session is closed; above zero. Default none.
    ///
    /// This detects a peer whose machine has vanished. A peer that has nothing to send is silent,
    /// too, so set it only if the peer sends regularly; in typed sessions use `heartbeat`. Pieces
    /// of one frame count as input, as far as `frame_stall_timeout` allows.
    idle_timeout: Option<Duration> = None;
    /// How long a stream may have data to send and no credit before it is reset with
    /// `WRITE_TIMEOUT`; above zero. Default none: no limit.
    stream_stall_timeout: Option<Duration> = None;
    /// How long the peer may keep a stream open that this side has given up: the application has
    /// released it, and everything written and the FIN were sent. Then it is reset with
    /// `STREAM_CLOSED`. Default 60 s.
    given_up_timeout: Duration = Duration::from_secs(60);
    /// How long a session that this side closes may make no progress before its streams are cut.
    /// Progress is payload that arrives or that the transport takes. Default 10 s.
    drain_timeout: Duration = Duration::from_secs(10);
    /// How long a session that this side closes may drain in all, even with progress. Also how long
    /// a session that the peer closes may make no progress. If `drain_timeout` is longer, it is
    /// used instead. Default 5 minutes.
    drain_limit: Duration = Duration::from_secs(300);
    /// Whether [`Session::close`](crate::Session::close) sends a GOAWAY while streams are open, as
    /// soon as nothing has moved for 100 ms. Then the peer can end streams that only wait.
    /// Otherwise the GOAWAY is sent when all streams have ended. Default `true`; `false` for peers
    /// on ngrok's crate, whose streams read an end when a GOAWAY arrives (PROTOCOL.md §12.3).
    announce_close: bool = true;
    /// After the session is over, how long it may take in all until the transport has taken the
    /// last GOAWAY and the peer has ended its side. Default 2 s.
    linger_timeout: Duration = Duration::from_secs(2);

    @follow max_inbound_streams {
        /// Streams that the peer has opened and the application has not accepted yet. Further ones
        /// are refused with `ACCEPT_QUEUE_FULL`. At least 1, unless `max_inbound_streams` is 0.
        /// Default: `max_inbound_streams`, so that a slow `accept` alone refuses no stream.
        ///
        /// Streams that arrive in one input are checked together, because the application could not
        /// accept any of them in between.
        accept_backlog;
        /// Ranges of ids that the peer has skipped and may still open. In the worst order there is
        /// one for each stream that the peer has open and has not written to. When there are more
        /// ranges, the lowest is forgotten, and streams with its ids are refused. Default and
        /// minimum: `max_inbound_streams` (at most 32 bytes each, allocated as needed).
        id_gaps;
    }
}

impl Config {
    /// The memory budget that sessions share, if any.
    #[must_use]
    pub const fn memory_budget(&self) -> Option<&MemoryBudget> {
        self.memory_budget.as_ref()
    }

    /// Starts from the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// Defaults for a peer built on the Go implementations, v1 or v2.
    ///
    /// Their accept backlog is 128, and v1 leaks when it overflows, so at most 128 streams are
    /// unanswered at once (PROTOCOL.md §12.1).
    pub fn for_go() -> ConfigBuilder {
        Self::builder().max_unanswered_streams(Some(128))
    }

    /// Defaults for a peer built on ngrok's Rust crate.
    ///
    /// Its quirks (PROTOCOL.md §12.3) lead to these settings:
    ///
    /// * Its reader stalls at 65 streams that were not accepted, so at most 64 are unanswered.
    /// * Its reader dies when a stream is opened while 512 are open, both directions together. So
    ///   this side opens none while 480 are open. The peer may open up to 512.
    /// * Its sender discards credit above its initial window, so receive windows do not grow.
    /// * Its streams read an end when a GOAWAY arrives, so `close` does not announce itself.
    pub fn for_ngrok() -> ConfigBuilder {
        Self::builder()
            .max_unanswered_streams(Some(64))
            .max_open_streams(Some(480))
            .max_outbound_streams(480)
            .max_inbound_streams(512)
            .auto_tune(false)
            .session_receive_buffer((512 + 480 + 4 + 1) * u64::from(DEFAULT_WINDOW))
            .announce_close(false)
    }
}

impl From<Config> for ConfigBuilder {
    fn from(config: Config) -> Self {
        config.into_builder()
    }
}

impl TryFrom<ConfigBuilder> for Config {
    type Error = ConfigError;

    fn try_from(builder: ConfigBuilder) -> Result<Self, ConfigError> {
        builder.build()
    }
}

impl ConfigBuilder {
    /// A memory budget that the sessions with these settings share with each other and with all
    /// users of a clone of it. Default none: each session has its own
    /// [`max_memory`](Config::max_memory).
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.config.memory_budget = Some(budget);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Config::builder().build(), Ok(Config::default()));
        assert!(Config::for_go().build().is_ok());
        assert!(Config::for_ngrok().build().is_ok());
    }

    /// What each of these peers needs (PROTOCOL.md §12).
    #[test]
    fn presets_are_what_their_peers_need() {
        let go = Config::for_go().build().unwrap();
        assert_eq!(go, Config::builder().max_unanswered_streams(Some(128)).build().unwrap());
        let ngrok = Config::for_ngrok().build().unwrap();
        assert_eq!(
            (ngrok.max_unanswered_streams(), ngrok.max_open_streams()),
            (Some(64), Some(480))
        );
        assert_eq!((ngrok.max_outbound_streams(), ngrok.max_inbound_streams()), (480, 512));
        assert!(!ngrok.auto_tune() && !ngrok.announce_close());
    }

    #[test]
    fn settings_go_into_a_builder_and_come_back() {
        for config in [Config::default(), Config::for_ngrok().build().unwrap()] {
            assert_eq!(Config::try_from(ConfigBuilder::from(config.clone())), Ok(config));
        }
        let budget = MemoryBudget::new(1 << 30);
        let config = Config::builder().memory_budget(budget.clone()).build().unwrap();
        assert_eq!(config.memory_budget(), Some(&budget));
        assert_eq!(Config::default().memory_budget(), None);
        assert!(Config::try_from(Config::builder().send_window(0)).is_err());
    }

    #[test]
    fn settings_that_follow_the_limit_on_streams_do_so_until_they_are_set() {
        let config = Config::builder().max_inbound_streams(5000).overcommit(true).build().unwrap();
        assert_eq!((config.accept_backlog(), config.id_gaps()), (5000, 5000));
        let fewer = config.into_builder().max_inbound_streams(10).build().unwrap();
        assert_eq!((fewer.accept_backlog(), fewer.id_gaps()), (10, 10));
        let set = Config::builder().accept_backlog(3).id_gaps(2000).build().unwrap();
        let set = set.into_builder().max_inbound_streams(20).build().unwrap();
        assert_eq!((set.accept_backlog(), set.id_gaps()), (3, 2000));
        assert!(Config::builder().max_inbound_streams(0).build().is_ok());
    }
}
