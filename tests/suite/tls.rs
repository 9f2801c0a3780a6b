//! TLS handshakes over real loopback sockets, towards clients and upstreams, with certificates made for the test.

use jiff::Timestamp;
use keygate::net::stream::Stream;
use keygate::net::tls::{
    Certificate, CertificateStore, ClientTls, ClientTlsOptions, Offer, ServerTlsOptions, TlsProblem,
    TlsWarning,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Authority = CertifiedIssuer<'static, KeyPair>;

struct Issued {
    certificate: String,
    key: String,
}

impl Issued {
    fn parsed(&self) -> Certificate {
        Certificate::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Authority, names: &[&str]) -> Issued {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    issue_from(authority, &CertificateParams::new(names).unwrap())
}

fn issue_from(authority: &Authority, params: &CertificateParams) -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Issued { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn serving(certificates: &[&Issued]) -> ServerTlsOptions {
    ServerTlsOptions {
        certificates: certificates.iter().map(|one| one.parsed()).collect(),
        client_ca: None,
        serves_http2: true,
    }
}

fn client(authority: &Authority, server_name: &str) -> ClientTls {
    let ca = Some(authority.pem().into_bytes());
    ClientTls::new("127.0.0.1", &ClientTlsOptions { ca, server_name: Some(server_name.to_owned()) }).unwrap()
}

/// Both ends after the handshake, client first.
async fn shake(
    store: &CertificateStore,
    client: &ClientTls,
) -> (std::io::Result<Stream>, std::io::Result<Stream>) {
    let (near, far) = super::net::tcp_pair().await;
    tokio::join!(client.connect(near, Offer::Http1), store.accept(far))
}

/// The certificate that the server showed.
fn shown(stream: &Stream) -> Vec<u8> {
    let Stream::Tls(tls) = stream else { panic!("TLS") };
    tls.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(issued: &Issued) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn both_ends_talk_and_know_what_they_agreed_on() {
    let ca = authority();
    let store = CertificateStore::new(&serving(&[&issue(&ca, &["api.example"])])).unwrap();
    let (near, far) = shake(&store, &client(&ca, "API.example")).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"ping").await.unwrap();
    near.flush().await.unwrap();
    let mut received = [0; 4];
    far.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"ping");
    assert!(near.is_tls() && far.is_tls());
    assert_eq!((near.alpn(), far.alpn()), (Some(&b"http/1.1"[..]), Some(&b"http/1.1"[..])));
    assert_eq!(far.server_name(), Some("api.example"));
    assert_eq!(near.peer_address().unwrap(), far.local_address().unwrap());
}

#[tokio::test]
async fn the_certificate_is_chosen_by_server_name_and_the_first_is_the_default() {
    let ca = authority();
    let first = issue(&ca, &["first.example", "127.0.0.1"]);
    let second = issue(&ca, &["second.example", "*.wild.example"]);
    let store = CertificateStore::new(&serving(&[&first, &second])).unwrap();
    for (name, expected) in [
        ("first.example", &first),
        ("second.example", &second),
        ("a.wild.example", &second),
        ("127.0.0.1", &first),
    ] {
        let (near, _far) = shake(&store, &client(&ca, name)).await;
        assert_eq!(shown(&near.unwrap()), der(expected), "{name}");
    }
    for name in ["unknown.example", "a.b.wild.example"] {
        let (near, _far) = shake(&store, &client(&ca, name)).await;
        assert!(near.unwrap_err().to_string().contains("certificate"), "{name}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_serves_the_next_handshake_and_open_connections_go_on() {
    let ca = authority();
    let (old, new) = (issue(&ca, &["api.example"]), issue(&ca, &["api.example"]));
    let store = CertificateStore::new(&serving(&[&old])).unwrap();
    let client = client(&ca, "api.example");
    let (open, far) = shake(&store, &client).await;
    let (mut open, mut far) = (open.unwrap(), far.unwrap());
    assert_eq!(shown(&open), der(&old));

    store.replace(&serving(&[&new])).unwrap();
    let (next, _far) = shake(&store, &client).await;
    assert_eq!(shown(&next.unwrap()), der(&new));
    far.write_all(b"still here").await.unwrap();
    far.flush().await.unwrap();
    let mut received = [0; 10];
    open.read_exact(&mut received).await.unwrap();

    assert_eq!(store.replace(&serving(&[])), Err(TlsProblem::NothingToServe));
    let (after, _far) = shake(&store, &client).await;
    assert_eq!(shown(&after.unwrap()), der(&new), "a replacement that fails changes nothing");
}

#[tokio::test]
async fn with_a_client_ca_a_client_without_certificate_is_refused() {
    let ca = authority();
    let mut options = serving(&[&issue(&ca, &["api.example"])]);
    options.client_ca = Some(ca.pem().into_bytes());
    let store = CertificateStore::new(&options).unwrap();
    let (_near, far) = shake(&store, &client(&ca, "api.example")).await;
    assert!(far.is_err());
}

#[tokio::test]
async fn an_upstream_that_nobody_known_vouches_for_is_refused() {
    let store = CertificateStore::new(&serving(&[&issue(&authority(), &["api.example"])])).unwrap();
    let (near, _far) = shake(&store, &client(&authority(), "api.example")).await;
    assert!(near.unwrap_err().to_string().contains("invalid peer certificate"));
}

#[tokio::test]
async fn an_idle_tls_connection_is_reusable_despite_session_tickets_until_its_peer_leaves() {
    let ca = authority();
    let store = CertificateStore::new(&serving(&[&issue(&ca, &["api.example"])])).unwrap();
    let (near, far) = shake(&store, &client(&ca, "api.example")).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    // After an exchange the server's tickets, sent before it, have arrived for certain.
    far.write_all(b"x").await.unwrap();
    far.flush().await.unwrap();
    near.read_exact(&mut [0]).await.unwrap();
    assert!(near.is_reusable());
    far.shutdown().await.unwrap();
    super::net::until_unusable(&mut near).await;
}

#[test]
fn unusable_material_says_what_is_wrong_with_it() {
    let ca = authority();
    let (good, other) = (issue(&ca, &["a.example"]), issue(&ca, &["b.example"]));
    let damaged = good.certificate.replace("MII", "AAA");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbled = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cut = &good.certificate[..good.certificate.len() / 2];
    for (certificate, key, expected) in [
        ("", good.key.as_str(), TlsProblem::NoCertificate),
        (good.key.as_str(), good.key.as_str(), TlsProblem::NoCertificate),
        (cut, good.key.as_str(), TlsProblem::UnreadableCertificate),
        (damaged.as_str(), good.key.as_str(), TlsProblem::UnreadableCertificate),
        (good.certificate.as_str(), "", TlsProblem::NoPrivateKey),
        (good.certificate.as_str(), good.certificate.as_str(), TlsProblem::NoPrivateKey),
        (good.certificate.as_str(), encrypted, TlsProblem::EncryptedPrivateKey),
        (good.certificate.as_str(), garbled, TlsProblem::UnreadablePrivateKey),
        (good.certificate.as_str(), other.key.as_str(), TlsProblem::KeyMismatch),
    ] {
        let problem = Certificate::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(problem, expected);
    }
    let both = [good.key.as_bytes(), good.certificate.as_bytes()].concat();
    assert_eq!(Certificate::from_pem(&both, &both).unwrap().names(), ["a.example"]);
}

#[test]
fn a_certificate_outside_its_time_is_loaded_with_a_warning() {
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let certificate = issue_from(&authority(), &params).parsed();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (start, end) = (at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"));
    assert_eq!(certificate.expires_at(), Some(end));
    assert_eq!(certificate.warning(at("2024-06-01T00:00:00Z")), None);
    assert_eq!(certificate.warning(at("2023-06-01T00:00:00Z")), Some(TlsWarning::NotYetValid(start)));
    assert_eq!(certificate.warning(at("2026-06-01T00:00:00Z")), Some(TlsWarning::Expired(end)));
}

#[test]
fn an_upstream_needs_a_name_that_can_be_verified() {
    let options = ClientTlsOptions { ca: Some(authority().pem().into_bytes()), server_name: None };
    for host in ["api.example", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"] {
        assert!(ClientTls::new(host, &options).is_ok(), "{host}");
    }
    for host in ["", "api example", "a..b"] {
        assert!(matches!(ClientTls::new(host, &options), Err(TlsProblem::BadServerName(_))), "{host}");
    }
    let options = ClientTlsOptions { ca: Some(b"nothing".to_vec()), server_name: None };
    assert!(matches!(ClientTls::new("api.example", &options), Err(TlsProblem::NoCertificate)));
}

#[tokio::test]
async fn a_client_that_the_client_ca_vouches_for_gets_http2() {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
    let ca = authority();
    let mut options = serving(&[&issue(&ca, &["api.example"])]);
    options.client_ca = Some(ca.pem().into_bytes());
    let store = CertificateStore::new(&options).unwrap();

    let own = issue(&ca, &["client.example"]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let (near, far) = super::net::tcp_pair().await;
    let name = ServerName::try_from("api.example").unwrap();
    let (near, far) = tokio::join!(connector.connect(name, near), store.accept(far));
    near.unwrap();
    assert_eq!(far.unwrap().alpn(), Some(&b"h2"[..]));
}
