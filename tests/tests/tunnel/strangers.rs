//! Connections that have not authenticated, and how much they can use of the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muxado_tokio::{Config, ErrorCode, Session, StreamType, error_code};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::Redis;
use crate::process::{LIMIT, Server, TOKEN, directory};
use crate::web;

const HELLO: StreamType = StreamType(1);

/// Accepts every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}

async fn connect(server: &Server) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version of TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let tcp = TcpStream::connect(server.agents).await.expect("it listens");
    let name = ServerName::try_from("tunnel").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("it speaks TLS")
}

async fn session(server: &Server) -> Session {
    let config = Config::builder().typed(true).build().expect("the settings fit");
    Session::client(connect(server).await, config)
}

#[tokio::test]
async fn who_says_nothing_is_cut_off_after_ten_seconds() {
    let server = Server::start("silent");
    let started = Instant::now();
    let mut without_tls = TcpStream::connect(server.agents).await.expect("it listens");
    let mut with_tls = connect(&server).await;
    let idle = session(&server).await;
    // The connection ends, in any form.
    let _ = without_tls.read(&mut [0]).await;
    let _ = with_tls.read_to_end(&mut Vec::new()).await;
    assert!(!idle.closed().await.is_clean());
    let took = started.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test]
async fn who_sends_too_much_is_cut_off_at_once() {
    let server = Server::start("much");
    let session = session(&server).await;
    let started = Instant::now();
    let mut stream = session.open_typed(HELLO).await.expect("it opens");
    let mut sent = 0_u32;
    while stream.write_all(&[b' '; 1024]).await.is_ok() {
        sent += 1024;
        assert!(sent < 1 << 20, "the server has taken 1 MiB of a stranger");
    }
    session.closed().await;
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn one_stream_is_all() {
    let server = Server::start("one");
    let session = session(&server).await;
    let mut first = session.open_typed(HELLO).await.expect("it opens");
    first.write_all(b"{").await.expect("it takes that");
    let mut second = session.open_typed(HELLO).await.expect("it opens");
    let error = second.read_u8().await.expect_err("it is refused");
    assert!(
        matches!(
            error_code(&error),
            Some(ErrorCode::STREAM_REFUSED | ErrorCode::ACCEPT_QUEUE_FULL)
        ),
        "{error}"
    );
    // The first is read on.
    first.write_all(b"}").await.expect("it takes that");
    first.shutdown().await.expect("it takes that");
    session.closed().await;
}

/// They have the token, but leave before they are welcomed. Their name must not stay taken.
#[tokio::test]
async fn agents_that_leave_before_the_welcome_leave_nothing() {
    // Admission takes longer, and more can happen meanwhile, if there is a registry to ask.
    let Some(redis) = Redis::start() else { return };
    let more = ["--registry", &redis.url()];
    let server = Server::with(&directory("ghosts"), "127.0.0.1:0", "127.0.0.1:0", &more);
    for instance in 0..50 {
        let session = session(&server).await;
        let mut stream = session.open_typed(HELLO).await.expect("it opens");
        let hello = format!(
            r#"{{"token":"{TOKEN}","name":"ghost","instance":{instance},"services":[{{"http":"ghost.example"}}]}}"#
        );
        stream.write_all(hello.as_bytes()).await.expect("it takes that");
        stream.shutdown().await.expect("it takes that");
        stream.flush().await.expect("it takes that");
        session.abort(ErrorCode::NO_ERROR, "");
        session.closed().await;
    }
    let deadline = Instant::now() + LIMIT;
    while !web::get(server.admin, "127.0.0.1", "/status.json")
        .is_ok_and(|(_, status)| status.contains("\"agents\":[]"))
    {
        assert!(Instant::now() < deadline, "the server keeps agents that are gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
