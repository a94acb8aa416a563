//! What is true of the instances, for the coordinator: the newest of each, and which ones it has not heard yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
};

use evenkeel_agent_core::{Finalized, Progress, Release, Status};
use evenkeel_common::{
    clock::Timestamp,
    digest::Digest,
    limits::{REASON_BYTES_MAX, cut},
    names::{ComponentName, InstanceName},
};
use tokio::sync::{Notify, watch};

use crate::{
    config::InstanceSettings, configuration, driver::Verb, probes::Health, rebuild::Leave,
    releases::Staged,
};

/// What is true of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceFacts {
    /// Its component.
    pub component: ComponentName,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub status: Status,
    /// What its probes say.
    pub health: Health,
    /// What is not as it should be; empty if all is.
    pub reason: String,
    /// The release that is current.
    pub current: Option<Release>,
    /// Its process.
    pub process: Option<ProcessFacts>,
    /// Releases that were asked for ahead of time.
    pub staged: Vec<Staged>,
    /// The highest epoch accepted.
    pub accepted_epoch: u64,
    /// The highest generation accepted.
    pub accepted_generation: u64,
    /// What was done about the newest order.
    pub progress: Option<Progress>,
    /// Whether it could be rebuilt now.
    pub leave: Leave,
    /// The digest of the configuration that it would be started with now.
    pub configuration: Digest,
    /// Its driver may know how to make an upgrade final.
    pub can_finalize: bool,
    /// Its driver is asked whether the process may be stopped.
    pub asks_before_stop: bool,
    /// What came of making it final last.
    pub finalized: Option<Finalized>,
    /// Whether it stays down at the coordinator's word.
    pub held: bool,
    /// The newest of those words.
    pub hold_word: u64,
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its number.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// The release that it executes.
    pub release: Release,
    /// The digest of the configuration that it was started with; none if that is not known.
    pub configuration: Option<Digest>,
}

impl InstanceFacts {
    /// An instance of which nothing is known yet.
    #[must_use]
    pub fn unknown(settings: &InstanceSettings) -> Self {
        Self {
            component: settings.component.clone(),
            labels: settings.labels.clone(),
            status: Status::Error,
            health: Health::Error,
            reason: "the agent has not looked at it yet".to_owned(),
            current: None,
            process: None,
            staged: Vec::new(),
            accepted_epoch: 0,
            accepted_generation: 0,
            progress: None,
            leave: Leave::default(),
            configuration: configuration::digest_of(settings),
            can_finalize: settings
                .driver
                .as_ref()
                .is_some_and(|driver| driver.knows(Verb::Finalize)),
            asks_before_stop: settings
                .driver
                .as_ref()
                .is_some_and(|driver| driver.knows(Verb::OkToStop)),
            finalized: None,
            held: false,
            hold_word: 0,
        }
    }
}

/// The newest facts of every instance.
#[derive(Debug)]
pub struct Reports {
    board: Mutex<Board>,
    news: Notify,
    /// The instances that nobody has looked at yet.
    unseen: watch::Sender<BTreeSet<InstanceName>>,
}

#[derive(Debug, Default)]
struct Board {
    facts: BTreeMap<InstanceName, InstanceFacts>,
    unheard: BTreeSet<InstanceName>,
}

impl Reports {
    /// Facts of these instances, of which nothing is known yet.
    #[must_use]
    pub fn of<'a>(instances: impl Iterator<Item = &'a InstanceSettings>) -> Self {
        let facts: BTreeMap<_, _> = instances
            .map(|settings| (settings.name.clone(), InstanceFacts::unknown(settings)))
            .collect();
        let unseen = watch::Sender::new(facts.keys().cloned().collect());
        let board = Board {
            facts,
            unheard: BTreeSet::new(),
        };
        Self {
            board: Mutex::new(board),
            news: Notify::new(),
            unseen,
        }
    }

    /// An instance was looked at: what is true of it is known from now on.
    pub fn looked_at(&self, instance: &InstanceName) {
        self.unseen
            .send_if_modified(|unseen| unseen.remove(instance));
    }

    /// Waits until every instance was looked at.
    pub async fn all_looked_at(&self) {
        // The sender is right here.
        let _ = self.unseen.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is true of an instance. Unless that makes a difference, nobody is told.
    pub fn update(&self, instance: &InstanceName, change: impl FnOnce(&mut InstanceFacts)) {
        let mut board = self.board();
        let Some(facts) = board.facts.get_mut(instance) else {
            return;
        };
        let before = facts.clone();
        change(facts);
        if *facts != before {
            board.unheard.insert(instance.clone());
            self.news.notify_one();
        }
    }

    /// Whether nothing but steps of orders under way is unheard.
    #[must_use]
    pub fn only_steps(&self) -> bool {
        let board = self.board();
        let mut unheard = board
            .unheard
            .iter()
            .filter_map(|name| board.facts.get(name));
        unheard.all(|facts| facts.status == Status::Upgrading)
    }

    /// Whether an instance's process runs and no order is being carried out on it: then nothing begins with its folders as
    /// they are now.
    #[must_use]
    pub fn is_at_work(&self, instance: &InstanceName) -> bool {
        let board = self.board();
        let facts = board.facts.get(instance);
        facts.is_some_and(|facts| facts.process.is_some() && facts.status != Status::Upgrading)
    }

    /// What is true of every instance; the coordinator has heard all of it then.
    #[must_use]
    pub fn all(&self) -> Vec<(InstanceName, InstanceFacts)> {
        let mut board = self.board();
        board.unheard.clear();
        board
            .facts
            .iter()
            .map(|(name, facts)| (name.clone(), facts.clone()))
            .collect()
    }

    /// What is true of the instances that changed; the coordinator has heard that then.
    #[must_use]
    pub fn unheard(&self) -> Vec<(InstanceName, InstanceFacts)> {
        let mut board = self.board();
        let names = std::mem::take(&mut board.unheard);
        names
            .into_iter()
            .filter_map(|name| board.facts.get_key_value(&name))
            .map(|(n, f)| (n.clone(), f.clone()))
            .collect()
    }

    /// Waits until there may be something that the coordinator has not heard.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

/// An error with all that is behind it, in one line of bounded length.
#[must_use]
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    cut(text, REASON_BYTES_MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> InstanceSettings {
        InstanceSettings {
            name: "a".parse().unwrap(),
            component: "blob".parse().unwrap(),
            supervisor: crate::config::SupervisorSettings::Exec,
            limits: crate::config::Limits::default(),
            command: Vec::new(),
            binary: "blob".to_owned(),
            env: BTreeMap::new(),
            working_dir: None,
            stop_signal: rustix::process::Signal::TERM,
            stop_timeout: std::time::Duration::from_secs(1),
            configuration_files: Vec::new(),
            data_dirs: Vec::new(),
            rebuild: None,
            driver: None,
            labels: BTreeMap::new(),
            initial: None,
            restart: evenkeel_agent_core::RestartPolicy::default(),
            start_alone_after: std::time::Duration::ZERO,
            probes: Vec::new(),
        }
    }

    #[test]
    fn an_instance_is_at_work_with_a_process_and_without_an_order() {
        let settings = settings();
        let reports = Reports::of(std::iter::once(&settings));
        let process = ProcessFacts {
            pid: 7,
            started_at: evenkeel_common::clock::now(),
            release: Release {
                version: "1.0.0".parse().unwrap(),
                digest: Digest::from_bytes([7; 32]),
            },
            configuration: None,
        };
        for (process, status, expected) in [
            (None, Status::Running, false),
            (None, Status::Error, false),
            (Some(&process), Status::Upgrading, false),
            (Some(&process), Status::Running, true),
            (Some(&process), Status::Error, true),
        ] {
            reports.update(&settings.name, |facts| {
                facts.process = process.cloned();
                facts.status = status;
            });
            let is_at_work = reports.is_at_work(&settings.name);
            assert_eq!(is_at_work, expected, "{status:?}");
        }
        assert!(!reports.is_at_work(&"another".parse().unwrap()));
    }

    #[tokio::test]
    async fn only_the_newest_of_what_changed_is_heard_and_only_once() {
        let settings = settings();
        let reports = Reports::of(std::iter::once(&settings));
        assert!(reports.unheard().is_empty());
        reports.update(&settings.name, |facts| facts.accepted_epoch = 1);
        reports.update(&settings.name, |facts| facts.accepted_epoch = 2);
        reports.news().await;
        let heard = reports.unheard();
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].1.accepted_epoch, 2);
        reports.update(&settings.name, |facts| facts.accepted_epoch = 2);
        assert!(reports.unheard().is_empty());
        assert_eq!(reports.all().len(), 1);
    }
}
