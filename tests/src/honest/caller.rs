//! The application that opens streams, on the core.

use std::collections::{BTreeMap, VecDeque};

use muxado_proto::{ErrorCode, OpenError, ReadError, Session, StreamId, StreamType, WriteError};

use super::{Leave, Load, Order, is_payload, payload};

/// A stream and how far it has come.
#[derive(Debug, Default)]
struct Call {
    written: usize,
    read: usize,
    finished: bool,
}

/// Opens streams, sends requests, and reads the answers.
#[derive(Debug)]
pub struct Caller {
    load: Load,
    opened: u32,
    calls: BTreeMap<u32, Call>,
    /// Opened and not written to yet.
    unwritten: VecDeque<u32>,
    /// Streams opened and dropped unwritten since the last written one.
    abandoned: u32,
    can_open: bool,
    /// Streams that have ended as the load prescribes.
    pub done: u32,
}

impl Caller {
    /// One that has not begun.
    pub const fn new(load: Load) -> Self {
        Self {
            load,
            opened: 0,
            calls: BTreeMap::new(),
            unwritten: VecDeque::new(),
            abandoned: 0,
            can_open: true,
            done: 0,
        }
    }

    /// Whether all streams have ended as expected.
    pub const fn is_done(&self) -> bool {
        self.done == self.load.streams
    }

    /// Whether no more streams are to be opened, and none waits to be written to.
    pub fn has_opened_all(&self) -> bool {
        self.opened == self.load.streams && self.unwritten.is_empty()
    }

    /// The streams of the load.
    pub const fn streams(&self) -> u32 {
        self.load.streams
    }

    /// The other streams, for a report.
    pub fn left(&self) -> String {
        let first: Vec<_> = self.calls.iter().take(3).collect();
        format!("{} done, {} left: {first:?}", self.done, self.calls.len())
    }

    /// A stream can be opened again.
    pub const fn open_ready(&mut self) {
        self.can_open = true;
    }

    /// Opens as many streams as the load has at once; returns whether there were any.
    pub fn turn(&mut self, session: &mut Session) -> Result<bool, String> {
        let mut any = false;
        while self.can_open
            && self.opened < self.load.streams
            && self.calls.len() < self.load.at_once as usize
        {
            any = true;
            let opened = if session.config().typed() {
                session.open_typed(StreamType(7))
            } else {
                session.open()
            };
            match opened {
                Ok(id) => self.opened(session, id.get())?,
                Err(OpenError::Blocked) => self.can_open = false,
                Err(error) => return Err(format!("could not open: {error}")),
            }
        }
        if self.load.order == Order::EvenThenOdd && self.opened == self.load.streams {
            while let Some(id) = self.unwritten.pop_back() {
                any = true;
                self.drive(session, id)?;
            }
        }
        Ok(any)
    }

    fn opened(&mut self, session: &mut Session, id: u32) -> Result<(), String> {
        if let Order::Abandoning(count) = self.load.order {
            if self.abandoned < count {
                self.abandoned += 1;
                session.stream(StreamId::new(id)).ok_or("no new stream")?.release();
                return Ok(());
            }
            self.abandoned = 0;
        }
        self.opened += 1;
        self.calls.insert(id, Call::default());
        match self.load.order {
            Order::EvenThenOdd if self.opened.is_multiple_of(2) => self.unwritten.push_front(id),
            Order::EvenThenOdd => self.unwritten.push_back(id),
            _ => self.drive(session, id)?,
        }
        Ok(())
    }

    /// Writes and reads as much as possible on a stream.
    pub fn drive(&mut self, session: &mut Session, id: u32) -> Result<(), String> {
        let Some(call) = self.calls.get_mut(&id) else { return Ok(()) };
        let name = StreamId::new(id);
        let Some(mut stream) = session.stream(name) else {
            return Err(format!("stream {id} is lost"));
        };
        let load = self.load;
        while call.written < load.request {
            let data = payload(id, false, call.written);
            match stream.write(&data[..data.len().min(load.request - call.written)]) {
                Ok(count) => call.written += count,
                Err(WriteError::Blocked) => break,
                Err(error) => return Err(format!("stream {id} takes no request: {error}")),
            }
        }
        if call.written == load.request && !call.finished {
            call.finished = true;
            let _ended = stream.finish();
        }
        let wanted = load.leave.map_or(usize::MAX, |(count, _)| count);
        while call.read < wanted {
            let most = (wanted - call.read).min(64 << 10);
            match stream.read_chunk(most) {
                Ok(Some(bytes)) => {
                    if !is_payload(id, true, call.read, &bytes) {
                        return Err(format!("stream {id}: wrong bytes at {}", call.read));
                    }
                    call.read += bytes.len();
                }
                Ok(None) if call.read == load.answer => break,
                Ok(None) => return Err(format!("stream {id} ends at {}", call.read)),
                Err(ReadError::Blocked) => return Ok(()),
                Err(error) => return Err(format!("stream {id} after {}: {error}", call.read)),
            }
        }
        if matches!(load.leave, Some((_, Leave::Reset))) {
            stream.reset(ErrorCode::STREAM_CANCELLED);
        }
        stream.release();
        self.calls.remove(&id);
        self.done += 1;
        Ok(())
    }
}
