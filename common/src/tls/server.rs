//! The server's end: what is asked of clients, and how that changes without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use camino::Utf8PathBuf;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::ALPN_H2;
use super::files::{Credentials, TlsError, TlsFiles, provider, revocation_lists};
use super::verify::ClientVerifier;
use crate::identity::Usage;

/// The server's TLS settings, made from files and made anew on request.
///
/// Clients have to show a certificate of the cluster's CA that is valid now, is for clients, is on no revocation
/// list, and names somebody of the server's own cluster; otherwise the handshake fails.
#[derive(Debug)]
pub struct ServerTls {
    files: TlsFiles,
    revocation_lists: Vec<Utf8PathBuf>,
    current: ArcSwap<ServerConfig>,
}

impl ServerTls {
    /// Reads the files. With revocation lists, there has to be a list in force for every CA, or nobody gets in.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(files: TlsFiles, revocation_lists: Vec<Utf8PathBuf>) -> Result<Self, TlsError> {
        let config = configure(&files, &revocation_lists)?;
        Ok(Self {
            files,
            revocation_lists,
            current: ArcSwap::from_pointee(config),
        })
    }

    /// Reads the files again, for handshakes from now on; connections that stand are not touched.
    ///
    /// # Errors
    /// As [`ServerTls::load`]; what was in force stays in force then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = configure(&self.files, &self.revocation_lists)?;
        self.current.store(Arc::new(config));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

fn configure(
    files: &TlsFiles,
    revocation_list_files: &[Utf8PathBuf],
) -> Result<ServerConfig, TlsError> {
    let credentials = Credentials::load(files, Usage::Server)?;
    let provider = provider();
    let chain =
        WebPkiClientVerifier::builder_with_provider(credentials.roots, Arc::clone(&provider))
            .with_crls(revocation_lists(revocation_list_files)?)
            // An old list knows nothing of what was revoked since.
            .enforce_revocation_expiration()
            .build()
            .map_err(TlsError::RevocationList)?;
    let verifier = ClientVerifier {
        chain,
        cluster: credentials.facts.identity.cluster().clone(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(credentials.chain, credentials.key)
        .map_err(|source| files.not_a_pair(source))?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // A resumed session skips the client verifier: a revoked client would get in.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
