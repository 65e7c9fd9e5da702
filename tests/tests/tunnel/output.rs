//! Servers and agents whose output nobody reads any more, as after the end of a log collector.

use std::net::SocketAddr;

use crate::process::{self, Network, Program, Server, TOKEN, directory, until};
use crate::web;

/// A server prints four lines at its start.
const LINES: usize = 4;

/// Repeats a request until the service answers.
fn ask_until_answered(address: SocketAddr) {
    let answer = || web::get(address, "app.example", "/").ok();
    until("an answer", || answer().filter(|(status, body)| (*status, &body[..]) == (200, "hello")));
}

fn ends(program: Program) {
    program.signal("TERM");
    let (status, lines) = program.end();
    assert!(status.success(), "{status}: {lines}");
}

#[test]
fn a_server_whose_output_is_closed_serves_and_ends_when_it_is_told_to() {
    let any = "127.0.0.1:0";
    let arguments = Server::arguments(&directory("unread-server"), any, any, &[]);
    let mut server = Server::of(Program::run_unread(&arguments, [LINES, 0]));
    server.program.wait_until_unread();
    let offer = format!("app.example={}", web::says("hello"));
    let mut agent = server.agent("a", &["--http", &offer]);
    agent.wait_for("serves http://");
    ask_until_answered(server.http);
    ends(server.program);
    agent.wait_for("the server stops");
}

#[test]
fn a_server_whose_output_is_closed_at_its_start_serves_too() {
    let address = process::address(&Network::new().free(0));
    let (directory, http) = (directory("unread-start"), address.to_string());
    let arguments = Server::arguments(&directory, "127.0.0.1:0", &http, &[]);
    let mut server = Program::run_unread(&arguments, [0, 0]);
    until("it serves", || {
        assert!(server.is_running(), "it has ended");
        web::get(address, "app.example", "/").ok()
    });
    ends(server);
}

#[test]
fn an_agent_whose_output_is_closed_serves_and_ends_when_it_is_told_to() {
    let server = Server::start("unread-agent");
    let offer = format!("app.example={}", web::says("hello"));
    let services = ["--http", &offer];
    let arguments = server.agent_arguments("a", TOKEN, &server.fingerprint, &services);
    let mut agent = Program::run_unread(&arguments, [0, 0]);
    agent.wait_until_unread();
    ask_until_answered(server.http);
    ends(agent);
}

#[test]
fn a_demo_whose_output_is_closed_ends_as_usual() {
    for read in [0, 3] {
        let arguments = ["demo", "--requests", "20"].map(str::to_owned);
        let (status, lines) = Program::run_unread(&arguments, [read, usize::MAX]).end();
        assert!(status.success(), "{read} lines are read, {status}: {lines}");
    }
}
