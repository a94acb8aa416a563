//! What people and automation ask for, taken in: every call is checked against the state as it is, and
//! changes nothing when it is refused.

use std::collections::BTreeSet;

use evenkeel_compat::Matrix;
use evenkeel_words::{
    digest::Digest,
    limits::{REASON_BYTES_MAX, cut},
    names::{ComponentName, SourceName},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    change::{Change, Request, RequestKey, Resource},
    compatibility::{
        AppliedMatrix, IN_USE_VERSIONS_MAX, REPORTED_VERSIONS_MAX, ReportedVersions, SOURCES_MAX,
        VersionInUse,
    },
    engine::finality,
    plan::{Plan, PlanId, PlanState, Policy, Stage, Target, Task, TaskState},
    planner,
    refusal::{Refusal, RefusalKind},
    release::{Artifact, Release},
    state::State,
};

/// Something asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Make an artifact known, whose bytes are there and verified.
    PublishRelease {
        /// The component.
        component: ComponentName,
        /// The version.
        version: Version,
        /// What it runs on.
        platform: String,
        /// The artifact.
        artifact: Artifact,
    },
    /// Put a compatibility matrix in place.
    ApplyMatrix {
        /// The matrix.
        matrix: Matrix,
        /// The digest of what was asked for, to tell one call from another.
        content: Digest,
        /// Only in the place of this version.
        expected_version: Option<u64>,
    },
    /// Say which versions of an external component are in use.
    ReportVersions {
        /// The component.
        component: ComponentName,
        /// Who sees them.
        source: SourceName,
        /// The versions.
        versions: Vec<VersionInUse>,
        /// The digest of what was asked for, to tell one call from another.
        content: Digest,
    },
    /// Lay out a plan.
    CreatePlan {
        /// Where to bring what.
        targets: Vec<Target>,
        /// How carefully.
        policy: Policy,
    },
    /// Start a draft.
    StartPlan(PlanId),
    /// Start no more tasks for now.
    PausePlan(PlanId, String),
    /// Go on.
    ResumePlan(PlanId),
    /// Start no more tasks ever.
    AbortPlan(PlanId, String),
    /// Go past the point from which there is no way back.
    FinalizePlan {
        /// The plan.
        plan: PlanId,
        /// The stage that is meant, from 0; none for whatever waits.
        stage: Option<u32>,
    },
}

/// What came of a call: what is different, if anything, and the name of the thing that the answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What is different; nothing where the call had been answered before.
    pub change: Option<Change>,
    /// What the answer shows: a plan's name, `<component>/<version>` of a release,
    /// `matrix/<version>`, or `<component>/<source>` of a report.
    pub resource: String,
}

/// Takes in a call. The same call again, by its request key, changes nothing and gets the same answer.
///
/// # Errors
/// Whatever keeps it from being done; `RequestIdReused` where the key was used for another call.
pub fn handle(
    state: &State,
    key: &RequestKey,
    call: &Call,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let fingerprint = fingerprint(call);
    if let Some(answered) = state.request(key) {
        if answered.fingerprint != fingerprint {
            return Err(Refusal::new(
                RefusalKind::RequestIdReused,
                format!(
                    "the request id {} was used before for another call ({})",
                    key.request_id, answered.resource
                ),
            ));
        }
        return Ok(Outcome {
            change: None,
            resource: answered.resource.clone(),
        });
    }
    let (cause, resource, mut resources) = decide(state, key, call, now)?;
    resources.push(Resource::Request(Request {
        key: key.clone(),
        fingerprint,
        resource: resource.clone(),
        at: now,
    }));
    Ok(Outcome {
        change: Some(Change {
            actor: key.subject.clone(),
            cause,
            resources,
        }),
        resource,
    })
}

fn decide(
    state: &State,
    key: &RequestKey,
    call: &Call,
    now: Timestamp,
) -> Result<(String, String, Vec<Resource>), Refusal> {
    match call {
        Call::PublishRelease {
            component,
            version,
            platform,
            artifact,
        } => {
            let release = publish(state, component, version, platform, artifact)?;
            let cause = format!("{component} {version} published for {platform}");
            let resources = release.into_iter().map(Resource::Release).collect();
            Ok((cause, format!("{component}/{version}"), resources))
        }
        Call::ApplyMatrix {
            matrix,
            expected_version,
            ..
        } => {
            let applied = apply_matrix(state, matrix, *expected_version, &key.subject, now)?;
            let there = state.matrix().version;
            let version = applied.as_ref().map_or(there, |new| new.version);
            let resources: Vec<_> = applied.into_iter().map(Resource::Matrix).collect();
            let cause = "matrix applied".to_owned();
            Ok((cause, format!("matrix/{version}"), resources))
        }
        Call::ReportVersions {
            component,
            source,
            versions,
            ..
        } => {
            let report = report_versions(state, component, source, versions, &key.subject, now)?;
            let cause = format!("{source} reported {component}");
            let resources = vec![Resource::ReportedVersions(report)];
            Ok((cause, format!("{component}/{source}"), resources))
        }
        Call::CreatePlan { targets, policy } => {
            let (plan, tasks) = planner::draft(state, targets, policy, &key.subject, now)?;
            let name = plan.id.to_string();
            let mut resources = vec![Resource::Plan(plan)];
            resources.extend(tasks.into_iter().map(Resource::Task));
            Ok((format!("{name} created"), name, resources))
        }
        Call::StartPlan(id) => {
            let plan = start(state, *id, now)?;
            Ok((
                format!("{id} started"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::PausePlan(id, reason) => {
            let plan = pause(state, *id, reason, &key.subject)?;
            Ok((
                format!("{id} paused"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::ResumePlan(id) => {
            let resources = resume(state, *id, now)?;
            Ok((format!("{id} resumed"), id.to_string(), resources))
        }
        Call::FinalizePlan { plan: id, stage } => {
            let plan = finalize(state, *id, *stage, &key.subject, now)?;
            Ok((
                format!("{id} confirmed"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::AbortPlan(id, reason) => {
            let plan = abort(state, *id, reason, &key.subject, now)?;
            Ok((
                format!("{id} aborted"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
    }
}

/// The call in short: two calls that differ have different ones.
fn fingerprint(call: &Call) -> String {
    match call {
        Call::PublishRelease {
            component,
            version,
            platform,
            artifact,
        } => format!(
            "publish {component} {version} {platform} {}",
            artifact.digest
        ),
        Call::ApplyMatrix {
            content,
            expected_version,
            ..
        } => format!("apply {content} {expected_version:?}"),
        Call::ReportVersions {
            component,
            source,
            content,
            ..
        } => format!("report {component} {source} {content}"),
        Call::CreatePlan { targets, policy } => {
            let targets: Vec<_> = targets
                .iter()
                .map(|t| {
                    format!(
                        "{}={}{}",
                        t.component,
                        t.version,
                        if t.allow_downgrade { "!" } else { "" }
                    )
                })
                .collect();
            format!("create {} {policy:?}", targets.join(","))
        }
        Call::FinalizePlan { plan, stage } => format!("finalize {plan} {stage:?}"),
        Call::StartPlan(id) => format!("start {id}"),
        Call::PausePlan(id, reason) => format!("pause {id} {}", short(reason)),
        Call::ResumePlan(id) => format!("resume {id}"),
        Call::AbortPlan(id, reason) => format!("abort {id} {}", short(reason)),
    }
}

fn publish(
    state: &State,
    component: &ComponentName,
    version: &Version,
    platform: &str,
    artifact: &Artifact,
) -> Result<Option<Release>, Refusal> {
    let mut release = match state.release(component, version) {
        Some(release) => Release::clone(release),
        None => Release {
            component: component.clone(),
            version: version.clone(),
            artifacts: Default::default(),
            changed_at: Timestamp::default(),
            revision: 0,
        },
    };
    match release.artifacts.get(platform) {
        Some(there) if there == artifact => Ok(None),
        // The same bytes, signed anew.
        Some(there) if there.digest == artifact.digest => {
            release
                .artifacts
                .insert(platform.to_owned(), artifact.clone());
            Ok(Some(release))
        }
        Some(there) => Err(other_bytes(component, version, platform, &there.digest)),
        None => {
            release
                .artifacts
                .insert(platform.to_owned(), artifact.clone());
            Ok(Some(release))
        }
    }
}

fn other_bytes(
    component: &ComponentName,
    version: &Version,
    platform: &str,
    there: &Digest,
) -> Refusal {
    Refusal::new(
        RefusalKind::AlreadyExists,
        format!(
            "{component} {version} for {platform} is published with other bytes ({there}); a published version never changes"
        ),
    )
}

fn start(state: &State, id: PlanId, now: Timestamp) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    if plan.state != PlanState::Draft {
        return Err(wrong_state(plan, "only a draft can be started"));
    }
    planner::check_unchanged(state, plan)?;
    let conflict = state
        .tasks_of(id)
        .find_map(|task| Some((&task.instance, state.claimed_by(&task.instance)?)));
    if let Some((instance, other)) = conflict {
        return Err(Refusal::new(
            RefusalKind::PlanConflict,
            format!(
                "{other} is under way and has a task for {instance}, as has {id}; one plan at a time may touch an instance"
            ),
        ));
    }
    let component = |other: &Plan| {
        let moves = |stage: &&Stage| other.stages.iter().any(|s| s.component == stage.component);
        plan.stages
            .iter()
            .find(moves)
            .map(|stage| stage.component.clone())
    };
    // One that is ready to be finalized moves nothing any more, and may wait for what this one brings along.
    let conflict = state
        .plans_under_way()
        .filter(|other| other.state != PlanState::ReadyToFinalize)
        .find_map(|other| Some((other.id, component(other)?)));
    if let Some((other, component)) = conflict {
        return Err(Refusal::new(
            RefusalKind::PlanConflict,
            format!(
                "{other} is under way and changes {component}, as does {id}; one plan at a time may change a component"
            ),
        ));
    }
    Ok(Plan {
        state: PlanState::Running,
        started_at: Some(now),
        progressed_at: now,
        ..Plan::clone(plan)
    })
}

fn pause(state: &State, id: PlanId, reason: &str, subject: &str) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    if plan.state != PlanState::Running {
        return Err(wrong_state(plan, "only a running plan can be paused"));
    }
    Ok(Plan {
        state: PlanState::Paused(by(subject, reason)),
        ..Plan::clone(plan)
    })
}

fn resume(state: &State, id: PlanId, now: Timestamp) -> Result<Vec<Resource>, Refusal> {
    let plan = state.known_plan(id)?;
    if !matches!(plan.state, PlanState::Paused(_)) {
        return Err(wrong_state(plan, "only a paused plan can be resumed"));
    }
    let mut resources = vec![Resource::Plan(Plan {
        state: PlanState::Running,
        progressed_at: now,
        ..Plan::clone(plan)
    })];
    resources.extend(state.tasks_of(id).filter_map(|task| {
        let again = matches!(task.state, TaskState::Reverted(_) | TaskState::Parked(_));
        again.then(|| {
            Resource::Task(Task {
                state: TaskState::Pending,
                generation: 0,
                admitted_at: None,
                stop_to_ready_us: 0,
                ..Task::clone(task)
            })
        })
    }));
    Ok(resources)
}

fn abort(
    state: &State,
    id: PlanId,
    reason: &str,
    subject: &str,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    let reason = by(subject, reason);
    let next = match plan.state {
        PlanState::Draft => PlanState::Aborted(reason),
        PlanState::Running | PlanState::Paused(_) | PlanState::ReadyToFinalize => {
            PlanState::Aborting(reason)
        }
        PlanState::Aborting(_) | PlanState::Aborted(_) | PlanState::Finalized => {
            return Err(wrong_state(plan, "it has ended, or is about to"));
        }
    };
    let ended = matches!(next, PlanState::Aborted(_));
    Ok(Plan {
        state: next,
        ended_at: ended.then_some(now),
        // What is in flight has the whole progress deadline to end.
        progressed_at: now,
        ..Plan::clone(plan)
    })
}

fn finalize(
    state: &State,
    id: PlanId,
    stage: Option<u32>,
    subject: &str,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let plan = state.known_plan(id)?;
    finality::confirmed(state, plan, stage, subject, now).map_err(|why| wrong_state(plan, &why))
}

fn apply_matrix(
    state: &State,
    matrix: &Matrix,
    expected_version: Option<u64>,
    subject: &str,
    now: Timestamp,
) -> Result<Option<AppliedMatrix>, Refusal> {
    let there = state.matrix();
    if let Some(expected) = expected_version.filter(|expected| *expected != there.version) {
        return Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "the matrix in place has version {}, not {expected}; look at what changed",
                there.version
            ),
        ));
    }
    if there.version > 0 && there.matrix == *matrix {
        return Ok(None);
    }
    Ok(Some(AppliedMatrix {
        version: there.version.saturating_add(1),
        matrix: matrix.clone(),
        applied_by: subject.to_owned(),
        applied_at: now,
        revision: 0,
    }))
}

fn report_versions(
    state: &State,
    component: &ComponentName,
    source: &SourceName,
    versions: &[VersionInUse],
    subject: &str,
    now: Timestamp,
) -> Result<ReportedVersions, Refusal> {
    let applied = state.matrix();
    let external = |name: &ComponentName| {
        applied
            .matrix
            .components()
            .get(name)
            .is_some_and(|c| c.external)
    };
    if !external(component) {
        let known: Vec<_> = applied
            .matrix
            .components()
            .iter()
            .filter(|(_, component)| component.external)
            .map(|(name, _)| name.to_string())
            .collect();
        let known = match (applied.version, known.is_empty()) {
            (0, _) => "no matrix was ever applied".to_owned(),
            (version, true) => format!("the matrix (version {version}) has none"),
            (version, false) => {
                format!("the matrix (version {version}) has {}", known.join(", "))
            }
        };
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            format!("{component} is no external component; {known}"),
        ));
    }
    if versions.len() > REPORTED_VERSIONS_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!(
                "{} versions are more than the {REPORTED_VERSIONS_MAX} that one report may have",
                versions.len()
            ),
        ));
    }
    let others = state
        .reported_versions_of(component)
        .filter(|report| report.source != *source)
        .flat_map(|report| &report.versions);
    let all: BTreeSet<_> = others
        .chain(versions)
        .map(|in_use| &in_use.version)
        .collect();
    if all.len() > IN_USE_VERSIONS_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!(
                "all sources together may report {IN_USE_VERSIONS_MAX} versions of {component}, and these would be more"
            ),
        ));
    }
    let known = state.reported_by(component, source).is_some();
    if !known && state.reported_versions().count() >= SOURCES_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!("there are {SOURCES_MAX} reports already, the most there may be"),
        ));
    }
    let mut versions = versions.to_vec();
    versions.sort_by(|a, b| a.version.cmp(&b.version));
    if let Some([twice, _]) = versions
        .array_windows()
        .find(|[a, b]| a.version == b.version)
    {
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            format!("the version {} is named twice", twice.version),
        ));
    }
    Ok(ReportedVersions {
        component: component.clone(),
        source: source.clone(),
        versions,
        reported_by: subject.to_owned(),
        reported_at: now,
        revision: 0,
    })
}

fn short(reason: &str) -> String {
    cut(reason.trim().to_owned(), REASON_BYTES_MAX)
}

fn by(subject: &str, reason: &str) -> String {
    let text = match short(reason).as_str() {
        "" => format!("{subject} asked for it"),
        reason => format!("{subject} asked for it: {reason}"),
    };
    cut(text, REASON_BYTES_MAX)
}

fn wrong_state(plan: &Plan, rule: &str) -> Refusal {
    let state = match &plan.state {
        PlanState::Draft => "a draft",
        other => other.name(),
    };
    Refusal::new(
        RefusalKind::NotAllowedNow,
        format!("{} is {state}; {rule}", plan.id),
    )
}
