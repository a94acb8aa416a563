//! Issuing: the cluster's CA, the certificates it signs, and new keys. Behind the feature `pki`.
//!
//! Nothing here touches a file or a clock: callers say where things go and from when until when they hold.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::identity::{Identity, Usage};
use crate::names::{ClusterName, NameError};

/// Length of a serial number; RFC 5280 allows 20 bytes and asks for at least 64 random bits.
const SERIAL_BYTES: usize = 16;

/// A certificate and its private key.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key: PKCS #8.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// From when until when a certificate holds. Kept in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before: SystemTime,
    /// Last instant.
    pub not_after: SystemTime,
}

/// What to put in a certificate.
#[derive(Debug, Clone)]
pub struct IssueRequest {
    /// Whom it names; of the authority's own cluster.
    pub identity: Identity,
    /// Host names it also serves under, for clients that check those.
    pub dns_names: Vec<String>,
    /// Addresses it also serves under, likewise.
    pub ip_addresses: Vec<IpAddr>,
    /// What it may be used for.
    pub usage: Usage,
    /// From when until when.
    pub validity: Validity,
}

/// Why something could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The identity belongs to another cluster than the authority.
    #[error("the authority of {authority} does not vouch for {identity}")]
    OtherCluster {
        /// Whose authority it is.
        authority: ClusterName,
        /// Whose certificate was asked for.
        identity: Box<Identity>,
    },
    /// The bytes are no CA certificate of ours.
    #[error("this is not the certificate of an Evenkeel certificate authority")]
    NotAnAuthority,
    /// The CA's URI names no cluster.
    #[error("the certificate authority's cluster name is not allowed")]
    Cluster(#[source] NameError),
    /// The CA certificate and the key do not belong together.
    #[error("the certificate authority's certificate belongs to another key")]
    OtherKey,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// Encoding, reading or signing failed.
    #[error("cannot make or read a key or certificate")]
    Encoding(#[from] rcgen::Error),
}

/// A cluster's certificate authority: its certificate and its private key.
pub struct Authority {
    cluster: ClusterName,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority with a new P-256 key.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn create(cluster: ClusterName, validity: Validity) -> Result<(Self, Issued), PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(&format!("{cluster} certificate authority"), validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names.push(SanType::URI(ia5(&format!(
            "{CLUSTER_URI_PREFIX}{cluster}"
        ))?));
        let certificate_pem = params.self_signed(&key)?.pem();
        let issued = Issued {
            certificate_pem: certificate_pem.clone(),
            key_pem: key.serialize_pem(),
        };
        let authority = Self {
            cluster,
            certificate_pem,
            issuer: Issuer::new(params, key),
        };
        Ok((authority, issued))
    }

    /// The authority that [`Authority::create`] made earlier.
    ///
    /// # Errors
    /// When the certificate is no cluster's CA, or the key is another's.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem)?;
        let cluster = cluster_of(certificate_pem, &key)?;
        Ok(Self {
            cluster,
            certificate_pem: certificate_pem.to_owned(),
            issuer: Issuer::from_ca_cert_pem(certificate_pem, key)?,
        })
    }

    /// The cluster that it vouches for.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Its certificate: what everybody in the cluster trusts.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate with a new P-256 key.
    ///
    /// # Errors
    /// When the identity is another cluster's, or a host name cannot stand in a certificate.
    pub fn issue(&self, request: &IssueRequest) -> Result<Issued, PkiError> {
        if request.identity.cluster() != &self.cluster {
            return Err(PkiError::OtherCluster {
                authority: self.cluster.clone(),
                identity: Box::new(request.identity.clone()),
            });
        }
        let mut params = params(&request.identity.to_string(), request.validity)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match request.usage {
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        let names = &mut params.subject_alt_names;
        names.push(SanType::URI(ia5(&request.identity.to_string())?));
        for name in &request.dns_names {
            names.push(SanType::DnsName(ia5(name)?));
        }
        names.extend(request.ip_addresses.iter().copied().map(SanType::IpAddress));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Issued {
            certificate_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// A new Ed25519 private key for signing release manifests, as PKCS #8 PEM
/// (see [`crate::manifest::SigningKey::from_pem`]).
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_release_key_pem() -> Result<String, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem())
}

/// A CA names its cluster by this and the name, as SPIFFE has it for the signing certificate of a trust domain.
const CLUSTER_URI_PREFIX: &str = "spiffe://";

/// Longest common name: X.520's upper bound (RFC 5280, appendix A.1).
const COMMON_NAME_CHARS_MAX: usize = 64;

/// The cluster that a CA certificate names, once it is sure that `key` is its key.
fn cluster_of(certificate_pem: &str, key: &KeyPair) -> Result<ClusterName, PkiError> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use x509_parser::certificate::X509Certificate;
    use x509_parser::extensions::GeneralName;
    use x509_parser::prelude::FromDer;

    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|_| PkiError::NotAnAuthority)?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| PkiError::NotAnAuthority)?;
    if !certificate.is_ca() {
        return Err(PkiError::NotAnAuthority);
    }
    if certificate.public_key().subject_public_key.data != key.public_key_raw() {
        return Err(PkiError::OtherKey);
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| PkiError::NotAnAuthority)?
        .ok_or(PkiError::NotAnAuthority)?;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(CLUSTER_URI_PREFIX),
            _ => None,
        })
        .ok_or(PkiError::NotAnAuthority)?
        .parse()
        .map_err(PkiError::Cluster)
}

fn params(common_name: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Evenkeel");
    // For people who look at the certificate; nothing reads it.
    let common_name: String = common_name
        .trim_start_matches(CLUSTER_URI_PREFIX)
        .chars()
        .take(COMMON_NAME_CHARS_MAX)
        .collect();
    subject.push(DnType::CommonName, common_name);

    let mut serial = [0; SERIAL_BYTES];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| PkiError::Random)?;
    // A serial number is positive and its encoding has no leading zeros.
    serial[0] = serial[0] & 0x7f | 0x40;

    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    Ok(params)
}

fn ia5(text: &str) -> Result<Ia5String, PkiError> {
    Ok(Ia5String::try_from(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{CertificateFacts, CertificateFactsError};
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use std::time::Duration;

    fn validity() -> Validity {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Validity {
            not_before: now,
            not_after: now + Duration::from_secs(3600),
        }
    }

    fn agent(cluster: &str) -> IssueRequest {
        IssueRequest {
            identity: format!("spiffe://{cluster}/agent/n1").parse().unwrap(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage: Usage::Client,
            validity: validity(),
        }
    }

    fn authority(cluster: &str) -> (Authority, Issued) {
        Authority::create(cluster.parse().unwrap(), validity()).unwrap()
    }

    fn der(issued: &Issued) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()
    }

    #[test]
    fn an_authority_that_is_loaded_issues_like_the_one_that_was_made() {
        let (made, files) = authority("prod");
        let loaded = Authority::load(&files.certificate_pem, &files.key_pem).unwrap();
        assert_eq!(loaded.cluster(), made.cluster());
        assert_eq!(loaded.certificate_pem(), made.certificate_pem());
        let (ours, theirs) = (
            loaded.issue(&agent("prod")).unwrap(),
            made.issue(&agent("prod")).unwrap(),
        );
        let facts = CertificateFacts::from_der(&der(&ours)).unwrap();
        assert_eq!(facts.identity, agent("prod").identity);
        assert_eq!(facts.not_after, validity().not_after);
        assert!(facts.require(Usage::Client).is_ok());
        assert!(matches!(
            facts.require(Usage::Server),
            Err(CertificateFactsError::Usage { .. })
        ));
        let other = CertificateFacts::from_der(&der(&theirs)).unwrap();
        assert_ne!(facts.serial, other.serial);
    }

    #[test]
    fn an_authority_vouches_for_its_own_cluster_only() {
        let (authority, _) = authority("prod");
        assert!(matches!(
            authority.issue(&agent("test")),
            Err(PkiError::OtherCluster { .. })
        ));
    }

    #[test]
    fn a_key_or_certificate_that_is_not_the_authoritys_is_refused() {
        let (ours, files) = authority("prod");
        let (_, others) = authority("prod");
        assert!(matches!(
            Authority::load(&files.certificate_pem, &others.key_pem),
            Err(PkiError::OtherKey)
        ));
        let leaf = ours.issue(&agent("prod")).unwrap();
        assert!(matches!(
            Authority::load(&leaf.certificate_pem, &leaf.key_pem),
            Err(PkiError::NotAnAuthority)
        ));
        assert!(Authority::load("", &files.key_pem).is_err());
        assert!(Authority::load(&files.certificate_pem, "").is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_never_panics(position in 0usize..600, flip in 1u8..) {
            let (authority, _) = authority("prod");
            let request = agent("prod");
            let mut bytes = der(&authority.issue(&request).unwrap()).to_vec();
            let at = position % bytes.len();
            bytes[at] ^= flip;
            let _ = Identity::from_der(&bytes);
        }
    }
}
