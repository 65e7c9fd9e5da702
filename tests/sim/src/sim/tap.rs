//! Observes the wire: the output of our session must keep the rules of PROTOCOL.md, for any
//! behaviour of its peer and its application.

use std::collections::BTreeMap;

use muxado_proto::decode::{Decoder, Item};
use muxado_proto::frame::{FrameType, MAX_U31};
use muxado_proto::{Config, ErrorCode};

use crate::model::{Model, Verdict};

/// One stream, as seen in one side's output and input.
#[derive(Debug, Default)]
struct Line {
    /// Payload bytes sent.
    sent: u64,
    /// Credit heard.
    granted: u64,
    /// Credit given.
    grants: u64,
    /// Payload bytes heard.
    heard: u64,
    spoken: bool,
    fin: bool,
    rst: bool,
    heard_fin: bool,
    heard_data: bool,
    /// DATA was received that may be answered with an RST: the stream is gone or refused here.
    late: bool,
    heard_rst: Option<ErrorCode>,
    heartbeat: bool,
}

impl Line {
    /// Whether an answer to DATA that came before the peer's RST may still be in flight.
    fn is_crossing(&self) -> bool {
        self.late && self.heard_rst.is_some()
    }
}

/// The listener at one side.
#[derive(Debug)]
pub struct Tap {
    side: usize,
    send_window: u64,
    receive_window: u64,
    max_frame: u32,
    typed: bool,
    said: Decoder,
    heard: Decoder,
    lines: BTreeMap<u32, Line>,
    /// The stream whose payload is being sent or received, and whether FIN follows it.
    saying: (u32, bool),
    hearing: (u32, bool),
    /// The first payload bytes of the frame being sent.
    prefix: Vec<u8>,
    go_aways: u32,
    /// A GOAWAY was sent and its pad was not.
    owes_pad: bool,
    /// The last pad was sent. Only an abort, or the refusal of a stream that was opened in the
    /// meantime, may follow.
    done: bool,
    /// Credit was sent that only makes sense right before an RST of this stream.
    owes_rst: Option<u32>,
}

impl Tap {
    /// An observer at a side with these settings.
    pub fn new(side: usize, config: &Config) -> Self {
        Self {
            side,
            send_window: config.send_window().into(),
            receive_window: config.receive_window().into(),
            max_frame: config.max_frame_size(),
            typed: config.typed(),
            said: Decoder::new(1 << 16),
            heard: Decoder::new(1 << 16),
            lines: BTreeMap::new(),
            saying: (0, false),
            hearing: (0, false),
            prefix: Vec::new(),
            go_aways: 0,
            owes_pad: false,
            done: false,
            owes_rst: None,
        }
    }

    /// The session has returned these bytes.
    pub fn says(&mut self, mut bytes: &[u8], model: &mut Model) -> Verdict {
        let mut decoder = std::mem::replace(&mut self.said, Decoder::new(0));
        while let Some(item) = decoder.decode(&mut bytes) {
            self.said(item, model).map_err(|what| format!("side {} sent: {what}", self.side))?;
        }
        self.said = decoder;
        Ok(())
    }

    /// The session is about to take these bytes.
    pub fn hears(&mut self, mut bytes: &[u8], model: &mut Model) {
        let mut decoder = std::mem::replace(&mut self.heard, Decoder::new(0));
        while let Some(item) = decoder.decode(&mut bytes) {
            self.heard(&item, model);
        }
        self.heard = decoder;
    }

    fn said(&mut self, item: Item<'_>, model: &mut Model) -> Verdict {
        let pad = matches!(item, Item::Unknown { header }
            if header.kind == FrameType::Unknown(15) && header.length == 0);
        if pad && !self.owes_pad && self.go_aways > 0 && !self.done {
            self.done = true;
            return Ok(());
        }
        // So may the answer to DATA that a foreign peer sends for a stream that is over, or before its
        // SYN.
        let is_late = |id: u32| self.lines.get(&id).is_some_and(|line| line.late);
        let may_follow = match item {
            Item::GoAway { .. } | Item::Rst { code: ErrorCode::STREAM_REFUSED, .. } => true,
            Item::Rst { id, code: ErrorCode::STREAM_CLOSED } => is_late(id.get()),
            _ => false,
        };
        // The refusal of a SYN that used its whole window begins with credit (PROTOCOL.md §4.5).
        let refusal = match item {
            Item::WndInc { id, increment: 1 } if self.done => Some(id.get()),
            _ => None,
        };
        if self.done && !pad && !may_follow && refusal.is_none() {
            return Err(format!("{item:?} behind the last pad"));
        }
        if self.owes_pad != pad {
            return Err(format!("{item:?} where a pad was due, or a pad where none was"));
        }
        self.owes_pad = false;
        let owed = self.owes_rst.take();
        let said = |id| matches!(item, Item::Rst { id: reset, .. } if reset.get() == id);
        if owed.is_some_and(|id| !said(id)) {
            return Err(format!("credit on {owed:?}, which is over"));
        }
        self.owes_rst = refusal;
        match item {
            Item::Data { id, flags, length } => {
                let id = id.get();
                self.saying = (id, flags.is_fin());
                self.prefix.clear();
                self.data(id, flags.is_syn(), flags.is_fin(), length)?;
                if flags.is_syn() {
                    model.syn_sent(id, self.side);
                }
                if flags.is_fin() && length == 0 {
                    return self.fin(id, model);
                }
            }
            Item::Payload { bytes, end } => {
                let (id, fin) = self.saying;
                if let Some(line) = self.lines.get_mut(&id) {
                    let first = line.sent;
                    line.sent += bytes.len() as u64;
                    if self.typed && first < 4 {
                        self.prefix.extend(bytes.iter().take(4));
                        line.heartbeat = self.prefix.starts_with(&[0xFF; 4]);
                    }
                }
                if end && fin {
                    return self.fin(id, model);
                }
            }
            Item::Rst { id, code } => {
                let id = id.get();
                let line = self.lines.entry(id).or_default();
                let freed = line.heard_rst == Some(ErrorCode::ACCEPT_QUEUE_FULL);
                if code == ErrorCode::NO_ERROR {
                    return Err(format!("RST on {id} with code 0"));
                }
                if line.heard_rst.is_some() && !freed && !line.is_crossing() {
                    return Err(format!(
                        "RST on {id} ({code:?}) in answer to one ({:?})",
                        line.heard_rst
                    ));
                }
                if line.rst && !freed {
                    return Err(format!("RST on {id} twice"));
                }
                line.rst = true;
                if !line.heartbeat {
                    return model.rst_sent(id, self.side, code);
                }
            }
            Item::WndInc { id, increment } => return self.grant(id.get(), increment),
            Item::GoAway { .. } => {
                // One to go away, and one for an end that differs from the announced one.
                self.go_aways += 1;
                self.owes_pad = true;
                if self.go_aways > 2 {
                    return Err("GOAWAY again and again".into());
                }
            }
            Item::Unknown { .. } => {}
            other => return Err(format!("{other:?}")),
        }
        Ok(())
    }

    fn data(&mut self, id: u32, syn: bool, fin: bool, length: u32) -> Verdict {
        let line = self.lines.entry(id).or_default();
        // Client is side 0 and opens odd ids.
        let own = (id % 2 == 1) == (self.side == 0);
        let fault = if id == 0 {
            "stream 0"
        } else if syn && fin {
            "SYN and FIN in one frame"
        } else if syn != (own && !line.spoken) {
            "SYN missing, repeated or on a stream of the peer"
        } else if line.fin {
            "DATA behind FIN"
        } else if line.rst || line.heard_rst.is_some() {
            "DATA behind RST"
        } else if length > self.max_frame {
            "too large a frame"
        } else if length == 0 && !syn && !fin {
            "an empty frame"
        } else if line.sent + u64::from(length) > self.send_window + line.granted {
            "more than the credit"
        } else {
            line.spoken = true;
            return Ok(());
        };
        Err(format!("DATA on {id}: {fault}"))
    }

    fn fin(&mut self, id: u32, model: &mut Model) -> Verdict {
        let line = self.lines.entry(id).or_default();
        line.fin = true;
        if line.heartbeat || !model.streams.contains_key(&id) {
            return Ok(());
        }
        let written = model.streams[&id].halves[self.side].written;
        let own = (id % 2 == 1) == (self.side == 0);
        let kind = if self.typed && own { 4 } else { 0 };
        if line.sent != written + kind {
            return Err(format!("FIN on {id} after {} of {written} bytes", line.sent));
        }
        model.fin_sent(id, self.side)
    }

    fn grant(&mut self, id: u32, increment: u32) -> Verdict {
        let line = self.lines.entry(id).or_default();
        line.grants += u64::from(increment);
        let credit = (self.receive_window + line.grants).saturating_sub(line.heard);
        let fault = if increment == 0 {
            "nothing"
        } else if increment == 1 && (line.heard_fin || line.is_crossing()) {
            // Wakes a writer before an RST. The session no longer knows the FIN of a stream that it
            // resets, or has received the peer's RST after the DATA that it answers.
            self.owes_rst = Some(id);
            return Ok(());
        } else if line.heard_fin {
            "credit behind the peer's FIN"
        } else if line.rst || line.heard_rst.is_some() {
            "credit behind an RST"
        } else if credit > u64::from(MAX_U31) {
            "more credit than fits"
        } else {
            return Ok(());
        };
        Err(format!("WNDINC on {id}: {fault}"))
    }

    fn heard(&mut self, item: &Item<'_>, model: &mut Model) {
        match item {
            Item::Data { id, flags, length } => {
                let id = id.get();
                if flags.is_syn() {
                    model.announced(id, self.side);
                }
                self.hearing = (id, flags.is_fin());
                let line = self.lines.entry(id).or_default();
                line.late |=
                    line.heard_rst.is_none() && (line.fin || !line.spoken && !line.heard_data);
                line.heard_data = true;
                if *length == 0 && flags.is_fin() {
                    line.heard_fin = true;
                }
            }
            Item::Payload { bytes, end } => {
                let (id, fin) = self.hearing;
                let line = self.lines.entry(id).or_default();
                line.heard += bytes.len() as u64;
                line.late |= line.heard_rst.is_none() && line.fin;
                line.heard_fin |= *end && fin;
            }
            Item::Rst { id, code } => {
                let line = self.lines.entry(id.get()).or_default();
                line.heard_rst.get_or_insert(*code);
            }
            Item::WndInc { id, increment } => {
                self.lines.entry(id.get()).or_default().granted += u64::from(*increment);
            }
            _ => {}
        }
    }
}
