//! axum behind a session, hyper before it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, Version};
use axum::routing::{get, post};
use axum::{Router, response::Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use muxado_tokio::{Config, Connector, ErrorCode, Session, StreamAddr};
use tokio::task::JoinHandle;

type Http = Client<Connector, Full<Bytes>>;

/// Both ends over a pipe, and the server, which ends with its session.
fn serve(app: Router) -> (Session, JoinHandle<std::io::Result<()>>) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let session = Session::server(far, Config::default());
    session.set_peer_name("the client");
    let over = session.downgrade();
    let server = axum::serve(session, app.into_make_service_with_connect_info::<StreamAddr>())
        .with_graceful_shutdown(async move { drop(over.closed().await) });
    (Session::client(near, Config::default()), tokio::spawn(server.into_future()))
}

fn client(session: &Session) -> Http {
    // Each request has a stream of its own.
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(Connector::new(session.clone()))
}

fn app() -> Router {
    let whence = |ConnectInfo(addr): ConnectInfo<StreamAddr>| async move { addr.to_string() };
    Router::new()
        .route("/echo", post(|body: Body| async { Response::new(body) }))
        .route("/whence", get(whence))
        .route("/stuck", get(std::future::pending::<()>))
}

#[tokio::test]
async fn every_request_gets_its_own_answer_on_a_stream_of_its_own() {
    let (session, server) = serve(app());
    let http = client(&session);
    let asked: Vec<_> = (0..300usize)
        .map(|number| {
            let http = http.clone();
            let body: Bytes = format!("{number} ").repeat(1 + number * 7).into();
            tokio::spawn(async move {
                let request = Request::post("http://peer/echo").body(Full::new(body.clone()));
                let answer = http.request(request.unwrap()).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                assert!(answer.into_body().collect().await.unwrap().to_bytes() == body);
            })
        })
        .collect();
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(session.stats().streams_opened, 300);
    drop(http);
    assert!(session.close().await.is_clean());
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_learns_where_its_request_comes_from() {
    let (session, server) = serve(app());
    let http = client(&session);
    for stream in [3, 5] {
        let answer = http.get("http://peer/whence".parse().unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("stream {stream} of the client"));
    }
    drop(http);
    assert!(session.close().await.is_clean());
    server.await.unwrap().unwrap();
}

/// An echo of many windows while the request is still being sent, over HTTP/1 and HTTP/2.
#[tokio::test]
async fn a_body_flows_both_ways_at_once() {
    const PIECES: usize = 400;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (session, server) = serve(app());
        let http: Client<Connector, _> = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http2_only(version == Version::HTTP_2)
            .build(Connector::new(session.clone()));
        let (pieces, body) = tokio::sync::mpsc::channel::<Bytes>(1);
        let body = StreamBody::new(futures_util::stream::unfold(body, async |mut body| {
            let piece = body.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(piece)), body))
        }));
        let request = Request::post("http://peer/echo").body(BodyExt::boxed_unsync(body)).unwrap();
        let mut answer = http.request(request).await.unwrap().into_body();
        let sender = tokio::spawn(async move {
            for number in 0..PIECES {
                pieces.send(vec![number.to_le_bytes()[0]; 10_000].into()).await.unwrap();
            }
        });
        let mut came = 0usize;
        while let Some(frame) = answer.frame().await {
            for byte in frame.unwrap().into_data().unwrap() {
                assert_eq!(byte, (came / 10_000).to_le_bytes()[0], "at {came} over {version:?}");
                came += 1;
            }
        }
        assert_eq!(came, PIECES * 10_000);
        sender.await.unwrap();
        drop((http, answer));
        assert!(session.close().await.is_clean());
        server.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_request_fails_and_the_server_ends_when_the_session_does() {
    let (session, server) = serve(app());
    let http = client(&session);
    let stuck = tokio::spawn({
        let http = http.clone();
        async move { http.get("http://peer/stuck".parse().unwrap()).await }
    });
    while session.stats().payload_sent == 0 {
        tokio::task::yield_now().await;
    }
    session.abort(ErrorCode::INTERNAL, "enough");
    stuck.await.unwrap().unwrap_err();
    server.await.unwrap().unwrap();
    let error = http.get("http://peer/whence".parse().unwrap()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

/// Over TCP, where the session knows the addresses.
#[tokio::test]
async fn a_listener_and_its_streams_tell_the_addresses_of_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let ours = tcp.local_addr().unwrap();
    let client = Session::client(tcp, Config::default());
    let mut session = Session::server(listener.accept().await.unwrap().0, Config::default());
    let mut stream = client.open().await.unwrap();
    stream.announce().unwrap();

    let local = axum::serve::Listener::local_addr(&session).unwrap();
    assert_eq!((local.socket(), local.stream()), (Some(address), None));
    let accepted = tokio_util::net::Listener::accept(&mut session);
    let (_far, addr) =
        tokio::time::timeout(Duration::from_secs(60), accepted).await.unwrap().unwrap();
    assert_eq!((addr.socket(), addr.stream()), (Some(ours), Some(stream.id())));
    assert_eq!(addr.session(), session.number());

    client.abort(ErrorCode::INTERNAL, "enough");
    let error = tokio_util::net::Listener::accept(&mut session).await.unwrap_err();
    let code = muxado_tokio::error_code(&error);
    assert_eq!(code, Some(ErrorCode::INTERNAL), "{error}");
}
