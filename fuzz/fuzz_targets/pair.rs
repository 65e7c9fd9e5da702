//! Two sessions, or one and a foreign peer, on a transport, under the oracle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muxado_fuzz::sim::{self, Source};

fuzz_target!(|input: &[u8]| {
    if let Err(failure) = sim::run(Source::Bytes(input)) {
        panic!("{failure}\n{:#?}", failure.plan);
    }
});
