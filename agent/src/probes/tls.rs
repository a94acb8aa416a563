//! The TLS under a probe: whom the storage process has to be vouched for by, and who the agent is to it.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::report::sentence;

/// Whom to trust, and who to be. The files are read for each connection, so that renewed ones count at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTls {
    /// The certificates of the authorities that may vouch for the storage process (PEM).
    pub ca: Utf8PathBuf,
    /// The agent's own certificate and its key (PEM), where it has to show one.
    pub own: Option<(Utf8PathBuf, Utf8PathBuf)>,
}

impl ProbeTls {
    /// Makes a connection one over TLS. `host` is who has to be there, `protocol` what is spoken then.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
        protocol: &'static [u8],
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let files = self.clone();
        let config = spawn_blocking(move || files.load(protocol))
            .await
            .map_err(|error| error.to_string())??;
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(name, stream)
            .await
            .map_err(|error| format!("no TLS: {}", sentence(&error)))
    }

    fn load(&self, protocol: &[u8]) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots
                .add(certificate)
                .map_err(|error| format!("{}: {error}", self.ca))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let own = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("{key}: {}", sentence(&error)))?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, own)
                    .map_err(|error| format!("{certificate}: {error}"))?
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }
}

fn certificates(path: &Utf8Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| format!("{path}: {}", sentence(&error)))?;
    match certificates.is_empty() {
        true => Err(format!("{path}: there is no certificate in it")),
        false => Ok(certificates),
    }
}
