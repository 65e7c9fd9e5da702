//! The application of the device. It buffers no payload: it reads only as much as it can write, so
//! the windows slow down the host.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use muxado_proto::{ReadError, Session, StreamId, WriteError};

use crate::memory;

/// What the device says to the host.
const WORDS: &[u8] =
    b"a word from a device with sixty-four kilobytes of memory, and then some more";
/// How many requests it sends to the host on command.
const CALLS: u32 = 100;

pub struct Application {
    /// Bytes of the heap that were in use before the session.
    empty: usize,
    /// Bytes that the session took before it had done anything.
    idle: usize,
    /// Streams of this side at once.
    streams: u32,
    served: Vec<(StreamId, Does)>,
    calls: Vec<Call>,
    /// The stream that requested the calls, how many were begun, and how many were answered
    /// correctly.
    caller: Option<(StreamId, u32, u32)>,
}

#[derive(Clone, Copy)]
enum Does {
    /// The first byte has not come.
    Nothing,
    Echo,
}

/// A call of the host.
struct Call {
    id: StreamId,
    sent: usize,
    came: usize,
}

impl Application {
    pub fn new(streams: u32, empty: usize) -> Self {
        let idle = memory::used() - empty;
        Self { empty, idle, streams, served: Vec::new(), calls: Vec::new(), caller: None }
    }

    /// Does everything that is possible now.
    pub fn go_on(&mut self, session: &mut Session) {
        while let Some(id) = session.accept() {
            self.served.push((id, Does::Nothing));
        }
        let mut served = core::mem::take(&mut self.served);
        served.retain_mut(|(id, does)| self.serve(session, *id, does));
        self.served = served;
        self.call(session);
    }

    /// Serves one stream of the host; returns whether to keep it.
    fn serve(&mut self, session: &mut Session, id: StreamId, does: &mut Does) -> bool {
        let Some(mut stream) = session.stream(id) else { return false };
        let mut piece = [0; 64];
        loop {
            let room = match stream.writable() {
                Ok(room) => room.min(piece.len()),
                Err(WriteError::Blocked) => return true,
                Err(_) => {
                    stream.release();
                    return false;
                }
            };
            match stream.read(&mut piece[..room]) {
                Ok(0) => {
                    stream.release();
                    return false;
                }
                Ok(count) => {
                    let piece = &mut piece[..count];
                    match (*does, piece[0]) {
                        (Does::Nothing, b'm') => {
                            let report: String = format!(
                                "{} {} {} {}",
                                self.idle,
                                memory::used() - self.empty,
                                memory::peak() - self.empty,
                                memory::stack()
                            );
                            memory::forget();
                            // It fits: the send buffer of a new stream is empty.
                            let _fits = stream.write(report.as_bytes());
                            stream.release();
                            return false;
                        }
                        (Does::Nothing, b'c') => {
                            self.caller = Some((id, 0, 0));
                            return false;
                        }
                        _ => *does = Does::Echo,
                    }
                    piece.make_ascii_uppercase();
                    // There was room for it.
                    let _fits = stream.write(piece);
                }
                Err(ReadError::Blocked) => return true,
                Err(_) => {
                    stream.release();
                    return false;
                }
            }
        }
    }

    /// Continues the running calls to the host.
    fn call(&mut self, session: &mut Session) {
        let Some((caller, mut begun, mut answered)) = self.caller else { return };
        while begun < CALLS && self.calls.len() < self.streams as usize {
            let Ok(id) = session.open() else { break };
            self.calls.push(Call { id, sent: 0, came: 0 });
            begun += 1;
        }
        self.calls.retain_mut(|call| {
            let Some(mut stream) = session.stream(call.id) else { return false };
            if call.sent < WORDS.len()
                && let Ok(count) = stream.write(&WORDS[call.sent..])
            {
                call.sent += count;
                if call.sent == WORDS.len() {
                    // Fails only if the host has reset the stream, which reading reports.
                    let _reset = stream.finish();
                }
            }
            let mut piece = [0; 64];
            loop {
                match stream.read(&mut piece) {
                    Ok(0) => {
                        answered += u32::from(call.came == WORDS.len());
                        stream.release();
                        return false;
                    }
                    Ok(count) => {
                        let expected = WORDS.get(call.came..call.came + count);
                        if expected.is_none_or(|words| !words.eq_ignore_ascii_case(&piece[..count]))
                        {
                            stream.release();
                            return false;
                        }
                        call.came += count;
                    }
                    Err(ReadError::Blocked) => return true,
                    Err(_) => {
                        stream.release();
                        return false;
                    }
                }
            }
        });
        self.caller = Some((caller, begun, answered));
        if begun == CALLS && self.calls.is_empty() {
            self.caller = None;
            if let Some(mut stream) = session.stream(caller) {
                // It fits: nothing was written to this stream.
                let _fits = stream.write(format!("{answered}").as_bytes());
                stream.release();
            }
        }
    }
}
