//! HTTP over a session on smol: hyper through smol-hyper at both ends.
//!
//! ```sh
//! cargo run -p muxado-smol --example http-smol
//! ```

use std::convert::Infallible;
use std::error::Error;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use muxado_smol::{Config, Session};
use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::FuturesIo;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some() {
        println!("Serves HTTP behind a session and asks it, with hyper at both ends.");
        return Ok(());
    }
    smol::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let tcp = TcpStream::connect(listener.local_addr()?).await?;
    let (accepted, _) = listener.accept().await?;
    let server = smol::spawn(serve(accepted));

    let session = Session::client(tcp, Config::default());
    for name in ["Ada", "Grace"] {
        // Each request has its own stream, which ends with the request.
        let stream = FuturesIo::new(session.open().await?);
        let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
        let connection = smol::spawn(connection);
        let request = Request::get(format!("/{name}")).header("host", "peer");
        let answer = sender.send_request(request.body(Full::<Bytes>::default())?).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        println!("{}", String::from_utf8_lossy(&body));
        drop(sender);
        connection.await?;
    }

    let reason = session.close().await;
    server.await;
    eprintln!("session {reason}");
    Ok(())
}

/// Serves the requests of the peer until the session is over.
async fn serve(tcp: TcpStream) {
    let session = Session::server(tcp, Config::default());
    while let Ok(stream) = session.accept().await {
        smol::spawn(async move {
            let connection = server::conn::http1::Builder::new();
            let served = connection.serve_connection(FuturesIo::new(stream), service_fn(hello));
            if let Err(error) = served.await {
                eprintln!("http-smol: {error}");
            }
        })
        .detach();
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let name = request.uri().path().trim_start_matches('/');
    Ok(Response::new(format!("hello, {name}").into()))
}
