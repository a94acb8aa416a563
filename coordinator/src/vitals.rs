//! What agents say of their hosts and disks: the newest of each node, in memory only. It decides nothing, so the core
//! knows nothing of it; a coordinator that starts waits until it is said again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_common::{
    limits::{INSTANCES_PER_NODE_MAX, REASON_BYTES_MAX},
    names::{InstanceName, NodeName},
};
use evenkeel_proto::v1::NodeVitals;
use tokio::time::Instant;

use crate::convert::{Invalid, parse};

/// The longest name of a disk, in bytes; the kernel's own are under 32.
const DEVICE_BYTES_MAX: usize = 64;

/// The newest vitals of every node that spoke of them.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Arc<Mutex<BTreeMap<NodeName, (Instant, NodeVitals)>>>);

impl Vitals {
    /// Takes in what a node says of itself. Only for nodes that have a session: there are no more than those.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn put(&self, node: NodeName, vitals: NodeVitals) -> Result<(), Invalid> {
        check(&vitals)?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(node, (Instant::now(), vitals));
        Ok(())
    }

    /// What a node said last, and how long ago.
    #[must_use]
    pub fn of(&self, node: &NodeName) -> Option<(NodeVitals, Duration)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, vitals) = all.get(node)?;
        Some((vitals.clone(), at.elapsed()))
    }
}

fn check(vitals: &NodeVitals) -> Result<(), Invalid> {
    let folders = &vitals.folders;
    if folders.len() > INSTANCES_PER_NODE_MAX {
        let count = folders.len();
        let reason = format!("has {count} entries, at most {INSTANCES_PER_NODE_MAX} are allowed");
        return Err(Invalid::new("vitals.folders", reason));
    }
    for folder in folders {
        parse::<InstanceName>("vitals.folders.instance", &folder.instance)?;
        for (field, text, bytes_max) in [
            ("vitals.folders.device", &folder.device, DEVICE_BYTES_MAX),
            ("vitals.folders.trouble", &folder.trouble, REASON_BYTES_MAX),
        ] {
            if text.len() > bytes_max {
                let reason = format!("has {} bytes, at most {bytes_max} are allowed", text.len());
                return Err(Invalid::new(field, reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1::{DataFolderVitals, HostVitals};

    use super::*;

    fn said(change: impl FnOnce(&mut DataFolderVitals)) -> NodeVitals {
        let mut folder = DataFolderVitals {
            instance: "s1".to_owned(),
            device: "sda1".to_owned(),
            ..DataFolderVitals::default()
        };
        change(&mut folder);
        NodeVitals {
            host: Some(HostVitals::default()),
            folders: vec![folder],
        }
    }

    #[test]
    fn the_newest_of_each_node_is_known_and_nothing_without_bounds() {
        let vitals = Vitals::default();
        let [one, other] = ["n1", "n2"].map(|name| name.parse::<NodeName>().unwrap());
        assert_eq!(vitals.of(&one), None);
        vitals.put(one.clone(), said(|_| {})).unwrap();
        vitals
            .put(one.clone(), said(|folder| folder.read_only = true))
            .unwrap();
        let (now, _) = vitals.of(&one).unwrap();
        assert!(now.folders[0].read_only);
        assert_eq!(vitals.of(&other), None);
        let mut many = said(|_| {});
        many.folders = vec![many.folders[0].clone(); INSTANCES_PER_NODE_MAX + 1];
        for bad in [
            said(|folder| folder.instance = "../s1".to_owned()),
            said(|folder| folder.device = "d".repeat(DEVICE_BYTES_MAX + 1)),
            said(|folder| folder.trouble = "t".repeat(REASON_BYTES_MAX + 1)),
            many,
        ] {
            assert!(vitals.put(other.clone(), bad).is_err());
        }
        assert_eq!(vitals.of(&other), None);
    }
}
