//! Several servers that share their agents.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::{self, Network, Program, Server, agent_of, directory, until};
use crate::web;

/// A Redis server for one test. Dropping it ends it.
pub struct Redis {
    process: Child,
    address: SocketAddr,
}

impl Redis {
    /// `None` if Redis is not installed, unless it is required.
    pub fn start() -> Option<Self> {
        // At an address of its own: no other test takes the port before Redis has it.
        let address = process::address(&Network::new().free(0));
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let started = Command::new("redis-server")
            .args(["--port", &port, "--bind", &ip, "--save", ""])
            .current_dir(directory(&format!("redis-{ip}")))
            .stdout(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(_) if std::env::var_os("MUXADO_REQUIRE_REDIS").is_none() => {
                eprintln!("skipped: there is no redis-server");
                return None;
            }
            Err(error) => panic!("redis-server: {error}"),
        };
        let redis = Self { process, address };
        until("an answer of redis-server", || {
            redis.command(&["PING"]).filter(|answer| answer == "+PONG\r\n")
        });
        Some(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Makes a server believe that there is another, with offers. SADD comes last, because a server
    /// removes a listed server that has no offers.
    pub fn pretend(&self, address: &str, offers: &str) {
        self.command(&["SET", &format!("tunnel:server:{address}"), offers]).expect("it answers");
        self.command(&["SADD", "tunnel:servers", address]).expect("it answers");
    }

    /// Sends one command; returns the beginning of the answer.
    pub fn command(&self, words: &[&str]) -> Option<String> {
        let mut tcp = TcpStream::connect(self.address).ok()?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        tcp.write_all(request.as_bytes()).ok()?;
        let mut answer = [0; 4096];
        let count = tcp.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..count]).into_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(redis: &Redis, directory: &std::path::Path) -> Server {
    Server::with(directory, "127.0.0.1:0", "127.0.0.1:0", &["--registry", &redis.url()])
}

/// Repeats a request until the answer is the expected one; earlier results do not matter.
fn ask_until(address: SocketAddr, host: &str, expected: &(u16, String)) {
    let deadline = Instant::now() + crate::process::LIMIT;
    loop {
        let answer = web::get(address, host, "/");
        if answer.as_ref().is_ok_and(|answer| answer == expected) {
            return;
        }
        assert!(Instant::now() < deadline, "{host} at {address}: {answer:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const AGENTS: usize = 30;
const REQUESTS: usize = 2000;
const CLIENTS: usize = 8;

/// Three servers, thirty agents, two thousand requests at any server; one server is killed half-way.
#[test]
fn agents_of_a_server_that_is_killed_return_to_the_others() {
    let Some(redis) = Redis::start() else { return };
    let directory = directory("cluster");
    let mut servers = vec![server(&redis, &directory)];
    servers.extend([(), ()].map(|()| server(&redis, &directory)));
    let agents: Vec<_> = (0..AGENTS).map(|number| agent(&servers, number)).collect();
    let hosts: Arc<[String]> = (0..AGENTS).map(host).collect();
    for (server, host) in
        servers.iter().flat_map(|server| hosts.iter().map(move |host| (server, host)))
    {
        ask_until(server.http, host, &(200, host.clone()));
    }

    let alive: Arc<Vec<(SocketAddr, AtomicBool)>> =
        Arc::new(servers.iter().map(|server| (server.http, AtomicBool::new(true))).collect());
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let failures = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let [next, done, failures] = [&next, &done, &failures].map(Arc::clone);
            let (alive, hosts) = (Arc::clone(&alive), Arc::clone(&hosts));
            std::thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= REQUESTS {
                        return;
                    }
                    request(number, &hosts[number * 7 % AGENTS], &alive, &failures);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    while done.load(Ordering::Relaxed) < REQUESTS / 2 {
        std::thread::sleep(Duration::from_millis(5)); // the cores are needed
    }
    let killed = servers.remove(0);
    killed.program.signal("KILL");
    let at = Instant::now();
    alive[0].1.store(false, Ordering::Relaxed);
    for (server, host) in
        servers.iter().flat_map(|server| hosts.iter().map(move |host| (server, host)))
    {
        ask_until(server.http, host, &(200, host.clone()));
    }
    let back = at.elapsed();
    assert!(back < Duration::from_secs(5), "the agents were back after {back:?}");
    for client in clients {
        client.join().expect("every request is answered, and by the right service");
    }
    assert_eq!(done.load(Ordering::Relaxed), REQUESTS);
    let failures = failures.load(Ordering::Relaxed);
    println!("back after {back:?}; {failures} attempts failed, and their clients knew");
    drop(agents);
}

fn host(number: usize) -> String {
    format!("agent-{number}.example")
}

/// An agent that knows all servers, and a service that answers with its name.
fn agent(servers: &[Server], number: usize) -> Program {
    let host = host(number);
    let offer = format!("{host}={}", web::says(host.clone()));
    let name = format!("agent-{number}");
    let servers: Vec<_> = servers.iter().collect();
    agent_of(&servers, &name, &["--http", &offer])
}

/// One request, at any server that is not known to be dead, repeated while it fails. An answer that
/// looks complete has to be correct.
fn request(
    number: usize,
    host: &str,
    servers: &[(SocketAddr, AtomicBool)],
    failures: &AtomicUsize,
) {
    let deadline = Instant::now() + crate::process::LIMIT;
    for attempt in number.. {
        let (address, alive) = &servers[attempt % servers.len()];
        if !alive.load(Ordering::Relaxed) {
            continue;
        }
        match web::get(*address, host, "/") {
            Ok((200, body)) => return assert_eq!(body, host, "from the wrong service"),
            Ok((404 | 502 | 503, _)) | Err(_) => failures.fetch_add(1, Ordering::Relaxed),
            Ok((status, body)) => panic!("{status}: {body}"),
        };
        assert!(Instant::now() < deadline, "no answer from {host}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_name_belongs_to_one_agent_at_all_servers() {
    let Some(redis) = Redis::start() else { return };
    let directory = directory("names");
    let [one, two] = [(), ()].map(|()| server(&redis, &directory));
    let offer = format!("app.example={}", web::says("first"));
    let mut first = one.agent("first", &["--http", &offer]);
    first.wait_for("serves http://");
    let (status, lines) = two.agent("second", &["--http", &offer]).end();
    assert!(!status.success(), "{lines}");
    assert!(lines.contains("http://app.example is taken by the agent \"first\""), "{lines}");
    // An agent with the same name may be at any server.
    let mut same = two.agent("first", &["--http", &offer]);
    same.wait_for("serves http://");
}

#[test]
fn what_the_registry_says_leads_no_request_astray() {
    let Some(redis) = Redis::start() else { return };
    let directory = directory("lies");
    let [one, two] = [(), ()].map(|()| server(&redis, &directory));
    let offer = format!("app.example={}", web::says("right"));
    let mut agent = two.agent("a", &["--http", &offer]);
    agent.wait_for("serves http://");
    ask_until(one.http, "app.example", &(200, "right".to_owned()));

    // An impostor pretends to be a server, with its own certificate.
    let foreign = Server::start("foreign");
    let trap = format!("trap.example={}", web::says("wrong"));
    let mut prisoner = foreign.agent("trap", &["--http", &trap]);
    prisoner.wait_for("serves http://");
    let pretend = |address: &str, host: &str, agent: &str| {
        let offers = format!(r#"[{{"public":{{"http":"{host}"}},"agent":"{agent}"}}]"#);
        redis.pretend(address, &offers);
    };
    pretend(&foreign.agents.to_string(), "trap.example", "trap");
    // The registry claims that a server, under another address, has a service that it does not
    // have, and one of another agent.
    let alias = format!("localhost:{}", two.agents.port());
    pretend(&alias, "missing.example", "a");
    // It also claims that a process that never answers has a service of another server.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    pretend(&process::address(&listener).to_string(), "app.example", "a");
    let refused = |host: &str| {
        let deadline = Instant::now() + crate::process::LIMIT;
        // 404 until the server has read the false claim, then 503: it knows the host, but no server
        // has it.
        loop {
            let (status, body) = web::get(one.http, host, "/").expect("an answer");
            assert_ne!(status, 200, "{body}");
            if status == 503 {
                return;
            }
            assert!(Instant::now() < deadline, "it never believed the registry: {status}");
        }
    };
    refused("trap.example");
    refused("missing.example");
    // A server that never answers costs time, but the answer still comes.
    ask_until(one.http, "app.example", &(200, "right".to_owned()));
    let statuses: HashMap<u16, ()> = (0..2)
        .map(|_| (web::get(one.http, "app.example", "/").expect("an answer").0, ()))
        .collect();
    assert_eq!(statuses.into_keys().collect::<Vec<_>>(), [200]);
}
