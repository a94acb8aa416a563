//! What a certificate says about its holder, read once per connection.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::{Identity, InvalidIdentity};
use crate::digest::to_hex;

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To prove who a client is (extended key usage `clientAuth`).
    Client,
    /// To prove who a server is (extended key usage `serverAuth`).
    Server,
}

impl Usage {
    const fn word(self) -> &'static str {
        match self {
            Self::Client => "clientAuth",
            Self::Server => "serverAuth",
        }
    }
}

/// The parts of a certificate that Evenkeel looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it names.
    pub identity: Identity,
    /// Begin of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// Its serial number, in lower-case hex.
    pub serial: String,
    client: bool,
    server: bool,
}

/// Why a certificate names nobody, or may not be used as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CertificateFactsError {
    /// The bytes are no certificate.
    #[error("the certificate cannot be read")]
    Encoding(#[source] X509Error),
    /// There are none or several URIs among its subject alternative names.
    #[error("a certificate names its holder by exactly one URI, this one has {count}")]
    UriCount {
        /// How many it has.
        count: usize,
    },
    /// The URI is no identity.
    #[error("the URI in the certificate names nobody")]
    Identity(#[source] InvalidIdentity),
    /// The extended key usage that its use needs is missing.
    #[error("the certificate of {identity} lacks the extended key usage {}", .usage.word())]
    Usage {
        /// Whose certificate it is.
        identity: Identity,
        /// What is missing.
        usage: Usage,
    },
}

impl CertificateFacts {
    /// Reads a DER-encoded certificate. Verifies no signature.
    ///
    /// # Errors
    /// When the certificate cannot be read, or has not exactly one URI SAN, or that URI is no identity.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateFactsError> {
        let encoding = CertificateFactsError::Encoding;
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| encoding(flatten(error)))?;
        if !rest.is_empty() {
            return Err(encoding(X509Error::InvalidCertificate));
        }
        let alternative_names = certificate.subject_alternative_name().map_err(encoding)?;
        let uris: Vec<&str> = alternative_names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let &[uri] = uris.as_slice() else {
            return Err(CertificateFactsError::UriCount { count: uris.len() });
        };
        let usage = certificate.extended_key_usage().map_err(encoding)?;
        let validity = certificate.validity();
        Ok(Self {
            identity: uri.parse().map_err(CertificateFactsError::Identity)?,
            not_before: system_time(validity.not_before),
            not_after: system_time(validity.not_after),
            serial: to_hex(certificate.raw_serial()),
            client: usage.as_ref().is_some_and(|usage| usage.value.client_auth),
            server: usage.as_ref().is_some_and(|usage| usage.value.server_auth),
        })
    }

    /// Holds when the certificate is marked for `usage`; one with no mark at all is good for nothing.
    ///
    /// # Errors
    /// When the mark is missing.
    pub fn require(&self, usage: Usage) -> Result<(), CertificateFactsError> {
        let allowed = match usage {
            Usage::Client => self.client,
            Usage::Server => self.server,
        };
        if allowed {
            Ok(())
        } else {
            Err(CertificateFactsError::Usage {
                identity: self.identity.clone(),
                usage,
            })
        }
    }
}

fn flatten(error: x509_parser::nom::Err<X509Error>) -> X509Error {
    match error {
        x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
        x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
    }
}

/// Times before 1970 become 1970: such a certificate has long expired either way.
fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(UNIX_EPOCH)
}
