//! What the fuzz targets share.
//!
//! The simulator and its oracle are those of `../tests`, taken in as source: the package there
//! depends on both runtimes and much else that a fuzzer has no use for.

#[path = "../../tests/src/model.rs"]
pub mod model;
#[path = "../../tests/src/sim/mod.rs"]
pub mod sim;

pub mod hostile;
pub mod items;
pub mod reference;
