//! The worlds there are.

use std::time::Duration;

use muxado_proto::{Config, MemoryBudget};

/// Streams that each side may have open at once.
pub const MAX_STREAMS: usize = 2;

/// The parameters of a world: how much each side may do, and what can happen.
#[derive(Debug)]
pub struct Settings {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Whether streams have types.
    pub typed: bool,
    /// How many streams each side opens in all.
    pub opens: [u8; 2],
    /// How many bytes each side writes to a stream, and how many at once.
    pub writes: [u8; 2],
    /// See [`Self::writes`].
    pub piece: u8,
    /// Letters for what the applications do besides opening, accepting, writing and reading:
    /// `f`inish, `r`eset, `s`top, re`l`ease.
    pub acts: &'static str,
    /// Which sides do so: one letter each of `c` and `s`.
    pub actors: &'static str,
    /// Letters for the possible ends: `g`o away, `c`lose, `a`bort, `e`nd of the transport, `b`reak.
    pub ends: &'static str,
    /// Frames that fit into a direction of the transport.
    pub room: usize,
    /// Whether bytes arrive one by one as well.
    pub bytes: bool,
    /// Whether time may pass before everything else is at rest.
    pub hurry: bool,
    /// Whether the sessions share a memory budget, which is never used up.
    pub budget: bool,
}

const SOME: Settings = Settings {
    name: "",
    about: "",
    typed: false,
    opens: [1, 0],
    writes: [10, 5],
    piece: 5,
    acts: "frsl",
    actors: "cs",
    ends: "",
    room: 1,
    bytes: false,
    hurry: false,
    budget: false,
};

static ALL: [Settings; 12] = [
    Settings { name: "one", about: "one stream, and all that can be done with it", ..SOME },
    Settings {
        name: "resets",
        about: "one stream without data, finished, reset or given up on either side",
        writes: [0, 0],
        acts: "frl",
        ..SOME
    },
    Settings {
        name: "ending",
        about: "a typed stream, GOAWAYs, and the end of the transport",
        typed: true,
        writes: [0, 0],
        acts: "l",
        ends: "ge",
        ..SOME
    },
    Settings {
        name: "ends",
        about: "a typed stream with data, and every end",
        typed: true,
        writes: [5, 5],
        acts: "fl",
        ends: "gcaeb",
        ..SOME
    },
    Settings {
        name: "bytes",
        about: "a stream that is written in two pieces and finished, byte by byte",
        writes: [4, 0],
        piece: 2,
        acts: "f",
        actors: "c",
        bytes: true,
        ..SOME
    },
    Settings {
        name: "timing",
        about: "one stream, and time that passes at any moment",
        hurry: true,
        ends: "gc",
        writes: [10, 0],
        acts: "fl",
        ..SOME
    },
    Settings {
        name: "backlog",
        about: "two streams of the client, of which one fits into the backlog",
        opens: [2, 0],
        writes: [5, 0],
        acts: "frl",
        ..SOME
    },
    Settings {
        name: "budget",
        about: "a stream each way, in sessions that share a memory budget",
        opens: [1, 1],
        writes: [5, 0],
        acts: "frl",
        budget: true,
        ..SOME
    },
    Settings {
        name: "slots",
        about: "three typed streams of the client, of which two may be open",
        typed: true,
        opens: [3, 0],
        writes: [0, 0],
        acts: "l",
        ..SOME
    },
    Settings {
        name: "both",
        about: "a stream each way",
        opens: [1, 1],
        writes: [10, 10],
        acts: "fsl",
        room: 2,
        ..SOME
    },
    Settings {
        name: "typed",
        about: "two typed streams each way, and every end",
        typed: true,
        opens: [2, 2],
        writes: [8, 8],
        ends: "gcaeb",
        room: 2,
        ..SOME
    },
    Settings {
        name: "plain",
        about: "two streams each way, everything",
        opens: [2, 2],
        writes: [10, 10],
        ends: "gcaeb",
        room: 2,
        bytes: true,
        hurry: true,
        ..SOME
    },
];

/// All worlds, the smaller ones first.
pub fn all() -> &'static [Settings] {
    &ALL
}

/// The world with this name.
pub fn find(name: &str) -> Option<&'static Settings> {
    ALL.iter().find(|settings| settings.name == name)
}

impl Settings {
    /// How many streams there can be.
    pub fn streams(&self) -> u8 {
        self.opens[0] + self.opens[1]
    }

    /// Whether `side` does what `letter` stands for.
    pub fn has_act(&self, side: u8, letter: char) -> bool {
        let actor = if side == 0 { 'c' } else { 's' };
        self.acts.contains(letter) && self.actors.contains(actor)
    }

    /// The settings of both sessions. Limits are small enough to be reached. Time limits are longer
    /// than [`PATIENCE`](super::world::PATIENCE) if a slow world would exceed them.
    pub fn config(&self) -> Config {
        let long = Duration::from_secs(3600);
        let config = Config::builder()
            .typed(self.typed)
            .receive_window(8)
            .send_window(8)
            .send_buffer(8)
            .session_send_buffer(12)
            .auto_tune(false)
            .accept_backlog(1)
            .max_outbound_streams(MAX_STREAMS as u32)
            .max_inbound_streams(MAX_STREAMS as u32)
            .tombstones(2)
            .pending_resets(4)
            .id_gaps(2)
            .update_delay(Duration::from_millis(5))
            .drain_timeout(Duration::from_millis(20))
            .drain_limit(Duration::from_millis(20))
            .linger_timeout(Duration::from_millis(10))
            .given_up_timeout(long)
            .typed_timeout(long)
            .write_stall_timeout(long)
            .frame_stall_timeout(long);
        let config =
            if self.budget { config.memory_budget(MemoryBudget::new(1 << 30)) } else { config };
        config.build().expect("settings in their ranges")
    }
}
