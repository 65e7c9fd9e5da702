//! A foreign peer: a small endpoint with the quirks of the Go and ngrok implementations
//! (PROTOCOL.md §12). Otherwise it keeps to the rules, and it reports its actions to the model, so
//! that the same promises are checked for our session.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes, BytesMut};
use muxado_proto::frame::{Flags, FrameType, GOAWAY_PAD, HEADER_LEN, Header};
use muxado_proto::{DEFAULT_WINDOW, ErrorCode, ReadError, StreamId, Timestamp};

use super::link::{Arrival, Link};
use super::plan::{End, Workload};
use super::source::{Source, fill};
use crate::model::{Model, Verdict};

/// Streams per run that begin wrongly: a realistic number, not an attack.
const MISHAPS: u64 = 40;

/// The ways of a peer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quirks {
    /// Credit above the initial window is discarded (ngrok).
    pub clamps: bool,
    /// An empty first write loses the SYN (Go).
    pub loses_syn: bool,
    /// DATA may overtake its SYN (Go).
    pub overtakes_syn: bool,
    /// The length of its GOAWAY leaves out the fixed part (ngrok).
    pub short_go_away: bool,
    /// Takes eight bytes too many for a part of a GOAWAY (Go).
    pub over_reads: bool,
    /// Grants every read, even after FIN and RST (both).
    pub grants_always: bool,
    /// Sends FIN twice (Go).
    pub doubles_fin: bool,
    /// SYN and FIN in one frame (Go).
    pub joins_fin: bool,
    /// A stream that was never written to ends in a FIN without SYN (ngrok).
    pub bare_fin: bool,
    /// Refuses streams beyond this backlog and keeps them until it receives another frame for them
    /// (Go).
    pub backlog: Option<usize>,
    /// Never closes its side of the transport (ngrok).
    pub lingers: bool,
    /// The largest frame it sends.
    pub frame: usize,
}

impl Quirks {
    /// Some of them.
    pub fn draw(source: &mut Source<'_>) -> Self {
        Self {
            clamps: source.one_in(2),
            loses_syn: source.one_in(4),
            overtakes_syn: source.one_in(4),
            short_go_away: source.one_in(2),
            over_reads: source.one_in(2),
            grants_always: source.one_in(2),
            doubles_fin: source.one_in(2),
            joins_fin: source.one_in(2),
            bare_fin: source.one_in(2),
            backlog: source.one_in(3).then_some(5),
            lingers: source.one_in(3),
            frame: source.pick(&[16_384, 262_144, 1000]),
        }
    }
}

/// One stream as this peer sees it.
#[derive(Debug)]
struct Line {
    quota: u64,
    written: u64,
    credit: u64,
    unread: u32,
    spoken: bool,
    fin: bool,
    heard_fin: bool,
    /// Over: reset by either side.
    reset: bool,
    /// Our side does not know of it.
    lost: bool,
}

/// The peer.
#[derive(Debug)]
pub struct Foreign {
    side: usize,
    quirks: Quirks,
    work: Workload,
    lines: BTreeMap<u32, Line>,
    next_id: u32,
    opened: u64,
    mishaps: u64,
    /// Refused streams without a later frame.
    leaked: BTreeSet<u32>,
    input: BytesMut,
    output: BytesMut,
    out: Bytes,
    winding_down: bool,
    gone: bool,
    /// It has ended its side of the transport, or is about to.
    shutting: bool,
    shut: bool,
    /// It has ended, and its actions no longer count.
    over: bool,
}

impl Foreign {
    /// A peer that has done nothing.
    pub fn new(side: usize, quirks: Quirks, work: &Workload) -> Self {
        Self {
            side,
            quirks,
            work: *work,
            lines: BTreeMap::new(),
            next_id: if side == 0 { 3 } else { 2 },
            opened: 0,
            mishaps: 0,
            leaked: BTreeSet::new(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            out: Bytes::new(),
            winding_down: false,
            gone: false,
            shutting: false,
            shut: false,
            over: false,
        }
    }

    /// Whether output waits for the transport.
    pub fn is_waiting(&self) -> bool {
        !self.out.is_empty()
    }

    /// It does not hold up the end.
    pub const fn is_done(&self) -> bool {
        true
    }

    /// Begins no more streams, and ends the existing ones.
    pub fn wind_down(&mut self) {
        self.winding_down = true;
    }

    /// Reads and writes the transport.
    pub fn step(
        &mut self,
        now: Timestamp,
        own: &mut Link,
        other: &mut Link,
        source: &mut Source<'_>,
        model: &mut Model,
    ) -> Result<bool, String> {
        let mut any = false;
        while let Some(arrival) = other.read(now, source) {
            any = true;
            match arrival {
                Arrival::Bytes(bytes) => {
                    self.input.extend_from_slice(&bytes);
                    self.parse(model)?;
                }
                Arrival::Eof if !self.over => {
                    self.over = true;
                    if !self.quirks.lingers {
                        self.go_away(15, b"read EOF from remote peer");
                        self.shutting = true;
                    }
                }
                Arrival::Eof => self.over = true,
                Arrival::Error => {
                    self.over = true;
                    self.shutting = true;
                }
            }
        }
        if self.winding_down && !self.over {
            self.finish_all(model);
        }
        loop {
            if self.out.is_empty() {
                self.out = self.output.split().freeze();
            }
            match own.write(now, source, &mut self.out) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(_) => any = true,
                Err(()) => {
                    self.over = true;
                    self.out = Bytes::new();
                    break;
                }
            }
        }
        if self.shutting && self.out.is_empty() && !std::mem::replace(&mut self.shut, true) {
            own.shut();
            any = true;
        }
        Ok(any)
    }

    /// One random act.
    pub fn act(&mut self, source: &mut Source<'_>, model: &mut Model) -> Verdict {
        let act = source.below(10);
        if self.over {
            return Ok(());
        }
        if act < 3 || self.lines.is_empty() {
            return self.open(source, model);
        }
        let index = source.index(self.lines.len());
        let Some((&id, _)) = self.lines.iter().nth(index) else { return Ok(()) };
        match act {
            3..=6 => {
                let most = source.size(self.work.chunk);
                self.write(id, most, model);
            }
            7 | 8 => self.read(id),
            _ if self.work.rude > 0 && source.one_in(4) => self.reset(id, model),
            _ => self.finish(id, model),
        }
        Ok(())
    }

    fn open(&mut self, source: &mut Source<'_>, model: &mut Model) -> Verdict {
        if self.gone || self.opened >= self.work.streams || self.lines.len() >= self.work.at_once {
            return Ok(());
        }
        let id = self.next_id;
        self.next_id += 2;
        self.opened += 1;
        model.opened(id, self.side, None)?;
        let quota = source.below(self.work.total + 1);
        let mut line = Line::new(quota);
        if self.mishaps < MISHAPS && self.quirks.loses_syn && source.one_in(5) {
            // The SYN was in a frame that was never sent.
            self.mishaps += 1;
            line.spoken = true;
            line.lost = true;
            line.credit = 1000;
        } else if self.mishaps < MISHAPS && self.quirks.overtakes_syn && source.one_in(5) {
            self.mishaps += 1;
            self.frame(FrameType::Data, Flags::NONE, id, b"early");
            self.frame(FrameType::Data, Flags::SYN, id, b"late");
            line.spoken = true;
            line.credit = 1000;
        }
        self.lines.insert(id, line);
        Ok(())
    }

    fn write(&mut self, id: u32, most: usize, model: &mut Model) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.can_write()) else { return };
        let most = u64::try_from(most.min(self.quirks.frame)).unwrap_or(u64::MAX);
        let count = usize::try_from(most.min(line.credit).min(line.quota)).unwrap_or(0);
        if count == 0 {
            return;
        }
        let mut payload = vec![0; count];
        fill(id, self.side, line.written, &mut payload);
        line.written += count as u64;
        line.credit -= count as u64;
        line.quota -= count as u64;
        let own = (id % 2 == 1) == (self.side == 0);
        let syn = own && !std::mem::replace(&mut line.spoken, true);
        let fin = syn && self.quirks.joins_fin && line.quota == 0;
        line.fin |= fin;
        let flags = if syn { Flags::SYN } else { Flags::NONE };
        model.wrote(id, self.side, count);
        if fin {
            model.finished(id, self.side);
        }
        self.frame(FrameType::Data, if fin { flags.with(Flags::FIN) } else { flags }, id, &payload);
    }

    fn finish(&mut self, id: u32, model: &mut Model) {
        let own = (id % 2 == 1) == (self.side == 0);
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.can_write()) else { return };
        let syn = own && !std::mem::replace(&mut line.spoken, true);
        line.fin = true;
        if line.lost || (syn && self.quirks.bare_fin) {
            // Our side does not know this stream.
            line.reset |= !line.lost;
            model.released(id, self.side);
        } else {
            model.finished(id, self.side);
        }
        if syn && !self.quirks.bare_fin {
            self.frame(FrameType::Data, Flags::SYN, id, b"");
        }
        self.frame(FrameType::Data, Flags::FIN, id, b"");
        if self.quirks.doubles_fin {
            self.frame(FrameType::Data, Flags::FIN, id, b"");
        }
    }

    fn reset(&mut self, id: u32, model: &mut Model) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| !line.reset) else { return };
        line.reset = true;
        line.spoken = true;
        model.reset(id, self.side, ErrorCode::STREAM_CANCELLED);
        self.word(FrameType::Rst, id, 6, model);
        if self.quirks.doubles_fin {
            self.frame(FrameType::Data, Flags::FIN, id, b"");
        }
    }

    fn read(&mut self, id: u32) {
        let always = self.quirks.grants_always;
        let Some(line) = self.lines.get_mut(&id) else { return };
        let count = std::mem::take(&mut line.unread);
        if count > 0 && (always || !(line.heard_fin || line.reset)) {
            let bytes = count.to_be_bytes();
            self.frame(FrameType::WndInc, Flags::NONE, id, &bytes);
        }
    }

    fn finish_all(&mut self, model: &mut Model) {
        let ids: Vec<u32> = self.lines.keys().copied().collect();
        for id in ids {
            self.finish(id, model);
            self.read(id);
            if self.lines.get(&id).is_some_and(Line::is_over) {
                self.lines.remove(&id);
            }
        }
    }

    /// Ends the session at once, as such peers do.
    pub fn end(&mut self, end: &End, model: &mut Model) {
        self.shutting = true;
        if self.over {
            return;
        }
        model.sides[self.side].closing.push(end.code);
        self.go_away(end.code.0, b"peer is shutting down");
        self.over = true;
    }

    fn go_away(&mut self, code: u32, text: &[u8]) {
        let length = if self.quirks.short_go_away { text.len() } else { text.len() + 8 };
        let length = u32::try_from(length).unwrap_or(0);
        let header = Header::new(FrameType::GoAway, Flags::NONE, StreamId::new(0), length);
        self.output.extend_from_slice(&header.encode());
        self.output.extend_from_slice(&0x7FFF_FFFFu32.to_be_bytes());
        self.output.extend_from_slice(&code.to_be_bytes());
        self.output.extend_from_slice(text);
    }

    fn frame(&mut self, kind: FrameType, flags: Flags, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(0);
        let header = Header::new(kind, flags, StreamId::new(id), length);
        self.output.extend_from_slice(&header.encode());
        self.output.extend_from_slice(payload);
    }

    fn word(&mut self, kind: FrameType, id: u32, word: u32, model: &mut Model) {
        if kind == FrameType::Rst {
            // This side's reasons are not checked, but they determine what our side may be told.
            let half = &mut model.streams.entry(id).or_default().halves[self.side];
            half.cut = true;
            half.rst_sent.get_or_insert(ErrorCode(word));
        }
        self.frame(kind, Flags::NONE, id, &word.to_be_bytes());
    }

    fn parse(&mut self, model: &mut Model) -> Verdict {
        while let Some(head) = self.input.first_chunk::<HEADER_LEN>() {
            let header = Header::decode(*head);
            let mut length = usize::try_from(header.length).unwrap_or(usize::MAX);
            if header.kind == FrameType::GoAway && self.quirks.over_reads {
                length += GOAWAY_PAD.len();
            }
            if self.input.len() - HEADER_LEN < length {
                break;
            }
            self.input.advance(HEADER_LEN);
            let payload = self.input.split_to(length).freeze();
            self.hear(header, &payload, model)?;
        }
        Ok(())
    }

    fn hear(&mut self, header: Header, payload: &[u8], model: &mut Model) -> Verdict {
        let id = header.id.get();
        let word = payload.first_chunk::<4>().map_or(0, |word| u32::from_be_bytes(*word));
        match header.kind {
            FrameType::Data => self.hear_data(id, header.flags, payload, model),
            FrameType::Rst => {
                self.leaked.remove(&id);
                let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
                line.reset = true;
                if line.heard_fin {
                    return Ok(());
                }
                model.read_failed(id, self.side, ReadError::Reset(ErrorCode(word)))
            }
            FrameType::WndInc => {
                if word == 0 || word > 0x7FFF_FFFF {
                    return Err(format!("WNDINC of {word} on {id}"));
                }
                if let Some(line) = self.lines.get_mut(&id) {
                    line.credit += u64::from(word);
                    if self.quirks.clamps {
                        line.credit = line.credit.min(DEFAULT_WINDOW.into());
                    }
                }
                Ok(())
            }
            FrameType::GoAway => {
                self.gone = true;
                let own = if self.side == 0 { 1 } else { 0 };
                for (&id, line) in self.lines.range_mut(word + 1..) {
                    line.reset |= id % 2 == own;
                }
                Ok(())
            }
            FrameType::Unknown(15) if payload.is_empty() => Ok(()),
            FrameType::Unknown(_) => Err(format!("the peer has lost its place: {header:?}")),
        }
    }

    fn hear_data(&mut self, id: u32, flags: Flags, payload: &[u8], model: &mut Model) -> Verdict {
        let own = (id % 2 == 1) == (self.side == 0);
        self.leaked.remove(&id);
        if flags.is_syn() && !own {
            let waiting = self.lines.keys().filter(|id| (*id % 2 == 1) != (self.side == 0)).count();
            if self.over || self.quirks.backlog.is_some_and(|most| waiting >= most) {
                self.word(FrameType::Rst, id, 9, model);
                self.leaked.insert(id);
                return Ok(());
            }
            model.accepted(id, self.side, None)?;
            model.announced(id, self.side);
            let quota = u64::from(id).wrapping_mul(7919) % (self.work.total + 1);
            self.lines.insert(id, Line::new(quota));
        }
        let Some(line) = self.lines.get_mut(&id) else {
            if !(payload.is_empty() && flags.is_fin()) {
                self.word(FrameType::Rst, id, 4, model);
            }
            return Ok(());
        };
        if !payload.is_empty() && !line.reset {
            model.read(id, self.side, payload)?;
            line.unread += u32::try_from(payload.len()).unwrap_or(0);
        }
        if flags.is_fin() && !line.reset {
            line.heard_fin = true;
            return model.ended(id, self.side);
        }
        Ok(())
    }

    /// When nothing more can happen, no stream may be left.
    pub fn check_rest(&self) -> Verdict {
        if self.over {
            return Ok(());
        }
        if !self.leaked.is_empty() {
            return Err(format!("the peer still keeps {:?}, which it refused", self.leaked));
        }
        let mut left = self.lines.iter().filter(|(_, line)| !line.is_over());
        match left.next() {
            Some(line) => Err(format!("stuck: the peer still holds {line:?}")),
            None => Ok(()),
        }
    }
}

impl Line {
    fn new(quota: u64) -> Self {
        Self {
            quota,
            written: 0,
            credit: DEFAULT_WINDOW.into(),
            unread: 0,
            spoken: false,
            fin: false,
            heard_fin: false,
            reset: false,
            lost: false,
        }
    }

    const fn can_write(&self) -> bool {
        !self.fin && !self.reset
    }

    const fn is_over(&self) -> bool {
        self.reset || (self.fin && (self.heard_fin || self.lost))
    }
}
