//! The examples of the READMEs and other pages, compiled and run as documentation tests.

#[doc = include_str!("../../README.md")]
struct Workspace;

#[doc = include_str!("../../docs/connections.md")]
struct Connections;

#[doc = include_str!("../../muxado-proto/README.md")]
struct Proto;

#[doc = include_str!("../../muxado-tokio/README.md")]
struct Tokio;

#[doc = include_str!("../../muxado-smol/README.md")]
struct Smol;
