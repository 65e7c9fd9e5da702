//! HTTP by hand, to control and see every byte.

use std::fmt::Debug;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use crate::process::{self, LIMIT};

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(LIMIT))?;
    Ok(tcp)
}

/// Asserts that a connection was reset.
pub fn is_reset<T: Debug>(result: io::Result<T>, what: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{what}");
}

/// Sends bytes and reads the answer up to the end of the connection.
pub fn ask(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut tcp = connect(address)?;
    tcp.write_all(request.as_bytes())?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The status and the body of an answer.
pub fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = ask(address, &request)?;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("{answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(invalid)?;
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    if length.is_some_and(|length| length.parse() != Ok(body.len())) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((status, body.to_owned()))
}

/// One request as a service sees it.
pub struct Request {
    pub head: String,
    pub connection: BufReader<TcpStream>,
}

impl Request {
    /// Answers with a text, and ends the connection.
    pub fn answer(&mut self, text: &str) -> io::Result<()> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        self.connection.get_mut().write_all((head + text).as_bytes())
    }
}

/// A service that handles every request in its own thread.
pub fn service(handle: impl Fn(Request) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    listen(move |tcp| {
        let mut connection = BufReader::new(tcp);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if connection.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        handle(Request { head, connection })
    })
}

/// A service that answers every request with one text.
pub fn says(text: impl Into<String>) -> SocketAddr {
    let text = text.into();
    service(move |mut request| request.answer(&text))
}

/// A TCP service that handles every connection in its own thread.
pub fn listen(handle: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = process::address(&listener);
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            // The client sees the failure of a connection.
            std::thread::spawn(move || handle(tcp));
        }
    });
    address
}
