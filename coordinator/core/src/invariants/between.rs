//! What may not happen between one state and the next.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use evenkeel_compat::{Method, Undo};

use crate::{
    engine::undo::ways_back,
    instance::{Health, Instance, Status},
    node::Liveness,
    plan::{Amount, Plan, PlanKind, PlanState, Task, TaskState},
    state::State,
};

/// What is wrong with the way from one state to the next.
#[must_use]
pub fn violations_between(before: &State, after: &State) -> Vec<String> {
    [
        generations_rise(before, after),
        slots_returned_on_evidence(before, after),
        orders_within_budget(before, after),
        orders_heard(before, after),
        orders_of_running_plans(before, after),
        orders_not_held(before, after),
        orders_wave_by_wave(before, after),
        orders_after_the_barrier(before, after),
        orders_compatible(before, after),
        orders_confirmed(before, after),
        rebuilds_apart(before, after),
        let_go_compatible(before, after),
        held_has_no_way_back(before, after),
        revision_rises(before, after),
        epochs_begin_unheard(before, after),
        told_final_when_all_are_well(before, after),
    ]
    .concat()
}

/// An order that was just given for a task.
struct NewOrder<'a> {
    plan: &'a Plan,
    task: &'a Task,
    /// The instance as it was before.
    instance: &'a Instance,
}

impl NewOrder<'_> {
    /// Whether a stage begins it: it is not the order to put back one that got sick.
    fn is_begun(&self) -> bool {
        self.task.state == TaskState::Admitted
    }

    /// Whether it leaves the instance where it is: nothing meets that did not before.
    fn is_restart(&self) -> bool {
        self.task.from == self.task.to
    }

    /// Whether it is the order to go to the new release, not one to go back.
    fn is_forward(&self) -> bool {
        let stage = self.plan.stage(self.task);
        self.is_begun() && stage.is_some_and(|stage| stage.undoes.is_none())
    }
}

fn new_orders<'a>(before: &'a State, after: &'a State) -> impl Iterator<Item = NewOrder<'a>> {
    super::tasks_under_way(after).filter_map(|(plan, task)| {
        let was = before.task(&task.id())?;
        let instance = before.instance(&task.instance)?;
        let new = task.generation > was.generation && task.generation > instance.generation();
        new.then_some(NewOrder {
            plan,
            task,
            instance,
        })
    })
}

/// Nobody is told that a version is final while a member of what the plan moves is not there, not well or not heard.
fn told_final_when_all_are_well(before: &State, after: &State) -> Vec<String> {
    let told = |plan: &Plan| -> BTreeSet<_> {
        let told = plan.finalizing.iter();
        told.filter_map(|it| Some((it.component.clone(), it.told_at?)))
            .collect()
    };
    let newly_told = after.plans_under_way().filter(|plan| {
        let was = before.plan(plan.id).map(|plan| told(plan));
        plan.state == PlanState::Finalizing && !told(plan).is_subset(&was.unwrap_or_default())
    });
    newly_told
        .flat_map(|plan| {
            let is_moved = |component: &_| plan.stages.iter().any(|it| it.component == *component);
            let targets = plan.targets.iter();
            let moved = targets.filter(move |target| is_moved(&target.component));
            moved.flat_map(move |target| {
                let instances = before.instances_of(&target.component);
                let not_well = instances.filter(|instance| {
                    let node = before.node(&instance.id.node);
                    let heard = node.is_some_and(|node| node.liveness == Liveness::Up);
                    let current = instance.report.current.as_ref();
                    let is_there = current
                        .is_some_and(|it| it.version.cmp_precedence(&target.version).is_eq());
                    !(heard && is_there && instance.is_healthy())
                });
                not_well.map(move |instance| {
                    format!(
                        "{} was to make {} final, and {} is not there and well",
                        plan.id, target.component, instance.id
                    )
                })
            })
        })
        .collect()
}

/// A generation never falls, and the same one never says something else.
fn generations_rise(before: &State, after: &State) -> Vec<String> {
    after
        .instances()
        .filter(|new| {
            let old = before.instance(&new.id);
            old.is_some_and(|old| old.order != new.order && old.generation() >= new.generation())
        })
        .map(|new| {
            format!(
                "the order of {} changed and its generation did not rise",
                new.id
            )
        })
        .collect()
}

/// A slot is given back on the word of its instance's agent that the order has ended, and in good health; or
/// that it is in good health and never began the order, when the plan has ended.
fn slots_returned_on_evidence(before: &State, after: &State) -> Vec<String> {
    before
        .slot_holders()
        .filter(|holder| {
            let Some(now) = after.instance(&holder.id) else {
                return true;
            };
            let generation = holder.generation();
            let ended = now.progress_of(generation).is_some_and(|p| p.step.ended());
            let over = holder.slot.iter().any(|slot| {
                let plan = before.plan(slot.plan);
                plan.is_some_and(|plan| plan.ended_at.is_some())
            });
            let never_begun = over && now.report.accepted.generation < generation;
            let evidence = (ended || never_begun) && now.is_healthy();
            now.slot.is_none() && !evidence
        })
        .map(|holder| format!("{} gave its slot back without evidence", holder.id))
        .collect()
}

/// What an order takes down is within the budget, with all that is down or unknown already, and in as few failure
/// domains with it as the policy says. An order to go back takes nothing down if the instance was down.
fn orders_within_budget(before: &State, after: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    let taken_down = new_orders(before, after).filter(|new| {
        let catches_up = new.plan.kind == PlanKind::CatchUp;
        (new.is_forward() && !catches_up) || serves(before, new.instance)
    });
    for NewOrder { plan, instance, .. } in taken_down {
        let policy = &plan.policy;
        let all: Vec<_> = before.instances_of(&instance.report.component).collect();
        let goes_down = |other: &&&Arc<Instance>| other.id == instance.id || !serves(before, other);
        let down: Vec<_> = all.iter().filter(goes_down).collect();
        let of_group = |other: &&&Arc<Instance>| other.group() == instance.group();
        let size = all.iter().filter(of_group).count();
        let group = down.iter().filter(|other| of_group(other)).count();
        if group > share(policy.max_unavailable, size, false) {
            wrong.push(format!(
                "{} was ordered as number {group} down",
                instance.id
            ));
        }
        let of_all = policy.max_unavailable_component;
        if of_all.is_some_and(|max| down.len() > share(max, all.len(), false)) {
            wrong.push(format!(
                "{} was ordered as number {} of its component down",
                instance.id,
                down.len()
            ));
        }
        let kept = policy.min_healthy;
        if kept.is_some_and(|least| size - group < share(least, size, true)) {
            wrong.push(format!("{} was ordered and too few are left", instance.id));
        }
        if let Some(label) = &policy.failure_domain {
            let domains: BTreeSet<_> = down.iter().map(|other| other.labels.get(label)).collect();
            if domains.len() > share(Amount::Count(policy.failure_domains_at_once), 0, false) {
                wrong.push(format!(
                    "{} was ordered while others of {domains:?} are down",
                    instance.id
                ));
            }
        }
    }
    wrong
}

/// What an amount comes to: said here once more, apart from the arithmetic that is checked.
fn share(amount: Amount, of: usize, up: bool) -> usize {
    match amount {
        Amount::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Amount::Percent(percent) => {
            let hundredths = of * usize::from(percent);
            // What has come to nothing since the plan's draft counts as one.
            (hundredths / 100 + usize::from(up && !hundredths.is_multiple_of(100))).max(1)
        }
    }
}

/// An order is given where its agent is there to hear it, and takes orders.
fn orders_heard(before: &State, after: &State) -> Vec<String> {
    new_orders(before, after)
        .filter(|new| {
            let node = before.node(&new.instance.id.node);
            !node.is_some_and(|node| node.liveness == Liveness::Up && node.fenced.is_none())
        })
        .map(|new| format!("{} was ordered and nobody hears it", new.instance.id))
        .collect()
}

/// Only a plan that runs begins anything, and only one that rolls back a stage that undoes another.
fn orders_of_running_plans(before: &State, after: &State) -> Vec<String> {
    new_orders(before, after)
        .filter(NewOrder::is_begun)
        .filter(|new| {
            let plan = before.plan(new.plan.id);
            !plan.is_some_and(|plan| match new.is_forward() {
                true => plan.state == PlanState::Running,
                false => matches!(plan.state, PlanState::RollingBack(_)),
            })
        })
        .map(|new| format!("{} was ordered by a plan that rests", new.instance.id))
        .collect()
}

/// Nothing new is begun while the fleet is frozen, or outside a plan's windows, and nothing at all while much of the
/// fleet is silent.
fn orders_not_held(before: &State, after: &State) -> Vec<String> {
    let now = after.at();
    let nodes = before.nodes().count();
    let up = before.nodes().filter(|node| node.liveness == Liveness::Up);
    let lately = before.nodes().filter(|node| {
        let since = node.silent_since;
        since.is_some_and(|since| now.since(since) < Duration::from_secs(60))
    });
    let blind = nodes >= 3
        && (up.count() * 100 < nodes * 65 || lately.count() >= nodes.div_ceil(10).max(3));
    let mut wrong = Vec::new();
    for new in new_orders(before, after).filter(NewOrder::is_begun) {
        let id = &new.instance.id;
        if blind {
            wrong.push(format!("{id} was ordered by one that is blind"));
        }
        if new.is_forward()
            && before
                .freeze()
                .is_some_and(|freeze| freeze.lifted.is_none())
        {
            wrong.push(format!("{id} was ordered in a frozen fleet"));
        }
        let windows = &new.plan.policy.windows;
        let mut openings = windows.iter().map(|window| window.opening(now));
        let open = openings.any(|opening| opening.is_some_and(|opening| opening <= now));
        if new.is_forward() && !windows.is_empty() && !open {
            wrong.push(format!("{id} was ordered outside its windows"));
        }
    }
    wrong
}

/// Nothing is begun before what goes before it is over, or has failed and is tolerated.
fn orders_wave_by_wave(before: &State, after: &State) -> Vec<String> {
    let place = |task: &Task| (task.stage, task.wave);
    let mut wrong = Vec::new();
    for new in new_orders(before, after).filter(NewOrder::is_forward) {
        let tolerated = usize::try_from(new.plan.policy.failures_tolerated).unwrap_or(usize::MAX);
        let earlier: Vec<_> = before
            .tasks_of(new.plan.id)
            .filter(|task| place(task) < place(new.task) && !task.state.is_over())
            .collect();
        let failed = |task: &&Arc<Task>| {
            task.stage == new.task.stage
                && matches!(task.state, TaskState::Reverted(_) | TaskState::Parked(_))
        };
        if !earlier.iter().all(failed) || earlier.len() > tolerated {
            wrong.push(format!("{} was ordered before its turn", new.instance.id));
        }
    }
    wrong
}

/// Nothing is stopped before every host of the stage holds the artifact; on the way back every one that is heard.
fn orders_after_the_barrier(before: &State, after: &State) -> Vec<String> {
    let ready = |task: &Task| match task.state {
        TaskState::Pending => false,
        TaskState::Prefetched => {
            let instance = before.instance(&task.instance);
            instance.is_some_and(|instance| instance.holds(&task.to.digest))
        }
        _ => true,
    };
    new_orders(before, after)
        .filter(NewOrder::is_begun)
        .filter(|new| {
            let stage = new.plan.stage(new.task);
            let goes_back = stage.is_some_and(|stage| stage.undoes.is_some());
            let heard = |task: &Task| {
                let node = before.node(&task.instance.node);
                node.is_some_and(|node| node.liveness == Liveness::Up && node.fenced.is_none())
            };
            let mut tasks = before.tasks_of_stage(new.plan.id, new.task.stage);
            tasks.any(|task| !ready(task) && (!goes_back || heard(task)))
        })
        .map(|new| format!("{} was ordered before the barrier opened", new.instance.id))
        .collect()
}

/// What an order brings to its component may run beside all that it meets there and in the components
/// that it talks to.
fn orders_compatible(before: &State, after: &State) -> Vec<String> {
    let matrix = &before.matrix().matrix;
    let mut wrong = Vec::new();
    for new in new_orders(before, after).filter(|new| new.is_begun() && !new.is_restart()) {
        let component = &new.instance.report.component;
        let to = &new.task.to.version;
        let hop = matrix.hop(component, &new.task.from.version, to);
        let back = || {
            let hop = (new.task.from.version.clone(), to.clone());
            ways_back(before, component).contains(&hop)
        };
        if hop.is_err() && !back() {
            wrong.push(format!("{} was ordered a hop not allowed", new.instance.id));
        }
        for other in before.instances() {
            let other_component = &other.report.component;
            let meets =
                component == other_component || matrix.constrain(component, other_component);
            for version in other.versions().filter(|_| meets) {
                if matrix
                    .beside((component, to), (other_component, version))
                    .is_err()
                {
                    wrong.push(format!(
                        "{} was ordered {to}, which may not run beside {version} of {}",
                        new.instance.id, other.id
                    ));
                }
            }
        }
        let reports = before.reported_versions();
        for report in reports.filter(|report| matrix.constrain(component, &report.component)) {
            for in_use in &report.versions {
                let other = (&report.component, &in_use.version);
                if matrix.beside((component, to), other).is_err() {
                    wrong.push(format!(
                        "{} was ordered {to}, which may not run beside {} {} in use",
                        new.instance.id, report.component, in_use.version
                    ));
                }
            }
        }
    }
    wrong
}

/// What cannot be undone was confirmed by a person before.
fn orders_confirmed(before: &State, after: &State) -> Vec<String> {
    new_orders(before, after)
        .filter(NewOrder::is_begun)
        .filter(|new| {
            let Some(stage) = new.plan.stage(new.task) else {
                return true;
            };
            if stage.confirmed_by.is_some() {
                return false;
            }
            // As told by what instances have, not by what tasks say: somebody else has to be left from which coming
            // along would end a way back.
            let matrix = &before.matrix().matrix;
            let mut others = before
                .instances_of(&stage.component)
                .filter(|other| other.id != new.instance.id);
            let last = !others.any(|other| {
                let comes = other.slot.as_ref().and(other.order.as_ref());
                let comes = comes.map(|order| &order.release.version);
                let has = other.report.current.as_ref().map(|c| &c.version);
                comes.or(has).is_some_and(|version| {
                    let way = matrix
                        .hop(&stage.component, version, &stage.to)
                        .map(|hop| hop.way);
                    *version < stage.to && way.map_or(true, |way| way.undo != way.undo_when_final)
                })
            });
            let finalizes = stage.finalizes_itself && stage.is_final_when_finalized();
            stage.way.undo == Undo::NotAtAll || (finalizes && last)
        })
        .map(|new| format!("{} was ordered past the way back", new.instance.id))
        .collect()
}

/// Whatever may be started without its data has others of its group, all of them whole.
fn rebuilds_apart(before: &State, after: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for new in new_orders(before, after) {
        let order = after
            .instance(&new.instance.id)
            .and_then(|i| i.order.as_ref());
        let fallback = order.and_then(|order| order.fallback.as_ref());
        let may_rebuild = order.is_some_and(|order| order.method == Method::Rebuild)
            || fallback.is_some_and(|(_, method)| *method == Method::Rebuild);
        if !may_rebuild {
            continue;
        }
        let mut copies = before
            .instances_of(&new.instance.report.component)
            .filter(|other| other.id != new.instance.id && other.group() == new.instance.group())
            .peekable();
        let alone = copies.peek().is_none();
        if alone || copies.any(|other| !serves(before, other) || !other.is_healthy()) {
            wrong.push(format!(
                "{} may be rebuilt from nothing whole",
                new.instance.id
            ));
        }
    }
    wrong
}

/// Who is let go may run beside all that runs or is on its way, in its own component and those that it talks to.
fn let_go_compatible(before: &State, after: &State) -> Vec<String> {
    let matrix = &after.matrix().matrix;
    let was_held = |instance: &&Arc<Instance>| {
        let was = before.instance(&instance.id);
        was.is_some_and(|was| was.quarantine.reason.is_some())
    };
    let mut wrong = Vec::new();
    let let_go = after
        .instances()
        .filter(|instance| instance.quarantine.reason.is_none() && !instance.is_at_work())
        .filter(was_held);
    for instance in let_go.filter(|_| after.matrix().version > 0) {
        let component = &instance.report.component;
        let Some(current) = &instance.report.current else {
            continue;
        };
        for other in after.instances().filter(|other| other.is_at_work()) {
            let meets = matrix.constrain(component, &other.report.component);
            for version in other.versions().filter(|_| meets) {
                let theirs = (&other.report.component, version);
                if matrix
                    .beside((component, &current.version), theirs)
                    .is_err()
                {
                    wrong.push(format!(
                        "{} was let go with {}, which may not run beside {version} of {}",
                        instance.id, current.version, other.id
                    ));
                }
            }
        }
    }
    wrong
}

/// An order for what stays down never goes back to what may not run.
fn held_has_no_way_back(before: &State, after: &State) -> Vec<String> {
    new_orders(before, after)
        .filter(|new| new.instance.is_quarantined())
        .filter(|new| {
            let now = after.instance(&new.instance.id);
            let order = now.and_then(|now| now.order.as_ref());
            order.is_none_or(|order| order.fallback.is_some())
        })
        .map(|new| {
            let id = &new.instance.id;
            format!("{id} is quarantined, and was ordered to go back to what it has")
        })
        .collect()
}

fn revision_rises(before: &State, after: &State) -> Vec<String> {
    let wrong = after.revision() <= before.revision() || after.at() < before.at();
    wrong
        .then(|| "time or revision went back".to_owned())
        .into_iter()
        .collect()
}

/// An epoch rises, and nobody has been heard in a new one.
fn epochs_begin_unheard(before: &State, after: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    if after.epoch() < before.epoch() {
        wrong.push("the epoch fell".to_owned());
    }
    if after.epoch() != before.epoch() && after.nodes().any(|n| n.liveness != Liveness::Unknown) {
        wrong.push("an epoch began with agents that were heard before".to_owned());
    }
    wrong
}

/// Whether an instance may be counted on: said here once more, apart from the budget that is checked.
fn serves(state: &State, instance: &Instance) -> bool {
    let node = state.node(&instance.id.node);
    let heard = node.is_some_and(|node| node.liveness == Liveness::Up);
    let well = instance.report.status == Status::Running && instance.report.health != Health::Error;
    heard && well && instance.slot.is_none()
}
