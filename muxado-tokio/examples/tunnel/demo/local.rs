//! The services behind the tunnel: HTTP that answers with a text of any length, and TCP that greets
//! and then echoes.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

use crate::Result;

/// What the TCP service says first.
pub const GREETING: &[u8] = b"220 ready\r\n";

/// The text of request `number`: unique, up to 16 KiB.
pub fn text(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 7919 % 16_384).expect("it is small");
    format!("{number:08} ").bytes().cycle().take(length.max(9)).collect()
}

/// Starts the HTTP service: `GET /number` returns the text of that number.
pub async fn http() -> Result<SocketAddr> {
    let (listener, address) = super::listen().await?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _ = tcp.set_nodelay(true);
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(tcp), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    Ok(match request.uri().path()[1..].parse() {
        Ok(number) => Response::new(Full::from(text(number))),
        Err(_) => {
            let mut answer = Response::new(Full::from("there is no such number"));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    })
}

/// Starts the TCP service.
pub async fn tcp() -> Result<SocketAddr> {
    let (listener, address) = super::listen().await?;
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.set_nodelay(true);
            tokio::spawn(async move {
                let (mut reader, mut writer) = tcp.split();
                writer.write_all(GREETING).await?;
                tokio::io::copy(&mut reader, &mut writer).await?;
                writer.shutdown().await
            });
        }
    });
    Ok(address)
}
