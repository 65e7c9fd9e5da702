//! A session over TLS, with rustls: the client knows the server's certificate and accepts no other.
//!
//! ```sh
//! cargo run -p muxado-smol --all-features --example tls-smol
//! ```
//!
//! muxado neither encrypts nor authenticates, so use TLS between machines. Any TLS stream of
//! futures-io is a transport. With the feature `rustls` a session finds the TCP connection below it,
//! sets its options and takes its addresses; without it, call `tcp::tune` before the handshake.

use std::error::Error;
use std::sync::Arc;

use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use futures_rustls::{TlsAcceptor, TlsConnector};
use muxado_smol::{Config, Session};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    if std::env::args().nth(1).is_some() {
        println!("Asks a server for a word in capitals, over a session in TLS.");
        return Ok(());
    }
    smol::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    // In real use they come from files, and the name is that of the host.
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = smol::spawn(serve(listener, certificate.clone(), key));

    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let tls = connector.connect("localhost".try_into()?, tcp).await?;
    let session = Session::client(tls, Config::default());

    let mut stream = session.open().await?;
    stream.write_all(b"hello").await?;
    stream.close().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("the server says {answer}");
    drop(stream);

    let reason = session.close().await;
    server.await?;
    eprintln!("session with {address} {reason}");
    Ok(())
}

async fn serve(
    listener: TcpListener,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let key = PrivateKeyDer::Pkcs8(key.into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let (tcp, _) = listener.accept().await?;
    let tls = TlsAcceptor::from(Arc::new(config)).accept(tcp).await?;
    let session = Session::server(tls, Config::default());
    while let Ok(mut stream) = session.accept().await {
        let mut request = String::new();
        stream.read_to_string(&mut request).await?;
        stream.write_all(request.to_uppercase().as_bytes()).await?;
    }
    Ok(())
}
