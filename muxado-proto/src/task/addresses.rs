//! The addresses of the two ends of a session.

use alloc::boxed::Box;
use core::net::{SocketAddr, SocketAddrV4};

/// The addresses that are known. Every session has this value, and few have anything but two
/// addresses of IPv4 or none: others are in memory of their own.
#[derive(Debug)]
pub(super) enum Addresses {
    None,
    V4 { local: SocketAddrV4, peer: SocketAddrV4 },
    Other(Box<(Option<SocketAddr>, Option<SocketAddr>)>),
}

impl Addresses {
    pub(super) fn new(local: Option<SocketAddr>, peer: Option<SocketAddr>) -> Self {
        match (local, peer) {
            (None, None) => Self::None,
            (Some(SocketAddr::V4(local)), Some(SocketAddr::V4(peer))) => Self::V4 { local, peer },
            both => Self::Other(Box::new(both)),
        }
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::V4 { local, .. } => Some(SocketAddr::V4(*local)),
            Self::Other(both) => both.0,
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::V4 { peer, .. } => Some(SocketAddr::V4(*peer)),
            Self::Other(both) => both.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_given() {
        let any = ["127.0.0.1:1", "10.0.0.1:65535", "[::1]:2", "[fe80::7%3]:4"];
        let mut any: alloc::vec::Vec<_> =
            any.map(|address| Some(address.parse::<SocketAddr>().unwrap())).into();
        any.push(None);
        for (&local, &peer) in
            any.iter().flat_map(|local| any.iter().map(move |peer| (local, peer)))
        {
            let addresses = Addresses::new(local, peer);
            assert_eq!((addresses.local(), addresses.peer()), (local, peer));
        }
        assert_eq!(size_of::<Addresses>(), 16);
    }
}
