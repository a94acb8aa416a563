//! `evenkeel plan watch`: a plan as it goes, to its end.

use std::collections::BTreeMap;

use clap::Args;
use evenkeel_common::names::PlanName;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use evenkeel_proto::v1::watch_plan_response::Change;
use evenkeel_proto::v1::{WatchPlanRequest, WatchPlanResponse};
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::progress::Progress;
use super::stages::finalize_command;
use super::text::{done, stage_number, waits_for_word};
use crate::client::required;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{Follower, follow};
use crate::output::{Output, remark, write_out};
use crate::session::Session;
use crate::table::printable;
use crate::view::{Plan, Task};

/// What is watched, and how long.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when the plan is finalized, with 10 when it pauses, with 11 when it was aborted, with 12 \
                  when it waits for `evenkeel plan finalize`, done or before its last instance, with 13 when it was \
                  rolled back, with 14 when it was given up while it rolled back, and with 15 when another plan has \
                  taken its place."
)]
pub(crate) struct WatchArgs {
    /// The plan's name
    plan: PlanName,
    /// Go on watching when the plan pauses, or waits to be finalized
    #[arg(long)]
    follow: bool,
}

pub(super) async fn run(session: &Session, args: WatchArgs) -> Result<(), Failure> {
    let mut watch = Watch {
        name: args.plan.into(),
        over_pauses: args.follow,
        output: session.output,
        progress: session.output.live.then(Progress::new),
        plan: None,
        tasks: BTreeMap::new(),
        synced: false,
    };
    let followed = follow(&session.client, &mut watch).await;
    if let Some(progress) = &watch.progress {
        progress.clear();
    }
    followed?;
    verdict(session, required(watch.plan, "plan")?)
}

/// How the watch ends by what became of the plan.
fn verdict(session: &Session, plan: Plan) -> Result<(), Failure> {
    let name = &plan.name;
    let ended = |exit, hint: String| {
        let state = &plan.state;
        let sentence = match (waits_for_word(&plan), plan.reason.as_str()) {
            (true, "") => format!("the plan {name} is done and waits to be finalized"),
            (true, reason) => format!("the plan {name} waits to be finalized: {reason}"),
            (false, "") => format!("the plan {name} is {state}"),
            (false, reason) => format!("the plan {name} is {state}: {reason}"),
        };
        Err(Failure::new(exit, printable(&sentence)).hint(hint))
    };
    let show = || format!("`evenkeel plan show {name}` says how far it came");
    match plan.state.as_str() {
        "paused" => ended(
            Exit::PlanPaused,
            format!(
                "`evenkeel plan why {name}` says what waits; `evenkeel plan resume {name}` {}, `evenkeel plan rollback {name}` brings back what was moved, `evenkeel plan abort {name}` leaves it as it is",
                match plan.compared.last().map(|made| made.verdict.as_str()) {
                    Some("worse") => "accepts the worse figures and goes on",
                    Some("too-little") => "goes on without a comparison",
                    Some(_) | None => "goes on",
                }
            ),
        ),
        "aborted" => ended(Exit::PlanAborted, show()),
        "rolled-back" => ended(Exit::PlanRolledBack, show()),
        "failed" => ended(Exit::PlanFailed, show()),
        "superseded" => ended(
            Exit::PlanSuperseded,
            format!(
                "`evenkeel plan watch {}` shows the other one go",
                plan.superseded_by
            ),
        ),
        _ if waits_for_word(&plan) => ended(
            Exit::PlanReady,
            format!(
                "`evenkeel plan show {name}` says what there is no way back from; {} confirms it",
                finalize_command(name)
            ),
        ),
        // The lines before have said so where nothing was redrawn.
        _ if session.output.live => write_out(plan_line(&plan)),
        _ => Ok(()),
    }
}

/// A plan as it was last heard of.
struct Watch {
    name: String,
    over_pauses: bool,
    output: Output,
    progress: Option<Progress>,
    plan: Option<Plan>,
    /// By stage and instance.
    tasks: BTreeMap<(u32, String), Task>,
    /// Whether all that was there at the start has arrived.
    synced: bool,
}

/// A change, as programs get it.
#[derive(Serialize)]
struct Line<'a> {
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a Plan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a Task>,
}

impl Follower for Watch {
    type Change = WatchPlanResponse;

    async fn open(
        &self,
        channel: Channel,
        after_revision: u64,
    ) -> Result<Response<Streaming<WatchPlanResponse>>, Status> {
        let request = WatchPlanRequest {
            name: self.name.clone(),
            after_revision,
        };
        PlanServiceClient::new(channel).watch_plan(request).await
    }

    fn take(&mut self, change: WatchPlanResponse) -> Result<u64, Failure> {
        let revision = change.revision;
        match change.change {
            Some(Change::Plan(plan)) => self.take_plan(revision, plan.into())?,
            Some(Change::Task(task)) => self.take_task(revision, task.into())?,
            None => self.take_sync(revision)?,
        }
        Ok(revision)
    }

    fn settled(&self) -> bool {
        self.synced
            && self
                .plan
                .as_ref()
                .is_some_and(|plan| match plan.state.as_str() {
                    "finalized" | "aborted" | "rolled-back" | "superseded" | "failed" => true,
                    "paused" => !self.over_pauses,
                    _ => waits_for_word(plan) && !self.over_pauses,
                })
    }
}

impl Watch {
    fn take_plan(&mut self, revision: u64, plan: Plan) -> Result<(), Failure> {
        let is_news = self
            .plan
            .as_ref()
            .is_none_or(|before| (&before.state, &before.reason) != (&plan.state, &plan.reason));
        let text = (self.synced && is_news).then(|| plan_line(&plan));
        let line = Line {
            revision,
            plan: Some(&plan),
            task: None,
        };
        match &mut self.progress {
            Some(progress) => {
                progress.plan(&plan);
                // The last word stays on the screen by itself.
                if plan.state != "finalized" {
                    progress.say(text);
                }
            }
            None => self.output.change(&line, text)?,
        }
        self.plan = Some(plan);
        Ok(())
    }

    fn take_task(&mut self, revision: u64, task: Task) -> Result<(), Failure> {
        let key = (task.stage, task.instance.clone());
        let before = self.tasks.get(&key);
        let is_news = before.is_none_or(|before| before.state != task.state);
        let text = (self.synced && is_news).then(|| task_line(&task, self.stages()));
        let line = Line {
            revision,
            plan: None,
            task: Some(&task),
        };
        match &mut self.progress {
            Some(progress) => {
                progress.task(before, &task);
                progress.say(text.filter(|_| has_ended(&task)));
            }
            None => self.output.change(&line, text)?,
        }
        self.tasks.insert(key, task);
        Ok(())
    }

    /// How many stages the plan has.
    fn stages(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| plan.stages.len())
    }

    /// All that was there has arrived: says where the plan stands.
    fn take_sync(&mut self, revision: u64) -> Result<(), Failure> {
        let first = !std::mem::replace(&mut self.synced, true);
        let plan = self.plan.as_ref().filter(|_| first);
        let mut text = None;
        if let Some(plan) = plan {
            let on_the_way = self.tasks.values().filter(|task| is_on_the_way(task));
            let lines: Vec<_> = std::iter::once(plan_line(plan))
                .chain(on_the_way.map(|task| task_line(task, plan.stages.len())))
                .collect();
            text = Some(lines.join("\n"));
            if plan.state == "draft" {
                remark(format!(
                    "{0} is a draft; `evenkeel plan start {0}` starts it",
                    plan.name
                ));
            }
        }
        let line = Line {
            revision,
            plan: None,
            task: None,
        };
        match &self.progress {
            Some(_) => Ok(()),
            None => self.output.change(&line, text),
        }
    }
}

/// Whether the task has come to its end, for now or for good.
pub(super) fn has_ended(task: &Task) -> bool {
    matches!(
        task.state.as_str(),
        "done" | "reverted" | "parked" | "skipped"
    )
}

/// Whether something is being done for the task.
pub(super) fn is_on_the_way(task: &Task) -> bool {
    !has_ended(task) && !matches!(task.state.as_str(), "pending" | "prefetched")
}

fn plan_line(plan: &Plan) -> String {
    let at = plan.changed_at.as_deref().unwrap_or("-");
    line(
        at,
        &plan.name,
        &format!("{} ({} done)", plan.state, done(plan)),
        &plan.reason,
    )
}

/// A task, and which stage of how many it belongs to where there are several.
fn task_line(task: &Task, stages: usize) -> String {
    let at = task.changed_at.as_deref().unwrap_or("-");
    let state = match stages {
        0 | 1 => task.state.clone(),
        _ => format!(
            "stage {}/{stages}  {}",
            stage_number(task.stage),
            task.state
        ),
    };
    line(at, &task.instance, &state, &task.reason)
}

fn line(at: &str, name: &str, state: &str, reason: &str) -> String {
    let text = format!("{at}  {name}  {state}");
    match reason {
        "" => printable(&text),
        reason => printable(&format!("{text}: {reason}")),
    }
}
