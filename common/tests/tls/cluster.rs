//! A cluster's files, as `evenkeel init` would make them.

use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::files::write_atomically;
use evenkeel_common::identity::Usage;
use evenkeel_common::pki::{Authority, IssueRequest, Issued, Validity};
use evenkeel_common::tls::TlsFiles;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A folder with a CA in it.
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    pub(crate) authority: Authority,
    folder: tempfile::TempDir,
}

/// From so much before now to so much after it.
pub(crate) fn around_now(before: Duration, after: Duration) -> Validity {
    let now = SystemTime::now();
    Validity {
        not_before: now - before,
        not_after: now + after,
    }
}

impl Cluster {
    pub(crate) fn new(name: &'static str) -> Self {
        let (authority, issued) =
            Authority::create(name.parse().unwrap(), around_now(HOUR, HOUR)).unwrap();
        let cluster = Self {
            name,
            authority,
            folder: tempfile::tempdir().unwrap(),
        };
        write_atomically(
            &cluster.path("ca.pem"),
            cluster.authority.certificate_pem().as_bytes(),
            0o644,
        )
        .unwrap();
        write_atomically(&cluster.path("ca.key"), issued.key_pem.as_bytes(), 0o600).unwrap();
        cluster
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    pub(crate) fn request(&self, path: &str, usage: Usage) -> IssueRequest {
        IssueRequest {
            identity: format!("spiffe://{}/{path}", self.name).parse().unwrap(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage,
            validity: around_now(HOUR, HOUR),
        }
    }

    /// The files of an end, as `evenkeel init` would make them.
    pub(crate) fn end(&self, path: &str, usage: Usage) -> TlsFiles {
        self.write(
            path,
            &self.authority.issue(&self.request(path, usage)).unwrap(),
        )
    }

    pub(crate) fn coordinator(&self) -> TlsFiles {
        self.end("coordinator/c1", Usage::Server)
    }

    pub(crate) fn agent(&self) -> TlsFiles {
        self.end("agent/n1", Usage::Client)
    }

    pub(crate) fn write(&self, name: &str, issued: &Issued) -> TlsFiles {
        let name = name.replace('/', "-");
        let files = TlsFiles {
            ca: self.path("ca.pem"),
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        };
        write_atomically(&files.certificate, issued.certificate_pem.as_bytes(), 0o644).unwrap();
        write_atomically(&files.key, issued.key_pem.as_bytes(), 0o600).unwrap();
        files
    }
}
