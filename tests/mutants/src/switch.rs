//! Copied into the mutated core: which mutant is active.
//!
//! `MUXADO_MUTANT=N` makes the mutant N active; a panic then ends the process at once, so that a
//! test that fails stops the run. `MUXADO_REACHED=FILE` makes none active and writes to the file
//! which test reaches which mutant.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const UNREAD: u32 = u32::MAX;
const RECORDING: u32 = u32::MAX - 1;

static ACTIVE: AtomicU32 = AtomicU32::new(UNREAD);
static REACHED: OnceLock<File> = OnceLock::new();

/// Whether this mutant is active. At compile time none is.
pub(crate) const fn mutant(number: u32) -> bool {
    std::intrinsics::const_eval_select((number,), at_compile_time, at_run_time)
}

const fn at_compile_time(_: u32) -> bool {
    false
}

#[inline]
fn at_run_time(number: u32) -> bool {
    let active = ACTIVE.load(Ordering::Relaxed);
    active == number || (active >= RECORDING && begin_or_record(number))
}

#[inline(never)]
fn begin_or_record(number: u32) -> bool {
    if ACTIVE.load(Ordering::Relaxed) == UNREAD {
        begin();
    }
    if ACTIVE.load(Ordering::Relaxed) == RECORDING {
        record(number);
    }
    ACTIVE.load(Ordering::Relaxed) == number
}

fn begin() {
    if let Ok(path) = std::env::var("MUXADO_REACHED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        REACHED.get_or_init(|| file.expect("a file that can be written"));
        return ACTIVE.store(RECORDING, Ordering::Relaxed);
    }
    let number = std::env::var("MUXADO_MUTANT").ok().and_then(|number| number.parse().ok());
    if number.is_some() {
        std::panic::set_hook(Box::new(|info| {
            let _ = writeln!(std::io::stderr(), "{info}");
            std::process::exit(101);
        }));
    }
    ACTIVE.store(number.unwrap_or(0), Ordering::Relaxed);
}

fn record(number: u32) {
    thread_local! {
        static SEEN: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }
    let new = SEEN.try_with(|seen| {
        let mut seen = seen.borrow_mut();
        let place = number as usize;
        if seen.len() <= place {
            seen.resize(place + 1, false);
        }
        !std::mem::replace(&mut seen[place], true)
    });
    if new == Ok(false) {
        return;
    }
    let thread = std::thread::current();
    let line = format!("{number} {}\n", thread.name().unwrap_or("?"));
    if let Some(mut file) = REACHED.get() {
        file.write_all(line.as_bytes()).expect("a file that can be written");
    }
}
