//! Ports that several servers share, each at an address of its own of this machine.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use crate::cluster::Redis;
use crate::process::{self, LIMIT, Network, Program, Server, agent_of, directory, until};
use crate::web;

/// The servers of a test, which have everything in common but the address of their ports.
struct Servers {
    redis: Redis,
    directory: PathBuf,
    /// If tests shared addresses, a service of another test could have the port that is free at one of
    /// the servers at the address of the next.
    network: Network,
}

impl Servers {
    /// `None` if there is no Redis.
    fn new(name: &str) -> Option<Self> {
        let redis = Redis::start()?;
        Some(Self { redis, directory: directory(name), network: Network::new() })
    }

    /// The address of the ports of a server.
    fn ip(&self, number: u8) -> Ipv4Addr {
        self.network.address(number)
    }

    fn start(&self, number: u8) -> Server {
        let more = ["--registry", &self.redis.url(), "--tcp", &self.ip(number).to_string()];
        Server::with(&self.directory, "127.0.0.1:0", "127.0.0.1:0", &more)
    }
}

/// An agent that knows several servers.
fn agent(servers: &[&Server], name: &str, offer: &str) -> Program {
    agent_of(servers, name, &["--tcp", offer])
}

fn port(agent: &mut Program) -> u16 {
    agent.wait_for("serves tcp port ").parse().expect("a port")
}

/// A service that answers in capital letters when the client has ended its side.
fn shouts() -> SocketAddr {
    web::listen(|mut tcp| {
        let mut text = String::new();
        tcp.read_to_string(&mut text)?;
        tcp.write_all(text.to_uppercase().as_bytes())
    })
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut tcp = web::connect(address)?;
    tcp.write_all(b"hello")?;
    tcp.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks until there is an answer. One that looks complete has to be correct.
fn ask_until_answered(address: SocketAddr) {
    let answer = until("an answer", || ask(address).ok());
    assert_eq!(answer, "HELLO", "from {address}");
}

#[test]
fn a_port_is_open_at_every_server_as_long_as_its_agent_is_at_one() {
    let Some(shared) = Servers::new("ports") else { return };
    let mut servers: Vec<_> = (0..3).map(|number| shared.start(number)).collect();
    let mut agent = agent(&[&servers[0]], "a", &format!("0={}", shouts()));
    let port = port(&mut agent);
    for number in 0..3 {
        ask_until_answered((shared.ip(number), port).into());
    }
    // Another agent with the name, at a server that is not killed: port 0 is the same port.
    let mut second = self::agent(&[&servers[1]], "a", &format!("0={}", shouts()));
    assert_eq!(self::port(&mut second), port);
    drop(servers.remove(0)); // killed
    for number in 1..3 {
        ask_until_answered((shared.ip(number), port).into());
    }

    drop(agent);
    drop(second);
    for number in 1..3 {
        until("the port is free", || TcpListener::bind((shared.ip(number), port)).ok());
    }
}

#[test]
fn an_agent_whose_server_is_killed_keeps_its_port_at_the_others() {
    let Some(shared) = Servers::new("moves") else { return };
    let mut servers: Vec<_> = (0..3).map(|number| shared.start(number)).collect();
    let known: Vec<_> = servers.iter().collect();
    let mut agent = agent(&known, "a", &format!("0={}", shouts()));
    let port = port(&mut agent);
    let has_it = |server: &Server| {
        let status = web::get(server.admin, "127.0.0.1", "/status.json").expect("an answer");
        status.1.contains("\"name\":\"a\"")
    };
    let at = servers.iter().position(has_it).expect("it is at one of them");
    for number in 0..3 {
        ask_until_answered((shared.ip(number), port).into());
    }
    drop(servers.remove(at)); // killed
    for number in (0..3).filter(|number| usize::from(*number) != at) {
        ask_until_answered((shared.ip(number), port).into());
    }
}

#[test]
fn a_port_belongs_to_one_agent_at_all_servers() {
    let Some(shared) = Servers::new("port-owner") else { return };
    let [one, two] = [0, 1].map(|number| shared.start(number));
    let service = shouts();
    let mut first = one.agent("first", &["--tcp", &format!("0={service}")]);
    let port = port(&mut first);
    let offer = format!("{port}={service}");
    let (status, lines) = two.agent("second", &["--tcp", &offer]).end();
    assert!(!status.success(), "{lines}");
    let why = format!("tcp port {port} is taken by the agent \"first\"");
    assert!(lines.contains(&why), "no {why:?}: {lines}");
    // It does not stay taken.
    drop(first);
    let mut second = until("the port is given to another agent", || {
        let mut agent = two.agent("second", &["--sessions", "1", "--tcp", &offer]);
        agent.prints_or_ends("serves tcp port").then_some(agent)
    });
    assert!(second.is_running());
    ask_until_answered((shared.ip(0), port).into());
}

#[test]
fn a_server_where_a_port_is_taken_says_so_and_opens_it_later() {
    let Some(shared) = Servers::new("port-taken") else { return };
    let [one, mut two] = [0, 1].map(|number| shared.start(number));
    let foreign = shared.network.free(1);
    let port = process::address(&foreign).port();
    let mut agent = one.agent("a", &["--tcp", &format!("{port}={}", shouts())]);
    agent.wait_for("serves tcp port ");
    let why = two.program.wait_for(&format!("tcp port {port} of the agent \"a\" at "));
    assert!(why.ends_with(&format!("is closed here: port {port} is taken")), "{why}");
    ask_until_answered((shared.ip(0), port).into());
    drop(foreign);
    two.program.wait_for(&format!("port {port} leads to the agent \"a\" at {}", one.agents));
    ask_until_answered((shared.ip(1), port).into());
}

#[test]
fn an_agent_stays_though_one_of_its_servers_refuses_it() {
    let Some(shared) = Servers::new("port-refused") else { return };
    let servers = [0, 1].map(|number| shared.start(number));
    let foreign = shared.network.free(1);
    let port = process::address(&foreign).port();
    // Each of the two sessions begins at a server of its own. Whichever answers first, the agent stays.
    let offer = format!("{port}={}", shouts());
    let mut agent = agent(&[&servers[0], &servers[1]], "a", &offer);
    agent.wait_for(&format!("{}: port {port} is taken", servers[1].agents));
    ask_until_answered((shared.ip(0), port).into());
    assert!(agent.is_running());
    // One session begins at either server.
    let one = ["--sessions", "1", "--tcp", &offer];
    let known = servers.each_ref();
    let mut others: Vec<_> = (0..4).map(|_| agent_of(&known, "a", &one)).collect();
    for other in &mut others {
        other.wait_for("serves tcp port ");
    }
}

#[test]
fn a_port_of_which_only_the_registry_knows_is_reset() {
    let Some(shared) = Servers::new("port-lies") else { return };
    let mut server = shared.start(0);
    // An impostor with its own certificate has an agent with the port.
    let foreign = Server::start("port-foreign");
    let mut prisoner = foreign.agent("trap", &["--tcp", &format!("0={}", shouts())]);
    let port = port(&mut prisoner);
    let offers = format!(r#"[{{"public":{{"tcp":{port}}},"agent":"trap"}}]"#);
    let address = foreign.agents.to_string();
    // Port 22 is not for agents, whatever the registry says.
    let forbidden = r#"[{"public":{"tcp":22},"agent":"trap"}]"#;
    for (address, offers) in [(&*address, &*offers), ("127.0.0.1:1", forbidden)] {
        shared.redis.pretend(address, offers);
    }
    server.program.wait_for("tcp port 22 of the agent \"trap\" at 127.0.0.1:1 is closed here");
    let mut client =
        until("it believes the registry", || web::connect((shared.ip(0), port).into()).ok());
    web::is_reset(client.read(&mut [0]), "an end would look like a service that is done");
}

#[test]
fn a_service_may_end_first_and_still_read_through_two_servers() {
    let Some(shared) = Servers::new("port-half") else { return };
    let [one, _two] = [0, 1].map(|number| shared.start(number));
    let (read, has_read) = channel();
    let service = web::listen(move |mut tcp: TcpStream| {
        tcp.write_all(b"hello")?;
        tcp.shutdown(Shutdown::Write)?;
        let mut text = String::new();
        let _ = read.send(tcp.read_to_string(&mut text).map(|_| text));
        Ok(())
    });
    let mut agent = one.agent("a", &["--tcp", &format!("0={service}")]);
    let address = (shared.ip(1), port(&mut agent)).into();
    let (mut client, greeting) = until("a whole greeting", || {
        let mut tcp = web::connect(address).ok()?;
        let mut greeting = String::new();
        tcp.read_to_string(&mut greeting).ok()?;
        Some((tcp, greeting))
    });
    assert_eq!(greeting, "hello");
    assert!(has_read.try_recv().is_err(), "the end of the service is not the end of the client");
    client.write_all(b"and now me").expect("it takes that");
    client.shutdown(Shutdown::Write).expect("it takes that");
    let text = has_read.recv_timeout(LIMIT).expect("the service learns of the end");
    assert_eq!(text.expect("an end, no reset"), "and now me");
}

/// A service that greets, tells the test when it has the connection, and what ends it.
fn watched() -> (SocketAddr, std::sync::mpsc::Receiver<io::Result<usize>>) {
    let (ended, ends) = channel();
    let address = web::listen(move |mut tcp: TcpStream| {
        tcp.write_all(b"hello")?;
        let _ = ended.send(tcp.read(&mut [0]));
        Ok(())
    });
    (address, ends)
}

fn greeted(address: SocketAddr) -> TcpStream {
    until("a greeting", || {
        let mut tcp = web::connect(address).ok()?;
        tcp.read_exact(&mut [0; 5]).ok()?;
        Some(tcp)
    })
}

#[test]
fn both_ends_see_a_reset_if_what_is_between_them_dies() {
    let Some(shared) = Servers::new("port-dies") else { return };
    let [one, two] = [0, 1].map(|number| shared.start(number));
    let (service, ends) = watched();
    let mut agent = one.agent("a", &["--tcp", &format!("0={service}")]);
    let port = port(&mut agent);

    // The agent dies: both clients learn it, also the one at the server without the agent.
    let [mut near, mut far] = [0, 1].map(|number| greeted((shared.ip(number), port).into()));
    agent.signal("KILL");
    web::is_reset(near.read(&mut [0]), "the client of the agent's server");
    web::is_reset(far.read(&mut [0]), "the client of the other server");
    // The system ends the connections of a dead process, by an end and not by a reset.
    for _ in 0..2 {
        let _ = ends.recv_timeout(LIMIT).expect("the service learns of the end");
    }

    // The server without the agent dies: its client and the service learn it.
    let mut agent = one.agent("a", &["--tcp", &format!("{port}={service}")]);
    agent.wait_for("serves tcp port ");
    let mut far = greeted((shared.ip(1), port).into());
    while ends.try_recv().is_ok() {} // of attempts that came too early
    two.program.signal("KILL");
    let _ = far.read(&mut [0]); // the system ends it
    web::is_reset(
        ends.recv_timeout(LIMIT).expect("it learns"),
        "the service, without the far server",
    );

    // The agent's server dies.
    let mut near = greeted((shared.ip(0), port).into());
    one.program.signal("KILL");
    let _ = near.read(&mut [0]);
    web::is_reset(ends.recv_timeout(LIMIT).expect("it learns"), "the service, without the server");
}

#[test]
fn five_hundred_connections_at_once_through_two_servers() {
    let Some(shared) = Servers::new("port-crowd") else { return };
    let [one, _two] = [0, 1].map(|number| shared.start(number));
    let echo = web::listen(|mut tcp: TcpStream| {
        let mut reader = tcp.try_clone()?;
        io::copy(&mut reader, &mut tcp).map(drop)
    });
    let mut agent = one.agent("a", &["--tcp", &format!("0={echo}")]);
    let address = (shared.ip(1), port(&mut agent)).into();
    until("an echo", || {
        let mut tcp = web::connect(address).ok()?;
        tcp.write_all(b"?").ok()?;
        tcp.read_exact(&mut [0]).ok()
    });
    let mut clients: Vec<_> = (0..500_u32)
        .map(|number| {
            let mut tcp = web::connect(address).expect("it listens");
            tcp.write_all(&number.to_be_bytes()).expect("it takes that");
            (number, tcp)
        })
        .collect();
    for (number, tcp) in &mut clients {
        let mut back = [0; 4];
        tcp.read_exact(&mut back).expect("an echo");
        assert_eq!(u32::from_be_bytes(back), *number);
    }
    // All are still there, and end one by one.
    for (_, mut tcp) in clients {
        tcp.shutdown(Shutdown::Write).expect("it takes that");
        assert_eq!(tcp.read(&mut [0]).expect("an end"), 0);
    }
}
