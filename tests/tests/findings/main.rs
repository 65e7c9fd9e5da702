//! Small inputs that once failed, each with what is right. Tests are named after the input's number.

mod announce;
mod beats;
mod limits;
mod memory;
mod streams;
