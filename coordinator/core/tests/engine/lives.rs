//! Random lives of small fleets: agents that work, fail, vanish and return, messages that come late, a
//! coordinator that restarts, people who change their minds, and time. After every change the world asks
//! for every invariant; here is what has to be true at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use evenkeel_compat::{Blocked, Component, Level, Matrix, Rule, Scope, Versions};
use evenkeel_coordinator_core::{
    calls::Call,
    compatibility::VersionInUse,
    engine::{
        finality, hold,
        waits::{self, WaitKind},
    },
    node::Labels,
    plan::{Amount, OnFailure, PlanId, PlanKind, PlanState, Policy, Target, Window},
    planner::Selection,
};
use evenkeel_words::names::{ComponentName, InstanceId, NodeName};
use proptest::{collection::vec, prelude::*};
use semver::Version;

use crate::{
    host::{Fault, Host, Local, release},
    script::{apply, published},
    world::{World, anything_goes},
};

#[derive(Debug, Clone)]
struct Fleet {
    zones: Vec<u8>,
    groups: u8,
    /// Of each node, whether it has a gate beside its store.
    gates: Vec<bool>,
    /// Of each node, the version that its instances begin with.
    starts: Vec<u64>,
    policy: Policy,
    matrix: Matrix,
}

#[derive(Debug, Clone)]
enum Act {
    Hear(usize),
    HearLate(usize),
    Step(usize),
    Report(usize),
    Round,
    Vanish(usize),
    Return(usize),
    Hang(usize, bool),
    Fault(usize, Fault, u64),
    Sick(usize),
    Shaky(usize),
    CannotFetch(usize),
    Mend(usize),
    Forget(usize),
    Remove(usize),
    Boot(usize),
    FromImage(usize, u64),
    PutBack(usize),
    ByHand(usize, u64),
    Restart,
    Pass(u64),
    Live(u64),
    Upgrade(Option<u64>, Option<u64>),
    Matrix(Matrix),
    InUse(Vec<u64>),
    Finalize,
    Pause,
    Resume,
    Abort,
    Freeze,
    Unfreeze,
    RollBack,
    Retarget(Option<u64>, Option<u64>),
    Retry(usize, bool),
    Skip(usize, bool),
    CanFinalize(usize, bool),
    NotFinal(usize),
    Configure(usize),
    RestartStores(bool),
}

fn fleets() -> impl Strategy<Value = Fleet> {
    let seconds = |of: Vec<u64>| prop::sample::select(of).prop_map(Duration::from_secs);
    (
        vec(1..4_u8, 3..10),
        vec(
            (any::<bool>(), prop_oneof![3 => Just(0), 1 => 0..3_u64]),
            10,
        ),
        prop::option::of(matrices()),
        1..4_u8,
        1..3_u32,
        any::<bool>(),
        0..3_u32,
        seconds(vec![0, 1, 20]),
        policies(),
    )
        .prop_map(
            |(zones, nodes, matrix, groups, max_unavailable, domains, canary, soak, more)| Fleet {
                zones,
                groups,
                gates: nodes.iter().map(|(gate, _)| *gate).collect(),
                starts: nodes.iter().map(|(_, start)| *start).collect(),
                matrix: matrix.unwrap_or_else(anything_goes),
                policy: Policy {
                    max_unavailable: Amount::Count(max_unavailable),
                    failure_domain: domains.then(|| "zone".to_owned()),
                    canary,
                    soak,
                    instance_deadline: Duration::from_secs(60),
                    progress_deadline: Duration::from_secs(200),
                    ..more
                },
            },
        )
}

/// What else a policy may have. Most of it is as it is without saying, or every other draft would be refused.
fn policies() -> impl Strategy<Value = Policy> {
    let select = |of: &[&'static str]| prop::sample::select(of.to_vec());
    let amount = |of: &[&'static str]| {
        let amount = select(of).prop_map(|text| text.parse::<Amount>().unwrap());
        prop::option::weighted(0.3, amount)
    };
    let windows = select(&[
        "*/10 * * * * for 5min",
        "0 * * * * for 30min",
        "5-40 * * * * for 2min",
    ])
    .prop_map(|text| Window::new(text.parse().unwrap()).unwrap());
    let on_failure = prop_oneof![
        2 => Just(OnFailure::Revert),
        1 => Just(OnFailure::Pause),
        1 => Just(OnFailure::Rollback),
    ];
    (
        amount(&["1", "2", "50%", "90%"]),
        amount(&["1", "10%", "40%"]),
        prop_oneof![3 => Just(1_u32), 1 => Just(2)],
        vec(select(&["1", "2", "30%", "100%"]), 1..4),
        prop::option::weighted(0.2, Just(Duration::from_secs(900))),
        on_failure,
        prop_oneof![3 => Just(0_u32), 1 => 1..3_u32],
        prop::bool::weighted(0.2),
        vec(windows, 0..2),
    )
        .prop_map(
            |(of_all, healthy, at_once, waves, deadline, on_failure, tolerated, asks, windows)| {
                Policy {
                    max_unavailable_component: of_all,
                    min_healthy: healthy,
                    failure_domains_at_once: at_once,
                    waves: waves.iter().map(|wave| wave.parse().unwrap()).collect(),
                    plan_deadline: deadline,
                    on_failure,
                    failures_tolerated: tolerated,
                    pause_before_finalize: asks,
                    windows,
                    ..Policy::default()
                }
            },
        )
}

fn acts() -> impl Strategy<Value = Act> {
    let node = 0..9_usize;
    let version = 0..3_u64;
    prop_oneof![
        12 => Just(Act::Round),
        3 => node.clone().prop_map(Act::Hear),
        1 => node.clone().prop_map(Act::HearLate),
        4 => node.clone().prop_map(Act::Step),
        4 => node.clone().prop_map(Act::Report),
        1 => node.clone().prop_map(Act::Vanish),
        1 => node.clone().prop_map(Act::Return),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, hangs)| Act::Hang(node, hangs)),
        1 => (node.clone(), any::<bool>(), version.clone()).prop_map(|(node, starts, version)| {
            let fault = if starts { Fault::NeverHealthy } else { Fault::DoesNotStart };
            Act::Fault(node, fault, version)
        }),
        1 => node.clone().prop_map(Act::Sick),
        1 => node.clone().prop_map(Act::Shaky),
        1 => node.clone().prop_map(Act::CannotFetch),
        4 => node.clone().prop_map(Act::Mend),
        1 => node.clone().prop_map(Act::Forget),
        1 => node.clone().prop_map(Act::Remove),
        2 => node.clone().prop_map(Act::Boot),
        1 => (node.clone(), version.clone()).prop_map(|(node, version)| Act::FromImage(node, version)),
        1 => node.clone().prop_map(Act::PutBack),
        1 => (node.clone(), version.clone()).prop_map(|(node, version)| Act::ByHand(node, version)),
        1 => Just(Act::Restart),
        2 => (1..100_u64).prop_map(Act::Pass),
        2 => (1..500_u64).prop_map(Act::Live),
        1 => matrices().prop_map(Act::Matrix),
        1 => vec(version.clone(), 0..2).prop_map(Act::InUse),
        3 => Just(Act::Finalize),
        3 => (prop::option::of(version.clone()), prop::option::of(version.clone()))
            .prop_map(|(store, gate)| Act::Upgrade(store, gate)),
        1 => Just(Act::RollBack),
        1 => (prop::option::of(version.clone()), prop::option::of(version))
            .prop_map(|(store, gate)| Act::Retarget(store, gate)),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, store)| Act::Retry(node, store)),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, store)| Act::Skip(node, store)),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, can)| Act::CanFinalize(node, can)),
        1 => node.clone().prop_map(Act::NotFinal),
        1 => node.clone().prop_map(Act::Configure),
        1 => any::<bool>().prop_map(Act::RestartStores),
        1 => Just(Act::Pause),
        4 => Just(Act::Resume),
        1 => Just(Act::Abort),
        1 => Just(Act::Freeze),
        2 => Just(Act::Unfreeze),
    ]
}

/// How the three versions of stores and gates get on, and what the client in use allows. Most of it is full, or there
/// would be no life in it.
fn matrices() -> impl Strategy<Value = Matrix> {
    let level = || {
        prop_oneof![
            4 => Just(Level::Full),
            2 => Just(Level::Backward),
            1 => Just(Level::Forward),
            1 => Just(Level::None),
        ]
    };
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (
        vec(level(), 3),
        vec(level(), 9),
        vec(any::<bool>(), 9),
        flags,
        0..4_usize,
    )
        .prop_map(|(own, across, client, (itself, after, blocked), rung)| {
            let name = |name: &str| name.parse::<ComponentName>().unwrap();
            let rule = |scope: &Scope, from: u64, to: u64, level: Level| Rule {
                scope: scope.clone(),
                from: Versions::Exact(version(from)),
                to: Versions::Exact(version(to)),
                level,
                note: None,
            };
            let mut components = BTreeMap::<_, Component>::new();
            components
                .entry(name("store"))
                .or_default()
                .finalizes_itself = itself;
            let gate = components.entry(name("gate")).or_default();
            if after {
                gate.upgrade_after.insert(name("store"));
            }
            components.entry(name("client")).or_default().external = true;
            let mut rules = Vec::new();
            for component in ["store", "gate"] {
                let scope = Scope::Component(name(component));
                for (level, (from, to)) in own.iter().zip([(0, 1), (1, 2), (0, 2)]) {
                    rules.push(rule(&scope, from, to, *level));
                }
            }
            let scope = Scope::Pair(name("store"), name("gate"));
            for (index, level) in (0..).zip(across) {
                rules.push(rule(&scope, index / 3, index % 3, level));
            }
            let scope = Scope::Pair(name("store"), name("client"));
            for (index, allowed) in (0..).zip(client) {
                let level = if allowed { Level::Full } else { Level::None };
                rules.push(rule(&scope, index / 3, index % 3, level));
            }
            let blocked = blocked.then(|| Blocked {
                component: Some(name("store")),
                from: Versions::Exact(version([1, 0, 2, 1][rung])),
                to: Versions::Exact(version([2, 1, 1, 0][rung])),
                reason: "it is known to go wrong".to_owned(),
            });
            Matrix::new(components, rules, blocked.into_iter().collect()).unwrap()
        })
}

fn version(minor: u64) -> Version {
    Version::new(1, minor, 0)
}

fn targets(store: Option<u64>, gate: Option<u64>) -> Vec<Target> {
    let targets = [("store", store), ("gate", gate)].into_iter();
    targets
        .filter_map(|(component, minor)| {
            Some(Target {
                component: component.parse().unwrap(),
                version: version(minor?),
                allow_downgrade: true,
            })
        })
        .collect()
}

struct Life {
    world: World,
    nodes: Vec<NodeName>,
    policy: Policy,
}

impl Life {
    fn new(fleet: &Fleet) -> Self {
        let mut life = Self {
            world: World::new(),
            nodes: Vec::new(),
            policy: fleet.policy.clone(),
        };
        for (index, zone) in fleet.zones.iter().enumerate() {
            let node: NodeName = format!("n{index}").parse().unwrap();
            let labels = [("zone".to_owned(), format!("z{zone}"))].into();
            let mut host = Host::new("linux/amd64", labels);
            let group = format!("g{}", index % usize::from(fleet.groups));
            let labels: Labels = [("group".to_owned(), group)].into();
            for (component, there) in [("store", true), ("gate", fleet.gates[index])] {
                if there {
                    let name = component.parse().unwrap();
                    let start = release(&version(fleet.starts[index]));
                    let local = Local::new(name, start, labels.clone());
                    host.instances.insert(component.parse().unwrap(), local);
                }
            }
            life.world.hosts.insert(node.clone(), host);
            life.world.report(&node);
            life.nodes.push(node);
        }
        for minor in 0..3 {
            let bytes = version(minor);
            for component in ["store", "gate"] {
                let call = published(component.parse().unwrap(), bytes.clone(), None, &bytes);
                life.world.ask(None, &call).unwrap();
            }
        }
        life.matrix(&fleet.matrix);
        life.in_use(&[]);
        life.upgrade(Some(1), None);
        life
    }

    fn matrix(&mut self, matrix: &Matrix) {
        self.world.ask(None, &apply(matrix)).unwrap();
    }

    /// Somebody says which versions of the client are in use; refused if the matrix has no client.
    fn in_use(&mut self, minors: &[u64]) {
        let versions: BTreeSet<_> = minors.iter().map(|minor| version(*minor)).collect();
        let call = Call::ReportVersions {
            component: "client".parse().unwrap(),
            source: "gateway".parse().unwrap(),
            content: release(&version(minors.len() as u64)).digest,
            versions: versions
                .into_iter()
                .map(|version| VersionInUse { version, count: 1 })
                .collect(),
        };
        let _ = self.world.ask(None, &call);
    }

    /// Asks for a plan and starts it; both may be refused.
    fn upgrade(&mut self, store: Option<u64>, gate: Option<u64>) {
        let call = Call::CreatePlan {
            content: release(&version(1)).digest,
            targets: targets(store, gate),
            policy: self.policy.clone(),
        };
        if let Ok(outcome) = self.world.ask(None, &call) {
            let plan = outcome.resource.parse().unwrap();
            let _ = self.world.ask(None, &Call::StartPlan(plan));
        }
    }

    fn act(&mut self, act: &Act) {
        let node = |index: &usize| self.nodes[index % self.nodes.len()].clone();
        match act {
            Act::Hear(index) => self.world.hear(&node(index)),
            Act::HearLate(index) => self.world.hear_late(&node(index)),
            Act::Step(index) => {
                self.world.hosts.get_mut(&node(index)).unwrap().step();
            }
            Act::Report(index) => self.world.report(&node(index)),
            Act::Round => {
                self.world.round();
            }
            Act::Vanish(index) => self.world.vanish(&node(index)),
            Act::Return(index) => self.host(*index).reachable = true,
            Act::Hang(index, hangs) => self.host(*index).hangs = *hangs,
            Act::Fault(index, fault, minor) => {
                if let Some(local) = self.local(*index) {
                    local.faults.insert(version(*minor), *fault);
                }
            }
            Act::Sick(index) => {
                if let Some(local) = self.local(*index) {
                    local.sick = Some("its disk is slow".to_owned());
                }
            }
            Act::Shaky(index) => {
                if let Some(local) = self.local(*index) {
                    local.shaky = true;
                }
            }
            Act::CannotFetch(index) => {
                if let Some(local) = self.local(*index) {
                    local.unfetchable = Some("the disk is full".to_owned());
                }
            }
            Act::Mend(index) => self.host(*index).mend(),
            Act::Forget(index) => self.host(*index).forget(),
            Act::Boot(index) => {
                let host = self.host(*index);
                if !host.instances.values().any(Local::busy) {
                    host.boot();
                }
            }
            Act::FromImage(index, minor) => {
                let host = self.host(*index);
                if !host.instances.values().any(Local::busy) {
                    for local in host.instances.values_mut() {
                        local.by_hand(release(&version(*minor)));
                    }
                    host.boot();
                }
            }
            Act::Remove(index) => {
                let host = self.host(*index);
                if !host.instances.values().any(Local::busy) {
                    host.remove();
                }
            }
            Act::PutBack(index) => self.host(*index).put_back(),
            Act::ByHand(index, minor) => {
                if let Some(local) = self.local(*index).filter(|local| !local.busy()) {
                    local.by_hand(release(&version(*minor)));
                }
            }
            Act::Restart => self.world.restart(),
            Act::Pass(seconds) => {
                let end = self.world.now.after(Duration::from_secs(*seconds));
                while self.world.now < end {
                    self.world.pass_until(end);
                }
            }
            Act::Live(seconds) => self.world.wait(Duration::from_secs(*seconds)),
            Act::Upgrade(store, gate) => self.upgrade(*store, *gate),
            Act::Matrix(matrix) => self.matrix(matrix),
            Act::InUse(minors) => self.in_use(minors),
            Act::Finalize => self.newest(|plan| Call::FinalizePlan { plan, stage: None }),
            Act::Freeze => {
                let _ = self
                    .world
                    .ask(None, &Call::FreezeFleet("a fair".to_owned()));
            }
            Act::Unfreeze => {
                let _ = self.world.ask(None, &Call::UnfreezeFleet);
            }
            Act::Pause => self.newest(|plan| Call::PausePlan(plan, "lunch".to_owned())),
            Act::Resume => self.newest(Call::ResumePlan),
            Act::Abort => self.newest(|plan| Call::AbortPlan(plan, String::new())),
            Act::RollBack => self.newest(|plan| Call::RollBackPlan(plan, "no good".to_owned())),
            Act::Retarget(store, gate) => {
                let (targets, policy) = (targets(*store, *gate), self.policy.clone());
                self.newest(|plan| Call::RetargetPlan {
                    plan,
                    content: release(&version(2)).digest,
                    targets: targets.clone(),
                    policy: policy.clone(),
                    reason: String::new(),
                });
            }
            Act::Retry(index, store) => {
                let instance = self.instance(*index, *store);
                self.newest(|plan| Call::RetryTask(plan, instance.clone()));
            }
            Act::Skip(index, store) => {
                let instance = self.instance(*index, *store);
                let reason = || "its disk is new".to_owned();
                self.newest(|plan| Call::SkipTask(plan, instance.clone(), reason()));
            }
            Act::CanFinalize(index, can) => {
                if let Some(local) = self.local(*index) {
                    local.can_finalize = *can;
                }
            }
            Act::Configure(index) => {
                if let Some(local) = self.local(*index) {
                    local.configuration.push('b');
                }
            }
            Act::RestartStores(all) => self.restart_stores(*all),
            Act::NotFinal(index) => {
                if let Some(local) = self.local(*index) {
                    local.not_final = Some("a member is behind".to_owned());
                }
            }
        }
        self.world.held_while_busy();
    }

    /// Asks for a plan that restarts all stores, or those that are configured otherwise, and starts it.
    fn restart_stores(&mut self, all: bool) {
        let call = Call::CreateRestart {
            kind: match all {
                true => PlanKind::Restart,
                false => PlanKind::Reconfigure,
            },
            selection: Selection {
                components: vec!["store".parse().unwrap()],
                instances: Vec::new(),
            },
            content: release(&version(0)).digest,
            policy: self.policy.clone(),
        };
        if let Ok(outcome) = self.world.ask(None, &call) {
            let plan = outcome.resource.parse().unwrap();
            let _ = self.world.ask(None, &Call::StartPlan(plan));
        }
    }

    fn instance(&self, index: usize, store: bool) -> InstanceId {
        InstanceId {
            node: self.nodes[index % self.nodes.len()].clone(),
            name: if store { "store" } else { "gate" }.parse().unwrap(),
        }
    }

    fn host(&mut self, index: usize) -> &mut Host {
        let node = &self.nodes[index % self.nodes.len()];
        self.world.hosts.get_mut(node).unwrap()
    }

    /// The instance of a host, unless it was removed.
    fn local(&mut self, index: usize) -> Option<&mut Local> {
        self.host(index).instances.values_mut().next()
    }

    /// Asks something of the newest plan that has not ended; it may be refused.
    fn newest(&mut self, call: impl Fn(PlanId) -> Call) {
        if let Some(plan) = self.under_way().last() {
            let _ = self.world.ask(None, &call(*plan));
        }
    }

    fn under_way(&self) -> Vec<PlanId> {
        self.world
            .state
            .plans_under_way()
            .map(|plan| plan.id)
            .collect()
    }

    /// A person looks at what a rollback has left, and has it tried again.
    fn decide(&mut self, plan: PlanId) {
        let tasks: Vec<_> = self.world.state.tasks_of(plan).cloned().collect();
        for task in tasks {
            let _ = self
                .world
                .ask(None, &Call::RetryTask(plan, task.instance.clone()));
        }
    }

    fn waits_for_a_word(&self, plan: PlanId) -> bool {
        let state = &self.world.state;
        let plan = state.plan(plan).unwrap();
        plan.state == PlanState::Running && finality::unconfirmed(state, plan).is_some()
    }

    /// Whether something of the plan waits for a person, in a sentence.
    fn has_a_reason(&self, plan: PlanId) -> bool {
        let state = &self.world.state;
        let plan = state.plan(plan).unwrap();
        let mut tasks = state.tasks_of(plan.id);
        tasks.any(|task| {
            let wait = waits::wait(state, plan, task, self.world.now);
            wait.is_some_and(|wait| wait.kind == WaitKind::Person)
        })
    }

    /// Whether it goes on when a window opens, or when the fleet's freeze is lifted.
    fn waits_for_its_time(&self, plan: PlanId) -> bool {
        let state = &self.world.state;
        let plan = state.plan(plan).unwrap();
        let hold = hold::holds_back(state, plan, self.world.now);
        hold.is_some_and(|hold| matches!(hold.kind, WaitKind::Window | WaitKind::Freeze))
    }

    /// Whether a window that it may go on in has not been open for long.
    fn has_begun_to_go_on(&self, plan: PlanId) -> bool {
        let plan = self.world.state.plan(plan).unwrap();
        plan.state == PlanState::Running && !plan.policy.windows.is_empty()
    }

    /// Faults stop; every plan ends or pauses with a reason.
    fn settle(&mut self) {
        self.world.hosts.values_mut().for_each(Host::mend);
        self.world.run();
        self.world.wait(Duration::from_secs(1_000));
        for plan in self.under_way() {
            let state = self.world.plan_state(plan);
            assert!(
                matches!(state, PlanState::Paused(reason) if !reason.is_empty())
                    || *state == PlanState::ReadyToFinalize
                    || matches!(state, PlanState::RollingBack(_)) && self.has_a_reason(plan)
                    || self.waits_for_a_word(plan)
                    || self.waits_for_its_time(plan)
                    || self.has_begun_to_go_on(plan),
                "{plan} is still {state:?}\n{}",
                self.world.log.join("\n")
            );
        }
    }
}

/// Half as many as usual, for a life is long; `PROPTEST_CASES` makes it more.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases / 2,
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_every_rule_holds_and_every_plan_comes_to_an_end(
        fleet in fleets(),
        acts in vec(acts(), 0..80),
        point in any::<prop::sample::Index>(),
    ) {
        let mut life = Life::new(&fleet);
        for act in &acts {
            life.act(act);
        }
        life.settle();
        life.world.replays(point.index(life.world.changes()));

        // Whoever was changed by hand is put right, and what is paused then goes on to its end; people say what they
        // are asked for, and nothing is forbidden any more.
        life.matrix(&anything_goes());
        let by_hand = acts
            .iter()
            .any(|act| matches!(act, Act::ByHand(..) | Act::FromImage(..)));
        let _ = life.world.ask(None, &Call::UnfreezeFleet);
        for round in 0..60 {
            let windows = || life.under_way().iter().any(|plan| life.has_begun_to_go_on(*plan));
            if round >= 3 && !windows() {
                break;
            }
            for plan in life.under_way() {
                let _ = life.world.ask(None, &Call::ResumePlan(plan));
                let _ = life.world.ask(None, &Call::FinalizePlan { plan, stage: None });
                life.decide(plan);
            }
            life.settle();
        }
        // What was brought elsewhere by another plan does not come along any more.
        for plan in life.under_way() {
            let state = life.world.plan_state(plan);
            let rolls_back = matches!(state, PlanState::RollingBack(_));
            if *state == PlanState::ReadyToFinalize || rolls_back {
                life.world.ask(None, &Call::AbortPlan(plan, String::new())).unwrap();
            }
        }
        life.settle();
        prop_assert!(by_hand || life.under_way().is_empty(), "{:?}", life.world.log);
        let held: Vec<_> = life.world.state.slot_holders().collect();
        prop_assert!(held.is_empty(), "held for ever: {held:?}");
        let quarantined: Vec<_> = life.world.state.quarantined().collect();
        prop_assert!(quarantined.is_empty(), "down for ever: {quarantined:?}");
    }
}
