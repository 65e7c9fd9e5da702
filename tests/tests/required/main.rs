//! The rules that make a session work with every known peer (PROTOCOL.md §12.4): fourteen rules,
//! and for each of them tests with its number.

mod closing;
mod credit;
mod ids;
mod streams;
mod typed;
