//! TLS without an authority: a peer that has the key of a certificate with the expected fingerprint
//! is the expected peer; the contents of the certificate do not matter.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig};
use rustls::{Error as TlsError, SignatureScheme, version::TLS13};
use sha2::{Digest as _, Sha256};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Result;

/// A certificate's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || "a fingerprint has 64 hexadecimal digits".to_owned();
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// A certificate and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// One made up, for this process alone.
    pub fn new() -> Result<Self> {
        let (certificate, key) = make()?;
        Self::parse(certificate.as_bytes(), key.as_bytes())
    }

    /// The identity in two PEM files, which are created if neither exists.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        if !certificate.exists() && !key.exists() {
            let made = make()?;
            std::fs::write(certificate, made.0)?;
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(key)?.write_all(made.1.as_bytes())?;
        }
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        Self::parse(&read(certificate)?, &read(key)?)
    }

    fn parse(certificate: &[u8], key: &[u8]) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(certificate);
        let chain = chain.collect::<std::result::Result<Vec<_>, _>>()?;
        if chain.is_empty() {
            return Err("no certificate in the file".into());
        }
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key)? })
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.chain[0])
    }
}

/// PEM of a new certificate and of its key.
fn make() -> Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed(["tunnel".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// The server's end. Agents have no certificate; other servers have the same one as this server.
pub fn acceptor(identity: &Identity) -> Result<TlsAcceptor> {
    let verifier = Arc::new(Pinned::new(identity.fingerprint()));
    let config = ServerConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The other end: an agent, or with an identity another server.
pub fn connector(pin: Fingerprint, identity: Option<&Identity>) -> Result<TlsConnector> {
    let verifier = Arc::new(Pinned::new(pin));
    let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // it is not: the certificate is known in advance
        .with_custom_certificate_verifier(verifier);
    let config = match identity {
        Some(own) => config.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        None => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name in the handshake. It is not checked.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("tunnel").expect("a valid name")
}

/// Accepts one certificate, and only from a peer that has its key.
#[derive(Debug)]
struct Pinned {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(pin: Fingerprint) -> Self {
        // The first that both ends have is taken; AES with 128 bits is the fastest.
        let cipher_suites = vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ];
        let provider = CryptoProvider { cipher_suites, ..ring::default_provider() };
        Self { pin, provider: Arc::new(provider) }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> std::result::Result<(), TlsError> {
        let found = Fingerprint::of(certificate);
        if found == self.pin {
            return Ok(());
        }
        let text = format!("wrong certificate: its fingerprint is {found}, not {}", self.pin);
        Err(TlsError::General(text))
    }

    fn check_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The methods of a certificate verifier that both ends need.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
            Err(TlsError::General("TLS 1.3 is required".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
            self.check_key(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.schemes()
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Pinned {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, TlsError> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

/// Whether a handshake failed because the certificate was not the expected one.
pub fn is_wrong_certificate(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>());
    matches!(cause, Some(TlsError::General(_)))
}
