//! Two ends, the transport between them, and virtual time.

use std::time::Duration;

use muxado_proto::{CloseReason, StreamId, Timestamp};

use super::link::Link;
use super::node::Node;
use super::plan::{Ending, Plan};
use super::quirk::Foreign;
use super::source::{Source, digest};
use crate::model::{Model, Verdict};

/// If nothing happens for this long, the run is at rest: heartbeats and time limits take longer,
/// owed grants and the transport take less.
const QUIET: Duration = Duration::from_millis(2000);

/// After this many steps a run counts as an endless loop. The longest run of 20 000 seeds takes 4.3
/// million: its transports take a few bytes at a time.
const STEPS: u64 = 16_000_000;

/// One end.
#[derive(Debug)]
pub enum Party {
    /// A session of ours.
    Ours(Box<Node>),
    /// Another implementation.
    Theirs(Box<Foreign>),
}

/// Everything in a run.
#[derive(Debug)]
pub struct World<'a> {
    source: Source<'a>,
    plan: Plan,
    now: Timestamp,
    parties: [Party; 2],
    /// By writer.
    links: [Link; 2],
    /// The oracle.
    pub model: Model,
    acts: [u64; 2],
    next_act: [Timestamp; 2],
    winding_down: [bool; 2],
    ended: Vec<bool>,
    /// An application has aborted.
    aborted: bool,
    steps: u64,
    /// Bytes that the sessions have sent and received, and when that last changed.
    moved: (u64, Timestamp),
}

impl<'a> World<'a> {
    /// A world at rest.
    pub fn new(mut source: Source<'a>, plan: Plan) -> Self {
        let parties = [0, 1].map(|side| match plan.foreign {
            Some((foreign, quirks)) if foreign == side => {
                Party::Theirs(Box::new(Foreign::new(side, quirks, &plan.work)))
            }
            _ => Party::Ours(Box::new(Node::new(side, &plan, &mut source))),
        });
        let mut model = Model { leaps: plan.work.leap > 0, ..Model::default() };
        for side in [0, 1] {
            let config = &plan.configs[side];
            model.sides[side].limits = [config.accept_backlog(), config.max_inbound_streams()];
            model.sides[side].foreign = matches!(parties[side], Party::Theirs(_));
        }
        Self {
            source,
            now: Timestamp::ZERO,
            parties,
            links: plan.links.map(Link::new),
            model,
            acts: [0; 2],
            next_act: [Timestamp::ZERO; 2],
            winding_down: [false; 2],
            ended: vec![false; plan.ends.len()],
            aborted: false,
            steps: 0,
            moved: (0, Timestamp::ZERO),
            plan,
        }
    }

    /// The time, for a report.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The whole run, from the first act to the empty transport.
    pub fn run(&mut self) -> Verdict {
        while !(self.winding_down[0] && self.winding_down[1]) {
            let paused = self.source.one_in(400);
            if paused {
                self.settle(false)?;
                self.check_rest()?;
            }
            if !self.step(true)? && !self.advance(true)? {
                break;
            }
        }
        self.settle(true)?;
        self.check_rest()?;
        self.check_wound_down()?;
        for index in 0..self.plan.ends.len() {
            self.end(index);
        }
        self.settle(true)?;
        // Within the time limits both sides must notice the end.
        for _ in 0..10_000 {
            if self.parties.iter().all(Party::is_done) || !self.wait()? {
                break;
            }
        }
        self.check_end()
    }

    /// Runs until nothing more happens soon. Without `finishing`, the applications do nothing.
    fn settle(&mut self, finishing: bool) -> Verdict {
        if finishing {
            for side in [0, 1] {
                self.wind_down(side);
            }
        }
        loop {
            if !self.step(finishing)? && !self.advance(finishing)? {
                return Ok(());
            }
        }
    }

    fn wind_down(&mut self, side: usize) {
        self.winding_down[side] = true;
        match &mut self.parties[side] {
            Party::Ours(node) => node.app.wind_down(),
            Party::Theirs(foreign) => foreign.wind_down(),
        }
    }

    /// Does everything that can happen now; returns whether there was anything. Without `acting`,
    /// the applications do nothing.
    fn step(&mut self, acting: bool) -> Result<bool, String> {
        self.steps += 1;
        if self.steps > STEPS {
            return Err("it does not come to rest".into());
        }
        let mut any = false;
        for (side, party) in self.parties.iter_mut().enumerate() {
            let [first, second] = &mut self.links;
            let (own, other) = if side == 0 { (first, second) } else { (second, first) };
            any |= party.step(self.now, own, other, &mut self.source, &mut self.model)?;
        }
        if acting {
            for side in [0, 1] {
                let acted = self.act(side)?;
                any |= acted;
                match &mut self.parties[side] {
                    Party::Ours(node) if acted => node.audit_now_and_then()?,
                    _ => {}
                }
            }
        }
        Ok(any)
    }

    fn act(&mut self, side: usize) -> Result<bool, String> {
        let work = self.plan.work;
        if !self.winding_down[side] {
            if self.next_act[side] > self.now {
                return Ok(false);
            }
            if self.acts[side] >= work.acts[side] || self.source.is_exhausted() {
                self.wind_down(side);
                return Ok(true);
            }
            self.acts[side] += 1;
            self.next_act[side] = self.now + self.source.duration(work.pause);
            if work.leap > 0 && self.source.one_in(work.leap) {
                self.now = self.now + self.source.duration(Duration::from_secs(100));
            }
            match &mut self.parties[side] {
                Party::Ours(node) => node.act(self.now, &mut self.source, &mut self.model)?,
                Party::Theirs(foreign) => foreign.act(&mut self.source, &mut self.model)?,
            }
            for index in 0..self.plan.ends.len() {
                let end = self.plan.ends[index];
                if end.side == side && end.after.is_some_and(|acts| self.acts[side] > acts) {
                    self.end(index);
                }
            }
            return Ok(true);
        }
        match &mut self.parties[side] {
            Party::Ours(node) => {
                node.app.finish_up(&mut node.session, &mut self.model, &mut self.source)
            }
            Party::Theirs(_) => Ok(false),
        }
    }

    fn end(&mut self, index: usize) {
        let end = self.plan.ends[index];
        if std::mem::replace(&mut self.ended[index], true) {
            return;
        }
        match &mut self.parties[end.side] {
            Party::Ours(node) => {
                self.aborted |= end.how == Ending::Abort;
                node.end(self.now, &end, &mut self.model);
            }
            Party::Theirs(foreign) => {
                self.aborted = true;
                foreign.end(&end, &mut self.model);
            }
        }
        self.wind_down(end.side);
    }

    /// When the next thing happens.
    fn next(&self, acting: bool) -> Option<Timestamp> {
        let mut next = None;
        let mut consider = |at: Option<Timestamp>| {
            next = [next, at].into_iter().flatten().min();
        };
        for side in [0, 1] {
            let waiting = match &self.parties[side] {
                Party::Ours(node) => {
                    consider(node.next());
                    node.is_waiting()
                }
                Party::Theirs(foreign) => foreign.is_waiting(),
            };
            consider(self.links[side].next(self.now, waiting));
            if acting && !self.winding_down[side] {
                consider(Some(self.next_act[side]));
            }
        }
        next
    }

    /// Lets time pass until something happens; `false` if nothing does for [`QUIET`].
    fn advance(&mut self, acting: bool) -> Result<bool, String> {
        match self.next(acting) {
            Some(at) if at - self.now < QUIET && !self.only_looks(at) => {
                self.now = self.now.max(at);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether nothing has moved for three times [`QUIET`] until `at`, and a session has a memory budget: it
    /// examines every second whether it has to give up bytes that nobody reads.
    fn only_looks(&mut self, at: Timestamp) -> bool {
        let (mut bytes, mut budgets) = (0, 0);
        for party in &self.parties {
            if let Party::Ours(node) = party {
                let stats = node.session.stats();
                bytes += stats.bytes_sent + stats.bytes_received;
                budgets += u32::from(node.session.config().memory_budget().is_some());
            }
        }
        if self.moved.0 != bytes {
            self.moved = (bytes, self.now);
        }
        let drained = self.links.iter().all(Link::is_empty);
        budgets > 0 && drained && at - self.moved.1 >= QUIET * 3
    }

    /// Lets time pass until something happens, without a limit.
    fn wait(&mut self) -> Result<bool, String> {
        let Some(at) = self.next(true) else { return Ok(false) };
        self.now = self.now.max(at);
        self.settle(true)?;
        Ok(true)
    }

    /// Whether the transport has broken, or a leap of the clock may have ended a session.
    fn is_broken(&self) -> bool {
        self.aborted || self.plan.work.leap > 0 || self.links.iter().any(Link::is_broken)
    }

    /// Checks what must hold whenever nothing is in flight and the applications do nothing.
    fn check_rest(&mut self) -> Verdict {
        for party in &mut self.parties {
            match party {
                Party::Ours(node) => {
                    node.audit()?;
                    if !node.done {
                        node.app.probe(&mut node.session)?;
                    }
                }
                Party::Theirs(_) => {}
            }
        }
        if self.links.iter().any(|link| !link.is_empty()) {
            return Err("the transport does not drain".into());
        }
        let [Party::Ours(a), Party::Ours(b)] = &mut self.parties else { return Ok(()) };
        if a.session.close_reason().or(b.session.close_reason()).is_some() {
            return Ok(());
        }
        let ids: Vec<u32> = a.app.streams().collect();
        for id in ids {
            let id = StreamId::new(id);
            for swap in [false, true] {
                let (from, to) = if swap { (&mut *b, &mut *a) } else { (&mut *a, &mut *b) };
                Self::check_credit(&self.model, id, from, to)?;
            }
        }
        Ok(())
    }

    /// Credit is conserved to the byte, and no data with credit waits.
    fn check_credit(model: &Model, id: StreamId, from: &mut Node, to: &mut Node) -> Verdict {
        let (ours, theirs) = (from.session.config().send_window(), to.session.config());
        let extra = i64::from(theirs.receive_window()) - i64::from(ours);
        let Some(sender) = from.session.stream(id).map(|stream| stream.stats()) else {
            return Ok(());
        };
        let Some(receiver) = to.session.stream(id).map(|stream| stream.stats()) else {
            return Ok(());
        };
        let halves = &model.streams[&id.get()].halves;
        let over = halves.iter().any(|half| {
            half.rst_sent.is_some() || half.reset.is_some() || half.read_error.is_some()
        });
        // The sending side is the one that has written.
        if over || halves.iter().any(|half| half.fin_sent) {
            return Ok(());
        }
        if i64::from(receiver.receive_credit) - i64::from(sender.send_credit) != extra {
            return Err(format!("stream {id}: credit is lost: {sender:?}, {receiver:?}"));
        }
        if sender.send_buffered > 0 && sender.send_credit > 0 {
            return Err(format!("stream {id}: data waits in spite of credit: {sender:?}"));
        }
        let held = receiver.receive_credit + receiver.receive_buffered;
        if held > receiver.receive_window
            || (receiver.receive_buffered == 0 && held != receiver.receive_window)
        {
            return Err(format!("stream {id}: credit is owed forever: {receiver:?}"));
        }
        Ok(())
    }

    /// Both sides have finished everything, so nobody can be waiting.
    fn check_wound_down(&mut self) -> Verdict {
        if self.plan.foreign.is_some() && self.is_broken() {
            // A peer that was cut off may stay silent forever, and so may its streams.
            return Ok(());
        }
        for party in &self.parties {
            match party {
                Party::Ours(node) if !node.app.is_idle() => {
                    return Err(format!("stuck: {}", node.app.state()));
                }
                Party::Theirs(foreign) => foreign.check_rest()?,
                Party::Ours(_) => {}
            }
        }
        for party in &mut self.parties {
            if let Party::Ours(node) = party {
                node.check_empty(&self.model)?;
            }
        }
        self.model.settle(self.is_broken())
    }

    /// The session is over on both sides, with correct reasons.
    fn check_end(&mut self) -> Verdict {
        let broken = self.is_broken();
        for side in [0, 1] {
            let Party::Ours(node) = &mut self.parties[side] else { continue };
            if !node.done {
                return Err(format!("side {side} is not done at the end"));
            }
            node.check_empty(&self.model)?;
            node.audit()?;
            let own = &self.model.sides[side].closing;
            let peer = &self.model.sides[1 - side];
            let reason = node.app.closed.clone();
            let right = match &reason {
                Some(CloseReason::Local { code }) => own.contains(code),
                Some(CloseReason::Remote { code, .. }) => {
                    peer.closing.contains(code) || peer.foreign || peer.over.is_some()
                }
                Some(CloseReason::TransportEof) => broken || peer.foreign,
                Some(CloseReason::TransportError(_)) => broken || peer.foreign,
                // While the transport is whole, an end that was announced cuts little. Only if the
                // peer went without the rest of the output, nobody here can know which streams
                // needed that.
                Some(CloseReason::Cut { streams, .. }) => {
                    let unknown = node.is_cut_short && peer.over.is_some();
                    let few = *streams <= self.model.may_be_cut(side);
                    broken || peer.foreign || unknown || few
                }
                Some(CloseReason::FrameStalled | CloseReason::WriteStalled) => {
                    self.plan.work.leap > 0
                }
                Some(CloseReason::HeartbeatTimeout) => self.plan.work.leap > 0,
                _ => false,
            };
            if !right {
                return Err(format!("side {side} ended for {reason:?}; own {own:?}, {peer:?}"));
            }
        }
        self.model.settle(broken)
    }

    /// A number that identifies this run.
    pub fn digest(&self) -> u64 {
        let mut hash = digest(0xCBF2_9CE4_8422_2325, self.now.as_nanos());
        for party in &self.parties {
            if let Party::Ours(node) = party {
                let stats = node.session.stats();
                for word in [stats.frames_sent, stats.bytes_sent, stats.payload_received] {
                    hash = digest(hash, word);
                }
                hash = digest(hash, node.said());
            }
        }
        hash
    }

    /// Steps, streams and payload bytes of the run.
    pub fn figures(&self) -> super::Figures {
        let halves = self.model.streams.values().flat_map(|stream| &stream.halves);
        super::Figures {
            steps: self.steps,
            streams: self.model.streams.len() as u64,
            payload: halves.map(|half| half.read).sum(),
        }
    }
}

impl Party {
    fn step(
        &mut self,
        now: Timestamp,
        own: &mut Link,
        other: &mut Link,
        source: &mut Source<'_>,
        model: &mut Model,
    ) -> Result<bool, String> {
        match self {
            Self::Ours(node) => {
                let mut any = node.tick(now);
                any |= node.receive(now, other, source, model);
                if any {
                    node.audit_now_and_then()?;
                }
                any |= node.app.listen(&mut node.session, model)?;
                any |= node.transmit(now, own, source, model)?;
                any |= node.app.listen(&mut node.session, model)?;
                any |= node.hang_up(own, other);
                if any {
                    node.audit_now_and_then()?;
                }
                Ok(any)
            }
            Self::Theirs(foreign) => foreign.step(now, own, other, source, model),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Ours(node) => node.done,
            Self::Theirs(foreign) => foreign.is_done(),
        }
    }
}
