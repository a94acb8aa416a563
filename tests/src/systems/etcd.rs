//! etcd: three members, quorum of two, reached through the JSON gateway in front of its gRPC API.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use camino::Utf8Path;
use evenkeel_proto::v1::CompatibilityMatrix;
use evenkeel_samplestore::http_client::HttpClient;
use semver::Version;
use serde_json::{Value, json};

use super::{
    json,
    writer::{Found, Target, Write},
};
use crate::{
    fleet::{FleetSpec, NodeSpec},
    matrix, places, ports,
};

/// Its component, and the name of its program.
pub const COMPONENT: &str = "etcd";

/// How many members a cluster has.
const MEMBERS: usize = 3;

/// The most keys asked for at once.
const PAGE_KEYS: usize = 1_000;

/// A version of the minor release before; it comes with apt.
pub const OLDER: &str = "3.4.23";

/// The newest two versions that come from where every machine can fetch.
pub const BEFORE_NEWEST: &str = "3.5.0";

/// The newest of them.
pub const NEWEST: &str = "3.5.1";

/// Whether this machine has the version of the minor release before; says so where it has not.
///
/// # Errors
/// Where it has not, on a run that nobody watches: there it would hide that less is tested.
pub fn has_older() -> anyhow::Result<bool> {
    let older = places::system(COMPONENT, OLDER, COMPONENT).map(drop);
    let in_ci = std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"));
    let has = is_there(older, in_ci)?;
    if !has {
        eprintln!("\nNOTICE: etcd {OLDER} is not there (apt fetches it): LESS is tested\n");
    }
    Ok(has)
}

/// The shipped matrix, but for the hops into 3.5.0, 3.5.1 and 3.5.2 that it blocks: no other 3.5 comes from where every
/// machine can fetch, and no member is killed under the load that these lose writes by.
///
/// # Errors
/// When the shipped one is not as it has to be.
pub fn open_matrix() -> anyhow::Result<CompatibilityMatrix> {
    let mut matrix = matrix::of_toml(matrix::ETCD)?;
    let all = matrix.blocked.len();
    matrix.blocked.retain(|hop| hop.from != "<3.5.0");
    ensure!(matrix.blocked.len() + 1 == all, "{:?}", matrix.blocked);
    Ok(matrix)
}

fn is_there(older: anyhow::Result<()>, in_ci: bool) -> anyhow::Result<bool> {
    match older {
        Ok(()) => Ok(true),
        Err(missing) if in_ci => Err(missing.context("in CI no version is optional")),
        Err(_) => Ok(false),
    }
}

/// What the members together speak once all of them run `version`.
///
/// # Errors
/// When it is no version.
pub fn cluster_version(version: &str) -> anyhow::Result<String> {
    let version: Version = version.parse()?;
    Ok(format!("{}.{}.0", version.major, version.minor))
}

/// A layout of etcd members.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The fleet that runs them.
    pub spec: FleetSpec,
    /// Where they answer clients.
    pub addresses: Vec<SocketAddr>,
}

impl Layout {
    /// Three members that run `version`, one to a zone, their data below `folder`.
    ///
    /// # Errors
    /// When there is no free port, or the version is not fetched.
    pub fn new(folder: &Utf8Path, version: &str) -> anyhow::Result<Self> {
        Self::declared(folder, version, version)
    }

    /// The same, and `declared` is what their agents are told that it is.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn declared(folder: &Utf8Path, version: &str, declared: &str) -> anyhow::Result<Self> {
        let binary = places::system(COMPONENT, version, COMPONENT)?;
        let mut clients = ports::loopback(2 * MEMBERS)?;
        let peers = clients.split_off(MEMBERS);
        let names: Vec<String> = (1..=MEMBERS).map(|number| format!("n{number}")).collect();
        let members = names.iter().zip(&peers);
        let members: Vec<String> = members
            .map(|(name, peer)| format!("{name}=http://{peer}"))
            .collect();
        let members = members.join(",");
        let mut nodes = Vec::new();
        for ((name, client), peer) in names.iter().zip(&clients).zip(&peers) {
            let data = folder.join("storage").join(name);
            std::fs::create_dir_all(&data).with_context(|| format!("cannot make {data}"))?;
            // `/livez` and `/health?serializable=true` are no probe: they answer 200 without a quorum.
            let instance = format!(
                r#"[[instance]]
name = "etcd"
component = "{COMPONENT}"
binary = "{COMPONENT}"
command = ["{{release}}/{COMPONENT}", "--name", "{name}", "--data-dir", "{data}/member",
  "--listen-client-urls", "http://{client}", "--advertise-client-urls", "http://{client}",
  "--listen-peer-urls", "http://{peer}", "--initial-advertise-peer-urls", "http://{peer}",
  "--initial-cluster", "{members}", "--initial-cluster-state", "new", "--logger", "zap"]
stop_signal = "SIGTERM"
stop_timeout = "10s"
data_dirs = ["{data}"]
labels = {{ group = "main" }}
initial = {{ version = "{declared}", path = "{binary}" }}
[[instance.probe]]
type = "http"
url = "http://{client}/health"
contains = "true"
interval = "500ms"
timeout = "1s"
"#
            );
            nodes.push(NodeSpec::new(name, instance).label("zone", &format!("zone-of-{name}")));
        }
        let mut spec = FleetSpec::new(nodes);
        spec.matrix = Some(open_matrix()?);
        Ok(Self {
            spec,
            addresses: clients,
        })
    }

    /// A client of all members.
    #[must_use]
    pub fn client(&self) -> Client {
        Client {
            http: HttpClient::new(),
            members: self.addresses.clone(),
        }
    }
}

/// A client of the cluster. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient,
    members: Vec<SocketAddr>,
}

/// What a member says of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Its own.
    pub server: String,
    /// What the members together speak.
    pub cluster: String,
}

impl Client {
    /// What each member says of versions.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn versions(&self) -> anyhow::Result<Vec<Versions>> {
        let mut versions = Vec::new();
        for member in &self.members {
            let answer = json::get(&self.http, *member, "/version").await?;
            versions.push(Versions {
                server: json::text(&answer, "/etcdserver")?.to_owned(),
                cluster: json::text(&answer, "/etcdcluster")?.to_owned(),
            });
        }
        Ok(versions)
    }

    /// Everything there is, asked of each member in turn; each of them asks the quorum.
    ///
    /// # Errors
    /// When a member does not answer, or says something that is no etcd's answer.
    pub async fn read_all(&self) -> anyhow::Result<Vec<Vec<Found>>> {
        let mut all = Vec::new();
        for member in &self.members {
            all.push(self.read_all_of(*member).await?);
        }
        Ok(all)
    }

    async fn read_all_of(&self, member: SocketAddr) -> anyhow::Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        loop {
            // The end of a range is outside it; a NUL byte means no end, and one more of it the next key.
            let begin = found
                .last()
                .map_or("\0".to_owned(), |last| format!("{}\0", last.write.key));
            let page = json!({
                "key": BASE64.encode(begin),
                "range_end": BASE64.encode("\0"),
                "limit": PAGE_KEYS,
            });
            let answer = json::post(&self.http, member, "/v3/kv/range", &page).await?;
            let entries = answer.pointer("/kvs").and_then(Value::as_array);
            for entry in entries.into_iter().flatten() {
                found.push(Found {
                    write: Write {
                        key: decoded(entry, "/key")?,
                        value: decoded(entry, "/value")?,
                    },
                    first_position: json::number(entry, "/create_revision")?,
                    last_position: json::number(entry, "/mod_revision")?,
                });
            }
            if answer.pointer("/more") != Some(&Value::Bool(true)) {
                return Ok(found);
            }
            ensure!(entries.is_some(), "more is said to follow nothing");
        }
    }
}

impl Target for Client {
    async fn write(&self, write: &Write, turn: usize) -> anyhow::Result<u64> {
        let member = self.members.get(turn % MEMBERS);
        let member = *member.context("there is no such member")?;
        let put = json!({
            "key": BASE64.encode(&write.key),
            "value": BASE64.encode(&write.value),
        });
        let answer = json::post(&self.http, member, "/v3/kv/put", &put).await?;
        json::number(&answer, "/header/revision")
    }
}

fn decoded(entry: &Value, place: &str) -> anyhow::Result<String> {
    let bytes = BASE64.decode(json::text(entry, place)?)?;
    String::from_utf8(bytes).with_context(|| format!("{place} is no text in {entry}"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_older_minor_version_is_optional_only_where_somebody_watches() {
        let missing = || Err(anyhow!("not fetched"));
        assert!(is_there(Ok(()), true).unwrap());
        assert!(is_there(Ok(()), false).unwrap());
        assert!(!is_there(missing(), false).unwrap());
        let error = is_there(missing(), true).unwrap_err();
        assert!(format!("{error:#}").contains("not fetched"), "{error:#}");
    }

    #[test]
    fn the_cluster_speaks_the_minor_version() {
        assert_eq!(cluster_version("3.4.23").unwrap(), "3.4.0");
    }
}
