//! Random lives of small fleets: agents that work, fail, vanish and return, messages that come late, a
//! coordinator that restarts, people who change their minds, and time. After every change the world asks
//! for every invariant; here is what has to be true at the end.

use std::time::Duration;

use evenkeel_coordinator_core::{
    calls::Call,
    plan::{PlanId, PlanState, Policy, Target},
};
use evenkeel_words::names::NodeName;
use proptest::{collection::vec, prelude::*};
use semver::Version;

use crate::{
    host::{Fault, Host, Local, release},
    script::published,
    world::World,
};

#[derive(Debug, Clone)]
struct Fleet {
    zones: Vec<u8>,
    groups: u8,
    policy: Policy,
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
    PutBack(usize),
    ByHand(usize, u64),
    Restart,
    Pass(u64),
    Live(u64),
    Upgrade(u64),
    Pause,
    Resume,
    Abort,
}

fn fleets() -> impl Strategy<Value = Fleet> {
    let seconds = |of: Vec<u64>| prop::sample::select(of).prop_map(Duration::from_secs);
    (
        vec(1..4_u8, 3..10),
        1..4_u8,
        1..3_u32,
        any::<bool>(),
        0..3_u32,
        seconds(vec![0, 1, 20]),
    )
        .prop_map(
            |(zones, groups, max_unavailable, domains, canary, soak)| Fleet {
                zones,
                groups,
                policy: Policy {
                    max_unavailable,
                    failure_domain: domains.then(|| "zone".to_owned()),
                    canary,
                    soak,
                    instance_deadline: Duration::from_secs(60),
                    progress_deadline: Duration::from_secs(200),
                },
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
        1 => node.clone().prop_map(Act::PutBack),
        1 => (node, version.clone()).prop_map(|(node, version)| Act::ByHand(node, version)),
        1 => Just(Act::Restart),
        2 => (1..100_u64).prop_map(Act::Pass),
        2 => (1..500_u64).prop_map(Act::Live),
        3 => version.prop_map(Act::Upgrade),
        1 => Just(Act::Pause),
        4 => Just(Act::Resume),
        1 => Just(Act::Abort),
    ]
}

fn version(minor: u64) -> Version {
    Version::new(1, minor, 0)
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
            let labels = [("group".to_owned(), group)].into();
            let local = Local::new("store".parse().unwrap(), release(&version(0)), labels);
            host.instances.insert("store".parse().unwrap(), local);
            life.world.hosts.insert(node.clone(), host);
            life.world.report(&node);
            life.nodes.push(node);
        }
        for minor in 0..3 {
            let bytes = version(minor);
            let call = published("store".parse().unwrap(), bytes.clone(), None, &bytes);
            life.world.ask(None, &call).unwrap();
        }
        life.upgrade(1);
        life
    }

    /// Asks for a plan and starts it; both may be refused.
    fn upgrade(&mut self, to: u64) {
        let call = Call::CreatePlan {
            targets: vec![Target {
                component: "store".parse().unwrap(),
                version: version(to),
                allow_downgrade: true,
            }],
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
            Act::Upgrade(to) => self.upgrade(*to),
            Act::Pause => self.newest(|plan| Call::PausePlan(plan, "lunch".to_owned())),
            Act::Resume => self.newest(Call::ResumePlan),
            Act::Abort => self.newest(|plan| Call::AbortPlan(plan, String::new())),
        }
        self.world.held_while_busy();
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

    /// Faults stop; every plan ends or pauses with a reason.
    fn settle(&mut self) {
        self.world.hosts.values_mut().for_each(Host::mend);
        self.world.run();
        self.world.wait(Duration::from_secs(1_000));
        for plan in self.under_way() {
            let state = self.world.plan_state(plan);
            assert!(
                matches!(state, PlanState::Paused(reason) if !reason.is_empty()),
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

        // Whoever was changed by hand is put right, and what is paused then goes on to its end.
        let by_hand = acts.iter().any(|act| matches!(act, Act::ByHand(..)));
        for _ in 0..3 {
            for plan in life.under_way() {
                let _ = life.world.ask(None, &Call::ResumePlan(plan));
            }
            life.settle();
        }
        prop_assert!(by_hand || life.under_way().is_empty(), "{:?}", life.world.log);
        let held: Vec<_> = life.world.state.slot_holders().collect();
        prop_assert!(held.is_empty(), "held for ever: {held:?}");
    }
}
