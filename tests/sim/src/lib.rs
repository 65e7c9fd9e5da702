//! Two sessions in virtual time, under an oracle.
//!
//! [`sim`] draws long runs at random, [`worlds`] explores short ones completely. [`model`] defines
//! what the applications may see in a random run. All of them call
//! [`Session::audit`](muxado_proto::Session::audit) during a run.

pub mod model;
pub mod sim;
pub mod worlds;
