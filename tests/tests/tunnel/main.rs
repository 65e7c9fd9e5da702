//! The tunnel of the examples: servers and agents as processes, and clients of the services.

mod admission;
mod cluster;
mod framing;
mod http;
mod options;
mod output;
mod page;
mod ports;
mod process;
mod reader;
mod strangers;
mod tcp;
mod threads;
mod web;
