//! Two sessions, a transport between them, and a clock that jumps.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::{Config, Event, Role, Session, SessionKey, Timestamp, Transmit, TransportError};

use super::{Caller, Load, Server};
use crate::sim::{Arrival, Link, Shape, Source};

/// Output that is cut at once.
const BATCH: usize = 64 << 10;

/// A transport with large buffers and a latency of a tenth of a millisecond.
pub const fn fast() -> Shape {
    Shape {
        capacity: 1 << 20,
        latency: Duration::from_micros(100),
        bandwidth: 0,
        piece: usize::MAX,
        stalls: 0,
        stall: Duration::ZERO,
        fault: None,
    }
}

#[derive(Debug)]
struct End {
    session: Session,
    caller: Option<Caller>,
    server: Server,
    batch: Transmit,
    out: Bytes,
}

/// Two sessions with an honest application on each.
#[derive(Debug)]
pub struct Pair {
    ends: [End; 2],
    /// By writer.
    links: [Link; 2],
    now: Timestamp,
}

impl Pair {
    /// A client and a server with these settings, over two links of one shape. The client opens
    /// streams, and, if `both`, the server opens as many.
    pub fn new(configs: [Config; 2], shape: Shape, load: Load, both: bool) -> Self {
        let roles = [Role::Client, Role::Server];
        let mut index = 0;
        let ends = configs.map(|config| {
            let calls = index == 0 || both;
            let role = roles[index];
            index += 1;
            End {
                session: Session::new(
                    role,
                    Arc::new(config),
                    Timestamp::ZERO,
                    SessionKey::new([7; 16]),
                ),
                caller: calls.then(|| Caller::new(load)),
                server: Server::new(load),
                batch: Transmit::new(),
                out: Bytes::new(),
            }
        });
        Self { ends, links: [Link::new(shape), Link::new(shape)], now: Timestamp::ZERO }
    }

    /// The session of a side.
    pub fn session(&mut self, side: usize) -> &mut Session {
        &mut self.ends[side].session
    }

    /// The acceptor of a side.
    pub const fn server(&self, side: usize) -> &Server {
        &self.ends[side].server
    }

    /// How long the run took.
    pub fn elapsed(&self) -> Duration {
        self.now.as_duration()
    }

    /// Runs until all streams have ended as expected.
    ///
    /// # Errors
    ///
    /// The failure: an unexpected end of a stream, the end of a session, or no progress within
    /// `limit`.
    pub fn run(&mut self, limit: Duration) -> Result<(), String> {
        let mut source = Source::Seed(1);
        loop {
            let mut any = false;
            for side in [0, 1] {
                any |= self.step(side, &mut source).map_err(|what| {
                    format!("side {side} after {:?}: {what}", self.now.as_duration())
                })?;
            }
            if any {
                continue;
            }
            if self.is_done() {
                return Ok(());
            }
            match self.next() {
                Some(at) if at.as_duration() <= limit => self.now = self.now.max(at),
                next => return Err(format!("stuck at {:?}, {next:?}: {}", self.now, self.left())),
            }
        }
    }

    fn is_done(&self) -> bool {
        self.ends.iter().all(|end| {
            end.caller.as_ref().is_none_or(Caller::is_done)
                && end.server.is_idle()
                && end.session.stats().open_streams == 0
        })
    }

    fn left(&self) -> String {
        let ends = self.ends.iter().map(|end| {
            let left = end.caller.as_ref().map(Caller::left);
            format!("{left:?}, {:?}", end.session.stats())
        });
        ends.collect::<Vec<_>>().join("; ")
    }

    fn next(&self) -> Option<Timestamp> {
        let ends = self.ends.iter().flat_map(|end| [end.session.poll_timeout(), end.server.next()]);
        let links =
            [0, 1].map(|side| self.links[side].next(self.now, !self.ends[side].out.is_empty()));
        ends.chain(links).flatten().filter(|at| *at > self.now).min()
    }

    fn step(&mut self, side: usize, source: &mut Source<'_>) -> Result<bool, String> {
        let now = self.now;
        let mut any = false;
        if self.ends[side].session.poll_timeout().is_some_and(|due| due <= now) {
            self.ends[side].session.handle_timeout(now);
            any = true;
        }
        if let Some(arrival) = self.links[1 - side].read(now, source) {
            any = true;
            let session = &mut self.ends[side].session;
            match arrival {
                Arrival::Bytes(bytes) => session.handle_slice(now, &bytes),
                Arrival::Eof => session.handle_eof(now),
                Arrival::Error => {
                    session.handle_transport_error(now, TransportError::new(std::fmt::Error))
                }
            }
        }
        any |= self.apply(side)?;
        any |= self.transmit(side, source);
        any |= self.apply(side)?;
        Ok(any)
    }

    /// Lets the applications of a side react.
    fn apply(&mut self, side: usize) -> Result<bool, String> {
        let now = self.now;
        let End { session, caller, server, .. } = &mut self.ends[side];
        let mut any = false;
        let role = session.role();
        while let Some(event) = session.poll_event() {
            any = true;
            match event {
                Event::Acceptable => server.acceptable(),
                Event::OpenReady => caller.iter_mut().for_each(Caller::open_ready),
                Event::Readable(id) | Event::Writable(id) if id.is_opened_by(role) => {
                    if let Some(caller) = caller {
                        caller.drive(session, id.get())?;
                    }
                }
                Event::Readable(id) | Event::Writable(id) => {
                    server.drive(session, now, id.get())?
                }
                Event::Closed(reason) => return Err(format!("the session is over: {reason}")),
                _ => {}
            }
        }
        if let Some(caller) = caller {
            any |= caller.turn(session)?;
        }
        any |= server.turn(session, now)?;
        Ok(any)
    }

    fn transmit(&mut self, side: usize, source: &mut Source<'_>) -> bool {
        let End { session, batch, out, .. } = &mut self.ends[side];
        let mut any = false;
        loop {
            if out.is_empty() {
                let grown = session.poll_transmit(self.now, batch, BATCH);
                if grown == 0 {
                    return any;
                }
                *out = batch.copy_to_bytes(grown);
            }
            match self.links[side].write(self.now, source, out) {
                Ok(bytes) if bytes.is_empty() => return any,
                Ok(bytes) => {
                    any = true;
                    session.transmitted(self.now, bytes.len());
                }
                Err(()) => {
                    session.handle_transport_error(self.now, TransportError::new(std::fmt::Error));
                    return true;
                }
            }
        }
    }
}
