//! A folder with all that an agent needs: certificates, a configuration, and programs to be releases.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_common::{
    archive::{self, Expected, Nowhere},
    digest::{Digest, digest_of},
    identity::{Identity, Usage},
    manifest::{ArchiveFormat, ReleaseManifest, SignedManifest, SigningKey, Tree},
    pki::{Authority, IssueRequest, Validity, new_release_key_pem},
    platform,
    tls::TlsFiles,
};
use evenkeel_proto::v1;

/// A place for one agent, and for the coordinator that it talks to.
pub(crate) struct Place {
    _dir: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
    authority: Authority,
    key: SigningKey,
    /// Where the storage process listens.
    pub(crate) address: SocketAddr,
}

/// A program that can be a release.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) version: semver::Version,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) signed: SignedManifest,
}

impl Program {
    pub(crate) fn reference(&self) -> v1::ReleaseRef {
        v1::ReleaseRef {
            version: self.version.to_string(),
            digest: self.digest.to_string(),
        }
    }

    pub(crate) fn manifest(&self) -> v1::SignedManifest {
        v1::SignedManifest {
            manifest: self.signed.manifest.clone(),
            key_id: self.signed.key_id.to_string(),
            signature: self.signed.signature.clone(),
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let validity = validity();
        let (authority, _) = Authority::create("test".parse().unwrap(), validity).unwrap();
        let key = SigningKey::from_pem(new_release_key_pem().unwrap().as_bytes()).unwrap();
        let place = Self {
            _dir: dir,
            root,
            authority,
            key,
            address: free_address(),
        };
        fs::write(place.root.join("ca.pem"), place.authority.certificate_pem()).unwrap();
        place.issue("agent", "spiffe://test/agent/n1", Usage::Client);
        place.issue(
            "coordinator",
            "spiffe://test/coordinator/main",
            Usage::Server,
        );
        fs::write(
            place.root.join("store-1.0.0"),
            place.program("1.0.0", "good").bytes,
        )
        .unwrap();
        place
    }

    fn issue(&self, name: &str, identity: &str, usage: Usage) {
        let request = IssueRequest {
            identity: identity.parse::<Identity>().unwrap(),
            dns_names: vec!["localhost".to_owned()],
            ip_addresses: vec!["127.0.0.1".parse().unwrap()],
            usage,
            validity: validity(),
        };
        let issued = self.authority.issue(&request).unwrap();
        fs::write(
            self.root.join(format!("{name}.pem")),
            issued.certificate_pem,
        )
        .unwrap();
        let key = self.root.join(format!("{name}.key"));
        fs::write(&key, issued.key_pem).unwrap();
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn tls_of(&self, name: &str) -> TlsFiles {
        TlsFiles {
            ca: self.root.join("ca.pem"),
            certificate: self.root.join(format!("{name}.pem")),
            key: self.root.join(format!("{name}.key")),
        }
    }

    /// The test's store as this version, which is like this.
    pub(crate) fn program(&self, version: &str, mode: &str) -> Program {
        self.sign("store", version, mode)
    }

    /// The same program, said to be another component.
    pub(crate) fn program_of(&self, component: &str, version: &str) -> Program {
        self.sign(component, version, "good")
    }

    fn sign(&self, component: &str, version: &str, mode: &str) -> Program {
        let mut bytes = fs::read(store_program()).unwrap();
        bytes.extend_from_slice(format!("\nrelease={version} mode={mode}\n").as_bytes());
        let manifest = ReleaseManifest {
            component: component.parse().unwrap(),
            version: version.parse().unwrap(),
            platform: platform::current().to_owned(),
            sha256: digest_of(&bytes),
            size_bytes: bytes.len() as u64,
            tree: None,
        };
        Program {
            version: manifest.version.clone(),
            digest: manifest.sha256,
            signed: manifest.sign(&self.key).unwrap(),
            bytes,
        }
    }

    /// The test's store as this version, in an archive with other files beside it.
    pub(crate) fn packed(&self, version: &str, mode: &str, format: ArchiveFormat) -> Program {
        let program = self.program(version, mode);
        let digest = digest_of(&program.bytes).to_string();
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |name: &str, mode: u32, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        };
        add("store", 0o755, &program.bytes);
        add("share/digest", 0o644, digest.as_bytes());
        self.pack(&program, format, tar.into_inner().unwrap())
    }

    /// Signs a tar file as a release that is packed.
    pub(crate) fn pack(&self, program: &Program, format: ArchiveFormat, tar: Vec<u8>) -> Program {
        let bytes = match format {
            ArchiveFormat::TarGz => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&tar).unwrap();
                encoder.finish().unwrap()
            }
            ArchiveFormat::TarZst => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                ruzstd::encoding::compress_to_vec(tar.as_slice(), level)
            }
        };
        let executable = "store".parse().unwrap();
        let expected = Expected {
            format,
            size_bytes: bytes.len() as u64,
            executable: &executable,
            platform: platform::current(),
            unpacked_bytes: None,
        };
        // What nobody would publish has a size nevertheless.
        let unpacked_bytes = archive::read(bytes.as_slice(), &expected, &mut Nowhere)
            .map_or(64 << 20, |contents| contents.unpacked_bytes);
        let manifest = ReleaseManifest {
            sha256: digest_of(&bytes),
            size_bytes: bytes.len() as u64,
            tree: Some(Tree {
                format,
                executable,
                unpacked_bytes,
            }),
            ..ReleaseManifest::decode(&program.signed.manifest).unwrap()
        };
        Program {
            version: program.version.clone(),
            digest: manifest.sha256,
            signed: manifest.sign(&self.key).unwrap(),
            bytes,
        }
    }

    /// A program that somebody else signed.
    pub(crate) fn foreign_program(&self, version: &str) -> Program {
        let foreign = SigningKey::from_pem(new_release_key_pem().unwrap().as_bytes()).unwrap();
        let mut program = self.program(version, "good");
        let manifest = ReleaseManifest::decode(&program.signed.manifest).unwrap();
        program.signed = manifest.sign(&foreign).unwrap();
        program
    }

    /// Writes a configuration with one instance, `s1`, that is at release 1.0.0. `extra` goes into its table.
    pub(crate) fn configure(&self, coordinator: SocketAddr, extra: &str) -> Utf8PathBuf {
        let address = self.address;
        let run = match extra.contains("supervisor = \"systemd\"") {
            true => String::new(),
            false => format!("command = [\"{{release}}/store\", \"{address}\"]"),
        };
        let text = format!(
            r#"
node = "n1"
coordinator = "{coordinator}"
data_dir = "state"
trusted_release_keys = ["{key}"]
labels = {{ zone = "a" }}
reconnect = {{ first_within = "0s", backoff_min = "20ms", backoff_max = "100ms" }}
[tls]
ca = "ca.pem"
certificate = "agent.pem"
key = "agent.key"
[[instance]]
name = "s1"
component = "store"
{run}
{extra}
{alone}
[instance.initial]
version = "1.0.0"
path = "store-1.0.0"
[instance.restart]
attempts = 3
backoff_min = "10ms"
backoff_max = "20ms"
[[instance.probe]]
type = "http"
url = "http://{address}/health"
interval = "50ms"
"#,
            key = self.key.public_key(),
            // Most tests say something only once the process runs.
            alone = match extra.contains("start_alone_after") {
                true => "",
                false => "start_alone_after = \"0s\"\n",
            },
        );
        let path = self.root.join("agent.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Takes the key that signs the releases out of the configuration, and puts another there.
    pub(crate) fn trust_another_key(&self) {
        let another = SigningKey::from_pem(new_release_key_pem().unwrap().as_bytes()).unwrap();
        let (old, new) = (self.key.public_key(), another.public_key());
        let path = self.root.join("agent.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace(&old.to_string(), &new.to_string())).unwrap();
    }

    /// Where an agent finds the bus of the place's own systemd, if it has one.
    pub(crate) fn bus(&self) -> String {
        format!("unix:path={}/systemd/run/bus", self.root)
    }

    /// A file of the instance.
    pub(crate) fn of_instance(&self, name: &str) -> Utf8PathBuf {
        self.root.join("state/instances/s1").join(name)
    }

    /// The version of the release that is current, which has to be whole.
    pub(crate) fn current(&self) -> String {
        let link = self.of_instance("current");
        let program = link.join("store");
        let digest =
            digest_of(&fs::read(&program).expect("current leads to a whole release")).to_string();
        let target = link.read_link_utf8().unwrap();
        let (version, short) = target.file_name().unwrap().rsplit_once('-').unwrap();
        // One that was packed is named by what it was packed in, and has its own digest beside it.
        let packed = fs::read_to_string(link.join("share/digest"));
        assert!(
            digest.starts_with(short) || packed.is_ok_and(|packed| packed == digest),
            "the bytes of {target} are not those of its name"
        );
        version.to_owned()
    }
}

fn validity() -> Validity {
    let now = SystemTime::now();
    Validity {
        not_before: now - Duration::from_secs(60),
        not_after: now + Duration::from_secs(3600),
    }
}

/// The number of the process that runs the test, where the test itself is among numbers of its own.
pub(crate) const NUMBER_OUTSIDE: &str = "EVENKEEL_NUMBER_OUTSIDE";

/// An address that was free a moment ago. Its port is below those that the system hands out to whoever asks for any, so
/// that it stays free while its owner is stopped; tests, which run at the same time, begin apart.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Among numbers of its own, many a test has the same.
    let outer = std::env::var(NUMBER_OUTSIDE).ok();
    let number = outer.and_then(|number| number.parse().ok());
    let begin = number.unwrap_or_else(std::process::id).wrapping_mul(61);
    loop {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + next % 22_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The example `test-store`, which is built with the tests.
fn store_program() -> Utf8PathBuf {
    let agent = Utf8Path::new(env!("CARGO_BIN_EXE_evenkeel-agent"));
    let program = agent.with_file_name("examples").join("test-store");
    assert!(
        Path::new(&program).exists(),
        "{program} is not built; run the tests without `--test`"
    );
    program
}
