//! The certificates that a config names: readable, whole, with the key that belongs to them.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::{
    cli::{deployment::Deployment, finding::Finding},
    clock::{Clock as _, SystemClock},
    config::model::{CertificateFiles, ListenerTls, UpstreamConfig, UpstreamTls},
    net::tls::{Certificate, CertificateStore, ClientTls, ClientTlsOptions, ServerTlsOptions, TlsProblem},
};

/// The largest file that is read.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    pub(super) problems: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// Reads every certificate that `deployment` names.
pub(super) fn look_at(deployment: &Deployment) -> Certificates {
    let mut found = Certificates::default();
    let config = &deployment.config;
    let listeners = config.listeners.iter().map(|listener| &listener.tls);
    let admin = config.admin.iter().map(|admin| &admin.tls);
    let possession = config.possession.iter().map(|possession| &possession.tls);
    for tls in listeners.chain(admin).chain(possession).flatten() {
        found.of_listener(tls);
    }
    for upstream in &deployment.config.upstreams {
        if let Some(problem) = upstream.tls.as_ref().and_then(unusable) {
            found.problems.push(of_upstream(deployment, upstream, &problem));
        }
    }
    found
}

impl Certificates {
    fn of_listener(&mut self, tls: &ListenerTls) {
        let certificates: Vec<_> =
            tls.certificates.iter().filter_map(|files| self.certificate(files)).collect();
        let Some(path) = &tls.client_ca else { return };
        let Some(authorities) = self.read(path) else { return };
        if certificates.is_empty() {
            return;
        }
        if let Err(problem) = CertificateStore::new(&ServerTlsOptions {
            certificates,
            client_ca: Some(authorities),
            serves_http2: true,
        }) {
            self.problems.push(Finding::of_file(path, &problem.to_string()));
        }
    }

    fn certificate(&mut self, files: &CertificateFiles) -> Option<Certificate> {
        let CertificateFiles { certificate: chain, private_key } = files;
        if others_may_read(private_key) {
            let message = "everybody on this machine may read this private key; chmod o-r";
            self.warnings.push(Finding::of_file(private_key, message));
        }
        let (pem, key) = (self.read(chain), self.read(private_key));
        match Certificate::from_pem(&pem?, &key?) {
            Ok(certificate) => {
                if let Some(warning) = certificate.warning(SystemClock.now()) {
                    self.warnings.push(Finding::of_file(chain, &warning.to_string()));
                }
                Some(certificate)
            }
            Err(problem) => {
                let path = if is_about_key(&problem) { private_key } else { chain };
                self.problems.push(Finding::of_file(path, &problem.to_string()));
                None
            }
        }
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        match read_pem(path) {
            Ok(pem) => Some(pem),
            Err(error) => {
                let message =
                    format!("the file cannot be read: {error}; correct the path, its owner or its mode");
                self.problems.push(Finding::of_file(path, &message));
                None
            }
        }
    }
}

/// Only regular files: a pipe may never end.
fn read_pem(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut pem = Vec::new();
    fs::File::open(path)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > PEM_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(pem) }
}

fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn is_about_key(problem: &TlsProblem) -> bool {
    match problem {
        TlsProblem::NoPrivateKey
        | TlsProblem::EncryptedPrivateKey
        | TlsProblem::UnreadablePrivateKey
        | TlsProblem::KeyMismatch => true,
        TlsProblem::NoCertificate
        | TlsProblem::UnreadableCertificate
        | TlsProblem::NothingToServe
        | TlsProblem::BadAuthority
        | TlsProblem::BadServerName(_)
        | TlsProblem::NoSystemRoots
        | TlsProblem::Refused(_) => false,
    }
}

fn unusable(tls: &UpstreamTls) -> Option<TlsProblem> {
    let options = ClientTlsOptions { ca: tls.ca_pem.as_deref().map(<[u8]>::to_vec), server_name: None };
    ClientTls::new(&tls.server_name, &options).err()
}

fn of_upstream(deployment: &Deployment, upstream: &UpstreamConfig, problem: &TlsProblem) -> Finding {
    Finding::of_file(&deployment.path, &format!("TLS towards the upstream {}: {problem}", upstream.name))
}
