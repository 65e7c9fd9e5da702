//! A random application on one end of a session, which reports its actions and observations to the
//! model.

mod look;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use muxado_proto::{
    CloseReason, ErrorCode, Event, OpenError, Priority, ReadError, Session, StreamId, StreamType,
    Timestamp, WriteError,
};

use super::plan::{End, Ending, Workload};
use super::source::{Source, fill};
use crate::model::{Model, Verdict};

/// A stream the application holds.
#[derive(Debug)]
struct Handle {
    /// Its place in the list of ids.
    at: usize,
    /// Bytes it still wants to write.
    quota: u64,
    written: u64,
    /// A read, or a write, may succeed: it was not blocked, or an event said so since.
    readable: bool,
    writable: bool,
    finished: bool,
    reading_over: bool,
    writing_over: bool,
    /// It waits for the transport, or for the end, without an event so far.
    flushing: bool,
    ending: bool,
}

/// The application.
#[derive(Debug)]
pub struct App {
    side: usize,
    work: Workload,
    typed: bool,
    handles: BTreeMap<u32, Handle>,
    ids: Vec<u32>,
    /// Streams with something to do when the application winds down.
    dirty: BTreeSet<u32>,
    opened: u64,
    can_open: bool,
    can_accept: bool,
    patience: u64,
    winding_down: bool,
    /// Events of the session itself.
    pub closed: Option<CloseReason>,
    /// The peer's GOAWAY was reported.
    pub go_away: bool,
    buffer: Vec<u8>,
}

impl App {
    /// An application that has done nothing.
    pub fn new(side: usize, work: Workload, typed: bool) -> Self {
        Self {
            side,
            work,
            typed,
            handles: BTreeMap::new(),
            ids: Vec::new(),
            dirty: BTreeSet::new(),
            opened: 0,
            can_open: true,
            can_accept: false,
            patience: 0,
            winding_down: false,
            closed: None,
            go_away: false,
            buffer: Vec::new(),
        }
    }

    /// Whether it holds no stream.
    pub fn is_idle(&self) -> bool {
        self.handles.is_empty()
    }

    /// The streams it holds.
    pub fn streams(&self) -> impl Iterator<Item = u32> {
        self.handles.keys().copied()
    }

    /// What it waits for, for the report of a stuck run.
    pub fn state(&self) -> String {
        let lines =
            self.handles.iter().take(20).map(|(id, handle)| format!("\n  {id}: {handle:?}"));
        format!("side {} holds {}:{}", self.side, self.handles.len(), lines.collect::<String>())
    }

    /// Fetches the events of the session; returns whether there were any.
    pub fn listen(&mut self, session: &mut Session, model: &mut Model) -> Result<bool, String> {
        let mut any = false;
        while let Some(event) = session.poll_event() {
            any = true;
            let of_a_stream = matches!(
                event,
                Event::Readable(_) | Event::Writable(_) | Event::Flushed(_) | Event::Ended(_)
            );
            if self.closed.is_some() && !of_a_stream {
                return Err(format!("side {}: {event:?} behind Closed", self.side));
            }
            match event {
                Event::Acceptable => self.can_accept = true,
                Event::OpenReady => self.can_open = true,
                Event::Readable(id) => self.wake(id.get(), |handle| handle.readable = true),
                Event::Writable(id) => self.wake(id.get(), |handle| handle.writable = true),
                Event::Flushed(id) => self.wake(id.get(), |handle| handle.flushing = false),
                Event::Ended(id) => self.wake(id.get(), |handle| handle.ending = false),
                Event::GoAway { .. } => self.go_away = true,
                Event::Closed(reason) => {
                    if session.close_reason() != Some(&reason) {
                        return Err(format!("side {}: two reasons for the end", self.side));
                    }
                    model.sides[self.side].over = Some(reason.clone());
                    self.closed = Some(reason);
                }
                _ => {}
            }
        }
        Ok(any)
    }

    fn wake(&mut self, id: u32, change: impl FnOnce(&mut Handle)) {
        if let Some(handle) = self.handles.get_mut(&id) {
            change(handle);
            self.dirty.insert(id);
        }
    }

    /// One random act.
    pub fn act(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
        now: Timestamp,
    ) -> Verdict {
        if self.can_accept {
            self.patience += 1;
            if self.patience > self.work.lazy {
                self.patience = 0;
                self.accept(session, model, source)?;
            }
        }
        if self.work.rude > 0 && source.one_in(self.work.rude) {
            return self.be_rude(session, model, source);
        }
        let act = source.below(16);
        if act < 3 || self.ids.is_empty() {
            return self.open(session, model, source);
        }
        let id = self.ids[source.index(self.ids.len())];
        match act {
            3..=8 => self.write(session, model, source, id),
            9..=12 => self.read(session, model, source, id),
            13 => self.finish(session, model, id),
            14 => {
                let class = u8::try_from(source.below(9)).unwrap_or(3);
                if let Some(mut stream) = session.stream(StreamId::new(id)) {
                    stream.set_priority(Priority::new(class));
                }
                if self.typed && source.one_in(3) {
                    // It fails only if the session ends; then streams report that, too.
                    let _refused = session.ping(now);
                }
                self.look(session, model, id)
            }
            _ => self.release_if_over(session, model, id),
        }
    }

    fn open(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
    ) -> Verdict {
        if !self.can_open || self.opened >= self.work.streams || self.ids.len() >= self.work.at_once
        {
            return Ok(());
        }
        let kind = self.typed.then(|| u32::try_from(source.below(1 << 16)).unwrap_or(0));
        let result = match kind {
            Some(kind) => session.open_typed(StreamType(kind)),
            None => session.open(),
        };
        match result {
            Ok(id) => {
                self.opened += 1;
                model.opened(id.get(), self.side, kind)?;
                self.hold(id.get(), source);
                Ok(())
            }
            Err(OpenError::Blocked) => {
                self.can_open = false;
                Ok(())
            }
            Err(OpenError::GoingAway) if self.go_away || self.closes(model) => Ok(()),
            Err(OpenError::SessionClosed(reason)) if Some(&reason) == session.close_reason() => {
                Ok(())
            }
            Err(error) => Err(format!("side {} could not open: {error:?}", self.side)),
        }
    }

    fn closes(&self, model: &Model) -> bool {
        !model.sides[self.side].closing.is_empty()
    }

    fn accept(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
    ) -> Verdict {
        while let Some(id) = session.accept() {
            let kind = session.stream(id).and_then(|stream| stream.stream_type()).map(|t| t.0);
            model.accepted(id.get(), self.side, kind)?;
            self.hold(id.get(), source);
        }
        self.can_accept = false;
        Ok(())
    }

    fn hold(&mut self, id: u32, source: &mut Source<'_>) {
        let quota = if source.one_in(5) { 0 } else { source.below(self.work.total + 1) };
        let handle = Handle {
            at: self.ids.len(),
            quota,
            written: 0,
            readable: true,
            writable: true,
            finished: false,
            reading_over: false,
            writing_over: false,
            flushing: false,
            ending: false,
        };
        self.ids.push(id);
        self.handles.insert(id, handle);
        self.dirty.insert(id);
    }

    fn write(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
        id: u32,
    ) -> Verdict {
        let Some(handle) = self.handles.get_mut(&id) else { return Ok(()) };
        if handle.quota == 0 && !handle.finished {
            return self.finish(session, model, id);
        }
        if !handle.writable {
            return Ok(());
        }
        let Some(mut stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("side {} lost stream {id}", self.side));
        };
        let most = usize::try_from(handle.quota.max(1)).unwrap_or(usize::MAX);
        let count = source.size(self.work.chunk).min(most);
        self.buffer.resize(count, 0);
        fill(id, self.side, handle.written, &mut self.buffer);
        let result = match source.below(3) {
            0 => stream.write(&self.buffer),
            1 => stream.write_chunk(&mut Bytes::copy_from_slice(&self.buffer)),
            _ => {
                let (head, tail) = self.buffer.split_at(source.index(count + 1));
                stream.write_vectored([head, &[], tail])
            }
        };
        match result {
            Ok(0) => Err(format!("stream {id}: side {} wrote nothing", self.side)),
            Ok(count) => {
                handle.written += count as u64;
                handle.quota = handle.quota.saturating_sub(count as u64);
                model.wrote(id, self.side, count);
                Ok(())
            }
            Err(WriteError::Blocked) => {
                handle.writable = false;
                Ok(())
            }
            Err(error) => {
                handle.writing_over = true;
                model.write_failed(id, self.side, &error)
            }
        }
    }

    fn read(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
        id: u32,
    ) -> Verdict {
        let Some(handle) = self.handles.get_mut(&id) else { return Ok(()) };
        // A stream that is over is tried again: it must return the same.
        if !handle.readable || (handle.reading_over && !source.one_in(3)) {
            return Ok(());
        }
        let Some(mut stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("side {} lost stream {id}", self.side));
        };
        let count = source.size(self.work.chunk);
        let peeked = if source.one_in(3) {
            let mut ahead = vec![0; count];
            let seen = stream.peek(&mut ahead);
            ahead.truncate(seen);
            Some(ahead)
        } else {
            None
        };
        self.buffer.resize(count, 0);
        let result = if source.one_in(2) {
            stream.read_chunk(count).map(|chunk| chunk.unwrap_or_default())
        } else {
            stream.read(&mut self.buffer).map(|n| Bytes::copy_from_slice(&self.buffer[..n]))
        };
        if let Some(ahead) = peeked {
            let got = result.as_ref().map_or(&[][..], |bytes| &bytes[..]);
            if !ahead.starts_with(got) || (got.is_empty() && !ahead.is_empty()) {
                return Err(format!("stream {id}: side {} read other than it peeked", self.side));
            }
        }
        match result {
            Ok(bytes) if bytes.is_empty() => {
                handle.reading_over = true;
                model.ended(id, self.side)
            }
            Ok(bytes) => model.read(id, self.side, &bytes),
            Err(ReadError::Blocked) => {
                handle.readable = false;
                Ok(())
            }
            Err(error) => {
                handle.reading_over = true;
                model.read_failed(id, self.side, error)
            }
        }
    }

    fn finish(&mut self, session: &mut Session, model: &mut Model, id: u32) -> Verdict {
        let Some(handle) = self.handles.get_mut(&id) else { return Ok(()) };
        let Some(mut stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("side {} lost stream {id}", self.side));
        };
        handle.finished = true;
        self.dirty.insert(id);
        match stream.finish() {
            Ok(()) => {
                model.finished(id, self.side);
                Ok(())
            }
            Err(error) => model.write_failed(id, self.side, &error),
        }
    }

    /// Ends a stream abruptly.
    fn be_rude(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
    ) -> Verdict {
        if self.ids.is_empty() {
            return Ok(());
        }
        let id = self.ids[source.index(self.ids.len())];
        let Some(mut stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("side {} lost stream {id}", self.side));
        };
        match source.below(3) {
            0 => {
                let code = ErrorCode(source.pick(&[0, 6, 7, u32::MAX]));
                stream.reset(code);
                model.reset(id, self.side, code);
                self.wake(id, |handle| handle.readable = true);
                Ok(())
            }
            1 => {
                stream.stop();
                model.left(id, self.side);
                self.wake(id, |handle| handle.readable = true);
                Ok(())
            }
            _ => self.release(session, model, id),
        }
    }

    fn release_if_over(&mut self, session: &mut Session, model: &mut Model, id: u32) -> Verdict {
        let over = self
            .handles
            .get(&id)
            .is_some_and(|handle| handle.reading_over && (handle.finished || handle.writing_over));
        if over { self.release(session, model, id) } else { Ok(()) }
    }

    fn release(&mut self, session: &mut Session, model: &mut Model, id: u32) -> Verdict {
        let Some(stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("side {} lost stream {id}", self.side));
        };
        stream.release();
        model.released(id, self.side);
        self.dirty.remove(&id);
        if let Some(handle) = self.handles.remove(&id) {
            self.ids.swap_remove(handle.at);
            if let Some(moved) = self.ids.get(handle.at) {
                self.handles.entry(*moved).and_modify(|other| other.at = handle.at);
            }
        }
        Ok(())
    }

    /// Begins nothing new: from here it finishes its writes, reads to the end and releases.
    pub fn wind_down(&mut self) {
        if !std::mem::replace(&mut self.winding_down, true) {
            self.dirty.extend(&self.ids);
        }
    }

    /// The work while winding down; returns whether it did anything.
    pub fn finish_up(
        &mut self,
        session: &mut Session,
        model: &mut Model,
        source: &mut Source<'_>,
    ) -> Result<bool, String> {
        let mut any = self.can_accept;
        self.accept(session, model, source)?;
        while let Some(id) = self.dirty.pop_first() {
            any = true;
            if !self.handles[&id].finished {
                self.finish(session, model, id)?;
                self.dirty.remove(&id);
            }
            while self.handles.get(&id).is_some_and(|h| h.readable && !h.reading_over) {
                self.read(session, model, source, id)?;
            }
            self.release_if_over(session, model, id)?;
        }
        Ok(any)
    }

    /// Ends the session.
    pub fn end(&mut self, session: &mut Session, model: &mut Model, end: &End, now: Timestamp) {
        if session.close_reason().is_none() {
            model.sides[self.side].closing.push(end.code);
        }
        match end.how {
            Ending::Close => session.close(now, end.code, "closing"),
            Ending::GoAway => session.go_away(now, end.code, "going away"),
            Ending::Abort => session.abort(now, end.code, "aborting"),
        }
    }
}
