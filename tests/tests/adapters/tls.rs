//! Sessions over TLS: the options of TCP, and requests.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join;
use muxado_proto::Config;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, Smol, TokioMulti, TokioSingle, read_to_end, write_all};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::tcp;

/// Settings of both ends of a connection to `localhost`, with a certificate of its own.
fn ends() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key fits");
    (Arc::new(client), Arc::new(server))
}

fn is_tuned(tcp: &std::net::TcpStream) -> bool {
    let nodelay = tcp.nodelay().expect("a socket");
    nodelay && socket2::SockRef::from(tcp).keepalive().expect("a socket")
}

fn addresses(session: &impl SessionFace) -> [Option<SocketAddr>; 2] {
    [session.local_addr(), session.peer_addr()]
}

/// A quick request beside one whose answer has not begun, and the end of the session.
async fn is_in_use<R: Runtime>(client: R::Session, server: R::Session) {
    let mut slow = client.open().await.expect("opens");
    write_all(&mut slow, b"slow").await.expect("room");
    slow.finish().expect("it is open");
    let mut held = server.accept().await.expect("arrives");
    for size in [1, 1000, 100_000] {
        let mut quick = client.open().await.expect("opens");
        write_all(&mut quick, &vec![7; size]).await.expect("the peer reads");
        quick.finish().expect("it is open");
        let mut far = server.accept().await.expect("arrives");
        let question = read_to_end(&mut far).await.expect("a whole request");
        write_all(&mut far, &question).await.expect("the peer reads");
        drop(far);
        assert!(read_to_end(&mut quick).await.expect("a whole answer") == vec![7; size]);
    }
    write_all(&mut held, b"done").await.expect("the peer reads");
    drop(held);
    assert_eq!(read_to_end(&mut slow).await.expect("a whole answer"), b"done");
    drop(slow);
    assert!(client.close().await.is_clean());
    assert!(server.closed().await.is_clean());
}

macro_rules! over_tls {
    ($run:ident, $adapter:ident, $tls:ident, $tcp:path) => {
        async fn $run<R: Runtime<Session = $adapter::Session>>() {
            let (client, server) = ends();
            let connect = $tls::TlsConnector::from(client);
            let accept = $tls::TlsAcceptor::from(server);
            // The streams of the two sides, and the type for either.
            for either in [false, true] {
                let [near, far, twin] = tcp();
                let far_twin = far.try_clone().expect("a socket");
                far.set_nonblocking(true).expect("a socket");
                let (near, far) = join(
                    connect.connect("localhost".try_into().expect("a name"), $tcp(near).unwrap()),
                    accept.accept($tcp(far).unwrap()),
                )
                .await;
                let (near, far) = (near.expect("a handshake"), far.expect("a handshake"));
                assert!(!is_tuned(&twin) && !is_tuned(&far_twin));
                let (client, server) = if either {
                    let (near, far) = ($tls::TlsStream::Client(near), $tls::TlsStream::Server(far));
                    (
                        $adapter::Session::client(near, Config::default()),
                        $adapter::Session::server(far, Config::default()),
                    )
                } else {
                    (
                        $adapter::Session::client(near, Config::default()),
                        $adapter::Session::server(far, Config::default()),
                    )
                };
                assert!(is_tuned(&twin) && is_tuned(&far_twin));
                let [local, peer] = [twin.local_addr().ok(), twin.peer_addr().ok()];
                assert_eq!(
                    (addresses(&client), addresses(&server)),
                    ([local, peer], [peer, local])
                );
                is_in_use::<R>(client, server).await;
            }
            // The builder leaves the options alone.
            let [near, far, twin] = tcp();
            far.set_nonblocking(true).expect("a socket");
            let (near, _far) = join(
                connect.connect("localhost".try_into().expect("a name"), $tcp(near).unwrap()),
                accept.accept($tcp(far).unwrap()),
            )
            .await;
            let _session = $adapter::Builder::new(near.expect("a handshake")).client();
            assert!(!is_tuned(&twin));
        }
    };
}

over_tls!(on_tokio, muxado_tokio, tokio_rustls, tokio::net::TcpStream::from_std);
over_tls!(on_smol, muxado_smol, futures_rustls, smol::net::TcpStream::try_from);

#[test]
fn w4_w6_a_session_over_tls_sets_nodelay_and_keepalive_on_tokio() {
    TokioSingle::run(on_tokio::<TokioSingle>());
    TokioMulti::run(on_tokio::<TokioMulti>());
}

#[test]
fn w4_w6_a_session_over_tls_sets_nodelay_and_keepalive_on_smol() {
    Smol::run(on_smol::<Smol>());
}
