//! A muxado endpoint on TCP, for the interop tests and for trying out another endpoint. See
//! `tests/interop/README.md`.

use std::process::ExitCode;

use clap::Parser as _;
use muxado_tests::interop::ngrok::Ngrok;
use muxado_tests::interop::options::{Implementation, Options};
use muxado_tests::interop::peer;

fn main() -> ExitCode {
    let options = Options::parse();
    match options.implementation {
        Implementation::Ngrok => peer::run::<Ngrok>(options),
    }
}
