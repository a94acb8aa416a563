//! What a peer's certificate has to be, beyond signed by the cluster's CA and valid now.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::identity::{CertificateFacts, CertificateFactsError, Identity, Usage};
use crate::names::ClusterName;

/// Why a certificate of the cluster's CA is refused all the same.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwelcome {
    /// It names nobody, or is for another use.
    #[error("the certificate does not say who its holder is")]
    Facts(#[from] CertificateFactsError),
    /// It names somebody of another cluster.
    #[error("{identity} does not belong to the cluster {cluster}")]
    OtherCluster {
        cluster: ClusterName,
        identity: Identity,
    },
    /// It names somebody, but no coordinator.
    #[error("{identity} is not a coordinator")]
    NotCoordinator { identity: Identity },
}

impl From<Unwelcome> for Error {
    fn from(unwelcome: Unwelcome) -> Self {
        CertificateError::Other(OtherError(Arc::new(unwelcome))).into()
    }
}

fn check(certificate: &[u8], usage: Usage, cluster: &ClusterName) -> Result<Identity, Unwelcome> {
    let facts = CertificateFacts::from_der(certificate)?;
    facts.require(usage)?;
    if facts.identity.cluster() == cluster {
        Ok(facts.identity)
    } else {
        Err(Unwelcome::OtherCluster {
            cluster: cluster.clone(),
            identity: facts.identity,
        })
    }
}

/// Lets in clients with a certificate of the cluster's CA that names one of the cluster.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    /// Checks signatures, dates and revocation.
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    /// The cluster that clients have to be of.
    pub(super) cluster: ClusterName,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        check(end_entity, Usage::Client, &self.cluster)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Talks to nobody but a coordinator of the client's own cluster, whatever its address.
#[derive(Debug)]
pub(super) struct CoordinatorVerifier {
    /// The cluster's CA.
    pub(super) roots: Arc<RootCertStore>,
    /// The cluster whose coordinator is sought.
    pub(super) cluster: ClusterName,
    /// Checks signatures.
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for CoordinatorVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        // Agents' certificates are signed by the same CA: only the name tells a coordinator.
        match check(end_entity, Usage::Server, &self.cluster)? {
            Identity::Coordinator { .. } => Ok(ServerCertVerified::assertion()),
            identity @ (Identity::Agent { .. } | Identity::Operator { .. }) => {
                Err(Unwelcome::NotCoordinator { identity }.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
