//! The status pages of the server, compared with the traffic.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::process::Command;

use serde_json::Value;

use crate::process::{Program, Server, directory};
use crate::web;

/// Bytes to the service of this test, and back.
const THERE: usize = 100_000;
const BACK: usize = 70_000;

/// A server with an admin page, and an agent with known traffic: three requests to an unknown host,
/// and one connection.
fn busy(name: &str, more: &[&str]) -> (Server, Program, SocketAddr) {
    let server = Server::with(&directory(name), "127.0.0.1:0", "127.0.0.1:0", more);
    let admin = server.admin;
    let service = web::listen(|mut tcp| {
        let mut sent = Vec::new();
        tcp.read_to_end(&mut sent)?;
        tcp.write_all(&vec![b'x'; BACK])
    });
    // The server shows each session by itself.
    let one = ["--sessions", "1", "--tcp", &format!("0={service}")];
    let mut agent = server.agent("worker", &one);
    let port: u16 = agent.wait_for("serves tcp port ").parse().expect("a port");
    for _ in 0..3 {
        assert_eq!(web::get(server.http, "nobody.example", "/").expect("an answer").0, 404);
    }
    let mut client = web::connect((Ipv4Addr::LOCALHOST, port).into()).expect("it listens");
    client.write_all(&vec![b'y'; THERE]).expect("it takes that");
    client.shutdown(Shutdown::Write).expect("it takes that");
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("an answer");
    assert_eq!(back.len(), BACK);
    (server, agent, admin)
}

fn get(admin: SocketAddr, path: &str, header: &str) -> (u16, String) {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{header}\r\n");
    let answer = web::ask(admin, &request).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    (head.split(' ').nth(1).expect("a status").parse().expect("a number"), body.to_owned())
}

/// Whether a number is about that of the payload. Each stream also has the four bytes of its type,
/// and there are heartbeats and the hello.
fn is_about(found: f64, expected: usize) -> bool {
    (expected as f64..expected as f64 + 2000.0).contains(&found)
}

#[test]
fn the_numbers_are_those_of_the_traffic() {
    let (_server, _agent, admin) = busy("numbers", &[]);
    let (status, body) = get(admin, "/status.json", "");
    assert_eq!(status, 200, "{body}");
    let shown: Value = serde_json::from_str(&body).expect("JSON");
    for (key, expected) in [
        ("http_requests", 3),
        ("http_errors", 3),
        ("tcp_connections", 1),
        ("tcp_errors", 0),
        ("streams", 1),
        ("errors", 0),
        ("agents_refused", 0),
        ("beats_missed", 0),
    ] {
        assert_eq!(shown[key], expected, "{key}: {body}");
    }
    assert!(is_about(shown["bytes_to_services"].as_f64().expect("a number"), THERE), "{body}");
    assert!(is_about(shown["bytes_from_services"].as_f64().expect("a number"), BACK), "{body}");
    let agents = shown["agents"].as_array().expect("a list");
    assert_eq!(agents.len(), 1, "{body}");
    assert_eq!(agents[0]["name"], "worker");
    assert_eq!(agents[0]["streams"], 1, "{body}");

    let (status, metrics) = get(admin, "/metrics", "");
    assert_eq!(status, 200, "{metrics}");
    let samples: HashMap<&str, f64> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a sample"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    assert_eq!(samples["tunnel_http_requests_total"], 3.0);
    assert_eq!(samples["tunnel_tcp_connections_total"], 1.0);
    assert_eq!(samples["tunnel_streams_total"], 1.0);
    assert_eq!(samples["tunnel_agents"], 1.0);
    assert!(is_about(samples["tunnel_bytes_total{direction=\"to_services\"}"], THERE));
    assert!(is_about(samples["tunnel_bytes_total{direction=\"from_services\"}"], BACK));
    assert!(
        samples.keys().any(|name| name.starts_with("tunnel_agent_streams_open{agent=\"worker\""))
    );
    for family in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().expect("a name");
        assert!(samples.keys().any(|sample| sample.starts_with(name)), "{name} has no sample");
    }
}

#[test]
fn only_who_is_admitted_sees_it() {
    let (_server, _agent, admin) = busy("admin-token", &["--admin-token", "secret"]);
    for path in ["/", "/status.json", "/metrics"] {
        assert_eq!(get(admin, path, "").0, 403);
        assert_eq!(get(admin, path, "Authorization: Bearer secre\r\n").0, 403);
        assert_eq!(get(admin, path, "Authorization: Bearer secret\r\n").0, 200);
        assert_eq!(get(admin, &format!("{path}?token=secret"), "").0, 200);
    }
}

#[test]
fn without_a_token_it_is_for_this_machine() {
    let (_server, _agent, admin) = busy("local", &[]);
    for (host, expected) in [("localhost:1", 200), ("127.0.0.1", 200), ("evil.example", 403)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = web::ask(admin, &request).expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{host}: {answer}");
    }
    let open = ["--admin", "0.0.0.0:0"].map(str::to_owned);
    let start = ["server", "--token", "t", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let start: Vec<_> = start.into_iter().map(str::to_owned).chain(open).collect();
    let (status, lines) = Program::run_in(&directory("open"), &start).end();
    assert!(!status.success(), "{lines}");
    assert!(lines.contains("--admin-token"), "{lines}");
}

/// The page in a real browser.
#[test]
fn a_browser_shows_the_same_numbers() {
    let (_server, _agent, admin) = busy("browser", &[]);
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .args(["--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", directory("chromium").display()))
        .arg(format!("http://{admin}/"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(_) if std::env::var_os("MUXADO_REQUIRE_CHROMIUM").is_none() => {
            eprintln!("skipped: there is no chromium");
            return;
        }
        Err(error) => panic!("chromium: {error}"),
    };
    let page = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("CONSOLE"), "the page complains: {log}");
    let shown = |id: &str| {
        let text =
            page.split(&format!("<dd id=\"{id}\">")).nth(1).and_then(|rest| rest.split('<').next());
        let digits: String =
            text.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        digits.parse::<f64>().unwrap_or_else(|_| panic!("no {id}: {page}\n{log}"))
    };
    for (id, expected) in [
        ("http_requests", 3.0),
        ("http_errors", 3.0),
        ("tcp_connections", 1.0),
        ("tcp_errors", 0.0),
        ("streams", 1.0),
        ("errors", 0.0),
        ("agents_refused", 0.0),
        ("beats_missed", 0.0),
    ] {
        assert_eq!(shown(id), expected, "{id}");
    }
    assert!(is_about(shown("bytes_to_services"), THERE), "{page}");
    assert!(is_about(shown("bytes_from_services"), BACK), "{page}");
    assert!(page.contains("<td>worker</td>"), "{page}");
    assert!(page.matches("points=\"").count() == 2, "the plot is drawn: {page}");
}
