//! One of our sessions with its application, its clock and its end of the transport.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::{Config, Role, Session, Timestamp, Transmit, TransportError};

use super::app::App;
use super::link::{Arrival, Link};
use super::plan::Plan;
use super::source::{Source, digest};
use super::tap::Tap;
use crate::model::{Model, Verdict};

/// Bytes asked of a session at once.
const BATCH: u64 = 64 * 1024;

/// Up to this many streams, a session is audited after every step.
const AT_ONCE: u32 = 16;

/// How long a driver that could not write waits for more to read.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// Whether the transport still takes output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Open,
    /// It does not, and the session learns of it when all that can be read has been, or at this time.
    Failed(Timestamp),
    /// The session knows.
    Told,
}

/// The error of a simulated transport.
fn broken() -> TransportError {
    TransportError::new(std::io::Error::other("broken"))
}

/// A session and its environment.
#[derive(Debug)]
pub struct Node {
    side: usize,
    /// The session.
    pub session: Session,
    /// Its application.
    pub app: App,
    tap: Tap,
    batch: Transmit,
    /// Output that the transport has not taken yet.
    out: Bytes,
    output: Output,
    /// The transport has not taken all output, and takes no more.
    pub is_cut_short: bool,
    shut: bool,
    /// Steps since the last audit.
    unaudited: u32,
    /// Steps between two audits at least.
    audit_after: u32,
    /// A digest of all output of the session.
    said: u64,
    /// It has dropped the transport.
    pub done: bool,
    /// The time of this side's clock when the world's clock is zero.
    epoch: Duration,
}

impl Node {
    /// A fresh session.
    pub fn new(side: usize, plan: &Plan, source: &mut Source<'_>) -> Self {
        let role = if side == 0 { Role::Client } else { Role::Server };
        let config: &Arc<Config> = &plan.configs[side];
        let epoch = source.duration(Duration::from_secs(1000));
        let start = Timestamp::from_duration(epoch);
        let key = u128::from(source.below(u64::MAX)).to_be_bytes();
        Self {
            side,
            session: Session::new(role, config.clone(), start, key.into()),
            app: App::new(side, plan.work, config.typed()),
            tap: Tap::new(side, config),
            batch: Transmit::new(),
            out: Bytes::new(),
            output: Output::Open,
            is_cut_short: false,
            shut: false,
            unaudited: 0,
            // A fuzzer finds more with more runs; whenever nothing is under way there is an audit.
            audit_after: if source.is_fuzzed() { 8 } else { 1 },
            said: 0xCBF2_9CE4_8422_2325,
            done: false,
            epoch,
        }
    }

    /// Whether every counter of the session agrees with its streams.
    pub fn audit(&mut self) -> Verdict {
        self.unaudited = 0;
        self.session.audit().map_err(|error| format!("audit of side {}: {error}", self.side))
    }

    /// The same after a step: always with few streams, and less often with more. An audit takes
    /// time in proportion to the streams, so the average cost of a step stays the same.
    pub fn audit_now_and_then(&mut self) -> Verdict {
        self.unaudited += 1;
        let few = self.unaudited < self.audit_after;
        if few || self.unaudited * AT_ONCE < self.session.stats().open_streams {
            return Ok(());
        }
        self.audit()
    }

    /// A digest of all output of the session.
    pub const fn said(&self) -> u64 {
        self.said
    }

    /// The time on this side's clock.
    fn clock(&self, now: Timestamp) -> Timestamp {
        now + self.epoch
    }

    /// The session's next deadline, in the time of the world.
    pub fn next(&self) -> Option<Timestamp> {
        let at = self.session.poll_timeout().filter(|_| !self.done);
        let at = at.map(|at| at - Timestamp::from_duration(self.epoch));
        let failing = match self.output {
            Output::Failed(at) if !self.done => Some(at),
            _ => None,
        };
        at.map(Timestamp::from_duration).into_iter().chain(failing).min()
    }

    /// Whether output waits for the transport.
    pub fn is_waiting(&self) -> bool {
        !self.out.is_empty()
    }

    /// Passes the time to the session, if its deadline has come.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let due = self.next().is_some_and(|at| at <= now);
        if due {
            let clock = self.clock(now);
            self.session.handle_timeout(clock);
            if matches!(self.output, Output::Failed(at) if at <= now) {
                self.fail(now);
            }
        }
        due
    }

    /// The session learns that the transport has failed.
    fn fail(&mut self, now: Timestamp) {
        self.output = Output::Told;
        self.session.handle_transport_error(self.clock(now), broken());
    }

    /// Passes received bytes to the session.
    pub fn receive(
        &mut self,
        now: Timestamp,
        link: &mut Link,
        source: &mut Source<'_>,
        model: &mut Model,
    ) -> bool {
        if self.done {
            return false;
        }
        let mut any = false;
        // As a driver does, a few pieces before the others get their turn.
        for _ in 0..1 + source.below(8) {
            let Some(arrival) = link.read(now, source) else { break };
            any = true;
            let clock = self.skewed(now, source);
            let failed = matches!(self.output, Output::Failed(_));
            if failed {
                self.output = Output::Failed(now + LAST_WORDS);
            }
            match arrival {
                Arrival::Bytes(bytes) => {
                    self.tap.hears(&bytes, model);
                    if source.one_in(2) {
                        self.session.handle_input(clock, bytes);
                    } else {
                        self.session.handle_slice(clock, &bytes);
                    }
                }
                Arrival::Eof => {
                    self.is_cut_short |= !self.out.is_empty();
                    self.session.handle_eof(clock);
                    if failed {
                        self.fail(now);
                    }
                }
                Arrival::Error => self.fail(now),
            }
        }
        any
    }

    /// A clock that sometimes goes back a little, which must not affect the session.
    fn skewed(&self, now: Timestamp, source: &mut Source<'_>) -> Timestamp {
        let clock = self.clock(now);
        if source.one_in(50) {
            Timestamp::from_duration(clock - Timestamp::from_millis(source.below(30)))
        } else {
            clock
        }
    }

    /// Writes the output of the session, as far as the transport takes it.
    pub fn transmit(
        &mut self,
        now: Timestamp,
        link: &mut Link,
        source: &mut Source<'_>,
        model: &mut Model,
    ) -> Result<bool, String> {
        let mut any = false;
        while !self.done && !matches!(self.output, Output::Failed(_)) {
            if self.out.is_empty() {
                let max = source.pick(&[BATCH, 1, 1000]);
                let clock = self.skewed(now, source);
                let max = usize::try_from(max).unwrap_or(usize::MAX);
                let grown = self.session.poll_transmit(clock, &mut self.batch, max);
                if grown != self.batch.remaining() {
                    return Err(format!("a batch of {grown} has {}", self.batch.remaining()));
                }
                if grown == 0 {
                    if self.session.wants_transmit() {
                        return Err(format!("side {} wants to send nothing", self.side));
                    }
                    break;
                }
                self.out = self.batch.copy_to_bytes(grown);
                self.said = self.out.iter().fold(self.said, |hash, b| digest(hash, u64::from(*b)));
                self.tap.says(&self.out, model)?;
            }
            match link.write(now, source, &mut self.out) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(_) => any = true,
                Err(()) if self.session.close_reason().is_some() && self.shut => break,
                // As a driver does: what the peer said before it went is heard first.
                Err(()) => {
                    self.out = Bytes::new();
                    self.is_cut_short = true;
                    self.output = Output::Failed(now + LAST_WORDS);
                    any = true;
                }
            }
        }
        Ok(any)
    }

    /// Ends its side of the transport when the session wants it; returns whether it did.
    pub fn hang_up(&mut self, own: &mut Link, other: &mut Link) -> bool {
        if self.done {
            return false;
        }
        let mut any = false;
        if self.session.wants_shutdown() && self.out.is_empty() && !self.shut {
            self.shut = true;
            own.shut();
            any = true;
        }
        if self.session.is_finished() {
            // Output that was not written by now is never written.
            own.shut();
            other.abandon();
            self.done = true;
            any = true;
        }
        any
    }

    /// One random act of the application.
    pub fn act(&mut self, now: Timestamp, source: &mut Source<'_>, model: &mut Model) -> Verdict {
        let clock = self.clock(now);
        self.app.act(&mut self.session, model, source, clock)
    }

    /// Ends the session in the way of the plan.
    pub fn end(&mut self, now: Timestamp, end: &super::plan::End, model: &mut Model) {
        let clock = self.clock(now);
        self.app.end(&mut self.session, model, end, clock);
    }

    /// Checks that nothing is left when everything is over.
    pub fn check_empty(&mut self, model: &Model) -> Verdict {
        let stats = self.session.stats();
        let held = [
            u64::from(stats.open_streams),
            u64::from(stats.backlog),
            stats.send_buffered,
            stats.receive_buffered,
            // Heartbeats run on.
            if self.session.config().typed() { 0 } else { stats.window_growth },
        ];
        if held != [0; 5] {
            return Err(format!("side {} still holds {held:?}", self.side));
        }
        if self.done && self.app.closed.is_none() {
            return Err(format!("side {} was not told of the end", self.side));
        }
        let reason = &model.sides[self.side].over;
        if self.session.close_reason() != reason.as_ref() {
            return Err(format!("side {} has changed its reason", self.side));
        }
        Ok(())
    }
}
