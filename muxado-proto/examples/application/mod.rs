//! The application of the examples, on the bare core: sends and answers requests on the streams of
//! one session. It does not depend on sockets, threads or readiness, so both examples can drive it.
//!
//! It has the same style as the core: nothing blocks, and an operation that cannot continue now
//! continues at a later event. Call [`react`](Application::react) after everything that may cause
//! events.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use muxado_proto::{
    CloseReason, ErrorCode, Event, OpenError, ReadError, Role, Session, StreamId, StreamMut,
    Timestamp, WriteError,
};
use muxado_rpc::{End, MAX_MESSAGE, Question, REPORTS, REQUESTS, Report, Work};

/// Interval of measured heartbeats.
const BEAT: Duration = Duration::from_millis(50);

/// Asks and answers on one session.
pub(crate) struct Application {
    work: Work,
    /// One entry for each stream that was opened or accepted and not released.
    exchanges: HashMap<StreamId, Exchange>,
    /// How many of them are questions.
    asking: u32,
    /// The request that waits for a stream, until [`Event::OpenReady`].
    waiting: Option<Question>,
    /// The next heartbeat, while there is anything to measure.
    next_beat: Option<Timestamp>,
    reporting: Reporting,
    peer: Option<Report>,
    closed: Option<CloseReason>,
}

/// The progress of this end's own report.
#[derive(PartialEq)]
enum Reporting {
    Asking,
    UnderWay,
    Arrived,
}

/// The exchange on one stream: a message is sent and another is received.
struct Exchange {
    purpose: Purpose,
    /// What is still to be written.
    outgoing: Bytes,
    incoming: Vec<u8>,
}

enum Purpose {
    /// Sends a request, then receives the answer.
    Ask(Question),
    /// Sends the report, then receives nothing.
    Report,
    /// Receives a request, then sends the answer.
    Answer,
    /// Receives the report of the peer, then sends nothing.
    ReceiveReport,
}

/// `Ok(true)` when it is done, `Ok(false)` if it continues at a later event.
type Progress = Result<bool, Box<dyn Error>>;

impl Application {
    pub(crate) fn new(work: Work, now: Timestamp) -> Self {
        Self {
            work,
            exchanges: HashMap::new(),
            asking: 0,
            waiting: None,
            next_beat: Some(now),
            reporting: Reporting::Asking,
            peer: None,
            closed: None,
        }
    }

    /// The latest time to call [`react`](Self::react): an application has its own deadlines,
    /// besides those of its session.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.next_beat
    }

    /// Does all that can be done now.
    pub(crate) fn react(&mut self, session: &mut Session, now: Timestamp) {
        while let Some(event) = session.poll_event() {
            match event {
                Event::Acceptable => {
                    while let Some(id) = session.accept() {
                        self.accepted(session, id);
                    }
                }
                // The same for both: do everything that is now possible on that stream.
                Event::Readable(id) | Event::Writable(id) => self.go_on(session, id),
                Event::Pong { rtt } => self.work.beat(rtt),
                Event::Closed(reason) => {
                    self.next_beat = None;
                    self.closed = Some(reason);
                }
                // After `OpenReady`, `ask` below finds room. The other events need no action: a
                // missed heartbeat ends in `Closed`, and a peer that goes away lets open streams
                // finish.
                _ => {}
            }
        }
        self.ask(session);
        self.conclude(session, now);
        if self.next_beat.is_some_and(|due| due <= now) {
            // It fails only if the session opens no more streams, and then there is nothing to
            // measure.
            self.next_beat = session.ping(now).ok().map(|()| now + BEAT);
        }
    }

    /// The result; an error if the session ended before both ends had all their answers.
    pub(crate) fn end(self, session: &Session) -> Result<End, Box<dyn Error>> {
        let closed = self.closed.or_else(|| session.close_reason().cloned());
        let closed = closed.ok_or("the session is not over")?;
        let peer = self.peer.ok_or_else(|| format!("no report from the peer: {closed}"))?;
        let role = session.role();
        Ok(End::new(role, [self.work.report(role), peer], &session.stats(), closed))
    }

    fn accepted(&mut self, session: &mut Session, id: StreamId) {
        let Some(stream) = session.stream(id) else { return };
        let purpose = match stream.stream_type() {
            Some(REQUESTS) => Purpose::Answer,
            Some(REPORTS) => Purpose::ReceiveReport,
            _ => return give_up(stream, ErrorCode::STREAM_REFUSED),
        };
        self.begin(session, id, purpose, Bytes::new());
    }

    fn begin(&mut self, session: &mut Session, id: StreamId, purpose: Purpose, outgoing: Bytes) {
        self.exchanges.insert(id, Exchange { purpose, outgoing, incoming: Vec::new() });
        self.go_on(session, id);
    }

    /// Does everything that is possible on a stream, and releases it when it is done.
    fn go_on(&mut self, session: &mut Session, id: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Some(mut stream) = session.stream(id) else { return };
        let result = exchange.go_on(&mut stream);
        match result {
            Ok(false) => return,
            // What was written is still sent, and then the end of the stream.
            Ok(true) => stream.release(),
            Err(_) => give_up(stream, ErrorCode::STREAM_CANCELLED),
        }
        if let Some(exchange) = self.exchanges.remove(&id) {
            self.done(exchange, result.map(drop));
        }
    }

    fn done(&mut self, exchange: Exchange, result: Result<(), Box<dyn Error>>) {
        match (exchange.purpose, result) {
            (Purpose::Ask(question), result) => {
                self.asking -= 1;
                self.work.settle(question, result.map(|()| exchange.incoming.as_slice()));
            }
            (Purpose::Report, Ok(())) => self.reporting = Reporting::Arrived,
            (Purpose::ReceiveReport, Ok(())) => match serde_json::from_slice(&exchange.incoming) {
                Ok(report) => self.peer = Some(report),
                Err(error) => self.work.fail(error),
            },
            (Purpose::Answer, Ok(())) => {}
            (_, Err(error)) => self.work.fail(error),
        }
    }

    /// Opens streams for requests, up to the wanted concurrency and the limit of the session.
    fn ask(&mut self, session: &mut Session) {
        while self.asking < self.work.concurrency() {
            let Some(mut question) = self.waiting.take().or_else(|| self.work.next()) else {
                break;
            };
            match session.open_typed(REQUESTS) {
                Ok(id) => {
                    let request = self.work.open(&mut question);
                    self.asking += 1;
                    self.begin(session, id, Purpose::Ask(question), request.into());
                }
                Err(OpenError::Blocked) => {
                    self.waiting = Some(question);
                    break;
                }
                Err(error) => {
                    self.work.settle(question, Err(error));
                    self.work.stop();
                }
            }
        }
    }

    /// Reports when everything has been answered; the client closes the session when both ends
    /// have reported.
    fn conclude(&mut self, session: &mut Session, now: Timestamp) {
        let settled = self.asking == 0 && self.waiting.is_none();
        if self.reporting == Reporting::Asking && settled {
            // There is room, because this end has no other streams. If the session is over, nobody
            // needs the report.
            let Ok(id) = session.open_typed(REPORTS) else { return };
            self.reporting = Reporting::UnderWay;
            let report = self.work.report(session.role());
            let report = serde_json::to_vec(&report).expect("a report is plain data");
            self.begin(session, id, Purpose::Report, report.into());
        }
        let both = self.reporting == Reporting::Arrived && self.peer.is_some();
        if both && session.role() == Role::Client {
            // Does nothing the second time.
            session.close(now, ErrorCode::NO_ERROR, Bytes::new());
        }
    }
}

impl Exchange {
    fn go_on(&mut self, stream: &mut StreamMut<'_>) -> Progress {
        match self.purpose {
            Purpose::Ask(_) | Purpose::Report => {
                if !self.send(stream)? {
                    return Ok(false);
                }
                // Half-close: the message is complete. A repeated call is harmless. If the stream
                // has ended in the meantime, reading returns the cause.
                let _ended = stream.finish();
                self.receive(stream)
            }
            Purpose::Answer => {
                // Only the outgoing answer is left to do.
                if self.outgoing.is_empty() {
                    if !self.receive(stream)? {
                        return Ok(false);
                    }
                    self.outgoing = muxado_rpc::answer(&self.incoming)?.into();
                }
                self.send(stream)
            }
            Purpose::ReceiveReport => self.receive(stream),
        }
    }

    /// Writes what the session takes. The rest stays here, so a slow peer holds only the one
    /// message that it has requested.
    fn send(&mut self, stream: &mut StreamMut<'_>) -> Progress {
        while !self.outgoing.is_empty() {
            match stream.write_chunk(&mut self.outgoing) {
                Ok(_) => {}
                Err(WriteError::Blocked) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Reads what has arrived, up to the end of the stream.
    fn receive(&mut self, stream: &mut StreamMut<'_>) -> Progress {
        loop {
            match stream.read_chunk(usize::MAX) {
                Ok(Some(chunk)) if self.incoming.len() + chunk.len() <= MAX_MESSAGE => {
                    self.incoming.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Err("message is too long".into()),
                Ok(None) => return Ok(true),
                Err(ReadError::Blocked) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Ends a stream at once, in both directions.
fn give_up(mut stream: StreamMut<'_>, code: ErrorCode) {
    stream.reset(code);
    stream.release();
}
