//! The three files that make an end of a connection, read and checked before anything is done with them.

use std::sync::Arc;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use serde::Deserialize;

use crate::config::resolve;
use crate::identity::{CertificateFacts, CertificateFactsError, Usage};
use crate::secrets::{ReadError, read_private, read_small};

/// Where an end's certificate, its private key and the cluster's CA are. The table `[tls]` of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificates of the cluster's CA (PEM); several while one replaces another.
    pub ca: Utf8PathBuf,
    /// The end's own certificate (PEM), with intermediates after it if there are any.
    pub certificate: Utf8PathBuf,
    /// The private key of that certificate (PEM), readable by its owner alone.
    pub key: Utf8PathBuf,
}

impl TlsFiles {
    /// The same files, relative paths taken from the folder of the configuration at `file`.
    #[must_use]
    pub fn resolved(&self, file: &Utf8Path) -> Self {
        Self {
            ca: resolve(file, &self.ca),
            certificate: resolve(file, &self.certificate),
            key: resolve(file, &self.key),
        }
    }

    /// Who the certificate says its holder is, and until when. Reads the certificate only, and verifies nothing.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn own_facts(&self) -> Result<CertificateFacts, TlsError> {
        certificate_chain(&self.certificate).map(|(_, facts)| facts)
    }

    /// What the TLS library's refusal of certificate and key means.
    pub(super) fn not_a_pair(&self, source: rustls::Error) -> TlsError {
        TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        }
    }
}

/// Why TLS cannot be set up from the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or a private key is not private.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file is not what it should be.
    #[error("{path} does not hold {expected}")]
    Pem {
        /// The file.
        path: Utf8PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The certificate names nobody.
    #[error("{path} is no Evenkeel certificate")]
    Certificate {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: CertificateFactsError,
    },
    /// A CA certificate cannot be used as one.
    #[error("{path} holds a certificate that cannot be trusted as a CA")]
    Authority {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The certificate and the key do not make a pair.
    #[error("the certificate {certificate} and the key {key} do not go together")]
    Pair {
        /// The certificate's file.
        certificate: Utf8PathBuf,
        /// The key's file.
        key: Utf8PathBuf,
        /// What is wrong with them.
        #[source]
        source: rustls::Error,
    },
    /// The certificate is for another use.
    #[error("{path} is not for this use")]
    Usage {
        /// The file.
        path: Utf8PathBuf,
        /// What is missing.
        #[source]
        source: CertificateFactsError,
    },
    /// The revocation lists cannot be used.
    #[error("cannot check clients against the revocation lists")]
    RevocationList(#[source] rustls::client::VerifierBuilderError),
    /// The TLS library refused the settings.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// What the files hold.
pub(super) struct Credentials {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) facts: CertificateFacts,
}

impl Credentials {
    pub(super) fn load(files: &TlsFiles, usage: Usage) -> Result<Self, TlsError> {
        let (chain, facts) = certificate_chain(&files.certificate)?;
        facts.require(usage).map_err(|source| TlsError::Usage {
            path: files.certificate.clone(),
            source,
        })?;
        let key = PrivateKeyDer::from_pem_slice(&read_private(&files.key)?)
            .map_err(|source| not_pem(&files.key, "a private key", source))?;
        Ok(Self {
            roots: Arc::new(authorities(&files.ca)?),
            chain,
            key,
            facts,
        })
    }
}

/// The one cryptography that is used; never the process's default, which a dependency could set.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The end of a certificate's validity, for people.
pub(super) fn date(time: SystemTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(time)
}

pub(super) fn revocation_lists(
    paths: &[Utf8PathBuf],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut lists = Vec::new();
    for path in paths {
        lists.extend(sections(path, "a certificate revocation list")?);
    }
    Ok(lists)
}

fn certificate_chain(
    path: &Utf8Path,
) -> Result<(Vec<CertificateDer<'static>>, CertificateFacts), TlsError> {
    let chain: Vec<CertificateDer<'static>> = sections(path, "a certificate")?;
    let facts = CertificateFacts::from_der(chain.first().map_or(&[][..], AsRef::as_ref)).map_err(
        |source| TlsError::Certificate {
            path: path.to_owned(),
            source,
        },
    )?;
    Ok((chain, facts))
}

fn authorities(path: &Utf8Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in sections(path, "a CA certificate")? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

/// All the things of one kind in a PEM file, at least one.
fn sections<T: PemObject>(path: &Utf8Path, expected: &'static str) -> Result<Vec<T>, TlsError> {
    let found = T::pem_slice_iter(&read_small(path)?)
        .collect::<Result<Vec<T>, _>>()
        .map_err(|source| not_pem(path, expected, source))?;
    if found.is_empty() {
        return Err(not_pem(path, expected, pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn not_pem(path: &Utf8Path, expected: &'static str, source: pem::Error) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        expected,
        source,
    }
}
