//! The rules that make a session work with every known peer (PROTOCOL.md §12.4): fourteen rules,
//! and for each of them tests with its number.

mod credit;
mod farewell;
mod ids;
mod streams;
mod typed;
