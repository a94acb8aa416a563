//! Fleets in the middle of being upgraded.

use std::collections::BTreeMap;

use evenkeel_compat::{Level, Matrix, Rule, Scope};
use evenkeel_coordinator_core::{
    calls::{self, Call},
    change::{Change, RequestKey, Resource},
    engine::Engine,
    instance::{Fence, Health, Process, Progress, Report, StageState, StagedRelease, Status, Step},
    node::Labels,
    plan::{Policy, Target},
    release::{Artifact, ReleaseRef, SignedManifest},
    reports::{self, Hello},
    state::State,
};
use evenkeel_words::{
    digest::Digest,
    names::{ComponentName, NodeName},
    timestamp::Timestamp,
};
use semver::Version;

const COMPONENTS: usize = 5;
const GROUP: usize = 5;
const PLATFORM: &str = "linux/amd64";

/// A fleet in which a plan for each component runs, with as much out as the budget allows.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) state: State,
    pub(crate) engine: Engine,
    now: Timestamp,
    requests: u64,
}

impl Running {
    /// As many instances, one on each node.
    pub(crate) fn of(size: usize) -> Self {
        let state = State::default();
        let mut running = Self {
            engine: Engine::new(&state),
            state,
            now: Timestamp(1_000_000),
            requests: 0,
        };
        let epoch = Resource::Coordinator { epoch: 1 };
        running.apply(Change {
            actor: String::new(),
            cause: String::new(),
            resources: vec![epoch],
        });
        running.ask(&Call::ApplyMatrix {
            matrix: anything_goes(),
            content: Digest::from_bytes([0; 32]),
            expected_version: None,
        });
        for index in 0..size {
            let hello = Hello {
                agent_version: Version::new(0, 1, 0),
                platform: PLATFORM.to_owned(),
                labels: Labels::new(),
                instances: BTreeMap::from([("store".parse().unwrap(), report(index))]),
            };
            let change = reports::hello(&running.state, &node(index), &hello);
            running.apply(change.unwrap());
        }
        for component in 0..COMPONENTS {
            running.start(component);
        }
        running.settle();
        running
    }

    fn start(&mut self, number: usize) {
        let component = component(number);
        for version in [old(), new()] {
            self.ask(&Call::PublishRelease {
                component: component.clone(),
                version: version.version.clone(),
                platform: PLATFORM.to_owned(),
                artifact: Artifact {
                    digest: version.digest,
                    size_bytes: 1,
                    manifest: SignedManifest {
                        manifest: Vec::new(),
                        key_id: String::new(),
                        signature: Vec::new(),
                    },
                },
            });
        }
        let target = Target {
            component,
            version: new().version,
            allow_downgrade: false,
        };
        let policy = Policy {
            canary: 0,
            ..Policy::default()
        };
        let plan = self.ask(&Call::CreatePlan {
            targets: vec![target],
            content: Digest::from_bytes([0; 32]),
            policy,
        });
        self.ask(&Call::StartPlan(plan.parse().unwrap()));
    }

    fn ask(&mut self, call: &Call) -> String {
        self.requests += 1;
        let key = RequestKey {
            subject: "bench".to_owned(),
            request_id: self.requests.to_string(),
        };
        let outcome = calls::handle(&self.state, &key, call, self.now).unwrap();
        self.apply(outcome.change.unwrap());
        outcome.resource
    }

    fn apply(&mut self, change: Change) {
        let before = self.state.clone();
        let keys = self.state.apply(&change, self.now);
        self.engine.note(&before, &self.state, &keys);
    }

    fn settle(&mut self) -> usize {
        let mut said = 0;
        while let Some(change) = self.engine.advance(&self.state, self.now) {
            self.apply(change);
            said += 1;
        }
        said
    }

    /// The agent of the first instance says that its order is done; how much follows from that.
    pub(crate) fn one_done(&mut self) -> usize {
        let holder = self.state.slot_holders().next().unwrap();
        let (node, name) = (holder.id.node.clone(), holder.id.name.clone());
        let generation = holder.generation();
        let done = Report {
            current: Some(new()),
            process: Some(process(new())),
            accepted: Fence {
                epoch: 1,
                generation,
            },
            progress: Some(Progress {
                generation,
                step: Step::Done,
                stop_to_ready_us: 1,
            }),
            ..holder.report.clone()
        };
        let change = reports::report(&self.state, &node, &BTreeMap::from([(name, done)]));
        self.apply(change.unwrap());
        let said = self.settle();
        assert!(said >= 2, "the task moved and the next was ordered");
        said
    }
}

fn anything_goes() -> Matrix {
    let rule = Rule {
        scope: Scope::All,
        from: "*".parse().unwrap(),
        to: "*".parse().unwrap(),
        level: Level::Full,
        note: None,
    };
    Matrix::new(BTreeMap::new(), vec![rule], Vec::new()).unwrap()
}

fn component(number: usize) -> ComponentName {
    format!("store-{number}").parse().unwrap()
}

fn node(index: usize) -> NodeName {
    format!("n{index}").parse().unwrap()
}

fn old() -> ReleaseRef {
    ReleaseRef {
        version: Version::new(1, 0, 0),
        digest: Digest::from_bytes([1; 32]),
    }
}

fn new() -> ReleaseRef {
    ReleaseRef {
        version: Version::new(1, 1, 0),
        digest: Digest::from_bytes([2; 32]),
    }
}

fn process(release: ReleaseRef) -> Process {
    Process {
        pid: 1,
        started_at: Timestamp(1),
        release,
        configuration: String::new(),
    }
}

fn report(index: usize) -> Report {
    Report {
        component: component(index % COMPONENTS),
        labels: [(
            "group".to_owned(),
            format!("g{}", index / COMPONENTS / GROUP),
        )]
        .into(),
        status: Status::Running,
        health: Health::Healthy,
        reason: String::new(),
        current: Some(old()),
        process: Some(process(old())),
        staged: vec![StagedRelease {
            release: new(),
            state: StageState::Ready,
        }],
        accepted: Fence {
            epoch: 1,
            generation: 0,
        },
        progress: None,
        may_rebuild: false,
        rebuild_obstacle: String::new(),
        can_finalize: false,
        asks_before_stop: false,
        configuration: String::new(),
        finalized: None,
        held: false,
        hold_word: 0,
    }
}
