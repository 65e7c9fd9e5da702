//! Early answers to real readers: how many reach their reader whole, if the stream is dropped behind
//! its FIN with a request that was not read.

use core::fmt;

use super::process::{Kind, Programs};

/// Streams of a cell.
const STREAMS: usize = 100;
/// How many more answers than the Go reference's may be spoiled: a machine that is busy delays a
/// reader now and then.
const SLACK: usize = 5;
/// Of requests that have arrived whole nothing is left that could provoke anything.
const COMPLETE: &str = "complete";
/// Milliseconds between the half-close and the drop.
const DELAYS: [u32; 3] = [0, 1, 20];

/// What one reader gets from one of ours, and from the Go reference in the same place.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    ours: Kind,
    reader: Kind,
    request: &'static str,
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, reader, request } = self;
        write!(f, "early answers of {ours} to {reader}, request {request}")
    }
}

/// Every reader with each of ours, and with requests that are complete, under way, and out of
/// credit.
pub fn answers(ours: &[Kind], readers: &[Kind]) -> Vec<Answers> {
    let mut all = Vec::new();
    for &ours in ours {
        for &reader in readers {
            for request in [COMPLETE, "flowing", "blocked"] {
                all.push(Answers { ours, reader, request });
            }
        }
    }
    all
}

impl Answers {
    /// Does it, and says what went wrong.
    ///
    /// # Errors
    ///
    /// If more answers were spoiled than by the Go reference.
    pub fn run(&self, programs: &Programs) -> Result<(), String> {
        for delay in DELAYS {
            let ours = self.spoiled(programs, self.ours, delay)?;
            if self.request == COMPLETE {
                if ours > 0 {
                    return Err(format!("{ours} of {STREAMS} spoiled, dropped after {delay} ms"));
                }
                continue;
            }
            let theirs = self.spoiled_by_go(programs, delay)?;
            println!(
                "{self}, dropped after {delay} ms: {ours} of {STREAMS} spoiled, by go {theirs}"
            );
            if ours > theirs + SLACK {
                return Err(format!(
                    "{ours} of {STREAMS} spoiled, by go {theirs}; after {delay} ms"
                ));
            }
        }
        Ok(())
    }

    /// A reader of ngrok's crate that is reset waits forever (PROTOCOL.md §12.3), so ours are compared
    /// with a peer that spoils nothing.
    fn spoiled_by_go(&self, programs: &Programs, delay: u32) -> Result<usize, String> {
        match self.reader {
            Kind::Rust(_) => Ok(0),
            Kind::Go | Kind::Go2 => self.spoiled(programs, Kind::Go, delay),
        }
    }

    fn spoiled(&self, programs: &Programs, server: Kind, delay: u32) -> Result<usize, String> {
        let server = programs.start(server, &words(&["--listen", "127.0.0.1:0"]));
        let (address, delay) = (server.address().to_string(), delay.to_string());
        let streams = STREAMS.to_string();
        let mut reader = programs.start(
            self.reader,
            &words(&[
                "--dial",
                &address,
                "--drive",
                "early",
                "--streams",
                &streams,
                "--in-flight",
                "4",
                "--request",
                self.request,
                "--delay",
                &delay,
            ]),
        );
        let read = reader.summary();
        if !read.ok || read.completed != STREAMS {
            return Err(format!("{read:?}\n{}\n{}", reader.errors(), server.errors()));
        }
        Ok(read.resets.values().sum())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
