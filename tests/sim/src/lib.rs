//! Two sessions in virtual time, under an oracle.
//!
//! [`sim`] draws long runs at random, [`worlds`] explores short ones without a gap. What the
//! applications may see in a random run is in [`model`]. All of them call
//! [`Session::audit`](muxado_proto::Session::audit) as they go.

pub mod model;
pub mod sim;
pub mod worlds;
