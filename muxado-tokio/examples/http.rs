//! HTTP over a session: axum serves the streams that the peer opens, hyper's client opens them.
//!
//! ```sh
//! cargo run -p muxado-tokio --all-features --example http
//! ```
//!
//! The side that accepted the TCP connection sends the requests, as the server of a tunnel does.

use std::error::Error;

use axum::extract::{ConnectInfo, Path};
use axum::{Router, routing::get};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use muxado_tokio::{Config, Connector, Session, StreamAddr};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some() {
        println!("Serves HTTP with axum behind an outgoing connection, and asks it with hyper.");
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let agent = tokio::spawn(agent(TcpStream::connect(listener.local_addr()?).await?));

    let (tcp, _) = listener.accept().await?;
    let session = Session::server(tcp, Config::default());
    let client = Client::builder(TokioExecutor::new())
        .build::<_, Empty<bytes::Bytes>>(Connector::new(session.clone()));
    for name in ["Ada", "Grace"] {
        // The session leads to the peer, for any name in the address.
        let answer = client.get(format!("http://agent/hello/{name}").parse()?).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        println!("{}", String::from_utf8_lossy(&body));
    }
    drop(client); // and with it the stream that it keeps for the next request
    let reason = session.close().await;
    agent.await??;
    eprintln!("session {reason}");
    Ok(())
}

/// Serves the requests of the peer until the session is over.
async fn agent(tcp: TcpStream) -> std::io::Result<()> {
    let session = Session::client(tcp, Config::default());
    let app = Router::new().route("/hello/{name}", get(hello));
    let over = session.downgrade();
    axum::serve(session, app.into_make_service_with_connect_info::<StreamAddr>())
        .with_graceful_shutdown(async move { drop(over.closed().await) })
        .await
}

async fn hello(Path(name): Path<String>, ConnectInfo(addr): ConnectInfo<StreamAddr>) -> String {
    let stream = addr.stream().map_or(0, |id| id.get());
    format!("hello, {name}, on stream {stream}")
}
