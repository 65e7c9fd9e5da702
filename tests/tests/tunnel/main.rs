//! The tunnel of the examples: servers and agents as processes, and those who use the services.

mod admission;
mod cluster;
mod http;
mod page;
mod process;
mod strangers;
mod tcp;
mod web;
