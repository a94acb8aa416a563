//! A cluster's files and the program that uses them.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::files::write_atomically;
use evenkeel_common::identity::Usage;
use evenkeel_common::pki::{Authority, IssueRequest, Validity, new_release_key_pem};
use evenkeel_common::tls::TlsFiles;

const HOUR: Duration = Duration::from_secs(3600);

/// A folder with a CA in it.
pub(crate) struct Cluster {
    authority: Authority,
    folder: tempfile::TempDir,
}

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// What it wrote, once it is sure that it succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self.out
    }

    /// Its JSON, once it is sure that it succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// Checks that it failed with a status, and with a sentence and a hint that contain these words.
    #[track_caller]
    pub(crate) fn refused(self, status: i32, sentence: &str, hint: &str) {
        assert_eq!(self.status, Some(status), "{self:#?}");
        let line = |start: &str| self.err.lines().find(|line| line.starts_with(start));
        let error = line("error: ").unwrap_or_default();
        assert!(error.contains(sentence), "{self:#?}");
        assert!(
            line("hint: ").unwrap_or_default().contains(hint),
            "{self:#?}"
        );
    }
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let (authority, _) =
            Authority::create("test".parse().unwrap(), around_now(HOUR, HOUR)).unwrap();
        let cluster = Self {
            authority,
            folder: tempfile::tempdir().unwrap(),
        };
        let ca = cluster.authority.certificate_pem().as_bytes();
        write_atomically(&cluster.path("ca.pem"), ca, 0o644).unwrap();
        let key = new_release_key_pem().unwrap();
        write_atomically(&cluster.path("releases.key"), key.as_bytes(), 0o600).unwrap();
        cluster
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    pub(crate) fn coordinator(&self) -> TlsFiles {
        self.end("coordinator/c1", Usage::Server, around_now(HOUR, HOUR))
    }

    /// The files of an end.
    pub(crate) fn end(&self, identity: &str, usage: Usage, validity: Validity) -> TlsFiles {
        let request = IssueRequest {
            identity: format!("spiffe://test/{identity}").parse().unwrap(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage,
            validity,
        };
        let issued = self.authority.issue(&request).unwrap();
        let name = identity.replace('/', "-");
        let files = TlsFiles {
            ca: self.path("ca.pem"),
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        };
        write_atomically(&files.certificate, issued.certificate_pem.as_bytes(), 0o644).unwrap();
        write_atomically(&files.key, issued.key_pem.as_bytes(), 0o600).unwrap();
        files
    }

    /// Writes the configuration of an operator, with paths relative to it.
    pub(crate) fn configure(&self, coordinator: &str) {
        let operator = around_now(HOUR, HOUR);
        let files = self.end("operator/ada/operator", Usage::Client, operator);
        self.configure_with(coordinator, &files);
    }

    pub(crate) fn configure_with(&self, coordinator: &str, files: &TlsFiles) {
        let name = |path: &Utf8Path| path.file_name().unwrap().to_owned();
        let text = format!(
            "coordinator = \"{coordinator}\"\n[tls]\nca = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
            name(&files.ca),
            name(&files.certificate),
            name(&files.key)
        );
        std::fs::write(self.path("evenkeel.toml"), text).unwrap();
    }

    /// The program, to be run in the cluster's folder and with nothing of our own environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// From so much before now to so much after it.
pub(crate) fn around_now(before: Duration, after: Duration) -> Validity {
    let now = SystemTime::now();
    Validity {
        not_before: now - before,
        not_after: now + after,
    }
}
