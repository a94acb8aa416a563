//! An agent in small: hears what ought to be, does one step at a time, and reports what is.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::Method;
use evenkeel_coordinator_core::{
    desired::DesiredInstance,
    instance::{
        Fence, Finalized, Health, Order, Process, Progress, Quarantine, Report, StageState,
        StagedRelease, Status, Step,
    },
    node::Labels,
    release::ReleaseRef,
    reports::Hello,
};
use evenkeel_words::{
    digest::Digest,
    names::{ComponentName, InstanceName},
    timestamp::Timestamp,
};
use semver::Version;

/// The release of this version, as all tests call its bytes.
pub(crate) fn release(version: &Version) -> ReleaseRef {
    let mut bytes = [0; 32];
    for (index, byte) in version.to_string().bytes().enumerate() {
        bytes[index % 32] ^= byte;
    }
    ReleaseRef {
        version: version.clone(),
        digest: Digest::from_bytes(bytes),
    }
}

/// What is wrong with a version on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    DoesNotStart,
    NeverHealthy,
}

/// An agent and its host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) platform: String,
    pub(crate) labels: Labels,
    pub(crate) instances: BTreeMap<InstanceName, Local>,
    /// Those that were taken out of its configuration; their journals are still there.
    removed: BTreeMap<InstanceName, Local>,
    /// What it heard last, and from which epoch.
    pub(crate) heard: Option<(u64, Vec<DesiredInstance>)>,
    /// What it heard before that.
    pub(crate) before: Option<(u64, Vec<DesiredInstance>)>,
    /// Messages pass.
    pub(crate) reachable: bool,
    /// Its session is open: it has said hello.
    pub(crate) in_session: bool,
    /// Hears and reports, but does nothing.
    pub(crate) hangs: bool,
}

impl Host {
    pub(crate) fn new(platform: &str, labels: Labels) -> Self {
        Self {
            platform: platform.to_owned(),
            labels,
            instances: BTreeMap::new(),
            removed: BTreeMap::new(),
            heard: None,
            before: None,
            reachable: true,
            in_session: false,
            hangs: false,
        }
    }

    /// One step towards what was heard last; whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let Some((epoch, desired)) = self.heard.clone() else {
            return false;
        };
        if self.hangs {
            return false;
        }
        let mut moved = false;
        for desired in desired {
            if let Some(local) = self.instances.get_mut(&desired.name) {
                moved |= local.step(epoch, &desired);
            }
        }
        moved
    }

    /// The host boots: its agent starts anew and its processes wait for the first word.
    pub(crate) fn boot(&mut self) {
        self.instances.values_mut().for_each(Local::boot);
        (self.heard, self.before) = (None, None);
        self.in_session = false;
    }

    /// Every journal is lost, and with it what was heard; the processes run on.
    pub(crate) fn forget(&mut self) {
        self.instances.values_mut().for_each(Local::forget);
        (self.heard, self.before) = (None, None);
        self.in_session = false;
    }

    /// The agent is started anew with a configuration that has none of its instances.
    pub(crate) fn remove(&mut self) {
        self.removed.append(&mut self.instances);
        (self.heard, self.before) = (None, None);
        self.in_session = false;
    }

    /// The agent is started anew with all the instances that it ever had.
    pub(crate) fn put_back(&mut self) {
        if !self.removed.is_empty() {
            self.instances.append(&mut self.removed);
            self.in_session = false;
        }
    }

    /// Nothing is wrong any more.
    pub(crate) fn mend(&mut self) {
        self.put_back();
        (self.reachable, self.hangs) = (true, false);
        self.instances.values_mut().for_each(Local::mend);
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            agent_version: Version::new(0, 1, 0),
            platform: self.platform.clone(),
            labels: self.labels.clone(),
            instances: self.reports(),
        }
    }

    pub(crate) fn reports(&self) -> BTreeMap<InstanceName, Report> {
        let reports = self.instances.iter();
        reports
            .map(|(name, x)| (name.clone(), x.report()))
            .collect()
    }
}

/// An instance on its host.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    component: ComponentName,
    labels: Labels,
    /// The versions that wrote the data it has; empty where it was set aside.
    pub(crate) data: BTreeSet<Version>,
    pub(crate) may_rebuild: bool,
    pub(crate) current: ReleaseRef,
    pub(crate) process: Option<ReleaseRef>,
    /// How many processes it has had.
    starts: u64,
    at_hand: BTreeSet<Digest>,
    staged: BTreeMap<Digest, StageState>,
    versions: BTreeMap<Digest, Version>,
    pub(crate) accepted: Fence,
    order: Option<Order>,
    progress: Option<Progress>,
    going_back: Option<String>,
    pub(crate) faults: BTreeMap<Version, Fault>,
    /// Why its probes fail although its process runs.
    pub(crate) sick: Option<String>,
    /// A probe failed lately.
    pub(crate) shaky: bool,
    /// Why nothing can be fetched.
    pub(crate) unfetchable: Option<String>,
    /// What its agent's configuration says now, and what the process was started with.
    pub(crate) configuration: String,
    started_with: String,
    /// Its driver knows how to make an upgrade final.
    pub(crate) can_finalize: bool,
    /// Its storage system is asked whether the process may be stopped.
    pub(crate) asks: bool,
    /// Why that does not work; it does not even answer if this is empty.
    pub(crate) not_final: Option<String>,
    finalized: Option<Finalized>,
    /// Why its process cannot be spared.
    pub(crate) needed: Option<String>,
    /// What was said last of its staying down; on its disk.
    hold: Quarantine,
    /// Its agent has found no process and waits for its first word.
    awaits_word: bool,
}

impl Local {
    pub(crate) fn new(component: ComponentName, current: ReleaseRef, labels: Labels) -> Self {
        Self {
            component,
            labels,
            data: BTreeSet::from([current.version.clone()]),
            may_rebuild: true,
            process: Some(current.clone()),
            starts: 1,
            at_hand: BTreeSet::from([current.digest]),
            versions: BTreeMap::from([(current.digest, current.version.clone())]),
            current,
            staged: BTreeMap::new(),
            accepted: Fence::default(),
            order: None,
            progress: None,
            going_back: None,
            faults: BTreeMap::new(),
            sick: None,
            shaky: false,
            unfetchable: None,
            configuration: "a".to_owned(),
            started_with: "a".to_owned(),
            can_finalize: false,
            asks: false,
            not_final: None,
            finalized: None,
            needed: None,
            hold: Quarantine::default(),
            awaits_word: false,
        }
    }

    /// Its host boots: the process is gone, and what is on the disk is there.
    fn boot(&mut self) {
        self.process = None;
        self.awaits_word = true;
    }

    /// Whether it stays down at the coordinator's word.
    pub(crate) fn is_held(&self) -> bool {
        self.hold.reason.is_some() && self.process.is_none()
    }

    /// What is said of its staying down, unless that is older than what was heard before.
    fn heed(&mut self, is_new_epoch: bool, hold: &Quarantine) -> bool {
        let mut moved = false;
        if (is_new_epoch || hold.word >= self.hold.word) && self.hold != *hold {
            moved = true;
            let lifted = self.hold.reason.is_some() && hold.reason.is_none();
            self.hold = hold.clone();
            self.awaits_word |= lifted && self.process.is_none();
        }
        let may_start = self.awaits_word && self.process.is_none() && self.hold.reason.is_none();
        if may_start && !self.busy() {
            self.starts += 1;
            self.process = Some(self.current.clone());
            self.started_with = self.configuration.clone();
            moved = true;
        }
        self.awaits_word &= self.hold.reason.is_some();
        moved
    }

    /// Somebody starts this release by hand.
    pub(crate) fn by_hand(&mut self, release: ReleaseRef) {
        self.at_hand.insert(release.digest);
        self.current = release.clone();
        self.starts += 1;
        self.process = Some(release);
    }

    fn mend(&mut self) {
        self.faults.clear();
        (self.sick, self.shaky) = (None, false);
        (self.unfetchable, self.needed, self.not_final) = (None, None, None);
        if !self.busy() && !self.is_held() {
            self.starts += 1;
            self.process = Some(self.current.clone());
        }
    }

    fn forget(&mut self) {
        *self = Self {
            faults: self.faults.clone(),
            sick: self.sick.clone(),
            at_hand: self.at_hand.clone(),
            process: self.process.clone(),
            configuration: self.configuration.clone(),
            started_with: self.started_with.clone(),
            can_finalize: self.can_finalize,
            asks: self.asks,
            not_final: self.not_final.clone(),
            ..Self::new(
                self.component.clone(),
                self.current.clone(),
                self.labels.clone(),
            )
        };
    }

    /// Whether an order is being carried out.
    pub(crate) fn busy(&self) -> bool {
        self.progress.as_ref().is_some_and(|p| !p.step.ended())
    }

    fn step(&mut self, epoch: u64, desired: &DesiredInstance) -> bool {
        if epoch < self.accepted.epoch {
            return false;
        }
        let mut moved = std::mem::replace(&mut self.accepted.epoch, epoch) != epoch;
        moved |= self.heed(moved, &desired.quarantine);
        for manifest in &desired.prefetch {
            moved |= self.fetch(&manifest.manifest);
        }
        if let Some(finality) = &desired.finalize {
            moved |= self.finalize(&finality.id);
        }
        let news = desired
            .order
            .iter()
            .find(|order| order.generation > self.accepted.generation);
        if let Some(order) = news
            && self.at_hand.contains(&order.release.digest)
        {
            self.accepted.generation = order.generation;
            self.order = Some(order.clone());
            self.going_back = None;
            match (self.asks || self.needed.is_some()) && !order.way_back {
                true => self.go_to(Step::Asking),
                false => self.set_off(order.method),
            }
            return true;
        }
        moved | self.go_on()
    }

    /// The manifest of a test is the digest of its artifact, and its version.
    fn fetch(&mut self, manifest: &[u8]) -> bool {
        let text = std::str::from_utf8(manifest).unwrap();
        let (digest, version) = text.split_once(' ').unwrap();
        let digest: Digest = digest.parse().unwrap();
        self.versions.insert(digest, version.parse().unwrap());
        let next = match (self.staged.get(&digest), &self.unfetchable) {
            _ if self.at_hand.contains(&digest) => StageState::Ready,
            (None, _) => StageState::Fetching,
            (Some(_), Some(reason)) => StageState::Failed(reason.clone()),
            (Some(_), None) => {
                self.at_hand.insert(digest);
                StageState::Ready
            }
        };
        self.staged.insert(digest, next.clone()) != Some(next)
    }

    /// Runs the driver, once for each name.
    fn finalize(&mut self, id: &str) -> bool {
        if self.finalized.as_ref().is_some_and(|done| done.id == id) {
            return false;
        }
        let outcome = match self.not_final.as_deref() {
            None => Ok(()),
            Some("") => return false,
            Some(reason) => Err(reason.to_owned()),
        };
        let id = id.to_owned();
        self.finalized = Some(Finalized { id, outcome });
        true
    }

    fn go_on(&mut self) -> bool {
        let (Some(order), Some(progress)) = (self.order.clone(), self.progress.clone()) else {
            return false;
        };
        let ahead = (order.release, order.method);
        let (target, method) = match &self.going_back {
            Some(_) => order.fallback.clone().unwrap_or(ahead),
            None => ahead,
        };
        let fault = self.faults.get(&target.version).copied();
        match (progress.step, fault) {
            (Step::Asking, _) => match self.needed.clone() {
                Some(reason) => self.go_to(Step::Declined(reason)),
                None => self.go_to(Step::Quiescing),
            },
            (Step::Draining | Step::Quiescing, _) => self.go_to(Step::Stopping),
            (Step::Stopping, _) => {
                self.process = None;
                self.go_to(match method {
                    Method::InPlace => Step::Swapping,
                    Method::Rebuild => Step::Emptying,
                });
            }
            (Step::Emptying, _) => {
                self.data.clear();
                self.go_to(Step::Swapping);
            }
            (Step::Swapping, _) => {
                self.current = target;
                self.go_to(Step::Starting);
            }
            (Step::Starting, Some(Fault::DoesNotStart)) => {
                self.turn_back("it does not start", order.fallback);
            }
            (Step::Starting, _) => {
                self.data.insert(target.version.clone());
                self.starts += 1;
                self.process = Some(target);
                self.started_with = self.configuration.clone();
                self.go_to(Step::Verifying);
            }
            (Step::Verifying, Some(Fault::NeverHealthy)) => {
                self.turn_back("its probes never answered", order.fallback);
            }
            (Step::Verifying | Step::Recovering, _) => match self.going_back.take() {
                Some(reason) => self.go_to(Step::Reverted(reason)),
                None => self.go_to(Step::Done),
            },
            (Step::Done | Step::Reverted(_) | Step::Failed(_) | Step::Declined(_), _) => {
                return false;
            }
        }
        true
    }

    /// The first step of the way to a release.
    fn set_off(&mut self, method: Method) {
        self.go_to(match method {
            Method::InPlace => Step::Stopping,
            Method::Rebuild => Step::Draining,
        });
    }

    fn turn_back(&mut self, problem: &str, fallback: Option<(ReleaseRef, Method)>) {
        match (self.going_back.take(), fallback) {
            (None, Some((_, method))) => {
                self.going_back = Some(problem.to_owned());
                self.set_off(method);
            }
            (None, None) => {
                let reason = format!("{problem}; there is no release to go back to");
                self.go_to(Step::Failed(reason));
            }
            (Some(reason), _) => {
                let reason = format!("{reason}; then going back failed: {problem}");
                self.go_to(Step::Failed(reason));
            }
        }
    }

    fn go_to(&mut self, step: Step) {
        self.progress = Some(Progress {
            generation: self.accepted.generation,
            stop_to_ready_us: if step == Step::Done { 1300 } else { 0 },
            step,
        });
    }

    fn report(&self) -> Report {
        let faulty = self
            .process
            .as_ref()
            .and_then(|p| self.faults.get(&p.version));
        let reason = match (&self.process, &self.sick, faulty) {
            (None, _, _) => "there is no process",
            (Some(_), Some(sick), _) => sick,
            (Some(_), None, Some(_)) => "its probes do not answer",
            (Some(_), None, None) if self.busy() => "its probes have not answered yet",
            (Some(_), None, None) if self.shaky => "a probe failed lately",
            (Some(_), None, None) => "",
        };
        let status = match &self.process {
            _ if self.busy() => Status::Upgrading,
            None if self.is_held() => Status::Stopped,
            Some(_) => Status::Running,
            None => Status::Error,
        };
        let health = match reason {
            "" => Health::Healthy,
            "a probe failed lately" => Health::Warning,
            _ => Health::Error,
        };
        Report {
            component: self.component.clone(),
            labels: self.labels.clone(),
            status,
            health,
            reason: reason.to_owned(),
            current: Some(self.current.clone()),
            process: self.process.clone().map(|release| Process {
                pid: 100,
                started_at: Timestamp(self.starts),
                release,
                configuration: self.started_with.clone(),
            }),
            staged: self
                .staged
                .iter()
                .map(|(digest, state)| StagedRelease {
                    release: ReleaseRef {
                        version: self.versions[digest].clone(),
                        digest: *digest,
                    },
                    state: state.clone(),
                })
                .collect(),
            accepted: self.accepted,
            progress: self.progress.clone(),
            may_rebuild: self.may_rebuild,
            rebuild_obstacle: String::new(),
            configuration: self.configuration.clone(),
            can_finalize: self.can_finalize,
            asks_before_stop: self.asks,
            finalized: self.finalized.clone(),
            held: self.is_held(),
            hold_word: self.hold.word,
        }
    }
}
