//! Any bytes in any pieces: the decoder returns the same items.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muxado_fuzz::items::decode;

fuzz_target!(|input: &[u8]| {
    let [count, rest @ ..] = input else { return };
    let (cuts, bytes) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let whole = decode(bytes, &[]);
    assert_eq!(decode(bytes, cuts), whole);
    assert_eq!(decode(bytes, &[0]), whole);
});
