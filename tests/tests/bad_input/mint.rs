//! Certificates of every kind, good and bad.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use evenkeel_common::{
    files::write_atomically,
    identity::Usage,
    pki::{Authority, IssueRequest, Validity},
    tls::TlsFiles,
};
use evenkeel_tests::fleet::Fleet;

const HOUR: Duration = Duration::from_secs(3600);

/// Somebody who can sign, and where the files go.
pub(crate) struct Mint {
    authority: Authority,
    folder: Utf8PathBuf,
    /// The CA that clients are to know the coordinator by: always the fleet's own.
    ca: Utf8PathBuf,
}

/// From an hour ago for so long.
pub(crate) fn lasting(hours: u32) -> anyhow::Result<Validity> {
    let begin = SystemTime::now()
        .checked_sub(2 * HOUR)
        .context("the clock is before 1970")?;
    Ok(Validity {
        not_before: begin,
        not_after: begin + HOUR * hours,
    })
}

impl Mint {
    /// The fleet's own CA.
    pub(crate) fn of(fleet: &Fleet) -> anyhow::Result<Self> {
        let folder = fleet.folder().join("ca");
        let ca = folder.join("ca.pem");
        let key = std::fs::read_to_string(folder.join("key.pem"))?;
        Ok(Self {
            authority: Authority::load(&std::fs::read_to_string(&ca)?, &key)?,
            folder: fleet.folder().join("minted"),
            ca,
        })
    }

    /// A CA of its own, of a cluster of this name.
    pub(crate) fn stranger(fleet: &Fleet, cluster: &str) -> anyhow::Result<Self> {
        let (authority, _) = Authority::create(cluster.parse()?, lasting(4)?)?;
        Ok(Self {
            authority,
            folder: fleet.folder().join(format!("minted-by-{cluster}")),
            ca: fleet.folder().join("ca/ca.pem"),
        })
    }

    /// A certificate that is good now for whoever `path` names, such as `agent/n1`.
    pub(crate) fn issue(&self, path: &str) -> anyhow::Result<TlsFiles> {
        self.issue_for(path, Usage::Client, lasting(4)?)
    }

    pub(crate) fn issue_for(
        &self,
        path: &str,
        usage: Usage,
        validity: Validity,
    ) -> anyhow::Result<TlsFiles> {
        let cluster = self.authority.cluster();
        let issued = self.authority.issue(&IssueRequest {
            identity: format!("spiffe://{cluster}/{path}").parse()?,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage,
            validity,
        })?;
        std::fs::create_dir_all(&self.folder)?;
        let name = path.replace('/', "-");
        let files = TlsFiles {
            ca: self.ca.clone(),
            certificate: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        };
        write_atomically(&files.certificate, issued.certificate_pem.as_bytes(), 0o644)?;
        write_atomically(&files.key, issued.key_pem.as_bytes(), 0o600)?;
        Ok(files)
    }
}
