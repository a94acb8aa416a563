//! The last step: the steps of a path become stages, and their instances tasks in waves.

use evenkeel_words::planted::{self, Bug};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use evenkeel_compat::Method;
use evenkeel_words::{
    names::{ComponentName, InstanceId},
    timestamp::Timestamp,
};
use semver::Version;

use super::{suits, words::listed};
use crate::{
    instance::Instance,
    plan::{Plan, PlanKind, PlanState, Policy, RuledOut, Stage, Target, Task, TaskState},
    refusal::{Refusal, RefusalKind},
    release::{Release, ReleaseRef},
    state::State,
};

/// The most tasks that one plan may have. As many, with the longest names, fit into one record of the ledger.
pub const TASKS_MAX: usize = 25_000;

/// What is to be laid out, and on whose behalf.
pub(super) struct Outline<'a> {
    pub(super) targets: &'a [Target],
    pub(super) stages: Vec<Stage>,
    pub(super) ruled_out: Vec<RuledOut>,
    pub(super) policy: &'a Policy,
    pub(super) created_by: &'a str,
    pub(super) now: Timestamp,
}

/// Lays out the stages for the fleet as it is.
///
/// # Errors
/// `NotAllowedNow` where an instance cannot take part; `TooMuch` for more than [`TASKS_MAX`] tasks; as
/// [`suits::check`].
pub(super) fn lay_out(state: &State, outline: Outline<'_>) -> Result<(Plan, Vec<Task>), Refusal> {
    let mut plan = plan(state, outline);
    let mut tasks = Vec::new();
    let mut held = releases_held(state, &plan);
    for index in 0..plan.stages.len() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let moved = stage(state, &plan, &plan.stages[index], number, &mut held)?;
        plan.stages[index].instances = u32::try_from(moved.len()).unwrap_or(u32::MAX);
        tasks.extend(moved);
        if tasks.len() > TASKS_MAX {
            return Err(Refusal::new(
                RefusalKind::TooMuch,
                format!(
                    "its first {} stages have {} tasks, more than the {TASKS_MAX} that one plan may have; name a version on the way as the target",
                    index + 1,
                    tasks.len()
                ),
            ));
        }
    }
    check_rebuilt_once(&plan, &tasks)?;
    plan.tasks_total = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    suits::check(state, &plan)?;
    Ok((plan, tasks))
}

/// A plan without tasks.
pub(super) fn plan(state: &State, outline: Outline<'_>) -> Plan {
    Plan {
        id: state.next_plan_id(),
        kind: PlanKind::Upgrade,
        state: PlanState::Draft,
        targets: outline.targets.to_vec(),
        stages: outline.stages,
        ruled_out: outline.ruled_out,
        matrix_version: state.matrix().version,
        policy: outline.policy.clone(),
        tasks_total: 0,
        tasks_done: 0,
        tasks_skipped: 0,
        created_by: outline.created_by.to_owned(),
        created_at: outline.now,
        started_at: None,
        rollback_began_at: None,
        successor: None,
        finalizing: Vec::new(),
        compared: Vec::new(),
        ended_at: None,
        resumed_at: None,
        progressed_at: outline.now,
        changed_at: outline.now,
        revision: 0,
    }
}

/// What the instances of the components that change have now. One that is quarantined is caught up by a plan of its own.
fn releases_held(state: &State, plan: &Plan) -> BTreeMap<InstanceId, ReleaseRef> {
    let components: BTreeSet<&ComponentName> = plan.stages.iter().map(|s| &s.component).collect();
    components
        .into_iter()
        .flat_map(|component| state.instances_of(component))
        .filter(|instance| !instance.is_quarantined())
        .filter_map(|instance| Some((instance.id.clone(), instance.report.current.clone()?)))
        .collect()
}

/// The tasks of one stage, in the order in which they go. What its instances hold afterwards is put into `held`.
fn stage(
    state: &State,
    plan: &Plan,
    stage: &Stage,
    number: u32,
    held: &mut BTreeMap<InstanceId, ReleaseRef>,
) -> Result<Vec<Task>, Refusal> {
    let release = published(state, &stage.component, &stage.to)?;
    let mut movers = Vec::new();
    for instance in state.instances_of(&stage.component) {
        let Some(from) = held.get(&instance.id).filter(|r| r.version == stage.from) else {
            continue;
        };
        let to = artifact(state, release, instance)?;
        movers.push((instance.as_ref(), from.clone(), to));
    }
    if stage.may_rebuild() {
        check_rebuild(state, stage, movers.iter().map(|(instance, ..)| *instance))?;
    }
    for (instance, _, to) in &movers {
        held.insert(instance.id.clone(), to.clone());
    }
    Ok(in_waves(plan, number, movers))
}

/// A task for each of these instances, in the order in which they go: each with what it has and what it comes to.
pub(super) fn in_waves(
    plan: &Plan,
    number: u32,
    mut movers: Vec<(&Instance, ReleaseRef, ReleaseRef)>,
) -> Vec<Task> {
    let label = plan.policy.failure_domain.as_deref();
    let domain = |instance: &Instance| label.and_then(|label| instance.labels.get(label).cloned());
    movers.sort_by_cached_key(|(instance, ..)| (domain(instance), instance.id.clone()));

    let waves = waves(&plan.policy, movers.len());
    let tasks = movers.into_iter().zip(waves);
    tasks
        .map(|((instance, from, to), wave)| Task {
            plan: plan.id,
            instance: instance.id.clone(),
            stage: number,
            wave,
            state: TaskState::Pending,
            from,
            to,
            generation: 0,
            admitted_at: None,
            stop_to_ready_us: 0,
            yielded: None,
            changed_at: plan.created_at,
            revision: 0,
        })
        .collect()
}

/// The wave of each of `count` instances, in the order in which they go: the canary, if there is one, then as many as
/// the policy says each time, and all that are left in the last.
fn waves(policy: &Policy, count: usize) -> impl Iterator<Item = u32> {
    let all = u32::try_from(count).unwrap_or(u32::MAX);
    let canary =
        Some(policy.canary).filter(|canary| *canary > 0 && !planted::is(Bug::CanarySkipped));
    let sizes = canary
        .into_iter()
        .chain(policy.waves.iter().map(move |wave| wave.of_rounded_up(all)));
    let last = policy.waves.len() + usize::from(canary.is_some());
    let sizes: Vec<u32> = sizes.take(last.saturating_sub(1)).collect();
    let last = u32::try_from(sizes.len()).unwrap_or(u32::MAX);
    let of_sizes = (0_u32..).zip(sizes);
    of_sizes
        .flat_map(|(wave, size)| (0..size).map(move |_| wave))
        .chain(std::iter::repeat(last))
        .take(count)
}

/// What a rebuild sets aside is kept for a while, and nothing is set aside on top of it.
pub(super) fn check_rebuilt_once(plan: &Plan, tasks: &[Task]) -> Result<(), Refusal> {
    let mut rebuilt = BTreeMap::new();
    for task in tasks {
        let Some(stage) = plan.stage(task).filter(|s| s.way.method == Method::Rebuild) else {
            continue;
        };
        if let Some(first) = rebuilt.insert(&task.instance, stage) {
            return Err(Refusal::new(
                RefusalKind::NotAllowedNow,
                format!(
                    "{} would be rebuilt twice, for {first} and for {stage}, and its agent keeps what the first sets aside for a while; plan to {} first",
                    task.instance, first.to
                ),
            ));
        }
    }
    Ok(())
}

/// Whether two versions are the same but for build metadata.
pub(super) fn same(a: &Version, b: &Version) -> bool {
    a.cmp_precedence(b) == Ordering::Equal
}

/// One that is rebuilt comes back with nothing: its agent has to allow that, and others have to have its data.
pub(super) fn check_rebuild<'a>(
    state: &State,
    stage: &Stage,
    movers: impl Iterator<Item = &'a Instance>,
) -> Result<(), Refusal> {
    let (mut forbidden, mut alone) = (Vec::new(), Vec::new());
    for instance in movers {
        if !instance.report.may_rebuild {
            forbidden.push(match instance.report.rebuild_obstacle.as_str() {
                "" => instance.id.to_string(),
                obstacle => format!("{} ({obstacle})", instance.id),
            });
        }
        let mut members = state.instances_of(&stage.component);
        if !members.any(|other| other.id != instance.id && other.group() == instance.group()) {
            alone.push(instance.id.to_string());
        }
    }
    let what = match (forbidden.is_empty(), alone.is_empty()) {
        (true, true) => return Ok(()),
        (false, _) => format!(
            "that cannot be done now, or is not allowed by their agents' configuration, for {}",
            listed(&forbidden)
        ),
        (true, false) => format!("nothing else has a copy of the data of {}", listed(&alone)),
    };
    Err(Refusal::new(
        RefusalKind::NotAllowedNow,
        format!(
            "{stage} goes {} by rebuild (drained, swapped, started empty), and {what}",
            if stage.way.method == Method::Rebuild {
                "there"
            } else {
                "back"
            }
        ),
    ))
}

pub(super) fn artifact(
    state: &State,
    release: &Release,
    instance: &Instance,
) -> Result<ReleaseRef, Refusal> {
    let platform = state
        .node(&instance.id.node)
        .map_or("", |node| &node.platform);
    let artifact = release.artifacts.get(platform).ok_or_else(|| {
        let published: Vec<_> = release.artifacts.keys().map(String::as_str).collect();
        Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "{} needs {} {} for {platform}, which is published for {} only",
                instance.id,
                release.component,
                release.version,
                published.join(", ")
            ),
        )
    })?;
    Ok(ReleaseRef {
        version: release.version.clone(),
        digest: artifact.digest,
    })
}

/// A release that has to be published.
///
/// # Errors
/// `NotFound`, with those that are.
pub(super) fn published<'a>(
    state: &'a State,
    component: &ComponentName,
    version: &Version,
) -> Result<&'a Release, Refusal> {
    let release = state.release(component, version).map(AsRef::as_ref);
    release.ok_or_else(|| unpublished(state, component, version))
}

fn unpublished(state: &State, component: &ComponentName, version: &Version) -> Refusal {
    let published: Vec<_> = state
        .releases_of(component)
        .map(|release| release.version.to_string())
        .collect();
    let published = match published.is_empty() {
        true => "no version of it is".to_owned(),
        false => format!("published are {}", listed(&published)),
    };
    Refusal::new(
        RefusalKind::NotFound,
        format!("{component} {version} is not published; {published}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Amount;

    fn laid_out(canary: u32, sizes: &[&str], count: usize) -> Vec<u32> {
        let policy = Policy {
            canary,
            waves: sizes.iter().map(|size| size.parse().unwrap()).collect(),
            ..Policy::default()
        };
        waves(&policy, count).collect()
    }

    #[test]
    fn a_canary_goes_first_then_wave_by_wave_and_the_last_takes_what_is_left() {
        let of_twenty = laid_out(1, &["10%", "50%", "100%"], 20);
        let sizes: Vec<_> = (0..5)
            .map(|wave| of_twenty.iter().filter(|w| **w == wave).count())
            .collect();
        assert_eq!(sizes, [1, 2, 10, 7, 0]);
        assert!(of_twenty.is_sorted());
        assert_eq!(laid_out(1, &["10%", "50%", "100%"], 3), [0, 1, 2]);
        assert_eq!(laid_out(1, &["100%"], 3), [0, 1, 1]);
        assert_eq!(laid_out(0, &["100%"], 3), [0, 0, 0]);
        assert_eq!(laid_out(2, &["1", "1"], 5), [0, 0, 1, 2, 2]);
        assert_eq!(laid_out(9, &["1"], 3), [0, 0, 0]);
        assert_eq!(laid_out(0, &["4294967295", "1"], 2), [0, 0]);
        assert_eq!(laid_out(1, &["1"], 0), []);
        assert_eq!(Policy::default().waves[2], Amount::ALL);
    }
}
