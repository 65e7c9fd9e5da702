//! gRPC over a session with tonic: unary calls, and streams of messages both ways.
//!
//! ```sh
//! cargo run -p muxado-tokio --all-features --example grpc
//! ```
//!
//! `Shout` and `call` replace the code that `tonic-build` generates from a .proto file, so that the
//! example needs no compiler of such files. Use a generated service and client in the same way:
//! `Server::builder().add_service(..).serve_with_incoming(..)` and `GreeterClient::new(channel)`.

use std::convert::Infallible;
use std::error::Error;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use muxado_tokio::{Config, Connector, Session, StreamAddr};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tower::{Service, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some() {
        println!("Calls a gRPC service over a session: one message, and streams of them.");
        return Ok(());
    }
    let (near, far) = tokio::io::duplex(64 << 10);
    let server = Session::server(far, Config::default());
    let server = tokio::spawn(Server::builder().serve_with_incoming(Shout, server.incoming()));

    // One stream carries all calls of a channel. The address only fills the header `:authority`.
    let session = Session::client(near, Config::default());
    let endpoint = Endpoint::from_static("http://peer");
    let channel = endpoint.connect_with_connector(Connector::new(session.clone())).await?;
    println!("{}", call(channel.clone(), "unary", ["hello"]).await?);
    println!("{}", call(channel.clone(), "join", ["one", "two"]).await?);
    println!("{}", call(channel.clone(), "split", ["a b c"]).await?);
    println!("{}", call(channel.clone(), "each", ["first", "second"]).await?);

    drop(channel);
    let reason = session.close().await;
    server.await??; // the server ends with the session
    eprintln!("session {reason}");
    Ok(())
}

/// Sends messages to a method, and joins the messages of the answer with commas.
async fn call<const N: usize>(
    channel: Channel,
    method: &'static str,
    messages: [&'static str; N],
) -> Result<String, Box<dyn Error>> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let path = format!("/shout.Shout/{method}").parse()?;
    let messages = tokio_stream::iter(messages.map(|text| Bytes::from_static(text.as_bytes())));
    let answer = client.streaming(Request::new(messages), path, Plain).await?;
    let answers: Vec<Bytes> = answer.into_inner().collect::<Result<_, Status>>().await?;
    Ok(String::from_utf8(answers.join(&b", "[..]))?)
}

/// The service: answers in capitals.
#[derive(Clone)]
struct Shout;

impl Service<http::Request<Body>> for Shout {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/shout.Shout/unary" => grpc.unary(service_fn(unary), request).await,
                "/shout.Shout/join" => grpc.client_streaming(service_fn(join), request).await,
                "/shout.Shout/split" => grpc.server_streaming(service_fn(split), request).await,
                "/shout.Shout/each" => grpc.streaming(service_fn(each), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A unary call; returns the message, and the stream that carried it.
async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let addr = request.extensions().get::<StreamAddr>().and_then(StreamAddr::stream);
    let stream = addr.ok_or_else(|| Status::internal("on no stream"))?;
    let text = shout(request.get_ref());
    Ok(Response::new([&text[..], format!(" on stream {stream}").as_bytes()].concat().into()))
}

/// Many messages to one.
async fn join(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let all: Vec<Bytes> = request.into_inner().collect::<Result<_, Status>>().await?;
    Ok(Response::new(shout(&all.join(&b" and "[..]))))
}

type Answers = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<Bytes, Status>> + Send>>;

/// One message to many.
async fn split(request: Request<Bytes>) -> Result<Response<Answers>, Status> {
    let text = shout(request.get_ref());
    let words: Vec<_> = text.split(|byte| *byte == b' ').map(|word| text.slice_ref(word)).collect();
    Ok(Response::new(Box::pin(tokio_stream::iter(words).map(Ok))))
}

/// Each message answered as it comes.
async fn each(request: Request<Streaming<Bytes>>) -> Result<Response<Answers>, Status> {
    Ok(Response::new(Box::pin(request.into_inner().map(|message| Ok(shout(&message?))))))
}

fn shout(text: &[u8]) -> Bytes {
    text.to_ascii_uppercase().into()
}

/// A codec for plain bytes. A generated service has one for Protocol Buffers.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
