//! The recorded conversations of `tests/vectors`, read into types.
//!
//! The format is described in `tests/vectors/README.md`. Reading is strict, and [`Transcript`]
//! prints what it read, so a file has exactly one spelling. Nothing here uses the code under test:
//! frames are split by a second, simple implementation of PROTOCOL.md §2.

mod frame;
mod text;

use std::path::Path;

pub use frame::{Frame, parse_hex};

/// Reads all transcripts, in the order of their file names.
///
/// # Panics
///
/// If the directory or one of its files cannot be read, or has a wrong format: the vectors belong
/// to this package, so that is a fault of the package.
pub fn all() -> Vec<Transcript> {
    files().iter().flat_map(|(name, text)| parse(name, text)).collect()
}

/// The vector files, name and text, in the order of their names.
fn files() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| {
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name, text)
        })
        .collect();
    files.sort();
    files
}

fn parse(file: &str, text: &str) -> Vec<Transcript> {
    text.split("\n\n")
        .map(|block| block.parse().unwrap_or_else(|error| panic!("{file}.txt: {error}")))
        .collect()
}

/// The bytes of one transport, and the calls of the applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Unique: `scenario/implementation/role`, or `pair/mode-role/who-drives-whom`.
    pub name: String,
    /// What happens, in a line.
    pub about: String,
    /// The end that the transcript is about, or that drives it; then the other.
    pub ends: [End; 2],
    /// How the end was started, if not with its defaults.
    pub options: Option<String>,
    /// In the order in which they happened.
    pub steps: Vec<Step>,
}

impl Transcript {
    /// The first part of the name.
    pub fn scenario(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether both ends are muxado implementations, and neither is the probe.
    pub fn is_pair(&self) -> bool {
        self.ends.iter().all(|end| end.implementation != Implementation::Probe)
    }

    /// Whether the streams of the session carry a type (PROTOCOL.md §8).
    pub fn is_typed(&self) -> bool {
        self.options.as_deref().is_some_and(|options| {
            ["-typed", "-hb", "typed", "heartbeat"]
                .iter()
                .any(|word| options.split_whitespace().any(|option| option == *word))
        })
    }

    /// The frames one end sent, in order.
    pub fn frames_from(&self, end: End) -> impl Iterator<Item = &Frame> {
        self.steps.iter().filter_map(move |step| match step {
            Step::Frame { from, frame } if *from == end => Some(frame),
            _ => None,
        })
    }

    /// All frames, with their senders.
    pub fn frames(&self) -> impl Iterator<Item = (End, &Frame)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Frame { from, frame } => Some((*from, frame)),
            _ => None,
        })
    }
}

/// One end of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct End {
    /// What runs there.
    pub implementation: Implementation,
    /// The role it has in the session.
    pub role: Role,
}

/// What was recorded. PROTOCOL.md §12 has versions and quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// The first implementation, in Go.
    Go,
    /// Its successor.
    Go2,
    /// The crate.
    Ngrok,
    /// Raw bytes, not a muxado peer.
    Probe,
}

/// The two roles of PROTOCOL.md §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opens odd ids.
    Client,
    /// Opens even ids.
    Server,
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A frame on the wire.
    Frame {
        /// Who sent it.
        from: End,
        /// Its bytes.
        frame: Frame,
    },
    /// An end closed the transport.
    Eof(End),
    /// An end closed its own direction of the transport, and continues to read.
    Shutdown(End),
    /// A call that returned before the next step, or is [`Outcome::Blocked`].
    Call(String, Outcome),
    /// A call that overlaps the steps up to its [`Step::End`].
    Start(String),
    /// The end of a call that overlapped others.
    End(String, Outcome),
    /// A remark on the step before.
    Note(String),
}

/// What a call of the API came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned, with nothing to tell.
    Ok,
    /// It had not returned when the next step began.
    Blocked,
    /// It returned this.
    Returned(Vec<Field>),
}

impl Outcome {
    /// The error code, if there is one.
    pub fn code(&self) -> Option<u32> {
        let Self::Returned(fields) = self else { return None };
        fields.iter().find_map(|field| match field {
            Field::Code(code) => Some(*code),
            _ => None,
        })
    }
}

/// One piece of what a call returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Id of a stream.
    Id(u32),
    /// Type of a typed stream.
    Type(u32),
    /// How many bytes were read or written.
    Count(usize),
    /// The bytes read.
    Bytes(Vec<u8>),
    /// Code of the error, 255 for Go's `io.EOF`.
    Code(u32),
    /// Text of the error.
    Error(String),
    /// Name of the error in the crate.
    Name(String),
    /// Debug text of the peer's GOAWAY.
    Text(String),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_recording_is_here() {
        let all = all();
        assert_eq!(all.len(), 182);
        assert_eq!(
            all.iter().map(|transcript| &transcript.name).collect::<BTreeSet<_>>().len(),
            182
        );
        assert_eq!(all.iter().filter(|transcript| transcript.is_pair()).count(), 48);
        assert_eq!(files().len(), 35);
        let about = |implementation| {
            all.iter()
                .filter(|transcript| !transcript.is_pair())
                .filter(|transcript| transcript.ends[0].implementation == implementation)
                .count()
        };
        assert_eq!(about(Implementation::Go), 45);
        assert_eq!(about(Implementation::Go2), 44);
        assert_eq!(about(Implementation::Ngrok), 45);
        assert_eq!(all.iter().flat_map(Transcript::frames).count(), 1464);
    }

    #[test]
    fn what_is_read_prints_as_it_was() {
        for (name, text) in files() {
            let printed: Vec<_> = parse(&name, &text).iter().map(ToString::to_string).collect();
            assert_eq!(printed.join("\n"), text, "{name}.txt");
        }
    }

    #[test]
    fn a_pair_of_ends_has_two_roles_and_sends_all_frames() {
        for transcript in all() {
            let [first, second] = transcript.ends;
            assert_ne!(first.role, second.role, "{}", transcript.name);
            for (from, _) in transcript.frames() {
                assert!(from == first || from == second, "{}", transcript.name);
            }
        }
    }

    #[test]
    fn only_the_goaway_of_ngrok_is_malformed() {
        let mut malformed = 0;
        for transcript in all() {
            for (from, frame) in transcript.frames() {
                if !frame.is_well_formed() {
                    malformed += 1;
                    assert_eq!(from.implementation, Implementation::Ngrok, "{}", transcript.name);
                    assert_eq!(frame.kind(), Frame::GOAWAY, "{}", transcript.name);
                    assert_eq!(frame.payload.len(), frame.length() + 8, "{}", transcript.name);
                }
            }
        }
        assert_eq!(malformed, 28);
    }

    #[test]
    fn calls_that_start_and_end_come_in_pairs() {
        for transcript in all() {
            let mut running = BTreeSet::new();
            for step in &transcript.steps {
                match step {
                    Step::Start(call) => assert!(running.insert(call), "{}", transcript.name),
                    Step::End(call, _) => assert!(running.remove(call), "{}", transcript.name),
                    _ => {}
                }
            }
        }
    }
}
