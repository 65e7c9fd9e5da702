//! Hostile peers: each attack run at its figure, with what it costs measured.
//!
//! The allocator counts, so the tests of this binary run one at a time. What needs a runtime (the
//! fairness of a driver, two ends that both write and do not read) is tested with the adapters.

mod budget;
mod floods;
mod honest;
mod lengths;
mod memory;
mod meter;
mod resets;
mod stalls;
mod streams;
mod typed;
mod work;
