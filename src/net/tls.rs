//! TLS 1.2 and 1.3 towards clients and upstreams: rustls with aws-lc-rs, which is passed in, never installed globally.
//!
//! Files are read elsewhere; here are bytes in, and a [`TlsProblem`] that says what is wrong with them out.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::stream::{Socket, Stream};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// What is wrong with TLS material. `Display` says it without any of the bytes; the file is the caller's to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsProblem {
    /// The certificate bytes hold no `CERTIFICATE` block.
    NoCertificate,
    /// The key bytes hold no private key block.
    NoPrivateKey,
    /// The private key is protected by a passphrase.
    EncryptedPrivateKey,
    /// A certificate block cannot be read.
    UnreadableCertificate,
    /// The private key cannot be read or is of an unsupported kind.
    UnreadablePrivateKey,
    /// The private key belongs to another certificate than the first one.
    KeyMismatch,
    /// No certificate was given to serve.
    NothingToServe,
    /// A certificate in a CA file cannot serve as a trust anchor.
    BadAuthority,
    /// Neither a DNS name nor an IP address.
    BadServerName(String),
    /// This machine has no usable root certificates.
    NoSystemRoots,
    /// The TLS library refuses the set-up.
    Refused(String),
}

/// What is questionable about a certificate that works all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsWarning {
    /// Clients refuse it since this time.
    Expired(Timestamp),
    /// Clients refuse it until this time.
    NotYetValid(Timestamp),
}

/// A certificate chain with its private key. `Debug` shows the names only.
#[derive(Clone)]
pub struct Certificate {
    chain_and_key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Certificate {
    /// Parses a PEM chain, the server's own certificate first, and its PEM key (PKCS #8, PKCS #1 or SEC 1).
    /// Both may be the same bytes.
    ///
    /// # Errors
    /// [`TlsProblem`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsProblem> {
        let chain = certificates_from_pem(certificates)?;
        let names = names_of(&chain)?;
        let key = private_key_from_pem(key)?;
        let signing_key =
            PROVIDER.key_provider.load_private_key(key).map_err(|_| TlsProblem::UnreadablePrivateKey)?;
        let chain_and_key = Arc::new(CertifiedKey::new(chain, signing_key));
        match chain_and_key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(TlsProblem::KeyMismatch),
            Err(_) => return Err(TlsProblem::UnreadableCertificate),
        }
        Ok(Self { chain_and_key, names })
    }

    /// The DNS names it is for, lower case; `*.example.com` stands for one label (RFC 9525 §6.3).
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What an operator should hear about it at `now`.
    pub fn warning(&self, now: Timestamp) -> Option<TlsWarning> {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        match self.validity_at(UnixTime::since_unix_epoch(Duration::from_secs(seconds))) {
            Err(webpki::Error::CertExpired { not_after, .. }) => {
                Some(TlsWarning::Expired(timestamp(not_after)))
            }
            Err(webpki::Error::CertNotValidYet { not_before, .. }) => {
                Some(TlsWarning::NotYetValid(timestamp(not_before)))
            }
            Ok(()) | Err(_) => None,
        }
    }

    /// When it expires; the `notAfter` of RFC 5280 §4.1.2.5.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
        match self.validity_at(end_of_time) {
            Err(webpki::Error::CertExpired { not_after, .. }) => Some(timestamp(not_after)),
            Ok(()) | Err(_) => None,
        }
    }

    /// webpki looks at the validity period before anything else, so a path to no anchor tells just that.
    fn validity_at(&self, now: UnixTime) -> Result<(), webpki::Error> {
        let Some(own) = self.chain_and_key.cert.first() else { return Ok(()) };
        let own = webpki::EndEntityCert::try_from(own)?;
        own.verify_for_usage(&[], &[], &[], now, webpki::KeyUsage::server_auth(), None, None).map(drop)
    }

    fn serves(&self, server_name: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            None => name.eq_ignore_ascii_case(server_name),
            Some(parent) => server_name
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs()).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}

fn names_of(chain: &[CertificateDer<'_>]) -> Result<Vec<String>, TlsProblem> {
    let own = chain.first().ok_or(TlsProblem::NoCertificate)?;
    let own = webpki::EndEntityCert::try_from(own).map_err(|_| TlsProblem::UnreadableCertificate)?;
    Ok(own.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsProblem::UnreadableCertificate)?;
    if chain.is_empty() { Err(TlsProblem::NoCertificate) } else { Ok(chain) }
}

fn private_key_from_pem(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound if memchr::memmem::find(pem, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() => {
            TlsProblem::EncryptedPrivateKey
        }
        Error::NoItemsFound => TlsProblem::NoPrivateKey,
        _ => TlsProblem::UnreadablePrivateKey,
    })
}

fn authorities_from_pem(pem: &[u8]) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for authority in certificates_from_pem(pem)? {
        roots.add(authority).map_err(|_| TlsProblem::BadAuthority)?;
    }
    Ok(roots)
}

/// What a TLS listener serves.
#[derive(Clone, Debug)]
pub struct ServerTlsOptions {
    /// Chosen by server name; the first one also serves clients that name none or an unknown one.
    pub certificates: Vec<Certificate>,
    /// PEM certificates of the authorities one of which must have signed the client's certificate.
    pub client_ca: Option<Vec<u8>>,
    /// Whether clients may choose HTTP/2 (ALPN `h2`) instead of HTTP/1.1.
    pub serves_http2: bool,
}

/// The certificates and settings of a TLS listener; shared by its workers and replaceable while they serve.
#[derive(Debug)]
pub struct CertificateStore(ArcSwap<ServerConfig>);

impl CertificateStore {
    /// A store that serves `options`, with resumption by tickets (RFC 8446 §4.6.1).
    ///
    /// # Errors
    /// [`TlsProblem::NothingToServe`], or what is wrong with the client CA.
    pub fn new(options: &ServerTlsOptions) -> Result<Self, TlsProblem> {
        Ok(Self(ArcSwap::from(server_config(options)?)))
    }

    /// Serves `options` to every handshake from now on; open connections keep what they have. Ticket keys are new too,
    /// so that nobody resumes past an authority that was removed.
    ///
    /// # Errors
    /// As [`CertificateStore::new`]; what was served before stays.
    pub fn replace(&self, options: &ServerTlsOptions) -> Result<(), TlsProblem> {
        self.0.store(server_config(options)?);
        Ok(())
    }

    /// Does the server's side of the handshake. The timeout is the caller's.
    ///
    /// # Errors
    /// When the client leaves or speaks no TLS that is allowed; a [`rustls::Error`] is inside. `InvalidInput` for a
    /// stream that is TLS already.
    pub async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        let acceptor = TlsAcceptor::from(self.0.load_full());
        let tls = acceptor.accept(cleartext(stream)?).await?;
        Ok(Stream::Tls(Box::new(tls.into())))
    }
}

fn cleartext(stream: Stream) -> io::Result<Socket> {
    match stream {
        Stream::Clear(socket) => Ok(socket),
        Stream::Tls(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "the stream is TLS already")),
    }
}

fn server_config(options: &ServerTlsOptions) -> Result<Arc<ServerConfig>, TlsProblem> {
    let resolver = ByServerName::new(options.certificates.clone())?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(refused)?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(authorities_from_pem(pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER))
                .build()
                .map_err(|error| TlsProblem::Refused(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    let http2 = options.serves_http2.then(|| b"h2".to_vec());
    config.alpn_protocols = http2.into_iter().chain([b"http/1.1".to_vec()]).collect();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(refused)?;
    Ok(Arc::new(config))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: rustls::Error) -> TlsProblem {
    TlsProblem::Refused(error.to_string())
}

/// Chooses the certificate by SNI (RFC 6066 §3).
#[derive(Debug)]
struct ByServerName {
    default: Certificate,
    others: Vec<Certificate>,
}

impl ByServerName {
    fn new(certificates: Vec<Certificate>) -> Result<Self, TlsProblem> {
        let mut certificates = certificates.into_iter();
        let default = certificates.next().ok_or(TlsProblem::NothingToServe)?;
        Ok(Self { default, others: certificates.collect() })
    }

    /// Among several for one name (RSA beside ECDSA), the first whose key the client can verify.
    fn choose(&self, hello: &ClientHello<'_>) -> &Certificate {
        let Some(name) = hello.server_name() else { return &self.default };
        let verifiable = |certificate: &&Certificate| {
            certificate.chain_and_key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let mut all = std::iter::once(&self.default).chain(&self.others).filter(|one| one.serves(name));
        all.find(verifiable).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.choose(&hello).chain_and_key))
    }
}

/// How to verify an upstream.
#[derive(Clone, Debug, Default)]
pub struct ClientTlsOptions {
    /// PEM certificates of the only authorities to believe; without them, those of this machine.
    pub ca: Option<Vec<u8>>,
    /// The name to ask for and to verify, where it is not the host of the URL.
    pub server_name: Option<String>,
}

/// The versions of HTTP that an upstream may choose from (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// Either, rather HTTP/2.
    Either,
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        match self {
            Self::Http1 => vec![http1],
            Self::Http2 => vec![http2],
            Self::Either => vec![http2, http1],
        }
    }
}

/// TLS towards one upstream: always verified, sessions resumed. Clones share the sessions.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl ClientTls {
    /// `host` is the host of the upstream's URL: a name, an IPv4 address, or an IPv6 address with or without brackets.
    /// Cost: without `ca` it reads the root certificates of this machine.
    ///
    /// # Errors
    /// [`TlsProblem`].
    pub fn new(host: &str, options: &ClientTlsOptions) -> Result<Self, TlsProblem> {
        let name = options.server_name.as_deref().unwrap_or(host);
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let server_name =
            ServerName::try_from(bare.to_owned()).map_err(|_| TlsProblem::BadServerName(name.to_owned()))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(refused)?;
        let config = if let Some(pem) = &options.ca {
            builder.with_root_certificates(authorities_from_pem(pem)?).with_no_client_auth()
        } else {
            let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&PROVIDER))
                .map_err(|_| TlsProblem::NoSystemRoots)?;
            // "Dangerous" names the method; the verifier is the platform's and verifies everything.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    /// Does the client's side of the handshake. The timeout is the caller's. What the upstream chose of `offer` is the
    /// stream's [`Stream::alpn`]; one that knows no ALPN chooses nothing.
    ///
    /// # Errors
    /// When the upstream leaves, cannot be verified or wants nothing of the offer; a [`rustls::Error`] is inside.
    /// `InvalidInput` for a stream that is TLS already.
    pub async fn connect(&self, stream: Stream, offer: Offer) -> io::Result<Stream> {
        let connector = self.connector.with_alpn(offer.protocols());
        let tls = connector.connect(self.server_name.clone(), cleartext(stream)?).await?;
        Ok(Stream::Tls(Box::new(tls.into())))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => {
                "no certificate in it: expected PEM with a line `-----BEGIN CERTIFICATE-----`"
            }
            Self::NoPrivateKey => {
                "no private key in it: expected PEM with a line `-----BEGIN PRIVATE KEY-----`"
            }
            Self::EncryptedPrivateKey => {
                "the private key is protected by a passphrase; `openssl pkey -in key.pem -out plain.pem` removes it"
            }
            Self::UnreadableCertificate => "a certificate in it cannot be read: it is cut off or damaged",
            Self::UnreadablePrivateKey => {
                "the private key cannot be read: expected RSA, ECDSA (P-256, P-384, P-521) or Ed25519"
            }
            Self::KeyMismatch => {
                "the private key does not belong to the certificate; the server's own certificate comes first in its file"
            }
            Self::NothingToServe => "TLS needs at least one certificate",
            Self::BadAuthority => "a certificate in it cannot serve as an authority",
            Self::BadServerName(name) => {
                return write!(f, "`{name}` is neither a DNS name nor an IP address");
            }
            Self::NoSystemRoots => {
                "this machine has no root certificates: install `ca-certificates`, set SSL_CERT_FILE, or give a `ca`"
            }
            Self::Refused(cause) => return write!(f, "TLS cannot be set up: {cause}"),
        })
    }
}

impl std::error::Error for TlsProblem {}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(since) => write!(f, "the certificate expired at {since}: clients will refuse it"),
            Self::NotYetValid(until) => write!(f, "the certificate is not valid before {until}"),
        }
    }
}
