//! Two sessions, a transport between them, and a clock that jumps.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::{
    Config, ErrorCode, Event, Role, Session, SessionKey, Timestamp, Transmit, TransportError,
};

use super::{Caller, Hostile, Load, Server};
use crate::sim::{Arrival, Link, Shape, Source};

/// Output that is cut at once.
const BATCH: usize = 64 << 10;

/// The payload of a packet.
const PACKET: usize = 1460;

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
    shut: bool,
    /// Steps since the last audit.
    unaudited: u32,
}

/// Two sessions with an honest application on each.
#[derive(Debug)]
pub struct Pair {
    ends: [End; 2],
    /// By writer.
    links: [Link; 2],
    /// A piece arrives as a whole: what a link carries in ten milliseconds, at least a packet.
    piece: usize,
    now: Timestamp,
    /// A hostile peer of the server's process.
    hostile: Option<Hostile>,
    /// Both ends close as soon as all streams are open.
    closes: bool,
    closing: bool,
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
                shut: false,
                unaudited: 0,
            }
        });
        Self {
            ends,
            links: [Link::new(shape), Link::new(shape)],
            piece: match usize::try_from(10 * shape.bandwidth) {
                Ok(piece) if piece > 0 => piece.max(PACKET),
                _ => usize::MAX,
            },
            now: Timestamp::ZERO,
            hostile: None,
            closes: false,
            closing: false,
        }
    }

    /// The same, beside a hostile peer that acts whenever the server does.
    #[must_use]
    pub fn beside(mut self, hostile: Hostile) -> Self {
        self.hostile = Some(hostile);
        self
    }

    /// The same, but both ends close as soon as all streams are open: every stream still has to
    /// end as expected, and then both sessions, cleanly.
    #[must_use]
    pub const fn closing_at_both_ends(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The hostile peer.
    pub const fn hostile(&self) -> Option<&Hostile> {
        self.hostile.as_ref()
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
            any |= self.close();
            if any {
                continue;
            }
            if self.is_done() {
                return self.audit();
            }
            match self.next() {
                Some(at) if at.as_duration() <= limit => self.now = self.now.max(at),
                next => return Err(format!("stuck at {:?}, {next:?}: {}", self.now, self.left())),
            }
        }
    }

    /// Closes both sessions if it is time to; returns whether it was.
    fn close(&mut self) -> bool {
        // A stream that comes to an end that is closing is refused.
        let open = |side: usize| match &self.ends[side].caller {
            Some(caller) => {
                caller.has_opened_all() && self.ends[1 - side].server.accepted == caller.streams()
            }
            None => true,
        };
        let due = self.closes && !self.closing && open(0) && open(1);
        if due {
            self.closing = true;
            for end in &mut self.ends {
                end.session.close(self.now, ErrorCode::NO_ERROR, "");
            }
        }
        due
    }

    fn is_done(&self) -> bool {
        self.ends.iter().all(|end| {
            end.caller.as_ref().is_none_or(Caller::is_done)
                && end.server.is_idle()
                && end.session.stats().open_streams == 0
                && self.closing == end.session.close_reason().is_some()
        })
    }

    fn audit(&mut self) -> Result<(), String> {
        self.ends.iter_mut().try_for_each(End::audit)
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
        if let Some(hostile) = self.hostile.as_mut().filter(|_| any && side == 1) {
            hostile.turn(now)?;
        }
        let end = &mut self.ends[side];
        if end.session.wants_shutdown() && end.out.is_empty() && !end.shut {
            end.shut = true;
            self.links[side].shut();
            any = true;
        }
        // An audit takes time in proportion to the streams, so it comes more rarely the more there
        // are.
        end.unaudited += 1;
        if end.unaudited > 4 * end.session.stats().open_streams {
            end.audit()?;
        }
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
                Event::Closed(reason) if self.closing && reason.is_clean() => {}
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
            match self.links[side].write(self.now, source, &mut out.take(self.piece)) {
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

impl End {
    fn audit(&mut self) -> Result<(), String> {
        self.unaudited = 0;
        self.session.audit().map_err(|error| format!("audit: {error}"))
    }
}
