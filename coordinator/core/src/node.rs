//! Nodes: the storage hosts, and what is known of their agents.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_words::{names::NodeName, timestamp::Timestamp};
use semver::Version;

/// Where a thing stands and what it belongs to: `zone`, `rack`, `group`, …
pub type Labels = BTreeMap<String, String>;

/// What is known of an agent's being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Not heard of since the coordinator started.
    Unknown,
    /// Its heartbeats come.
    Up,
    /// No heartbeat for longer than is usual.
    Suspect,
    /// No heartbeat for so long that the agent counts as lost.
    AgentLost,
}

/// After how much silence an agent is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivenessTimings {
    /// Suspect from here on.
    pub suspect_after: Duration,
    /// Lost from here on.
    pub lost_after: Duration,
}

impl LivenessTimings {
    /// What an agent is that was last heard at `heard`, or not since the coordinator started.
    #[must_use]
    pub fn judge(&self, heard: Option<Timestamp>, now: Timestamp) -> Liveness {
        let Some(heard) = heard else {
            return Liveness::Unknown;
        };
        let silence = now.since(heard);
        if silence >= self.lost_after {
            Liveness::AgentLost
        } else if silence >= self.suspect_after {
            Liveness::Suspect
        } else {
            Liveness::Up
        }
    }
}

/// A storage host with one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, as its agent's certificate says.
    pub name: NodeName,
    /// Where it stands.
    pub labels: Labels,
    /// Operating system and processor.
    pub platform: String,
    /// The agent's own version.
    pub agent_version: Version,
    /// What is known of the agent's being there.
    pub liveness: Liveness,
    /// Since when it is not heard that was before, while it is not.
    pub silent_since: Option<Timestamp>,
    /// Why its agent refuses this coordinator's orders, if it does.
    pub fenced: Option<String>,
    /// When something of this changed last.
    pub changed_at: Timestamp,
    /// The revision at which something of this changed last.
    pub revision: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_makes_suspect_then_lost_and_never_heard_is_unknown() {
        let timings = LivenessTimings {
            suspect_after: Duration::from_secs(30),
            lost_after: Duration::from_secs(60),
        };
        let judge = |silence_s: u64| timings.judge(Some(Timestamp(0)), Timestamp(silence_s * 1000));
        assert_eq!(judge(0), Liveness::Up);
        assert_eq!(judge(29), Liveness::Up);
        assert_eq!(judge(30), Liveness::Suspect);
        assert_eq!(judge(60), Liveness::AgentLost);
        assert_eq!(timings.judge(None, Timestamp(0)), Liveness::Unknown);
    }
}
