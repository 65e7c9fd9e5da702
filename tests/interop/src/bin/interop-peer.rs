//! A muxado endpoint on TCP, for the interop tests and for trying out another endpoint. See
//! `tests/interop/README.md`.

use std::process::ExitCode;

use clap::Parser as _;
use muxado_interop::core::Core;
use muxado_interop::ngrok::Ngrok;
use muxado_interop::options::{Implementation, Options};
use muxado_interop::peer;
use muxado_interop::smol::OnSmol;
use muxado_interop::tokio::OnTokio;

fn main() -> ExitCode {
    let options = Options::parse();
    match options.implementation {
        Implementation::Tokio => peer::run::<OnTokio>(options),
        Implementation::Smol => peer::run::<OnSmol>(options),
        Implementation::Core => peer::run::<Core>(options),
        Implementation::Ngrok => peer::run::<Ngrok>(options),
    }
}
