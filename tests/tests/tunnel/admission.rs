//! Admission and refusal of agents, and the end of an agent or a server.

use std::io::Read as _;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::process::{self, Network, Server, TOKEN, directory, until};
use crate::web;

/// Runs an agent that is refused, and checks its last output.
fn refused(agent: crate::process::Program, why: &str) {
    let (status, lines) = agent.end();
    assert!(!status.success(), "{lines}");
    assert!(lines.contains(why), "no {why:?}: {lines}");
}

#[test]
fn an_agent_with_a_wrong_token_is_told_and_ends() {
    let server = Server::start("token");
    let service = ["--http", "app.example=127.0.0.1:1"];
    for token in ["wrong", "a token for the test", "a token for the tests "] {
        refused(server.agent_with("a", token, &server.fingerprint, &service), "wrong token");
    }
}

#[test]
fn an_agent_that_expects_another_certificate_ends_and_says_which_it_found() {
    let server = Server::start("certificate");
    let agent = server.agent_with("a", TOKEN, &"0".repeat(64), &["--http", "a=127.0.0.1:1"]);
    let why = format!("wrong certificate: its fingerprint is {}", server.fingerprint);
    refused(agent, &why);
}

#[test]
fn a_name_or_a_port_that_another_has_is_refused() {
    let server = Server::start("taken");
    let first = ["--http", "app.example=127.0.0.1:1", "--tcp", "0=127.0.0.1:1"];
    let mut agent = server.agent("first", &first);
    let port = agent.wait_for("serves tcp port ");
    let offer = format!("{port}=127.0.0.1:1");
    refused(server.agent("second", &["--tcp", &offer]), "is taken by the agent \"first\"");
    let name = ["--http", "APP.example=127.0.0.1:1"];
    refused(server.agent("second", &name), "http://app.example is taken by the agent \"first\"");

    let foreign = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = process::address(&foreign).port();
    let offer = format!("{port}=127.0.0.1:1");
    refused(server.agent("second", &["--tcp", &offer]), &format!("port {port} is taken"));
    refused(
        server.agent("second", &["--tcp", "80=127.0.0.1:1"]),
        "port 80 is not allowed for agents",
    );
    refused(server.agent("se cond", &["--tcp", "0=127.0.0.1:1"]), "a name has letters");
}

#[test]
fn an_agent_has_two_sessions_and_says_once_what_it_serves() {
    let mut server = Server::start("twice");
    let mut agent = server.agent("a", &["--tcp", "0=127.0.0.1:1"]);
    for _ in 0..2 {
        server.program.wait_for("agent \"a\" is there");
        agent.wait_for("has let the agent in");
    }
    agent.signal("TERM");
    let (status, lines) = agent.end();
    assert!(status.success(), "{lines}");
    assert_eq!(lines.matches("serves tcp port ").count(), 1, "{lines}");
}

#[test]
fn any_port_is_one_that_agents_may_have() {
    let network = Network::new();
    let foreign = network.free(0);
    let port = process::address(&foreign).port().to_string();
    let (ports, any) = (format!("{port}-{port}"), ["--tcp", "0=127.0.0.1:1"]);
    let more = ["--ports", &ports, "--tcp", &network.address(0).to_string()];
    let server = Server::with(&directory("any"), "127.0.0.1:0", "127.0.0.1:0", &more);
    let none_is_free = format!("no port from {port} to {port} is free");
    let mut first = server.agent("first", &any);
    first.wait_for(&none_is_free);
    drop(foreign);
    assert_eq!(first.wait_for("serves tcp port "), port);

    let mut second = server.agent("second", &any);
    second.wait_for(&none_is_free);
    drop(first);
    assert_eq!(second.wait_for("serves tcp port "), port);
}

#[test]
fn the_certificate_stays_the_same() {
    let directory = directory("kept");
    let first = Server::with(&directory, "127.0.0.1:0", "127.0.0.1:0", &[]).fingerprint;
    let second = Server::with(&directory, "127.0.0.1:0", "127.0.0.1:0", &[]).fingerprint;
    assert_eq!(first, second);
}

#[test]
fn an_agent_returns_when_its_server_does() {
    let directory = directory("returns");
    let own = format!("{}:0", Network::new().address(0));
    let server = Server::with(&directory, &own, &own, &[]);
    let offer = format!("app.example={}", web::says("hello"));
    let mut agent = server.agent("a", &["--http", &offer]);
    agent.wait_for("serves http://app.example");
    let (agents, http) = (server.agents.to_string(), server.http.to_string());
    drop(server); // killed
    agent.wait_for("transport");

    // The agent says again what it serves only if it has noticed the loss of all its sessions before.
    let server = Server::with(&directory, &agents, &http, &[]);
    let answer = until("the agent is back", || {
        web::get(server.http, "app.example", "/").ok().filter(|(status, _)| *status == 200)
    });
    assert_eq!(answer.1, "hello");
}

/// A service that holds every answer until the test releases it, and signals every request.
fn slow() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>) {
    let (asked, was_asked) = channel();
    let (go_on, may_go_on) = channel();
    let may_go_on = Arc::new(Mutex::new(may_go_on));
    let address = web::service(move |mut request| {
        let _ = asked.send(());
        let _ = may_go_on.lock().expect("nothing panics with it").recv();
        request.answer("late")
    });
    (address, was_asked, go_on)
}

#[test]
fn a_server_that_is_interrupted_finishes_what_runs() {
    let mut server = Server::start("interrupted");
    let (address, was_asked, go_on) = slow();
    let mut agent = server.agent("a", &["--http", &format!("app.example={address}")]);
    agent.wait_for("serves http://");
    let http = server.http;
    let client = std::thread::spawn(move || web::get(http, "app.example", "/"));
    was_asked.recv().expect("a request");
    server.program.signal("INT");
    server.program.wait_for("stopping");
    // It accepts nothing more after it has closed the listener.
    while let Ok(mut tcp) = web::connect(http) {
        let _ = tcp.read(&mut [0]);
    }
    assert!(server.program.is_running());
    go_on.send(()).expect("the service waits");
    assert_eq!(client.join().unwrap().expect("an answer"), (200, "late".to_owned()));
    let (status, lines) = server.program.end();
    assert!(status.success(), "{lines}");
    agent.wait_for("the server stops");
}

#[test]
fn an_agent_that_is_interrupted_finishes_what_runs_while_another_takes_over() {
    let server = Server::start("leaving");
    let (address, was_asked, go_on) = slow();
    let mut agent = server.agent("a", &["--http", &format!("app.example={address}")]);
    agent.wait_for("serves http://");
    let http = server.http;
    let client = std::thread::spawn(move || web::get(http, "app.example", "/"));
    was_asked.recv().expect("a request");
    let offer = format!("app.example={}", web::says("other"));
    let mut other = server.agent("a", &["--http", &offer]);
    other.wait_for("serves http://");
    agent.signal("TERM");
    agent.wait_for("stopping");
    // The agent announces that it leaves. Until the server knows, both agents may get a request.
    for _ in 0..2 {
        go_on.send(()).expect("the service waits");
    }
    assert_eq!(client.join().unwrap().expect("an answer"), (200, "late".to_owned()));
    let (status, lines) = agent.end();
    assert!(status.success(), "{lines}");
    for _ in 0..4 {
        let answer = web::get(http, "app.example", "/").expect("an answer");
        assert_eq!(answer, (200, "other".to_owned()));
    }
}
