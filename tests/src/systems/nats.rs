//! NATS JetStream: three servers, one stream of three replicas in files, so a quorum of two.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use async_nats::{
    ConnectOptions, HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self,
        message::PublishMessage,
        stream::{Config, StorageType},
    },
};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_samplestore::http_client::HttpClient;

use super::{
    json,
    writer::{Found, Target, Write},
};
use crate::{
    fleet::{Fleet, FleetSpec, NodeSpec},
    matrix, places, ports, wait,
};

/// Its component, and the name of its folder among the systems.
pub const COMPONENT: &str = "nats";

/// The name of its program.
pub const PROGRAM: &str = "nats-server";

/// How many servers a cluster has, and replicas the stream.
const SERVERS: usize = 3;

/// The stream, and the subject that goes into it.
const STREAM: &str = "writes";

/// How long the servers may take to be one group.
const GROUP_WITHIN: Duration = Duration::from_secs(15);

/// How many fleets are started at the most.
const STARTS_MAX: u32 = 3;

/// How long the cluster may take to make the stream.
const STREAM_WITHIN: Duration = Duration::from_secs(60);

/// For this long a message that is published again is recognised; longer than a test takes.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// How long a client waits before it looks for another server.
const RECONNECT_AFTER: Duration = Duration::from_millis(10);

/// A layout of NATS servers.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The fleet that runs them.
    pub spec: FleetSpec,
    clients: Vec<SocketAddr>,
    monitors: Vec<SocketAddr>,
}

impl Layout {
    /// Three servers that run `version`, one to a zone, their data and configuration below `folder`.
    ///
    /// # Errors
    /// When there is no free port, the version is not fetched, or a configuration cannot be written.
    pub fn new(folder: &Utf8Path, version: &str) -> anyhow::Result<Self> {
        let binary = places::system(COMPONENT, version, PROGRAM)?;
        let mut clients = ports::loopback(3 * SERVERS)?;
        let mut monitors = clients.split_off(SERVERS);
        let routes = monitors.split_off(SERVERS);
        let mut nodes = Vec::new();
        for (number, ((client, monitor), route)) in
            (1..).zip(clients.iter().zip(&monitors).zip(&routes))
        {
            let name = format!("n{number}");
            let data = folder.join("storage").join(&name);
            std::fs::create_dir_all(&data).with_context(|| format!("cannot make {data}"))?;
            let config = configuration(&name, &data, *client, *monitor, *route, &routes)?;
            // SIGTERM and not SIGUSR2 (lame duck): on both the server hands its leaderships over before it stops, and
            // what was under way is published again under its id. But a lame duck has stopped its replica already while
            // it is patient with its clients, so the stream is one copy short for 12 seconds instead of 2.
            let instance = format!(
                r#"[[instance]]
name = "nats"
component = "{COMPONENT}"
binary = "{PROGRAM}"
command = ["{{release}}/{PROGRAM}", "--config", "{config}"]
stop_signal = "SIGTERM"
stop_timeout = "15s"
data_dirs = ["{data}"]
labels = {{ group = "main" }}
initial = {{ version = "{version}", path = "{binary}" }}
[[instance.probe]]
type = "http"
url = "http://{monitor}/healthz"
contains = "ok"
interval = "500ms"
timeout = "1s"
"#
            );
            nodes.push(NodeSpec::new(name, instance).label("zone", &format!("z{number}")));
        }
        let mut spec = FleetSpec::new(nodes);
        spec.matrix = Some(matrix::of_toml(matrix::NATS)?);
        Ok(Self {
            spec,
            clients,
            monitors,
        })
    }

    /// Starts a fleet of servers that run `version`, below `folder`, in which all of them are of JetStream's own group.
    ///
    /// Servers that come up at the same moment on a busy machine may take each other for servers without JetStream (seen
    /// with 2.10.26, once in some twenty starts with no processor free): the group is then of two, for good, and never
    /// makes a stream of three replicas. Such a fleet is given up, and another is started in its place.
    ///
    /// # Errors
    /// When a fleet does not come up, or none of three is as it has to be.
    pub async fn started(folder: &Utf8Path, version: &str) -> anyhow::Result<(Self, Fleet)> {
        let mut last = None;
        for attempt in 1..=STARTS_MAX {
            let folder = folder.join(format!("fleet-{attempt}"));
            let layout = Self::new(&folder, version)?;
            let fleet = Fleet::start(&folder, &layout.spec).await?;
            let whole = wait::until("JetStream's group", GROUP_WITHIN, || layout.is_one_group());
            match whole.await {
                Ok(()) => return Ok((layout, fleet)),
                Err(error) => {
                    eprintln!("NOTICE: NATS {version} is started again: {error:#}");
                    last = Some(error);
                }
            }
        }
        Err(last.context("never started")?)
    }

    /// That each server knows of a leader, and of as many members as there are servers.
    async fn is_one_group(&self) -> anyhow::Result<()> {
        let http = HttpClient::new();
        for monitor in &self.monitors {
            let answer = json::get(&http, *monitor, "/jsz").await?;
            let leader = json::text(&answer, "/meta_cluster/leader")?;
            let members = json::number(&answer, "/meta_cluster/cluster_size")?;
            ensure!(
                !leader.is_empty() && members == SERVERS as u64,
                "{members} members and the leader {leader:?}"
            );
        }
        Ok(())
    }

    /// A client of all servers, which must be running; makes the stream.
    ///
    /// # Errors
    /// When there is no connection, or no stream within a minute.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let servers: Vec<String> = self
            .clients
            .iter()
            .map(|at| format!("nats://{at}"))
            .collect();
        let connection = ConnectOptions::new()
            .reconnect_delay_callback(|_| RECONNECT_AFTER)
            .connect(servers)
            .await?;
        let client = Client {
            jetstream: jetstream::new(connection),
            http: HttpClient::new(),
            monitors: self.monitors.clone(),
        };
        wait::until("the stream to be made", STREAM_WITHIN, || async {
            let config = Config {
                name: STREAM.to_owned(),
                subjects: vec![STREAM.to_owned()],
                storage: StorageType::File,
                num_replicas: SERVERS,
                duplicate_window: DUPLICATE_WINDOW,
                ..Config::default()
            };
            Ok(client.jetstream.create_stream(config).await?)
        })
        .await?;
        Ok(client)
    }
}

/// Writes the configuration of one server; its path.
fn configuration(
    name: &str,
    data: &Utf8Path,
    client: SocketAddr,
    monitor: SocketAddr,
    route: SocketAddr,
    routes: &[SocketAddr],
) -> anyhow::Result<Utf8PathBuf> {
    let mut text = format!(
        r#"server_name: "{name}"
listen: "{client}"
http: "{monitor}"
jetstream {{ store_dir: "{data}", max_memory_store: 64MB, max_file_store: 1GB }}
cluster {{
  name: "test"
  listen: "{route}"
  routes: [
"#
    );
    for route in routes {
        writeln!(text, "    \"nats://{route}\"")?;
    }
    text.push_str("  ]\n}\n");
    let path = data.with_extension("conf");
    std::fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
    Ok(path)
}

/// A client of the cluster and its stream. Clones share their connection.
#[derive(Debug, Clone)]
pub struct Client {
    jetstream: jetstream::Context,
    http: HttpClient,
    monitors: Vec<SocketAddr>,
}

/// How much of the stream a server holds itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// How many messages.
    pub messages: u64,
    /// The sequence number of the last of them.
    pub last_sequence: u64,
}

impl Client {
    /// The version of each server.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn versions(&self) -> anyhow::Result<Vec<String>> {
        let mut versions = Vec::new();
        for monitor in &self.monitors {
            let answer = json::get(&self.http, *monitor, "/varz").await?;
            versions.push(json::text(&answer, "/version")?.to_owned());
        }
        Ok(versions)
    }

    /// How much of the stream each server holds itself.
    ///
    /// # Errors
    /// When one does not answer, or has no stream.
    pub async fn held(&self) -> anyhow::Result<Vec<Held>> {
        let mut held = Vec::new();
        for monitor in &self.monitors {
            let path = "/jsz?accounts=true&streams=true";
            let answer = json::get(&self.http, *monitor, path).await?;
            let state = "/account_details/0/stream_detail/0/state";
            held.push(Held {
                messages: json::number(&answer, &format!("{state}/messages"))?,
                last_sequence: json::number(&answer, &format!("{state}/last_seq"))?,
            });
        }
        Ok(held)
    }

    /// Every message of the stream, in the order of their sequence numbers.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn read_all(&self) -> anyhow::Result<Vec<Found>> {
        let stream = self.jetstream.get_stream(STREAM).await?;
        let state = &stream.cached_info().state;
        let mut found = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream
                .get_raw_message(sequence)
                .await
                .with_context(|| format!("reading message {sequence}"))?;
            ensure!(
                message.sequence == sequence,
                "asked for message {sequence} and got {}",
                message.sequence
            );
            found.push(Found {
                write: Write {
                    key: id(&message.headers)?,
                    value: String::from_utf8(message.payload.into())?,
                },
                first_position: sequence,
                last_position: sequence,
            });
        }
        Ok(found)
    }
}

impl Target for Client {
    async fn write(&self, write: &Write, _turn: usize) -> anyhow::Result<u64> {
        // The id lets the stream recognise a message that is published again.
        let message = PublishMessage::build()
            .message_id(&write.key)
            .payload(write.value.clone().into());
        let published = self.jetstream.send_publish(STREAM, message).await?;
        Ok(published.await?.sequence)
    }
}

fn id(headers: &HeaderMap) -> anyhow::Result<String> {
    let id = headers.get(NATS_MESSAGE_ID);
    Ok(id.context("a message has no id")?.as_str().to_owned())
}
