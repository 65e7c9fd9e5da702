//! The suite's settings for the endpoint.

use std::time::Duration;

/// The role of the endpoint in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It opens odd stream ids, from 3.
    Client,
    /// It opens even stream ids, from 2.
    Server,
}

impl From<Role> for muxado_proto::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Client => Self::Client,
            Role::Server => Self::Server,
        }
    }
}

/// The suite's settings for the endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The endpoint's role; the suite takes the other one.
    pub role: Role,
    /// Whether streams begin with a type.
    pub typed: bool,
    /// The endpoint's receive window.
    pub window: u32,
    /// How long to wait for the next expected frame.
    pub patience: Duration,
}
