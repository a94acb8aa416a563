//! What people and automation ask for, taken in: every call is checked against the state as it is, and
//! changes nothing when it is refused.
//!
//! Here is what can be asked for and how a repeated call is recognised; a module for each kind of thing decides.

mod compatibility;
mod fleet;
mod plan;
mod release;
mod verbs;

use evenkeel_compat::Matrix;
use evenkeel_words::planted::{self, Bug};
use evenkeel_words::{
    digest::Digest,
    limits::{REASON_BYTES_MAX, cut},
    names::{ComponentName, InstanceId, SourceName},
    timestamp::Timestamp,
};
use semver::Version;

pub use verbs::may_be_retargeted;

use crate::{
    change::{Change, Request, RequestKey, Resource},
    compatibility::VersionInUse,
    plan::{Plan, PlanId, PlanKind, Policy, Target, Task},
    planner::{self, Selection},
    refusal::{Refusal, RefusalKind},
    release::Artifact,
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
        /// The digest of what was asked for, to tell one call from another: what is left to the defaults is none of it.
        content: Digest,
        /// How carefully.
        policy: Policy,
    },
    /// Lay out a plan that brings nothing to another version.
    CreateRestart {
        /// What it is for: to restart or to reconfigure.
        kind: PlanKind,
        /// What takes part.
        selection: Selection,
        /// The digest of what was asked for, to tell one call from another.
        content: Digest,
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
    /// Bring back what a plan has moved.
    RollBackPlan(PlanId, String),
    /// Give a plan up for another one, from wherever the fleet is.
    RetargetPlan {
        /// The plan.
        plan: PlanId,
        /// Where to bring what.
        targets: Vec<Target>,
        /// The digest of what was asked for, to tell one call from another: what is left to the plan's policy is none of it.
        content: Digest,
        /// How carefully.
        policy: Policy,
        /// Why.
        reason: String,
    },
    /// Let a task be tried again that was put back or parked.
    RetryTask(PlanId, InstanceId),
    /// Leave an instance out, for a reason.
    SkipTask(PlanId, InstanceId, String),
    /// Start nothing new anywhere, for this reason.
    FreezeFleet(String),
    /// Start again what waits.
    UnfreezeFleet,
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
    /// `matrix/<version>`, `<component>/<source>` of a report, or `fleet`.
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
    let answered = state.request(key);
    if let Some(answered) = answered.filter(|_| !planted::is(Bug::RequestRepeated)) {
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
            let release = release::publish(state, component, version, platform, artifact)?;
            let cause = format!("{component} {version} published for {platform}");
            let resources = release.into_iter().map(Resource::Release).collect();
            Ok((cause, format!("{component}/{version}"), resources))
        }
        Call::ApplyMatrix {
            matrix,
            expected_version,
            ..
        } => {
            let applied =
                compatibility::apply_matrix(state, matrix, *expected_version, &key.subject, now)?;
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
            let report = compatibility::report_versions(
                state,
                component,
                source,
                versions,
                &key.subject,
                now,
            )?;
            let cause = format!("{source} reported {component}");
            let resources = vec![Resource::ReportedVersions(report)];
            Ok((cause, format!("{component}/{source}"), resources))
        }
        Call::CreatePlan {
            targets, policy, ..
        } => {
            let drafted = planner::draft(state, targets, policy, &key.subject, now)?;
            Ok(created(drafted))
        }
        Call::CreateRestart {
            kind,
            selection,
            policy,
            ..
        } => {
            let by = &key.subject;
            let drafted = planner::draft_restart(state, *kind, selection, policy, by, now)?;
            Ok(created(drafted))
        }
        Call::StartPlan(id) => {
            let plan = plan::start(state, *id, now)?;
            Ok((
                format!("{id} started"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::PausePlan(id, reason) => {
            let plan = plan::pause(state, *id, reason, &key.subject)?;
            Ok((
                format!("{id} paused"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::ResumePlan(id) => {
            let resources = plan::resume(state, *id, now)?;
            Ok((format!("{id} resumed"), id.to_string(), resources))
        }
        Call::FinalizePlan { plan: id, stage } => {
            let plan = plan::finalize(state, *id, *stage, &key.subject, now)?;
            Ok((
                format!("{id} confirmed"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::RollBackPlan(id, reason) => {
            let resources = verbs::roll_back(state, *id, reason, &key.subject, now)?;
            Ok((
                format!("{id} begins to roll back"),
                id.to_string(),
                resources,
            ))
        }
        Call::RetargetPlan {
            plan: id,
            targets,
            policy,
            reason,
            ..
        } => {
            let target = (targets.as_slice(), policy);
            let plan = verbs::retarget(state, *id, target, reason, &key.subject, now)?;
            Ok((
                format!("{id} retargeted"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::RetryTask(id, instance) => {
            let resources = verbs::retry(state, *id, instance, now)?;
            Ok((
                format!("{instance} tried again by {id}"),
                id.to_string(),
                resources,
            ))
        }
        Call::SkipTask(id, instance, reason) => {
            let resources = verbs::skip(state, *id, instance, reason, &key.subject, now)?;
            let cause = format!("{instance} left out of {id}: {}", short(reason));
            Ok((cause, id.to_string(), resources))
        }
        Call::AbortPlan(id, reason) => {
            let plan = plan::abort(state, *id, reason, &key.subject, now)?;
            Ok((
                format!("{id} aborted"),
                id.to_string(),
                vec![Resource::Plan(plan)],
            ))
        }
        Call::FreezeFleet(reason) => {
            let freeze = fleet::freeze(state, reason, &key.subject, now)?;
            let resources = vec![Resource::Freeze(freeze)];
            Ok(("fleet frozen".to_owned(), "fleet".to_owned(), resources))
        }
        Call::UnfreezeFleet => {
            let freeze = fleet::unfreeze(state, &key.subject, now)?;
            let resources = vec![Resource::Freeze(freeze)];
            Ok(("freeze lifted".to_owned(), "fleet".to_owned(), resources))
        }
    }
}

fn created((plan, tasks): (Plan, Vec<Task>)) -> (String, String, Vec<Resource>) {
    let name = plan.id.to_string();
    let mut resources = vec![Resource::Plan(plan)];
    resources.extend(tasks.into_iter().map(Resource::Task));
    (format!("{name} created"), name, resources)
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
        Call::CreatePlan { content, .. } => format!("create {content}"),
        Call::RollBackPlan(id, reason) => format!("roll back {id} {}", short(reason)),
        Call::RetargetPlan {
            plan,
            content,
            reason,
            ..
        } => format!("retarget {plan} {content} {}", short(reason)),
        Call::RetryTask(id, instance) => format!("retry {id} {instance}"),
        Call::SkipTask(id, instance, reason) => format!("skip {id} {instance} {}", short(reason)),
        Call::FinalizePlan { plan, stage } => format!("finalize {plan} {stage:?}"),
        Call::CreateRestart { kind, content, .. } => format!("create {kind:?} {content}"),
        Call::StartPlan(id) => format!("start {id}"),
        Call::PausePlan(id, reason) => format!("pause {id} {}", short(reason)),
        Call::ResumePlan(id) => format!("resume {id}"),
        Call::AbortPlan(id, reason) => format!("abort {id} {}", short(reason)),
        Call::FreezeFleet(reason) => format!("freeze {}", short(reason)),
        Call::UnfreezeFleet => "unfreeze".to_owned(),
    }
}

fn short(reason: &str) -> String {
    cut(reason.trim().to_owned(), REASON_BYTES_MAX)
}
