//! The options of a server.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;

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
    #[arg(long, env = "TUNNEL_TOKEN", hide_env_values = true)]
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
    #[arg(long, env = "TUNNEL_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// Shares agents with other servers: redis://HOST:PORT. They need the same certificate and key.
    /// The host names and ports of an agent are then open at every server. A server at which a port
    /// is taken or not allowed says so in its log.
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Where other servers, and agents, reach --listen, if that is not its address.
    #[arg(long, value_name = "HOST:PORT")]
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
}

fn ports(text: &str) -> std::result::Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').ok_or("FIRST-LAST is expected")?;
    let port = |text: &str| text.parse().map_err(|_| format!("{text} is no port"));
    Ok(port(first)?..=port(last)?)
}
