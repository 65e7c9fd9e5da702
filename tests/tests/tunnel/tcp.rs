//! Services at a port of the server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use crate::process::{Server, nobody};
use crate::web;

/// Offers a service at any port of the server; returns its public address.
fn offer(server: &Server, service: SocketAddr) -> (crate::process::Program, SocketAddr) {
    // With several sessions, it says so when the first is there.
    let mut agent = server.agent("a", &["--sessions", "1", "--tcp", &format!("0={service}")]);
    let port = agent.wait_for("serves tcp port ").parse().expect("a port");
    (agent, (Ipv4Addr::LOCALHOST, port).into())
}

#[test]
fn a_service_may_speak_first_and_both_may_half_close() {
    let service = web::listen(|mut tcp| {
        tcp.write_all(b"hello")?;
        let mut text = String::new();
        tcp.read_to_string(&mut text)?;
        tcp.write_all(text.to_uppercase().as_bytes())
    });
    let server = Server::start("first");
    let (_agent, address) = offer(&server, service);
    let mut client = web::connect(address).expect("it listens");
    let mut greeting = [0; 5];
    client.read_exact(&mut greeting).expect("it speaks first");
    assert_eq!(&greeting, b"hello");
    client.write_all(b"and now me").expect("it takes that");
    client.shutdown(Shutdown::Write).expect("it takes that");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "AND NOW ME");
}

#[test]
fn a_service_that_cannot_be_reached_resets_the_connection() {
    let server = Server::start("nobody");
    let (_agent, address) = offer(&server, nobody());
    let mut client = web::connect(address).expect("it listens");
    web::is_reset(client.read(&mut [0]), "an end would look like a service that is done");
}

#[test]
fn agents_of_one_name_share_the_connections() {
    let name = |name: &'static [u8]| {
        web::listen(move |mut tcp: TcpStream| {
            tcp.write_all(name)?;
            // Held until the client leaves, so that the load differs.
            tcp.read(&mut [0]).map(|_| ())
        })
    };
    let server = Server::start("share");
    let (_one, address) = offer(&server, name(b"1"));
    let (_two, same) = offer(&server, name(b"2"));
    assert_eq!(address, same, "they have the same services");
    let mut counts = [0; 2];
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = web::connect(address).expect("it listens");
        let mut name = [0];
        client.read_exact(&mut name).expect("its name");
        counts[usize::from(name[0] - b'1')] += 1;
        clients.push(client);
    }
    assert_eq!(counts, [10, 10], "each connection goes to the agent that has fewer");
}
