//! Small inputs that once failed, each with what is right. Tests are named after the input's number.

mod beats;
mod limits;
mod memory;
