//! The options of a server.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args, Error};

use crate::options::{address, ports, registry};

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where agents connect.
    #[arg(long, default_value = "0.0.0.0:7000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where HTTP requests from outside arrive.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub http: SocketAddr,
    /// The address of the ports of TCP services.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub tcp: IpAddr,
    /// The ports that agents may have.
    #[arg(long, default_value = "1024-65535", value_name = "FIRST-LAST", value_parser = ports)]
    pub ports: RangeInclusive<u16>,
    /// What an agent has to know.
    #[arg(long, env = "TUNNEL_TOKEN", hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new())]
    pub token: String,
    /// The certificate, PEM. If neither it nor the key exists, both are created.
    #[arg(long, default_value = "tunnel-cert.pem", value_name = "FILE")]
    pub certificate: PathBuf,
    /// Its key, PEM.
    #[arg(long, default_value = "tunnel-key.pem", value_name = "FILE")]
    pub key: PathBuf,
    /// Address of the status pages: / for people, /metrics for Prometheus.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Token for the status pages: /?token=TOKEN. Without it, only this machine has access.
    #[arg(long, env = "TUNNEL_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN",
        value_parser = NonEmptyStringValueParser::new())]
    pub admin_token: Option<String>,
    /// Shares agents with other servers: redis://HOST:PORT. They need the same certificate and key.
    /// The host names and ports of an agent are then open at every server. A server at which a port
    /// is taken or not allowed says so in its log.
    #[arg(long, value_name = "URL", value_parser = registry)]
    pub registry: Option<redis::Client>,
    /// Where other servers, and agents, reach --listen, if that is not its address.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub advertise: Option<String>,
    /// How many seconds open connections may take to finish when the server stops.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub grace: u64,
}

impl Options {
    /// A server only for this machine, on free ports.
    pub fn local(any: SocketAddr, token: String) -> Self {
        let (certificate, key) = (PathBuf::new(), PathBuf::new());
        Self {
            listen: any,
            http: any,
            tcp: any.ip(),
            ports: 1..=65535,
            token,
            certificate,
            key,
            admin: any,
            admin_token: None,
            registry: None,
            advertise: None,
            grace: 30,
        }
    }

    /// Checks the options that depend on each other.
    pub fn check(&self) -> Result<(), Error> {
        let missing = |text| Err(Error::raw(ErrorKind::MissingRequiredArgument, text));
        if self.admin_token.is_none() && !self.admin.ip().is_loopback() {
            let admin = self.admin;
            return missing(format!(
                "the status pages at {admin} are open to all: add --admin-token TOKEN"
            ));
        }
        let nowhere = self.advertise.is_none() && self.listen.ip().is_unspecified();
        if self.registry.is_some() && nowhere {
            let listen = self.listen;
            return missing(format!(
                "other servers cannot reach this one at {listen}: add --advertise HOST:PORT"
            ));
        }
        Ok(())
    }
}
