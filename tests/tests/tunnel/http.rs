//! HTTP by host name, and what the server does to requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::process::{Program, Server, directory, nobody};
use crate::web;

/// Offers a service under the name `app.example`.
fn offer(server: &Server, service: SocketAddr) -> Program {
    let mut agent = server.agent("a", &["--http", &format!("app.example={service}")]);
    agent.wait_for("serves http://");
    agent
}

/// Answers with the head of the request.
fn mirror() -> SocketAddr {
    web::service(|mut request| {
        let head = request.head.to_ascii_lowercase();
        request.answer(&head)
    })
}

#[test]
fn hosts_lead_to_their_services_and_to_no_other() {
    let server = Server::start("hosts");
    let [one, two] = ["one", "two"].map(|name| format!("{name}.example={}", web::says(name)));
    let mut agent = server.agent("a", &["--http", &one, "--http", &two]);
    agent.wait_for("serves http://two");
    let get = |host| web::get(server.http, host, "/").expect("an answer");
    assert_eq!(get("one.example"), (200, "one".to_owned()));
    assert_eq!(get("TWO.example:8080"), (200, "two".to_owned()));
    assert_eq!(get("three.example").0, 404);
    let absolute =
        "GET http://two.example/ HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n";
    assert!(web::ask(server.http, absolute).expect("an answer").ends_with("two"));
}

#[test]
fn headers_of_the_connection_and_of_other_proxies_do_not_reach_the_service() {
    let server = Server::start("headers");
    let _agent = offer(&server, mirror());
    let request = "GET /path?query HTTP/1.1\r\nHost: App.example:99\r\n\
        X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Port: 1\r\n\
        Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Kept: yes\r\n\
        Connection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
        Proxy-Authorization: 1\r\nProxy-Connection: close\r\n\r\n";
    let answer = web::ask(server.http, request).expect("an answer");
    let (_, head) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("get /path?query http/1.1\r\n"), "{head}");
    for expected in [
        "host: app.example:99\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: app.example:99\r\n",
        "x-kept: yes\r\n",
    ] {
        let line = format!("\n{expected}");
        assert_eq!(head.matches(&line).count(), 1, "{expected} in {head}");
    }
    for gone in ["6.6.6.6", "7.7.7.7", "-port", "secret", "keep-alive", "trailers", "proxy-"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

/// Neither the request nor bytes that one reader would take for the next request reach the service.
#[test]
fn a_request_with_two_lengths_is_refused() {
    let server = Server::start("lengths");
    let _agent = offer(&server, mirror());
    for lengths in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nHost: app.example\r\n{lengths}\r\n\r\n0\r\n\r\n\
            GET /hidden HTTP/1.1\r\nHost: app.example\r\n\r\n"
        );
        // Reads up to the end of the connection, which the server closes.
        let answer = web::ask(server.http, &request).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lengths}: {answer}");
    }
}

#[test]
fn requests_before_one_that_is_refused_are_answered() {
    let server = Server::start("before");
    // One that closes before it has read everything would reset, and that could overtake its answer.
    let service = web::service(|mut request| {
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") && request.connection.read_line(&mut body)? > 0 {}
        request.answer("done")
    });
    let _agent = offer(&server, service);
    let good = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\n\r\n";
    let bad = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let answer = web::ask(server.http, &format!("{good}{good}{bad}")).expect("an answer");
    let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answer}");
}

#[test]
fn a_connection_ends_after_another_protocol_was_refused() {
    let server = Server::start("refused");
    let _agent = offer(&server, web::says("no"));
    let next = "GET /hidden HTTP/1.1\r\nHost: app.example\r\n\r\n";
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: app.example\r\nUpgrade: x\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: no.example\r\nUpgrade: x\r\n\r\n", 404),
        ("CONNECT app.example:80 HTTP/1.1\r\nHost: app.example\r\n\r\n", 501),
    ] {
        let answer = web::ask(server.http, &format!("{request}{next}")).expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{request}: {answer}");
    }
}

#[test]
fn bodies_go_both_ways_in_pieces() {
    let service = web::service(|mut request| {
        // The request arrives chunked, as it was sent.
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            if request.connection.read_line(&mut body)? == 0 {
                break;
            }
        }
        let data: String = body.lines().skip(1).step_by(2).collect();
        let tcp = request.connection.get_mut();
        tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for byte in data.chars() {
            tcp.write_all(format!("1\r\n{byte}\r\n").as_bytes())?;
        }
        tcp.write_all(b"0\r\n\r\n")
    });
    let server = Server::start("pieces");
    let _agent = offer(&server, service);
    let chunked = "POST / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let answer = web::ask(server.http, chunked).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let data: String = body.lines().skip(1).step_by(2).collect();
    assert_eq!(data, "hello", "{answer}");
}

#[test]
fn an_answer_that_is_cut_short_does_not_look_whole() {
    let service = web::service(|mut request| {
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        request.connection.get_mut().write_all(half)
    });
    let server = Server::start("short");
    let _agent = offer(&server, service);
    assert!(web::get(server.http, "app.example", "/").is_err());
}

#[test]
fn only_a_whole_answer_without_a_length_ends_in_order() {
    let service = web::service(|mut request| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        let rest = if request.head.starts_with("GET /whole") { "0\r\n\r\n" } else { "" };
        request.connection.get_mut().write_all(format!("{head}{rest}").as_bytes())
    });
    let server = Server::start("broken");
    let _agent = offer(&server, service);
    // For a client of HTTP/1.0 the end of the connection is that of the answer.
    let ask =
        |path| web::ask(server.http, &format!("GET {path} HTTP/1.0\r\nHost: app.example\r\n\r\n"));
    let whole = ask("/whole").expect("a whole answer");
    assert!(whole.ends_with("\r\n\r\nhalf"), "{whole}");
    web::is_reset(ask("/broken"), "it is not the whole answer");
}

#[test]
fn a_service_that_cannot_be_reached_is_a_bad_gateway() {
    let server = Server::start("gateway");
    let _agent = offer(&server, nobody());
    let (status, text) = web::get(server.http, "app.example", "/").expect("an answer");
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("stream refused"), "{text}");
}

/// A service of another protocol, which sends back what it receives.
fn echoes() -> SocketAddr {
    web::service(|mut request| {
        assert!(request.head.to_ascii_lowercase().contains("upgrade: echo"));
        let tcp = request.connection.get_mut();
        tcp.write_all(b"HTTP/1.1 101 .\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")?;
        let mut buffer = [0; 100];
        loop {
            let count = request.connection.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            request.connection.get_mut().write_all(&buffer[..count])?;
        }
    })
}

/// A connection that has changed its protocol, and a reader of it.
fn changed(server: &Server) -> (TcpStream, BufReader<TcpStream>) {
    let mut client = web::connect(server.http).expect("it listens");
    let request =
        b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    client.write_all(request).expect("it takes that");
    let mut head = String::new();
    let mut reader = BufReader::new(client.try_clone().expect("one more handle"));
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("an answer") > 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for word in [b"first", b"again"] {
        client.write_all(word).expect("it takes that");
        let mut back = [0; 5];
        reader.read_exact(&mut back).expect("it comes back");
        assert_eq!(&back, word);
    }
    (client, reader)
}

#[test]
fn a_connection_can_change_its_protocol() {
    let server = Server::start("upgrade");
    let agent = offer(&server, echoes());
    let (client, mut reader) = changed(&server);
    client.shutdown(Shutdown::Write).expect("it takes that");
    assert_eq!(reader.read(&mut [0]).expect("an end in order"), 0);

    let (_client, mut reader) = changed(&server);
    drop(agent); // killed
    web::is_reset(reader.read(&mut [0]), "the other protocol does not show that data is missing");
}

#[test]
fn a_connection_of_another_protocol_that_a_server_cuts_is_reset() {
    let directory = directory("cut");
    let server = Server::with(&directory, "127.0.0.1:0", "127.0.0.1:0", &["--grace", "0"]);
    let _agent = offer(&server, echoes());
    let (_client, mut reader) = changed(&server);
    server.program.signal("TERM");
    web::is_reset(reader.read(&mut [0]), "the other protocol does not show that data is missing");
}
