//! The steps of a world, and their names.

use std::fmt;

/// An act of one side, or an event for it. Streams are numbered: the client's first, then the
/// server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The application opens a stream.
    Open,
    /// The application accepts a stream.
    Accept,
    /// The application writes the next bytes.
    Write(u8),
    /// The application reads what there is.
    Read(u8),
    /// The application half-closes.
    Finish(u8),
    /// The application resets the stream.
    Reset(u8),
    /// The application reads no more.
    Stop(u8),
    /// The application gives the stream up.
    Release(u8),
    /// The application announces the end.
    GoAway,
    /// The application closes.
    Close,
    /// The application closes at once.
    Abort,
    /// The session cuts a frame for the transport.
    Cut,
    /// The next frame, or the end, arrives from the transport.
    Arrive,
    /// The next byte arrives.
    Byte,
    /// The transport ends in the direction of this side; bytes in flight are lost.
    Lose,
    /// The transport fails at this side.
    Break,
    /// The next deadline of either session comes.
    Tick,
}

/// One step: who, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// 0 for the client, 1 for the server.
    pub side: u8,
    /// What.
    pub act: Act,
}

impl Step {
    /// Every step in a world with `streams` streams.
    pub fn all(streams: u8) -> Vec<Self> {
        let mut acts = vec![Act::Cut, Act::Arrive, Act::Byte, Act::Open, Act::Accept];
        for at in 0..streams {
            acts.extend([Act::Write(at), Act::Read(at), Act::Finish(at)]);
            acts.extend([Act::Reset(at), Act::Stop(at), Act::Release(at)]);
        }
        acts.extend([Act::GoAway, Act::Close, Act::Abort, Act::Lose, Act::Break]);
        let mut steps: Vec<Self> =
            acts.into_iter().flat_map(|act| [0, 1].map(|side| Self { side, act })).collect();
        steps.push(Self { side: 0, act: Act::Tick });
        steps
    }

    /// Whether it happens by itself, or is an application that accepts or reads.
    pub const fn is_progress(self) -> bool {
        matches!(self.act, Act::Cut | Act::Arrive | Act::Tick | Act::Accept | Act::Read(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == 0 { 'c' } else { 's' };
        let (name, at) = match self.act {
            Act::Tick => return f.write_str("tick"),
            Act::Open => ("open", None),
            Act::Accept => ("accept", None),
            Act::Write(at) => ("write", Some(at)),
            Act::Read(at) => ("read", Some(at)),
            Act::Finish(at) => ("finish", Some(at)),
            Act::Reset(at) => ("reset", Some(at)),
            Act::Stop(at) => ("stop", Some(at)),
            Act::Release(at) => ("release", Some(at)),
            Act::GoAway => ("goaway", None),
            Act::Close => ("close", None),
            Act::Abort => ("abort", None),
            Act::Cut => ("cut", None),
            Act::Arrive => ("arrive", None),
            Act::Byte => ("byte", None),
            Act::Lose => ("lose", None),
            Act::Break => ("break", None),
        };
        write!(f, "{side}.{name}")?;
        at.map_or(Ok(()), |at| write!(f, "{at}"))
    }
}

/// The steps of a trace, as they are printed.
///
/// # Errors
///
/// The word that is no step.
pub fn parse(trace: &str) -> Result<Vec<Step>, String> {
    let all = Step::all(16);
    let step = |word: &str| {
        let found = all.iter().copied().find(|step| step.to_string() == word);
        found.ok_or_else(|| format!("no such step: {word}"))
    };
    trace.split_whitespace().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names_of_their_own() {
        let all = Step::all(4);
        let names: Vec<String> = all.iter().map(Step::to_string).collect();
        assert_eq!(parse(&names.join(" ")), Ok(all));
        assert!(parse("c.open c.jump").is_err());
    }
}
