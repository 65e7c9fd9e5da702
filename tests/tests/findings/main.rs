//! Small inputs that once failed, each with the correct result. Tests are named after the input's
//! number.

mod announce;
mod answers;
mod beats;
mod ends;
mod greetings;
mod limits;
mod memory;
mod pair;
mod priorities;
mod streams;
mod waits;
