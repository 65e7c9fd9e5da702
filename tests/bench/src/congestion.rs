//! The congestion control of every socket, the same for all contestants. It matters on loopback,
//! too: BBR paces, and a burst waits for its timer at every segment.

use std::{io, os::fd::AsFd, sync::Mutex};

use clap::ValueEnum;
use socket2::{Domain, SockRef, Socket, Type};
use strum::Display;

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Display)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Congestion {
    /// The usual one.
    Cubic,
    /// The one that paces.
    Bbr,
}

/// What this process has chosen.
static CHOSEN: Mutex<Option<Congestion>> = Mutex::new(None);

/// A choice is one assignment.
const WHOLE: &str = "no holder of the choice panics";

/// Makes all later sockets use this algorithm instead of that of the system.
pub(crate) fn choose(congestion: Congestion) {
    *CHOSEN.lock().expect(WHOLE) = Some(congestion);
}

/// Sets the chosen algorithm on a socket. Accepted sockets inherit that of the listening socket.
pub(crate) fn apply(socket: &impl AsFd) -> io::Result<()> {
    let Some(chosen) = *CHOSEN.lock().expect(WHOLE) else { return Ok(()) };
    SockRef::from(socket).set_tcp_congestion(chosen.to_string().as_bytes())
}

/// The algorithm in use; empty if it is unknown.
pub(crate) fn in_use() -> String {
    let ask = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        apply(&socket)?;
        socket.tcp_congestion()
    };
    ask().map_or_else(
        |_| String::new(),
        |name| String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned(),
    )
}
