//! Honest applications at the default limits: nothing is refused, reset, stuck or killed.
//!
//! Each workload runs on the core in virtual time, where a bound on the time is asserted, and on
//! both adapters, alone and together with sessions of a hostile peer.

mod adapters;
mod core;
mod presets;
