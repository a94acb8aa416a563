use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use clap::Parser;
use evenkeel_common::identity::{CertificateFacts, Usage};
use evenkeel_common::manifest::TrustedKeys;
use evenkeel_common::tls::{ServerTls, TlsFiles};
use serde::Deserialize;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: InitArgs,
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path())
            .unwrap()
            .join("cluster")
    }

    fn init(&self, arguments: &str) -> anyhow::Result<InitReport> {
        let dir = self.dir();
        let words = ["init", dir.as_str()].into_iter();
        let command = Command::try_parse_from(words.chain(arguments.split_whitespace()))?;
        run(&command.args)
    }

    fn refusal(&self, arguments: &str) -> String {
        format!("{:#}", self.init(arguments).unwrap_err())
    }

    /// Every file with its content, and every folder, with their modes.
    fn everything(&self) -> BTreeMap<Utf8PathBuf, (u32, Option<Vec<u8>>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.dir()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir_utf8().unwrap() {
                let path = entry.unwrap().into_path();
                let metadata = fs::metadata(&path).unwrap();
                let mode = metadata.permissions().mode() & 0o7777;
                let content = metadata.is_file().then(|| fs::read(&path).unwrap());
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, (mode, content));
            }
        }
        found
    }

    fn facts(&self, folder: &str) -> CertificateFacts {
        Folder::new(self.dir().join(folder))
            .tls_files()
            .own_facts()
            .unwrap()
    }

    fn settings<T: serde::de::DeserializeOwned>(&self, file: &str) -> T {
        toml::from_str(&fs::read_to_string(self.dir().join(file)).unwrap()).unwrap()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinator {
    cluster: ClusterName,
    listen: std::net::SocketAddr,
    data_dir: Utf8PathBuf,
    trusted_release_keys: TrustedKeys,
    tls: TlsFiles,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agent {
    node: NodeName,
    coordinator: Address,
    data_dir: Utf8PathBuf,
    trusted_release_keys: TrustedKeys,
    labels: BTreeMap<String, String>,
    tls: TlsFiles,
    #[serde(default)]
    instance: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cli {
    coordinator: Address,
    tls: TlsFiles,
}

#[test]
fn a_new_cluster_has_all_it_needs_to_run() {
    let place = Place::new();
    let report = place
        .init("--cluster prod --node n1 n2 --node n3,n4 --operator ada:viewer")
        .unwrap();
    assert!(report.paths(Outcome::Kept).is_empty());
    let made = [
        "ca",
        "evenkeel.toml",
        "releases.key",
        "releases.pub",
        "coordinator",
        "operators/admin",
        "operators/ada",
        "agents/n1",
        "agents/n2",
        "agents/n3",
        "agents/n4",
    ];
    assert_eq!(report.paths(Outcome::Created), made);

    for (folder, uri, usage) in [
        ("coordinator", "spiffe://prod/coordinator/c1", Usage::Server),
        ("agents/n3", "spiffe://prod/agent/n3", Usage::Client),
        (
            "operators/admin",
            "spiffe://prod/operator/admin/admin",
            Usage::Client,
        ),
        (
            "operators/ada",
            "spiffe://prod/operator/ada/viewer",
            Usage::Client,
        ),
    ] {
        let facts = place.facts(folder);
        assert_eq!(facts.identity.to_string(), uri);
        facts.require(usage).unwrap();
    }

    let coordinator: Coordinator = place.settings("coordinator/coordinator.toml");
    assert_eq!(coordinator.cluster.as_str(), "prod");
    assert_eq!(coordinator.listen.to_string(), COORDINATOR_DEFAULT);
    assert_eq!(coordinator.data_dir, "data");
    let file = place.dir().join("coordinator/coordinator.toml");
    ServerTls::load(coordinator.tls.resolved(&file), Vec::new()).unwrap();

    let agent: Agent = place.settings("agents/n1/agent.toml");
    assert_eq!(coordinator.trusted_release_keys, agent.trusted_release_keys);
    assert_eq!(
        (agent.node.as_str(), agent.data_dir.as_str()),
        ("n1", "data")
    );
    assert_eq!(agent.coordinator.to_string(), COORDINATOR_DEFAULT);
    assert!(agent.labels.is_empty() && agent.instance.is_empty());
    let key = SigningKey::load(&place.dir().join("releases.key")).unwrap();
    assert_eq!(
        agent.trusted_release_keys,
        [key.public_key()].into_iter().collect()
    );
    agent
        .tls
        .resolved(&place.dir().join("agents/n1/agent.toml"))
        .own_facts()
        .unwrap();

    for (file, operator) in [
        ("evenkeel.toml", "admin"),
        ("operators/ada/evenkeel.toml", "ada"),
    ] {
        let cli: Cli = place.settings(file);
        assert_eq!(cli.coordinator.to_string(), COORDINATOR_DEFAULT);
        let facts = cli
            .tls
            .resolved(&place.dir().join(file))
            .own_facts()
            .unwrap();
        assert!(facts.identity.to_string().contains(operator));
    }
}

#[test]
fn private_keys_and_folders_are_their_owners_alone() {
    let place = Place::new();
    place.init("--cluster prod --node n1").unwrap();
    let mut keys = 0;
    for (path, (mode, content)) in place.everything() {
        match content {
            None => assert_eq!(mode, 0o700, "{path}"),
            Some(content) if content.windows(11).any(|text| text == b"PRIVATE KEY") => {
                keys += 1;
                assert_eq!(mode, 0o600, "{path}");
            }
            Some(_) => {}
        }
    }
    assert_eq!(keys, 5, "CA, coordinator, agent, admin, releases");
}

#[test]
fn running_again_keeps_everything_and_adds_what_is_new() {
    let place = Place::new();
    place
        .init("--cluster prod --coordinator c1.example:7411 --node n1")
        .unwrap();
    let before = place.everything();
    let again = place.init("").unwrap();
    assert!(again.paths(Outcome::Created).is_empty());
    assert_eq!(place.everything(), before);

    let more = place.init("--node n1 n6 --operator ada:operator").unwrap();
    assert_eq!(more.paths(Outcome::Created), ["operators/ada", "agents/n6"]);
    let after = place.everything();
    for (path, content) in &before {
        assert_eq!(after.get(path), Some(content), "{path}");
    }
    let agent: Agent = place.settings("agents/n6/agent.toml");
    assert_eq!(agent.coordinator.to_string(), "c1.example:7411");
    assert_eq!(
        fs::read(place.dir().join("agents/n6/ca.pem")).unwrap(),
        fs::read(place.dir().join("ca/ca.pem")).unwrap()
    );
}

#[test]
fn a_run_that_was_interrupted_anywhere_is_finished_by_the_next() {
    let made = [
        "agents/n1",
        "operators/admin",
        "coordinator",
        "releases.pub",
        "releases.key",
        "evenkeel.toml",
        "ca",
    ];
    for done in 0..=made.len() {
        let place = Place::new();
        place.init("--cluster prod --node n1").unwrap();
        // What a run makes last is missing, and half of the next thing lies about.
        for path in &made[..made.len() - done] {
            let path = place.dir().join(path);
            if path.is_dir() {
                let unfinished = path.with_file_name(format!(".{}.new", path.file_name().unwrap()));
                fs::rename(&path, &unfinished).unwrap();
                fs::remove_file(unfinished.join(KEY)).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        place.init("--cluster prod --node n1").unwrap();
        place.facts("agents/n1");
        let leftovers: Vec<_> = place
            .everything()
            .into_keys()
            .filter(|path| path.as_str().ends_with(".new"))
            .collect();
        assert_eq!(leftovers, Vec::<Utf8PathBuf>::new());
    }
}

#[test]
fn what_contradicts_the_cluster_is_refused_and_changes_nothing() {
    let place = Place::new();
    assert!(place.refusal("--node n1").contains("--cluster NAME"));
    assert!(!place.dir().exists());
    place
        .init("--cluster prod --node n1 --operator ada:viewer")
        .unwrap();
    let before = place.everything();
    for (arguments, expected) in [
        (
            "--cluster test",
            "is the folder of the cluster prod, not of test",
        ),
        (
            "--coordinator other:7400",
            "is at 127.0.0.1:7400, not at other:7400",
        ),
        (
            "--operator ada:admin",
            "belongs to spiffe://prod/operator/ada/viewer",
        ),
        ("--node N1", "the node name \"N1\""),
        ("--node ../n1", "the node name"),
        ("--operator ada", "NAME:ROLE"),
        ("--operator ada:root", "a role is viewer, operator or admin"),
        ("--agent-days 0", "0 is not in 1..="),
        (
            "--coordinator nowhere",
            "is not an address of the form host:port",
        ),
    ] {
        let refusal = place.refusal(arguments);
        assert!(refusal.contains(expected), "{arguments}: {refusal}");
        assert_eq!(place.everything(), before, "{arguments}");
    }
}

#[test]
fn a_lost_file_is_named_and_never_made_anew_behind_ones_back() {
    for lost in [
        "ca/key.pem",
        "ca/ca.pem",
        "agents/n1/key.pem",
        "coordinator/coordinator.toml",
        "releases.key",
    ] {
        let place = Place::new();
        place.init("--cluster prod --node n1").unwrap();
        fs::remove_file(place.dir().join(lost)).unwrap();
        let before = place.everything();
        let refusal = place.refusal("--cluster prod --node n1");
        let name = lost.split('/').next_back().unwrap();
        assert!(refusal.contains(name), "{refusal}");
        assert!(refusal.contains("put it back"), "{refusal}");
        assert_eq!(place.everything(), before);
    }
}

#[test]
fn a_ca_key_that_others_may_read_is_refused() {
    let place = Place::new();
    place.init("--cluster prod").unwrap();
    let key = place.dir().join("ca/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(place.refusal("--node n1").contains("chmod 600"));
}

#[test]
fn two_runs_at_once_do_not_mix() {
    let place = Place::new();
    place.init("--cluster prod").unwrap();
    let _held = FolderLock::take(place.dir()).unwrap();
    assert!(place.refusal("--node n1").contains("another init"));
}

#[test]
fn the_coordinator_listens_where_its_address_leads() {
    for (address, listen) in [
        ("127.0.0.1:7411", "127.0.0.1:7411"),
        ("localhost:7411", "127.0.0.1:7411"),
        ("[::1]:7411", "[::1]:7411"),
        ("192.0.2.1:7411", "0.0.0.0:7411"),
        ("c1.example:7411", "0.0.0.0:7411"),
        ("[2001:db8::1]:7411", "[::]:7411"),
    ] {
        let place = Place::new();
        place
            .init(&format!("--cluster prod --coordinator {address}"))
            .unwrap();
        let coordinator: Coordinator = place.settings("coordinator/coordinator.toml");
        assert_eq!(coordinator.listen.to_string(), listen);
    }
}

#[test]
fn agents_on_one_machine_keep_their_data_apart() {
    let place = Place::new();
    place
        .init("--cluster prod --node n1 n2 --data-dir /srv/even\"keel")
        .unwrap();
    let data_dir = |file: &str| {
        place.settings::<toml::Table>(file)["data_dir"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        data_dir("coordinator/coordinator.toml"),
        "/srv/even\"keel/coordinator"
    );
    assert_eq!(
        data_dir("agents/n1/agent.toml"),
        "/srv/even\"keel/agents/n1"
    );
    assert_eq!(
        data_dir("agents/n2/agent.toml"),
        "/srv/even\"keel/agents/n2"
    );
}

#[test]
fn an_agents_certificate_holds_as_long_as_asked() {
    let place = Place::new();
    place
        .init("--cluster prod --node n1 --agent-days 2")
        .unwrap();
    let facts = place.facts("agents/n1");
    let length = facts.not_after.duration_since(facts.not_before).unwrap();
    assert_eq!(length.as_secs() / certificates::DAY_SECONDS, 2);
}

#[test]
fn the_example_of_an_instance_is_valid_once_the_comment_signs_are_gone() {
    let place = Place::new();
    place.init("--cluster prod --node n1").unwrap();
    let text = fs::read_to_string(place.dir().join("agents/n1/agent.toml")).unwrap();
    let (_, example) = text.split_once("# [[instance]]").unwrap();
    let example: String = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .unwrap_or(line.trim_start_matches('#'))
        })
        .fold("[[instance]]".to_owned(), |text, line| text + "\n" + line);
    let settings: toml::Table = toml::from_str(&example).unwrap();
    let instance = &settings["instance"][0];
    for key in [
        "name",
        "component",
        "command",
        "stop_signal",
        "stop_timeout",
        "data_dirs",
        "labels",
        "initial",
        "rebuild",
        "driver",
    ] {
        assert!(instance.get(key).is_some(), "{key}");
    }
    assert_eq!(instance["probe"].as_array().unwrap().len(), 2);
}
