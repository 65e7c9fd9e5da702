//! What a session must do so that it gets along with every known peer (PROTOCOL.md §12.4): fourteen
//! rules, and for each of them tests that carry its number.

mod credit;
mod farewell;
mod ids;
mod streams;
mod typed;
