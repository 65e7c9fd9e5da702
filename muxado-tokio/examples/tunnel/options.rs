//! Values of options, checked when the program starts.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use http::uri::Authority;

/// An address that is looked up when it is used.
pub fn address(text: &str) -> Result<String, String> {
    let is_name = |authority: Authority| {
        let (host, port) = (authority.host(), authority.port_u16());
        let plain = !host.is_empty() && !host.starts_with('[') && !text.contains('@');
        plain && port.is_some_and(|port| port != 0)
    };
    let valid = match text.parse::<SocketAddr>() {
        Ok(address) => address.port() != 0,
        Err(_) => text.parse().is_ok_and(is_name),
    };
    if valid {
        return Ok(text.to_owned());
    }
    Err("HOST:PORT is expected, for instance app.example:7000 or [::1]:7000".to_owned())
}

/// A range of ports.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = text.split_once('-');
    let (first, last) = range.ok_or("FIRST-LAST is expected, for instance 20000-20999")?;
    let (first, last) = (port(first)?, port(last)?);
    if first == 0 {
        return Err("0 is no port".to_owned());
    }
    if first > last {
        return Err("the range is empty: the first port is above the last".to_owned());
    }
    Ok(first..=last)
}

/// A port, or 0.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text} is no port"))
}

/// A registry, to which nothing connects yet.
pub fn registry(url: &str) -> Result<redis::Client, String> {
    let client = redis::Client::open(url);
    client.map_err(|error| format!("redis://HOST:PORT is expected: {error}"))
}
