//! Traits of axum, hyper, tonic and tokio-util, which a user of this crate cannot write for its types.

#[cfg(any(feature = "axum", feature = "tokio-util", feature = "tonic"))]
mod addr;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(any(feature = "axum", feature = "tokio-util"))]
mod listener;

#[cfg(any(feature = "axum", feature = "tokio-util", feature = "tonic"))]
pub use addr::StreamAddr;
#[cfg(feature = "hyper")]
pub use hyper::Connector;
