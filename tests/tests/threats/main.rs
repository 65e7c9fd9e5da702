//! Hostile peers: each attack runs at its limit, and its cost is measured.
//!
//! The allocator counts, so the tests of this binary run one at a time. The tests of the adapters
//! cover attacks that need a runtime (the fairness of a driver, two ends that both write and do not
//! read).

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
