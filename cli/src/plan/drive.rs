//! `evenkeel plan start`, `pause`, `resume`, `abort`, `rollback`, `retry`, `skip` and `finalize`: each asks one thing of
//! a plan and says what became of it.

use clap::Args;
use evenkeel_common::names::{InstanceId, PlanName};
use evenkeel_proto::v1;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use uuid::Uuid;

use crate::args::ChangeArgs;
use crate::client::{Client, required};
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::table::printable;
use crate::view::Plan;

/// Which plan is meant.
#[derive(Debug, Args)]
pub(crate) struct DriveArgs {
    /// The plan's name
    plan: PlanName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Which plan is meant, and why.
#[derive(Debug, Args)]
pub(crate) struct ReasonedArgs {
    #[command(flatten)]
    drive: DriveArgs,
    /// Why, for those who look later
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

/// Which plan is meant, and which stage of it.
#[derive(Debug, Args)]
pub(crate) struct FinalizeArgs {
    #[command(flatten)]
    drive: DriveArgs,
    /// Only if it is this stage that waits, by its number in `plan show` [default: whatever waits]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    stage: Option<u32>,
}

/// Which plan is meant, and which instance of it.
#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    /// The plan's name
    plan: PlanName,
    /// The instance, NODE/INSTANCE
    instance: InstanceId,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Which instance is left out, and why.
#[derive(Debug, Args)]
pub(crate) struct SkipArgs {
    #[command(flatten)]
    task: InstanceArgs,
    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What is asked of a plan.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Start,
    Pause { reason: String },
    Resume,
    Abort { reason: String },
    Rollback { reason: String },
    Retry { instance: String },
    Skip { instance: String, reason: String },
    Finalize { stage: Option<u32> },
}

pub(super) async fn start(session: &Session, args: DriveArgs) -> Result<(), Failure> {
    let name = args.plan.clone();
    run(session, args, Ask::Start).await?;
    remark(format!("`evenkeel plan watch {name}` shows it go"));
    Ok(())
}

pub(super) async fn pause(session: &Session, args: ReasonedArgs) -> Result<(), Failure> {
    let ReasonedArgs { drive, reason } = args;
    run(session, drive, Ask::Pause { reason }).await
}

pub(super) async fn resume(session: &Session, args: DriveArgs) -> Result<(), Failure> {
    run(session, args, Ask::Resume).await
}

pub(super) async fn abort(session: &Session, args: ReasonedArgs) -> Result<(), Failure> {
    let ReasonedArgs { drive, reason } = args;
    run(session, drive, Ask::Abort { reason }).await
}

pub(super) async fn rollback(session: &Session, args: ReasonedArgs) -> Result<(), Failure> {
    let ReasonedArgs {
        drive: args,
        reason,
    } = args;
    let request_id = args.change.request_id();
    let ask = Ask::Rollback { reason };
    let plan = drive(&session.client, args.plan.into(), request_id, ask).await?;
    session.output.result(&plan, || became(&plan))?;
    // Where nothing was begun there is nothing to see.
    if plan.state != "rolled-back" {
        remark(format!(
            "`evenkeel plan watch {}` shows it go back",
            plan.name
        ));
    }
    Ok(())
}

pub(super) async fn retry(session: &Session, args: InstanceArgs) -> Result<(), Failure> {
    let instance = args.instance.to_string();
    let name = args.plan.to_string();
    let request_id = args.change.request_id();
    let ask = Ask::Retry {
        instance: instance.clone(),
    };
    let plan = drive(&session.client, name, request_id, ask).await?;
    if plan.state == "paused" {
        remark(format!(
            "the plan is paused still; `evenkeel plan resume {}` goes on",
            plan.name
        ));
    }
    session.output.result(&plan, || {
        format!("{instance} is tried again; {}", became(&plan))
    })
}

pub(super) async fn skip(session: &Session, args: SkipArgs) -> Result<(), Failure> {
    let SkipArgs { task: args, reason } = args;
    let instance = args.instance.to_string();
    let name = args.plan.to_string();
    let request_id = args.change.request_id();
    let ask = Ask::Skip {
        instance: instance.clone(),
        reason,
    };
    let plan = drive(&session.client, name, request_id, ask).await?;
    session.output.result(&plan, || {
        format!("{instance} is left out; {}", became(&plan))
    })
}

pub(super) async fn finalize(session: &Session, args: FinalizeArgs) -> Result<(), Failure> {
    let FinalizeArgs { drive: args, stage } = args;
    // People count stages from 1.
    let stage = stage.map(|number| number.saturating_sub(1));
    let request_id = args.change.request_id();
    let ask = Ask::Finalize { stage };
    let plan = drive(&session.client, args.plan.into(), request_id, ask).await?;
    session.output.result(&plan, || match let_go(&plan) {
        Some(number) => {
            let now = became(&plan);
            format!("the last instance of stage {number} goes on now; {now}")
        }
        None => became(&plan),
    })
}

/// The number of the stage that the plan goes on with now that somebody has spoken: the one confirmed last.
fn let_go(plan: &Plan) -> Option<usize> {
    if plan.state != "running" {
        return None;
    }
    let stages = plan.stages.iter().enumerate();
    let confirmed = stages.filter(|(_, stage)| !stage.confirmed_by.is_empty());
    let (index, _) = confirmed.max_by_key(|(_, stage)| stage.confirmed_at.clone())?;
    Some(index + 1)
}

async fn run(session: &Session, args: DriveArgs, ask: Ask) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let plan = drive(&session.client, args.plan.into(), request_id, ask).await?;
    session.output.result(&plan, || became(&plan))
}

/// What became of a plan.
pub(super) fn became(plan: &Plan) -> String {
    let text = format!("plan {} is {}", plan.name, plan.state);
    match plan.reason.as_str() {
        "" => text,
        reason => printable(&format!("{text}: {reason}")),
    }
}

/// Makes the call; gives the plan as it is then.
pub(super) async fn drive(
    client: &Client,
    name: String,
    request_id: Uuid,
    ask: Ask,
) -> Result<Plan, Failure> {
    /// The plan out of the answer of a method, of which each has a type of its own.
    macro_rules! plan {
        ($method:ident, $request:expr) => {
            client
                .change(request_id, $request, async |channel, request| {
                    PlanServiceClient::new(channel).$method(request).await
                })
                .await?
                .plan
        };
    }
    let id = request_id.to_string();
    let plan = match ask {
        Ask::Start => plan!(
            start_plan,
            v1::StartPlanRequest {
                request_id: id,
                name
            }
        ),
        Ask::Pause { reason } => plan!(
            pause_plan,
            v1::PausePlanRequest {
                request_id: id,
                name,
                reason
            }
        ),
        Ask::Resume => plan!(
            resume_plan,
            v1::ResumePlanRequest {
                request_id: id,
                name
            }
        ),
        Ask::Abort { reason } => plan!(
            abort_plan,
            v1::AbortPlanRequest {
                request_id: id,
                name,
                reason
            }
        ),
        Ask::Rollback { reason } => plan!(
            rollback_plan,
            v1::RollbackPlanRequest {
                request_id: id,
                name,
                reason
            }
        ),
        Ask::Retry { instance } => plan!(
            retry_task,
            v1::RetryTaskRequest {
                request_id: id,
                plan: name,
                instance
            }
        ),
        Ask::Skip { instance, reason } => plan!(
            skip_task,
            v1::SkipTaskRequest {
                request_id: id,
                plan: name,
                instance,
                reason
            }
        ),
        Ask::Finalize { stage } => plan!(
            finalize_plan,
            v1::FinalizePlanRequest {
                request_id: id,
                name,
                stage
            }
        ),
    };
    required(plan, "plan").map(Plan::from)
}
