//! Options that cannot work are refused at the start, with what to do instead.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::process::{Program, directory};

/// Runs the tunnel with arguments it must refuse; `why` is a part of what it says.
fn refused(arguments: &[&str], why: &str) {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let directory = directory(&format!("options-{}", CALLS.fetch_add(1, Ordering::Relaxed)));
    let owned: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let (status, lines) = Program::run_in(&directory, &owned).end();
    assert_eq!(status.code(), Some(2), "{arguments:?}: {lines}");
    assert!(lines.contains(why), "{arguments:?}, no {why:?}: {lines}");
    let left = std::fs::read_dir(directory).expect("it is there").count();
    assert_eq!(left, 0, "{arguments:?}: nothing may be created before the options are checked");
}

const ANYWHERE: [&str; 6] =
    ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

fn server(more: &[&str], why: &str) {
    refused(&[&["server", "--token", "secret"], &ANYWHERE[..], more].concat(), why);
}

fn agent(more: &[&str], why: &str) {
    let print = "0".repeat(64);
    refused(&[&["agent", "--name", "a", "--fingerprint", &print], more].concat(), why);
}

#[test]
fn a_server_checks_its_options() {
    server(&["--ports", "5-1"], "the range is empty: the first port is above the last");
    server(&["--ports", "0-10"], "0 is no port");
    server(&["--ports", "10-70000"], "70000 is no port");
    server(&["--ports", "10"], "FIRST-LAST is expected, for instance 20000-20999");
    for url in ["http://127.0.0.1:6379", "127.0.0.1:6379", "redis://", "rediss://127.0.0.1"] {
        server(&["--registry", url], "redis://HOST:PORT is expected");
    }
    server(&["--advertise", "one.example"], "HOST:PORT is expected");
    let registry = ["--registry", "redis://127.0.0.1:1", "--listen", "0.0.0.0:0"];
    let everywhere: &[_] = &["server", "--token", "secret"];
    refused(
        &[everywhere, &registry].concat(),
        "other servers cannot reach this one at 0.0.0.0:0: add --advertise HOST:PORT",
    );
    refused(
        &[everywhere, &["--admin", "0.0.0.0:0"]].concat(),
        "the status pages at 0.0.0.0:0 are open to all: add --admin-token TOKEN",
    );
}

#[test]
fn an_empty_token_is_refused() {
    let needed = "a value is required for '--token <TOKEN>'";
    refused(&[&["server", "--token", ""], &ANYWHERE[..]].concat(), needed);
    agent(&["--token", "", "--server", "127.0.0.1:1", "--tcp", "0=127.0.0.1:1"], needed);
    // With it everybody would have access.
    server(&["--admin-token", ""], "a value is required for '--admin-token <TOKEN>'");
}

#[test]
fn an_agent_checks_its_options() {
    let known = ["--token", "secret", "--server", "127.0.0.1:1"];
    let offers = ["--tcp", "0=127.0.0.1:1"];
    for service in ["22=nohost", "22=:22", "22=127.0.0.1:0", "22=::1:22", "22=a b:22", "22=a:x"] {
        let more = [&known[..], &["--tcp", service]].concat();
        agent(&more, "HOST:PORT is expected, for instance app.example:7000 or [::1]:7000");
    }
    agent(&[&known[..], &["--tcp", "nohost"]].concat(), "PORT=HOST:PORT is expected");
    agent(&[&known[..], &["--tcp", "x=127.0.0.1:1"]].concat(), "x is no port");
    agent(&[&known[..], &["--http", "app.example"]].concat(), "NAME=HOST:PORT is expected");
    agent(&[&known[..], &["--http", "app.example=host"]].concat(), "HOST:PORT is expected");
    agent(&known, "--tcp <PORT=HOST:PORT>");
    agent(&[&known[..], &offers, &["--sessions", "0"]].concat(), "0 is not in 1..");
    let without_port = ["--token", "secret", "--server", "tunnel.example"];
    agent(&[&without_port[..], &offers].concat(), "HOST:PORT is expected");
}

#[test]
fn a_demo_checks_its_options() {
    refused(&["demo", "--requests", "0"], "0 is not in 1..");
    refused(&["demo", "--concurrency", "0"], "0 is not in 1..");
}
