//! Small inputs that once failed, each with the correct result. Tests are named after the input's
//! number.

mod adapters;
mod announce;
mod answers;
mod beats;
mod clocks;
mod costs;
mod ends;
mod greetings;
mod limits;
mod memory;
mod pair;
mod priorities;
mod secrets;
mod streams;
mod waits;
