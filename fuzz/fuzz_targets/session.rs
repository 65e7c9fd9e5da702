//! A session with an application on top, and a hostile peer below.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muxado_fuzz::hostile;

fuzz_target!(|input: &[u8]| hostile::run(input));
