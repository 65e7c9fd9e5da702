//! The application that accepts streams, on the core.

use std::collections::BTreeMap;

use muxado_proto::{ReadError, Session, StreamId, Timestamp, WriteError};

use super::{Load, is_payload, payload};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits before it reads.
    Late,
    Reading,
    Thinking,
    Writing,
    /// Keeps a stream that has ended.
    Holding,
}

#[derive(Debug)]
struct Job {
    stage: Stage,
    read: usize,
    written: usize,
}

/// Accepts streams and answers them.
#[derive(Debug)]
pub struct Server {
    load: Load,
    jobs: BTreeMap<u32, Job>,
    /// When a stage ends by itself.
    alarms: BTreeMap<(Timestamp, u32), Stage>,
    can_accept: bool,
    /// Streams that were accepted.
    pub accepted: u32,
    /// The most that were held at once.
    pub most: usize,
}

impl Server {
    /// One that has not begun.
    pub const fn new(load: Load) -> Self {
        Self {
            load,
            jobs: BTreeMap::new(),
            alarms: BTreeMap::new(),
            can_accept: false,
            accepted: 0,
            most: 0,
        }
    }

    /// Whether it holds nothing.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A stream waits to be accepted.
    pub const fn acceptable(&mut self) {
        self.can_accept = true;
    }

    /// When it wants to go on by itself.
    pub fn next(&self) -> Option<Timestamp> {
        self.alarms.first_key_value().map(|((at, _), _)| *at)
    }

    /// Accepts all waiting streams, and continues due work; returns whether there was anything.
    pub fn turn(&mut self, session: &mut Session, now: Timestamp) -> Result<bool, String> {
        let mut any = std::mem::take(&mut self.can_accept);
        while let Some(id) = session.accept() {
            any = true;
            self.accepted += 1;
            let id = id.get();
            self.jobs.insert(id, Job { stage: Stage::Late, read: 0, written: 0 });
            self.most = self.most.max(self.jobs.len());
            self.wait(session, now, id, Stage::Late)?;
        }
        while let Some((&(at, id), &stage)) = self.alarms.first_key_value() {
            if at > now {
                break;
            }
            any = true;
            self.alarms.pop_first();
            self.go_on(session, now, id, stage)?;
        }
        Ok(any)
    }

    /// Enters a stage that ends after a time.
    fn wait(
        &mut self,
        session: &mut Session,
        now: Timestamp,
        id: u32,
        stage: Stage,
    ) -> Result<(), String> {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stage = stage;
        }
        let time = match stage {
            Stage::Late => self.load.late,
            Stage::Thinking => self.load.think,
            _ => self.load.hold,
        };
        if time.is_zero() {
            return self.go_on(session, now, id, stage);
        }
        self.alarms.insert((now + time, id), stage);
        Ok(())
    }

    fn go_on(
        &mut self,
        session: &mut Session,
        now: Timestamp,
        id: u32,
        stage: Stage,
    ) -> Result<(), String> {
        let Some(job) = self.jobs.get_mut(&id) else { return Ok(()) };
        job.stage = match stage {
            Stage::Late => Stage::Reading,
            Stage::Thinking => Stage::Writing,
            _ => {
                self.jobs.remove(&id);
                if let Some(stream) = session.stream(StreamId::new(id)) {
                    stream.release();
                }
                return Ok(());
            }
        };
        self.drive(session, now, id)
    }

    /// Reads or writes as much as possible on a stream.
    pub fn drive(&mut self, session: &mut Session, now: Timestamp, id: u32) -> Result<(), String> {
        let Some(job) = self.jobs.get_mut(&id) else { return Ok(()) };
        let Some(mut stream) = session.stream(StreamId::new(id)) else {
            return Err(format!("the acceptor's stream {id} is lost"));
        };
        let load = self.load;
        let cancelled = load.leave.is_some();
        while job.stage == Stage::Reading {
            match stream.read_chunk(64 << 10) {
                Ok(Some(bytes)) => {
                    if !is_payload(id, false, job.read, &bytes) {
                        return Err(format!("request {id}: wrong bytes at {}", job.read));
                    }
                    job.read += bytes.len();
                }
                Ok(None) if job.read == load.request => {
                    return self.wait(session, now, id, Stage::Thinking);
                }
                Ok(None) => return Err(format!("request {id} ends at {}", job.read)),
                Err(ReadError::Blocked) => return Ok(()),
                Err(ReadError::Reset(_)) if cancelled => {
                    return self.wait(session, now, id, Stage::Holding);
                }
                Err(error) => return Err(format!("request {id} after {}: {error}", job.read)),
            }
        }
        while job.stage == Stage::Writing {
            if job.written == load.answer {
                let _ended = stream.finish();
                return self.wait(session, now, id, Stage::Holding);
            }
            let data = payload(id, true, job.written);
            match stream.write(&data[..data.len().min(load.answer - job.written)]) {
                Ok(count) => job.written += count,
                Err(WriteError::Blocked) => return Ok(()),
                Err(WriteError::Reset(_)) if cancelled => {
                    return self.wait(session, now, id, Stage::Holding);
                }
                Err(error) => return Err(format!("answer {id} at {}: {error}", job.written)),
            }
        }
        Ok(())
    }
}
