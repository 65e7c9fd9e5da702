//! The congestion control of every socket, the same for all contestants. On loopback it counts, too:
//! BBR paces, and a burst meets its timer at every segment.

use std::{io, os::fd::AsFd, sync::OnceLock};

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
static CHOSEN: OnceLock<Congestion> = OnceLock::new();

/// Makes sockets use an algorithm from here on, in place of that of the system. The first choice
/// counts.
pub(crate) fn choose(congestion: Congestion) {
    CHOSEN.get_or_init(|| congestion);
}

/// Gives a socket the algorithm that was chosen. Those that a listening socket accepts have its.
pub(crate) fn apply(socket: &impl AsFd) -> io::Result<()> {
    let Some(chosen) = CHOSEN.get() else { return Ok(()) };
    SockRef::from(socket).set_tcp_congestion(chosen.to_string().as_bytes())
}

/// What sockets use; empty if that cannot be found out.
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
