//! Everything an endpoint has sent on one connection.

use std::collections::BTreeMap;
use std::fmt;

use super::wire::{self, Frame, Header};

/// How the endpoint's direction of the transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An orderly end, between two frames.
    Eof,
    /// A clean end with this many bytes of a frame missing or left over.
    Truncated(usize),
    /// The transport was reset.
    Reset,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("end of transport"),
            Self::Truncated(bytes) => write!(f, "end of transport inside a frame ({bytes} bytes)"),
            Self::Reset => f.write_str("transport reset"),
        }
    }
}

/// A GOAWAY that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Last stream id.
    pub last: u32,
    /// Error code.
    pub code: u32,
    /// Debug data.
    pub debug: Vec<u8>,
}

impl fmt::Display for GoAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.debug);
        write!(f, "GOAWAY({}, last {}, {:.60?})", self.code, self.last, text)
    }
}

/// What came on one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamRecord {
    /// DATA payload, joined.
    pub data: Vec<u8>,
    /// DATA frames.
    pub frames: usize,
    /// Payload of the largest DATA frame.
    pub largest: usize,
    /// Frames with FIN.
    pub fins: usize,
    /// Codes of the RSTs.
    pub resets: Vec<u32>,
    /// Increments of the WNDINCs, unmasked.
    pub grants: Vec<u32>,
}

impl StreamRecord {
    /// Credit granted, in bytes.
    pub fn granted(&self) -> u64 {
        self.grants.iter().map(|increment| u64::from(increment & wire::MAX_31)).sum()
    }

    /// Whether the endpoint sent anything at all.
    pub fn is_silent(&self) -> bool {
        self.frames == 0 && self.resets.is_empty() && self.grants.is_empty()
    }
}

impl fmt::Display for StreamRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.data.len())?;
        match self.fins {
            0 => {}
            1 => f.write_str(", FIN")?,
            more => write!(f, ", {more} FINs")?,
        }
        for code in self.resets.iter().take(4) {
            write!(f, ", RST({code})")?;
        }
        if self.resets.len() > 4 {
            write!(f, " and {} more RSTs", self.resets.len() - 4)?;
        }
        Ok(())
    }
}

/// Everything received, in order and by stream.
#[derive(Debug, Default)]
pub struct Record {
    /// All frames in order; the payload of DATA is in `streams`.
    pub frames: Vec<Frame>,
    /// GOAWAYs with their fixed fields.
    pub goaways: Vec<GoAway>,
    /// How the transport ended, once it has.
    pub end: Option<End>,
    streams: BTreeMap<u32, StreamRecord>,
}

impl Record {
    /// What came on stream `id`.
    pub fn stream(&self, id: u32) -> &StreamRecord {
        const NONE: &StreamRecord = &StreamRecord {
            data: Vec::new(),
            frames: 0,
            largest: 0,
            fins: 0,
            resets: Vec::new(),
            grants: Vec::new(),
        };
        self.streams.get(&id).unwrap_or(NONE)
    }

    /// Every stream anything came on.
    pub fn streams(&self) -> impl Iterator<Item = (u32, &StreamRecord)> {
        self.streams.iter().map(|(&id, stream)| (id, stream))
    }

    /// Headers of all frames on stream `id`, in order.
    pub fn headers_of(&self, id: u32) -> impl Iterator<Item = Header> {
        self.frames.iter().map(|frame| frame.header).filter(move |header| header.id == id)
    }

    /// Takes in a frame.
    pub(super) fn absorb(&mut self, mut frame: Frame) {
        let header = frame.header;
        let code = frame.u32_at(0);
        match header.kind {
            wire::DATA => {
                let stream = self.streams.entry(header.id).or_default();
                stream.frames += 1;
                stream.largest = stream.largest.max(frame.payload.len());
                stream.fins += usize::from(header.is_data_with(wire::FIN));
                stream.data.append(&mut frame.payload);
            }
            wire::RST => {
                self.streams.entry(header.id).or_default().resets.extend(code);
            }
            wire::WNDINC => {
                self.streams.entry(header.id).or_default().grants.extend(code);
            }
            wire::GOAWAY => {
                if let (Some(last), Some(code)) = (code, frame.u32_at(4)) {
                    let debug = frame.payload[8..].to_vec();
                    self.goaways.push(GoAway { last, code, debug });
                }
            }
            _ => {}
        }
        self.frames.push(frame);
    }

    /// The state of the session in a few words, for the report of a failure.
    pub fn state(&self) -> String {
        let mut words: Vec<String> = self.goaways.iter().map(ToString::to_string).collect();
        words.extend(self.end.map(|end| end.to_string()));
        if words.is_empty() {
            words.push("session open".into());
        }
        words.join(", ")
    }

    /// The last frame, for the report of a failure.
    pub fn last_frame(&self) -> String {
        let Some(frame) = self.frames.last() else { return "no frame at all".into() };
        match (frame.header.kind, frame.u32_at(0)) {
            (wire::RST | wire::WNDINC, Some(value)) => {
                format!("last frame {} ({value})", frame.header)
            }
            _ => format!("last frame {}", frame.header),
        }
    }
}
