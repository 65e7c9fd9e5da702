//! What the fuzz targets share.

pub use muxado_sim::{model, sim};

pub mod hostile;
pub mod items;
pub mod reference;
