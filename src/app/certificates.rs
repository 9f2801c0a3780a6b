//! The certificates of one listener as a source: read from their files, replaceable while they serve.

use std::{fs, path::PathBuf, sync::Arc};

use crate::{
    clock::{Clock, SystemClock},
    config::model::{CertificateFiles, ListenerTls},
    control::reload::CertificateSource,
    net::tls::{Certificate, CertificateStore, ServerTlsOptions},
};

/// Files and what was made of them.
#[derive(Debug)]
pub(super) struct ListenerCertificates {
    files: ListenerTls,
    serves_http2: bool,
    name: String,
    store: Arc<CertificateStore>,
}

impl ListenerCertificates {
    /// Reads `files`, for a listener that serves HTTP/1.1 and perhaps HTTP/2.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its file.
    pub(super) fn load(files: &ListenerTls, serves_http2: bool) -> Result<Self, Vec<String>> {
        let name = files
            .certificates
            .first()
            .map_or_else(String::new, |first| first.certificate.display().to_string());
        let store = CertificateStore::new(&read(files, serves_http2)?)
            .map_err(|problem| vec![format!("{name}: {problem}")])?;
        Ok(Self { files: files.clone(), serves_http2, name, store: Arc::new(store) })
    }

    /// What the listener serves with.
    pub(super) fn store(&self) -> Arc<CertificateStore> {
        Arc::clone(&self.store)
    }
}

impl CertificateSource for ListenerCertificates {
    fn name(&self) -> &str {
        &self.name
    }

    fn files(&self) -> Vec<PathBuf> {
        let pairs = self.files.certificates.iter().flat_map(|files| [&files.certificate, &files.private_key]);
        pairs.chain(&self.files.client_ca).cloned().collect()
    }

    fn reload(&mut self) -> Result<(), Vec<String>> {
        let options = read(&self.files, self.serves_http2)?;
        self.store.replace(&options).map_err(|problem| vec![format!("{}: {problem}", self.name)])
    }
}

fn read(files: &ListenerTls, serves_http2: bool) -> Result<ServerTlsOptions, Vec<String>> {
    let mut problems = Vec::new();
    let mut certificates = Vec::new();
    for pair in &files.certificates {
        match read_pair(pair) {
            Ok(certificate) => certificates.push(certificate),
            Err(problem) => problems.push(problem),
        }
    }
    let client_ca = files.client_ca.as_ref().map(read_file).transpose();
    match client_ca {
        Ok(client_ca) if problems.is_empty() => {
            Ok(ServerTlsOptions { certificates, client_ca, serves_http2 })
        }
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

fn read_pair(pair: &CertificateFiles) -> Result<Certificate, String> {
    let (chain, key) = (read_file(&pair.certificate)?, read_file(&pair.private_key)?);
    let certificate = Certificate::from_pem(&chain, &key).map_err(|problem| {
        format!("{} with {}: {problem}", pair.certificate.display(), pair.private_key.display())
    })?;
    if let Some(warning) = certificate.warning(SystemClock.now()) {
        tracing::warn!(certificate = %pair.certificate.display(), "{warning}");
    }
    Ok(certificate)
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, String> {
    fs::read(path)
        .map_err(|error| format!("{}: {error}; let the user that keygate runs as read it", path.display()))
}
