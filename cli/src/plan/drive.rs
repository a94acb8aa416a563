//! `evenkeel plan start`, `pause`, `resume` and `abort`.

use clap::Args;
use evenkeel_common::names::PlanName;
use evenkeel_proto::v1;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use uuid::Uuid;

use crate::args::ChangeArgs;
use crate::client::required;
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::table::printable;
use crate::view::Plan;

/// What starting a plan takes.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The plan's name
    plan: PlanName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What pausing a plan takes.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The plan's name
    plan: PlanName,
    #[command(flatten)]
    why: ReasonArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What going on with a plan takes.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The plan's name
    plan: PlanName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What giving a plan up takes.
#[derive(Debug, Args)]
pub(crate) struct AbortArgs {
    /// The plan's name
    plan: PlanName,
    #[command(flatten)]
    why: ReasonArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Why something is done.
#[derive(Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Why, for those who look later
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

pub(super) async fn start(session: &Session, args: StartArgs) -> Result<(), Failure> {
    let plan = start_plan(session, args.plan.as_str(), args.change.request_id()).await?;
    report(session, &plan)?;
    remark(format!("`evenkeel plan watch {}` shows it go", plan.name));
    Ok(())
}

/// Starts a draft.
pub(super) async fn start_plan(
    session: &Session,
    name: &str,
    request_id: Uuid,
) -> Result<Plan, Failure> {
    let request = v1::StartPlanRequest {
        request_id: request_id.to_string(),
        name: name.to_owned(),
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).start_plan(request).await
        })
        .await?;
    required(answer.plan, "plan").map(Plan::from)
}

pub(super) async fn pause(session: &Session, args: PauseArgs) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let request = v1::PausePlanRequest {
        request_id: request_id.to_string(),
        name: args.plan.into(),
        reason: args.why.reason,
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).pause_plan(request).await
        })
        .await?;
    report(session, &required(answer.plan, "plan")?.into())
}

pub(super) async fn resume(session: &Session, args: ResumeArgs) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let request = v1::ResumePlanRequest {
        request_id: request_id.to_string(),
        name: args.plan.into(),
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).resume_plan(request).await
        })
        .await?;
    report(session, &required(answer.plan, "plan")?.into())
}

pub(super) async fn abort(session: &Session, args: AbortArgs) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let request = v1::AbortPlanRequest {
        request_id: request_id.to_string(),
        name: args.plan.into(),
        reason: args.why.reason,
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).abort_plan(request).await
        })
        .await?;
    report(session, &required(answer.plan, "plan")?.into())
}

fn report(session: &Session, plan: &Plan) -> Result<(), Failure> {
    session.output.result(plan, || {
        let text = format!("plan {} is {}", plan.name, plan.state);
        match plan.reason.as_str() {
            "" => text,
            reason => printable(&format!("{text}: {reason}")),
        }
    })
}
