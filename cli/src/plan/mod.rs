//! `evenkeel plan`: what will be done, in which order, and how it goes.

mod create;
mod drive;
mod page;
mod policy;
mod progress;
mod refusal;
mod restart;
mod retarget;
#[cfg(test)]
mod samples;
mod stages;
mod text;
mod watch;
mod why;

use std::time::SystemTime;

use clap::Subcommand;
use evenkeel_common::names::PlanName;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use evenkeel_proto::v1::{GetPlanRequest, ListPlansRequest, ListTasksRequest, PlanKind};
use serde::Serialize;

use crate::client::{Client, Listed, Page, every, required};
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::view::{Plan, Task};

/// What can be done with plans.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Compute a plan and keep it as a draft; nothing is touched unless --start is given
    Create(create::CreateArgs),
    /// All plans, oldest first
    #[command(visible_alias = "ls")]
    List,
    /// One plan, its stages and its tasks
    Show {
        /// The plan's name
        plan: PlanName,
    },
    /// Start a draft
    Start(drive::DriveArgs),
    /// Start no more tasks for now; those in flight are finished
    Pause(drive::ReasonedArgs),
    /// Go on with a paused plan; all that failed is tried again, restarts and all: skip what is to be left as it is
    Resume(drive::DriveArgs),
    /// Start no more tasks, ever; those in flight are finished
    Abort(drive::ReasonedArgs),
    /// Bring back what a plan has moved to what it ran before
    Rollback(drive::ReasonedArgs),
    /// Give a plan up for another one, from wherever the fleet is
    Retarget(retarget::RetargetArgs),
    /// Try the task of an instance again that was put back or parked
    Retry(drive::InstanceArgs),
    /// Leave an instance out: none of its tasks that are not over are done
    Skip(drive::SkipArgs),
    /// Make a plan that restarts processes on the release that they run
    Restart(restart::RestartArgs),
    /// Make a plan that restarts those processes that run with another configuration than their agents have now
    Reconfigure(restart::RestartArgs),
    /// Confirm that there need be no way back: finalize a plan, or let go the last instance that waits for this
    Finalize(drive::FinalizeArgs),
    /// See a plan go, to its end; the exit status says how it ended
    Watch(watch::WatchArgs),
    /// Say what each task that is not moving waits for
    Why(why::WhyArgs),
}

pub(crate) async fn run(session: &Session, command: PlanCommand) -> Result<(), Failure> {
    match command {
        PlanCommand::Create(args) => create::run(session, args).await,
        PlanCommand::List => list(session).await,
        PlanCommand::Show { plan } => {
            let plan = get(&session.client, plan.as_str()).await?;
            show(session, plan).await
        }
        PlanCommand::Start(args) => drive::start(session, args).await,
        PlanCommand::Pause(args) => drive::pause(session, args).await,
        PlanCommand::Resume(args) => drive::resume(session, args).await,
        PlanCommand::Abort(args) => drive::abort(session, args).await,
        PlanCommand::Rollback(args) => drive::rollback(session, args).await,
        PlanCommand::Retarget(args) => retarget::run(session, args).await,
        PlanCommand::Retry(args) => drive::retry(session, args).await,
        PlanCommand::Skip(args) => drive::skip(session, args).await,
        PlanCommand::Restart(args) => restart::run(session, PlanKind::Restart, args).await,
        PlanCommand::Reconfigure(args) => restart::run(session, PlanKind::Reconfigure, args).await,
        PlanCommand::Finalize(args) => drive::finalize(session, args).await,
        PlanCommand::Watch(args) => watch::run(session, args).await,
        PlanCommand::Why(args) => why::run(session, args).await,
    }
}

#[derive(Serialize)]
struct Plans {
    plans: Vec<Plan>,
    revision: u64,
}

async fn list(session: &Session) -> Result<(), Failure> {
    let client = &session.client;
    let Listed { items, revision } = every(async |page_token| {
        let request = ListPlansRequest {
            page_size: 0,
            page_token,
        };
        let page = client
            .call(request, async |channel, request| {
                PlanServiceClient::new(channel).list_plans(request).await
            })
            .await?;
        Ok(Page {
            items: page.plans.into_iter().map(Plan::from).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        })
    })
    .await?;
    if items.is_empty() {
        remark("there is no plan; `evenkeel plan create` makes one");
    }
    let plans = Plans {
        plans: items,
        revision,
    };
    session.output.result(&plans, || {
        if plans.plans.is_empty() {
            return String::new();
        }
        text::plans(&plans.plans, session.output.look, SystemTime::now())
    })
}

/// A plan with its tasks, as programs get it.
#[derive(Serialize)]
struct PlanAndTasks {
    #[serde(flatten)]
    plan: Plan,
    tasks: Vec<Task>,
}

/// Shows a plan and its tasks.
async fn show(session: &Session, plan: Plan) -> Result<(), Failure> {
    let both = PlanAndTasks {
        tasks: tasks(&session.client, &plan.name).await?,
        plan,
    };
    let output = session.output;
    output.result(&both, || {
        page::plan(&both.plan, &both.tasks, output.look, SystemTime::now())
    })
}

async fn get(client: &Client, name: &str) -> Result<Plan, Failure> {
    let request = GetPlanRequest {
        name: name.to_owned(),
    };
    let answer = client
        .call(request, async |channel, request| {
            PlanServiceClient::new(channel).get_plan(request).await
        })
        .await?;
    required(answer.plan, "plan").map(Plan::from)
}

async fn tasks(client: &Client, plan: &str) -> Result<Vec<Task>, Failure> {
    let tasks = every(async |page_token| {
        let request = ListTasksRequest {
            plan: plan.to_owned(),
            page_size: 0,
            page_token,
        };
        let page = client
            .call(request, async |channel, request| {
                PlanServiceClient::new(channel).list_tasks(request).await
            })
            .await?;
        Ok(Page {
            items: page.tasks.into_iter().map(Task::from).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        })
    })
    .await?;
    Ok(tasks.items)
}
