//! A state: two sessions, their applications, and the bytes in flight between them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use muxado_proto::{
    Config, Event, ReadError, Role, Session, StreamId, Timestamp, Transmit, WriteError,
};

use super::app::{self, App, Facing, View};
use super::link::{Arrival, Link};
use super::settings::Settings;
use super::step::{Act, Step};

/// Deadlines further away do not come, because nobody is that slow here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What was wrong, or nothing.
pub type Verdict = Result<(), String>;

/// One end.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) session: Session,
    pub(super) app: App,
    /// The transport's writing side is shut.
    shut: bool,
    /// The transport is dropped.
    pub(super) done: bool,
    /// A digest of all this.
    digest: u128,
}

/// A state. Cheap to clone: unchanged parts are shared.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) settings: &'static Settings,
    pub(super) now: Timestamp,
    nodes: [Rc<Node>; 2],
    /// What is under way to each side.
    pub(super) links: [Rc<Link>; 2],
    /// The transport was lost or has failed.
    pub(super) lost: bool,
}

pub(super) const fn other(side: u8) -> u8 {
    1 - side
}

/// The result of a step that is not possible.
pub(super) const IMPOSSIBLE: Result<bool, String> = Ok(false);

impl World {
    /// The first state.
    pub fn new(settings: &'static Settings) -> Self {
        let config: Arc<Config> = Arc::new(settings.config());
        let now = Timestamp::from_millis(1000);
        let node = |role: Role| {
            let views = vec![View::default(); settings.streams().into()];
            let mut node = Node {
                session: Session::new(role, config.clone(), now, [1; 16].into()),
                app: App { views, ..App::default() },
                shut: false,
                done: false,
                digest: 0,
            };
            node.seal();
            Rc::new(node)
        };
        let nodes = [node(Role::Client), node(Role::Server)];
        Self { settings, now, nodes, links: Default::default(), lost: false }
    }

    /// The settings.
    pub fn settings(&self) -> &'static Settings {
        self.settings
    }

    /// A number that is equal for states with the same future behaviour.
    pub fn digest(&self) -> u128 {
        let mut mix = Mix::new();
        for node in &self.nodes {
            mix.add(&node.digest);
        }
        mix.add(&self.links);
        mix.add(&self.lost);
        mix.end()
    }

    /// The state in a few words.
    pub fn summary(&self) -> String {
        let side = |side: u8| {
            let node = self.node(side);
            let stats = node.session.stats();
            format!(
                "{} streams, {} to send, {} to read, {} frames under way{}",
                stats.open_streams,
                stats.send_buffered,
                stats.receive_buffered,
                self.links[usize::from(other(side))].frames(),
                if node.done {
                    ", done"
                } else if node.app.closed {
                    ", over"
                } else {
                    ""
                },
            )
        };
        format!("client {}; server {}", side(0), side(1))
    }

    pub(super) fn node(&self, side: u8) -> &Node {
        &self.nodes[usize::from(side)]
    }

    pub(super) fn node_mut(&mut self, side: u8) -> &mut Node {
        Rc::make_mut(&mut self.nodes[usize::from(side)])
    }

    pub(super) fn link_mut(&mut self, to: u8) -> &mut Link {
        Rc::make_mut(&mut self.links[usize::from(to)])
    }

    /// The side that opens a stream, and its id.
    pub(super) fn opener(&self, at: u8) -> (u8, StreamId) {
        let [first, _] = self.settings.opens;
        let (side, count) = if at < first { (0, at) } else { (1, at - first) };
        let begin = [3, 2][usize::from(side)];
        (side, StreamId::new(begin + 2 * u32::from(count)))
    }

    /// The place of a stream.
    pub(super) fn place(&self, id: StreamId) -> Option<usize> {
        (0..self.settings.streams()).find(|&at| self.opener(at).1 == id).map(usize::from)
    }

    pub(super) fn facing(&self, side: u8, at: u8) -> Facing<'_> {
        let peer = &self.node(other(side)).app;
        Facing {
            own: &self.node(side).app.views[usize::from(at)],
            peer: &peer.views[usize::from(at)],
            peer_leaving: peer.leaving || peer.closed,
        }
    }

    /// Takes a step; returns whether it was possible.
    ///
    /// # Errors
    ///
    /// What was wrong.
    pub fn step(&mut self, step: Step) -> Result<bool, String> {
        let Step { side, act } = step;
        let possible = match act {
            Act::Tick => return self.tick(),
            Act::Cut => self.cut(side),
            Act::Arrive => self.arrive(side, false),
            Act::Byte => self.arrive(side, true),
            Act::Open => self.open(side),
            Act::Accept => self.accept(side),
            Act::Write(at) => self.write(side, at),
            Act::Read(at) => self.read(side, at),
            Act::Finish(at) | Act::Reset(at) | Act::Stop(at) | Act::Release(at) => {
                Ok(self.leave(side, act, at))
            }
            Act::GoAway | Act::Close | Act::Abort => Ok(self.part(side, act)),
            Act::Lose | Act::Break => Ok(self.lose(side, act)),
        }
        .map_err(|what| format!("{}: {what}", name(side)))?;
        if possible {
            self.settle(side)?;
        }
        Ok(possible)
    }

    /// After a call of a session: handles its events, audits it, and updates the transport.
    fn settle(&mut self, side: u8) -> Verdict {
        let found = |what: String| format!("{}: {what}", name(side));
        self.listen(side).map_err(found)?;
        self.node(side).session.audit().map_err(|error| found(format!("audit: {error}")))?;
        let node = self.node_mut(side);
        if node.session.wants_shutdown() && !node.shut {
            node.shut = true;
            self.link_mut(other(side)).end();
        }
        let node = self.node_mut(side);
        if node.session.is_finished() && !node.done {
            node.done = true;
            self.link_mut(other(side)).end();
            self.link_mut(side).abandon();
        }
        self.check_waiting(side).map_err(found)?;
        self.node_mut(side).seal();
        Ok(())
    }

    fn listen(&mut self, side: u8) -> Verdict {
        loop {
            let event = self.node_mut(side).session.poll_event();
            match event {
                None => return Ok(()),
                Some(Event::Acceptable) => self.node_mut(side).app.awaits_stream = false,
                Some(Event::OpenReady) => self.node_mut(side).app.awaits_slot = false,
                Some(Event::Readable(id)) => {
                    let at = self.place(id).ok_or("data on a stream that is not there")?;
                    self.node_mut(side).app.views[at].awaits_data = false;
                }
                Some(Event::Writable(id)) => {
                    let at = self.place(id).ok_or("room on a stream that is not there")?;
                    self.node_mut(side).app.views[at].awaits_room = false;
                }
                Some(Event::Closed(reason)) => {
                    let (own, peer) = (&self.node(side).app, &self.node(other(side)).app);
                    app::may_close(&reason, own, peer, self.lost)?;
                    if own.closed {
                        return Err("is over twice".into());
                    }
                    self.node_mut(side).app.closed = true;
                }
                Some(Event::GoAway { .. }) => {}
                Some(other) => return Err(format!("unexpected event {other:?}")),
            }
        }
    }

    /// Nobody waits for something that is available: a call that was "blocked", without an event
    /// since, is blocked again. The repeated call changes nothing.
    fn check_waiting(&mut self, side: u8) -> Verdict {
        for at in 0..self.node(side).app.views.len() {
            let view = self.node(side).app.views[at];
            if !(view.awaits_data || view.awaits_room) || !view.is_held() {
                continue;
            }
            let at = u8::try_from(at).expect("few streams");
            let (_, id) = self.opener(at);
            let node = self.node_mut(side);
            let Some(mut stream) = node.session.stream(id) else {
                return Err(format!("stream {id} has gone"));
            };
            if view.awaits_data {
                let answer = stream.read_chunk(1);
                if answer != Err(ReadError::Blocked) {
                    return Err(format!("nobody was told that stream {id} reads {answer:?}"));
                }
            }
            if view.awaits_room {
                let answer = stream.room();
                if answer != Err(WriteError::Blocked) {
                    return Err(format!("nobody was told that stream {id} has room: {answer:?}"));
                }
            }
        }
        let node = self.node_mut(side);
        if node.app.awaits_slot && node.session.can_open() {
            return Err("nobody was told that a stream can be opened".into());
        }
        if node.app.awaits_stream && node.session.backlog() > 0 {
            return Err("nobody was told of a stream to accept".into());
        }
        Ok(())
    }

    /// The session cuts a frame, as for a driver whose transport takes one frame.
    fn cut(&mut self, side: u8) -> Result<bool, String> {
        let (now, to) = (self.now, other(side));
        let room = self.links[usize::from(to)].frames() < self.settings.room;
        if self.node(side).done || !self.node(side).session.wants_transmit() || !room {
            return IMPOSSIBLE;
        }
        let mut out = Transmit::new();
        let node = self.node_mut(side);
        let grown = node.session.poll_transmit(now, &mut out, 1);
        if grown != out.remaining() {
            return Err(format!("a batch of {grown} has {} bytes", out.remaining()));
        }
        if !node.session.wants_transmit() && node.session.poll_transmit(now, &mut out, 1) > 0 {
            return Err("has something to send that it did not want to send".into());
        }
        if grown == 0 && node.session.wants_transmit() {
            return Err("wants to send nothing".into());
        }
        let bytes = out.copy_to_bytes(grown);
        self.link_mut(to).push(&bytes);
        Ok(true)
    }

    fn arrive(&mut self, side: u8, byte: bool) -> Result<bool, String> {
        if byte && !self.settings.bytes || self.node(side).done {
            return IMPOSSIBLE;
        }
        let link = self.link_mut(side);
        let arrival = if byte { link.byte().map(Arrival::Bytes) } else { link.frame() };
        let (now, node) = (self.now, self.node_mut(side));
        match arrival {
            None => return IMPOSSIBLE,
            Some(Arrival::Bytes(bytes)) => node.session.handle_slice(now, &bytes),
            Some(Arrival::End) => node.session.handle_eof(now),
        }
        Ok(true)
    }

    /// The next deadline comes, for both clocks: an early call must be harmless.
    fn tick(&mut self) -> Result<bool, String> {
        if !self.settings.hurry && (0..2).any(|side| self.is_busy(side)) {
            return IMPOSSIBLE;
        }
        let latest = self.now + PATIENCE;
        let next = (0..2)
            .filter(|&side| !self.node(side).done)
            .filter_map(|side| self.node(side).session.poll_timeout())
            .min();
        let Some(next) = next.filter(|&next| next <= latest) else { return IMPOSSIBLE };
        self.now = self.now.max(next);
        let now = self.now;
        for side in 0..2 {
            self.node_mut(side).session.handle_timeout(now);
            self.settle(side)?;
        }
        Ok(true)
    }

    /// Whether something is in flight to this side or from it.
    fn is_busy(&self, side: u8) -> bool {
        let node = self.node(side);
        let arriving = self.links[usize::from(side)].frames() > 0;
        !node.done && (arriving || node.session.wants_transmit())
    }
}

pub(super) fn name(side: u8) -> &'static str {
    if side == 0 { "client" } else { "server" }
}

impl Node {
    fn seal(&mut self) {
        let mut mix = Mix::new();
        mix.add(&self.session.fingerprint());
        mix.add(&self.app);
        mix.add(&(self.shut, self.done));
        self.digest = mix.end();
    }
}

/// A hash of 128 bits: two standard hashes, one of them salted.
struct Mix([std::hash::DefaultHasher; 2]);

impl Mix {
    fn new() -> Self {
        use std::hash::Hasher;
        let mut salted = std::hash::DefaultHasher::new();
        salted.write_u8(1);
        Self([std::hash::DefaultHasher::new(), salted])
    }

    fn add(&mut self, value: &impl std::hash::Hash) {
        for hasher in &mut self.0 {
            value.hash(hasher);
        }
    }

    fn end(self) -> u128 {
        use std::hash::Hasher;
        let [high, low] = self.0.map(|hasher| hasher.finish());
        u128::from(high) << 64 | u128::from(low)
    }
}
