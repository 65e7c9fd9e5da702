//! Implementations of traits of axum, hyper, tonic and tokio-util, which users cannot write for the
//! types of this crate.

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
