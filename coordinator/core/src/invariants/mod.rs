//! The rules that never break, as questions to the state: what is wrong with it, in sentences; nothing if
//! all is well. Defined once, for tests, simulation and, counted, in production.
//!
//! [`violations`] looks at one state, [`violations_at_rest`] at one that the engine is done with, and
//! [`violations_between`] at two that follow each other. The functions they are made of each ask for one rule.

mod between;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use evenkeel_words::{names::InstanceId, timestamp::Timestamp};

use crate::{
    change::Resource,
    engine::{self, waits},
    instance::Instance,
    plan::{Amount, Plan, PlanId, PlanState, Task, TaskState},
    state::{Key, State},
};

pub use between::violations_between;

/// What is wrong with the state.
#[must_use]
pub fn violations(state: &State) -> Vec<String> {
    [
        slots_within_budget(state),
        slots_in_few_domains(state),
        slots_have_orders(state),
        orders_have_slots(state),
        plans_apart(state),
        waves_in_order(state),
        counts_right(state),
        revisions_right(state),
    ]
    .concat()
}

/// What is wrong with a state that the engine has nothing more to say to.
#[must_use]
pub fn violations_at_rest(state: &State, now: Timestamp) -> Vec<String> {
    [
        engine::advance(state, now)
            .map(|change| format!("the engine has more to say: {}", change.cause))
            .into_iter()
            .collect(),
        waits_have_sentences(state, now),
    ]
    .concat()
}

fn tasks_under_way(state: &State) -> impl Iterator<Item = (&Plan, &Task)> {
    state.plans_under_way().flat_map(|plan| {
        let tasks = state.tasks_of(plan.id);
        tasks.map(|task| (plan.as_ref(), task.as_ref()))
    })
}

fn policy_of<T>(state: &State, instance: &Instance, read: impl Fn(&Plan) -> T) -> Option<T> {
    let slot = instance.slot.as_ref()?;
    state.plan(slot.plan).map(|plan| read(plan))
}

/// In each group we hold down no more than the most generous of the plans that hold something there allows.
fn slots_within_budget(state: &State) -> Vec<String> {
    let mut groups = BTreeMap::<_, (u32, u32)>::new();
    for holder in state.slot_holders() {
        // What a share comes to is asked for when an order is given: the group may have become smaller since.
        let max = policy_of(state, holder, |plan| match plan.policy.max_unavailable {
            Amount::Count(max) => max,
            Amount::Percent(_) => u32::MAX,
        });
        let group = groups
            .entry((&holder.report.component, holder.group()))
            .or_default();
        group.0 += 1;
        group.1 = group.1.max(max.unwrap_or(0));
    }
    groups
        .into_iter()
        .filter(|(_, (held, max))| held > max)
        .map(|((component, group), (held, max))| {
            format!("{held} of {component} {group:?} are held, and {max} may be")
        })
        .collect()
}

/// What plans with the same failure domain label hold of a component is in no more domains than the most generous of
/// them allows.
fn slots_in_few_domains(state: &State) -> Vec<String> {
    let mut domains = BTreeMap::<_, (BTreeSet<_>, usize)>::new();
    for holder in state.slot_holders() {
        let policy = policy_of(state, holder, |plan| plan.policy.clone());
        let Some((label, at_once)) = policy
            .and_then(|policy| Some((policy.failure_domain?, policy.failure_domains_at_once)))
        else {
            continue;
        };
        let domain = holder.labels.get(&label);
        let held = domains
            .entry((&holder.report.component, label))
            .or_default();
        held.0.insert(domain);
        held.1 = held.1.max(usize::try_from(at_once).unwrap_or(usize::MAX));
    }
    domains
        .into_iter()
        .filter(|(_, (held, at_once))| held.len() > *at_once)
        .map(|((component, label), (held, _))| {
            format!("{component} is held in too many {label}s: {held:?}")
        })
        .collect()
}

/// A slot is taken for the newest order.
fn slots_have_orders(state: &State) -> Vec<String> {
    state
        .slot_holders()
        .filter(|holder| {
            let slot = holder.slot.as_ref();
            slot.is_some_and(|slot| slot.generation != holder.generation() || slot.generation == 0)
        })
        .map(|holder| format!("the slot of {} is for another order", holder.id))
        .collect()
}

/// An order whose end is not known has its slot, and is the newest of its instance.
fn orders_have_slots(state: &State) -> Vec<String> {
    tasks_under_way(state)
        .filter(|(_, task)| task.state.ordered() && task.admitted_at.is_some())
        .filter(|(plan, task)| {
            let instance = state.instance(&task.instance);
            let slot = instance.and_then(|instance| instance.slot.as_ref());
            !slot.is_some_and(|s| s.plan == plan.id && s.generation == task.generation)
        })
        .map(|(plan, task)| format!("{} of {} is ordered without a slot", task.instance, plan.id))
        .collect()
}

/// No two plans under way have a task for the same instance, but for what they leave out, and the state knows whose it is.
fn plans_apart(state: &State) -> Vec<String> {
    let mut owners = BTreeMap::<&InstanceId, PlanId>::new();
    let mut wrong = Vec::new();
    let claiming =
        tasks_under_way(state).filter(|(_, task)| !matches!(task.state, TaskState::Skipped(_)));
    for (plan, task) in claiming {
        let other = owners.insert(&task.instance, plan.id);
        if let Some(other) = other.filter(|other| *other != plan.id) {
            wrong.push(format!("{} is in {other} and {}", task.instance, plan.id));
        }
        if state.claimed_by(&task.instance) != Some(plan.id) {
            wrong.push(format!(
                "{} is not known to be {}'s",
                task.instance, plan.id
            ));
        }
    }
    let unowned = state
        .instances()
        .filter(|instance| state.claimed_by(&instance.id) != owners.get(&instance.id).copied());
    wrong
        .extend(unowned.map(|instance| format!("{} is claimed by a plan that ended", instance.id)));
    wrong
}

/// Nothing of a wave is ordered before the waves before it are done.
fn waves_in_order(state: &State) -> Vec<String> {
    let place = |task: &Task| (task.stage, task.wave);
    let mut wrong = Vec::new();
    // What was tolerated may be tried again when later ones have gone.
    let strict = |plan: &&Arc<Plan>| plan.policy.failures_tolerated == 0;
    for plan in state.plans_under_way().filter(strict) {
        let not_over = state.tasks_of(plan.id).filter(|t| !t.state.is_over());
        let Some(first) = not_over.map(|task| place(task)).min() else {
            continue;
        };
        let early = state.tasks_of(plan.id).filter(|task| {
            let begun = !matches!(
                task.state,
                TaskState::Pending | TaskState::Prefetched | TaskState::Skipped(_)
            );
            place(task) > first && begun
        });
        wrong.extend(early.map(|task| format!("{} of {} is early", task.instance, plan.id)));
    }
    wrong
}

/// A plan's counts are those of its tasks, and one that is finalized is all done.
fn counts_right(state: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for plan in state.plans_after(None) {
        let total = state.tasks_of(plan.id).count();
        let count = |is: fn(&TaskState) -> bool| {
            let tasks = state.tasks_of(plan.id);
            tasks.filter(|task| is(&task.state)).count()
        };
        let done = count(|state| *state == TaskState::Done);
        let skipped = count(|state| matches!(state, TaskState::Skipped(_)));
        if u32::try_from(total) != Ok(plan.tasks_total)
            || u32::try_from(done) != Ok(plan.tasks_done)
            || u32::try_from(skipped) != Ok(plan.tasks_skipped)
        {
            wrong.push(format!("{} has miscounted its tasks", plan.id));
        }
        if let PlanState::Superseded(by) = plan.state
            && (by <= plan.id || state.plan(by).is_none())
        {
            wrong.push(format!("{} is superseded by nothing", plan.id));
        }
        if plan.state == PlanState::RolledBack(plan.state.reason().to_owned())
            && done + skipped != total
        {
            wrong.push(format!("{} is rolled back and not done", plan.id));
        }
        if plan.state == PlanState::Finalized && done + skipped != total {
            wrong.push(format!("{} is finalized and not done", plan.id));
        }
    }
    wrong
}

/// Everything that has a revision is told exactly once, at the revision that it carries.
fn revisions_right(state: &State) -> Vec<String> {
    let mut told = BTreeMap::<Key, u64>::new();
    let mut wrong = Vec::new();
    let mut last = 0;
    for (revision, key) in state.newer_than(0) {
        if revision < last || revision > state.revision() {
            wrong.push(format!("{key:?} is told out of order"));
        }
        last = revision;
        if told.insert(key.clone(), revision).is_some() {
            wrong.push(format!("{key:?} is told twice"));
        }
    }
    let nodes = state
        .nodes()
        .map(|x| (Key::Node(x.name.clone()), x.revision));
    let instances = state
        .instances()
        .map(|x| (Key::Instance(x.id.clone()), x.revision));
    let plans = state
        .plans_after(None)
        .map(|x| (Key::Plan(x.id), x.revision));
    let tasks = state.plans_after(None).flat_map(|plan| {
        let tasks = state.tasks_of(plan.id);
        tasks.map(|x| (Key::Task(x.id()), x.revision))
    });
    let others = told.keys().filter(|key| {
        let resource = state.resource(key);
        matches!(
            resource,
            Some(
                Resource::Release(_)
                    | Resource::InstanceGone(_)
                    | Resource::Matrix(_)
                    | Resource::ReportedVersions(_)
                    | Resource::Freeze(_)
            )
        )
    });
    let others = others.count();
    let mut things = 0;
    for (key, revision) in nodes.chain(instances).chain(plans).chain(tasks) {
        things += 1;
        if told.get(&key) != Some(&revision) {
            wrong.push(format!("{key:?} is not told at its revision"));
        }
    }
    if told.len() != things + others {
        wrong.push("something is told that is not there".to_owned());
    }
    wrong
}

/// Whatever does not move has a reason that can be told.
fn waits_have_sentences(state: &State, now: Timestamp) -> Vec<String> {
    tasks_under_way(state)
        .filter(|(plan, task)| {
            let given_up = matches!(plan.state, PlanState::Aborting(_)) && !task.state.in_flight();
            !task.state.is_over() && !given_up
        })
        .filter(|(plan, task)| {
            waits::wait(state, plan, task, now).is_none_or(|wait| wait.sentence.is_empty())
        })
        .map(|(plan, task)| {
            let state = task.state.name();
            format!("{} of {} is {state} for no reason", task.instance, plan.id)
        })
        .collect()
}
