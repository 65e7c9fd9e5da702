//! Long polls: many streams that are answered late, with the presets.

use core::time::Duration;
use std::thread;

use super::options::Implementation;
use super::process::{Kind, Programs};

/// How long the answers take, unless `MUXADO_INTEROP_POLL` says otherwise: three times as long as a
/// stream counts as unanswered. No other time limit of ours or of a peer that is below 30 s applies
/// to streams that wait.
const DELAY: Duration = Duration::from_secs(3);

/// How many streams wait at each kind of peer, and the preset for it. They are more than may be
/// unanswered at once.
fn polls(peer: Kind) -> (&'static str, &'static str) {
    match peer {
        Kind::Rust(Implementation::Ngrok) => ("200", "ngrok"),
        Kind::Go | Kind::Go2 | Kind::Rust(_) => ("300", "go"),
    }
}

/// Runs each of ours with each peer, all at the same time because they only wait.
///
/// # Errors
///
/// If some answer did not arrive whole.
///
/// # Panics
///
/// If `MUXADO_INTEROP_POLL` is not a number of seconds.
pub fn run(programs: &Programs, ours: &[Kind], peers: &[Kind]) -> Result<(), String> {
    let delay = std::env::var("MUXADO_INTEROP_POLL").map_or(DELAY, |seconds| {
        Duration::from_secs(seconds.parse().expect("MUXADO_INTEROP_POLL is a number of seconds"))
    });
    let pairs = ours.iter().flat_map(|&ours| peers.iter().map(move |&peer| (ours, peer)));
    thread::scope(|scope| {
        let running: Vec<_> = pairs
            .map(|(ours, peer)| scope.spawn(move || pair(programs, ours, peer, delay)))
            .collect();
        let results = running.into_iter().map(|pair| pair.join().expect("no peer fails to start"));
        let failures: Vec<_> = results.filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    })
}

fn pair(programs: &Programs, ours: Kind, peer: Kind, delay: Duration) -> Result<(), String> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut server = programs.start(peer, &words(&["--listen", "127.0.0.1:0"]));
    let (address, delay) = (server.address().to_string(), delay.as_millis().to_string());
    let (streams, preset) = polls(peer);
    let dial = ["--dial", &address, "--preset", preset, "--drive", "late", "--delay", &delay];
    let all_at_once = ["--streams", streams, "--in-flight", streams];
    let mut driver = programs.start(ours, &words(&[&dial[..], &all_at_once].concat()));
    let (polled, served) = (driver.summary(), server.summary());
    let whole = polled.ok && polled.completed.to_string() == streams;
    if whole && served.ok && served.serve_errors.is_empty() {
        return Ok(());
    }
    let errors = [driver.errors(), server.errors()].concat();
    Err(format!("{ours} x {peer}: {polled:?}\n{served:?}\n{errors}"))
}
