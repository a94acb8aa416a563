//! What a node has to be told before it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::{NODES_MAX, NODES_MIN};

/// Checked settings of one node.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) name: String,
    /// All other nodes of the cluster.
    pub(crate) peers: Vec<SocketAddr>,
}

/// Why settings cannot work.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Peers could not find the node.
    #[error("the port to listen on must be a fixed one, not 0")]
    NoPort,
    /// Majorities need an odd number.
    #[error("a cluster has an odd number of nodes from {NODES_MIN} to {NODES_MAX}, not {0}")]
    NodeCount(usize),
}

impl Settings {
    /// Checks the settings. `members` are the nodes of the cluster; whether it names this one too makes no difference.
    /// Without a name the node is called by its address.
    ///
    /// # Errors
    /// If the port is 0 or the number of nodes is not one that can have a majority.
    pub fn new(
        listen: SocketAddr,
        data: PathBuf,
        members: Vec<SocketAddr>,
        name: Option<String>,
    ) -> Result<Self, SettingsError> {
        if listen.port() == 0 {
            return Err(SettingsError::NoPort);
        }
        let mut peers = members;
        peers.retain(|&peer| peer != listen);
        peers.sort_unstable();
        peers.dedup();
        let nodes = peers.len() + 1;
        if !(NODES_MIN..=NODES_MAX).contains(&nodes) || nodes.is_multiple_of(2) {
            return Err(SettingsError::NodeCount(nodes));
        }
        Ok(Self {
            listen,
            data,
            name: name.unwrap_or_else(|| listen.to_string()),
            peers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: u16, members: &[u16]) -> Result<Settings, SettingsError> {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Settings::new(
            address(listen),
            PathBuf::new(),
            members.iter().copied().map(address).collect(),
            None,
        )
    }

    #[test]
    fn a_node_may_be_named_among_its_own_peers() {
        assert_eq!(
            settings(1, &[1, 2, 3]).unwrap().peers,
            settings(1, &[3, 2, 2]).unwrap().peers
        );
    }

    #[test]
    fn a_cluster_has_an_odd_number_of_nodes() {
        assert_eq!(
            settings(1, &[2, 3, 4]).unwrap_err(),
            SettingsError::NodeCount(4)
        );
        assert_eq!(settings(1, &[]).unwrap_err(), SettingsError::NodeCount(1));
        assert_eq!(
            settings(1, &[2, 3, 4, 5, 6, 7, 8, 9]).unwrap_err(),
            SettingsError::NodeCount(9)
        );
        assert_eq!(settings(0, &[2, 3]).unwrap_err(), SettingsError::NoPort);
    }
}
