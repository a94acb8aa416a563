//! The text of the configurations that `evenkeel init` writes, for people to go on editing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use camino::Utf8Path;
use evenkeel_common::manifest::PublicKey;
use evenkeel_common::names::{ClusterName, NodeName};
use evenkeel_common::tls::Address;
use serde::Deserialize;

use super::folders::{CA, CERTIFICATE, KEY};

/// What an agent supervises, to be filled in; comments, so that the agent runs without any.
const INSTANCE_EXAMPLE: &str = r#"
# One table for each storage process of this node. Without any, the agent connects and reports the node.
#
# [[instance]]
# name = "data-1"
# component = "data-service"
# # {release} is the folder of the release that is to run.
# command = ["{release}/data-service", "--config", "/etc/data-service.toml"]
# stop_signal = "SIGTERM"
# # After this it is killed.
# stop_timeout = "30s"
# data_dirs = ["/var/lib/data-service"]
# labels = { group = "replica-set-1" }
#
# # The release that runs before the first upgrade.
# [instance.initial]
# version = "1.0.0"
# path = "/opt/data-service/1.0.0"
#
# # Leave to start it without its data, which is kept beside for a while, where a release needs that.
# [instance.rebuild]
# empty = ["/var/lib/data-service"]
#
# # The program that knows how it is drained.
# [instance.driver]
# command = ["/usr/lib/evenkeel/drivers/data-service"]
#
# # All probes have to pass.
# [[instance.probe]]
# type = "http"
# url = "http://127.0.0.1:9000/health"
#
# [[instance.probe]]
# type = "tcp"
# address = "127.0.0.1:9001"
"#;

pub(super) fn coordinator(
    cluster: &ClusterName,
    address: &Address,
    data_dir: &Utf8Path,
    release_key: &PublicKey,
) -> String {
    format!(
        "# The coordinator of the cluster {cluster}. Relative paths are taken from this file's folder.\n\
         cluster = {}\n\
         listen = {}\n\
         data_dir = {}\n\
         # Releases that one of these keys signed may be published, and no others.\n\
         trusted_release_keys = [{}]\n\
         \n{}",
        quoted(cluster.as_str()),
        quoted(&listen(address)),
        quoted(data_dir.as_str()),
        quoted(&release_key.to_string()),
        tls(Utf8Path::new("")),
    )
}

pub(super) fn agent(
    node: &NodeName,
    coordinator: &Address,
    data_dir: &Utf8Path,
    release_key: &PublicKey,
) -> String {
    format!(
        "# The agent of the node {node}. This folder goes to that node; relative paths are taken from here.\n\
         node = {}\n\
         coordinator = {}\n\
         data_dir = {}\n\
         # Releases that one of these keys signed may run here, and no others.\n\
         trusted_release_keys = [{}]\n\
         \n\
         # Where the node stands; these tell failure domains apart.\n\
         [labels]\n\
         # zone = \"a\"\n\
         # rack = \"r1\"\n\
         \n{}{INSTANCE_EXAMPLE}",
        quoted(node.as_str()),
        quoted(&coordinator.to_string()),
        quoted(data_dir.as_str()),
        quoted(&release_key.to_string()),
        tls(Utf8Path::new("")),
    )
}

pub(super) fn cli(coordinator: &Address, files: &Utf8Path) -> String {
    format!(
        "# For the command line. Relative paths are taken from this file's folder.\n\
         coordinator = {}\n\
         \n{}",
        quoted(&coordinator.to_string()),
        tls(files),
    )
}

/// The coordinator's address in a CLI's configuration.
pub(super) fn coordinator_of_cli(path: &Utf8Path) -> anyhow::Result<Address> {
    #[derive(Deserialize)]
    struct Settings {
        coordinator: Address,
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let settings: Settings = toml::from_str(&text)
        .with_context(|| format!("cannot find the coordinator's address in {path}"))?;
    Ok(settings.coordinator)
}

/// Loopback stays loopback; any other name or address may be one of several that lead here.
fn listen(address: &Address) -> String {
    let port = address.port();
    match address.ip() {
        Some(_) if is_loopback(address) => address.to_string(),
        Some(IpAddr::V6(_)) => format!("[{}]:{port}", Ipv6Addr::UNSPECIFIED),
        None if is_loopback(address) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        Some(IpAddr::V4(_)) | None => format!("{}:{port}", Ipv4Addr::UNSPECIFIED),
    }
}

fn is_loopback(address: &Address) -> bool {
    match address.ip() {
        Some(ip) => ip.is_loopback(),
        None => address.host() == "localhost",
    }
}

fn tls(folder: &Utf8Path) -> String {
    let file = |name| quoted(folder.join(name).as_str());
    format!(
        "[tls]\nca = {}\ncertificate = {}\nkey = {}\n",
        file(CA),
        file(CERTIFICATE),
        file(KEY)
    )
}

/// Text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
