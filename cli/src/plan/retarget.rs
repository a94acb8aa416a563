//! `evenkeel plan retarget`: a plan is given up for another one, from wherever the fleet is.

use clap::Args;
use evenkeel_common::names::PlanName;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use evenkeel_proto::v1::{PreviewPlanRequest, RetargetPlanRequest};

use super::create::{TargetArgs, point_to_dry_run, preview};
use super::drive::became;
use super::policy::PolicyArgs;
use crate::args::ChangeArgs;
use crate::client::required;
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::view::Plan;

/// Which plan is meant, and where to go instead.
#[derive(Debug, Args)]
pub(crate) struct RetargetArgs {
    /// The plan's name
    plan: PlanName,
    #[command(flatten)]
    targets: TargetArgs,
    /// Only say what the other plan would be from here, or why there is none; nothing is changed
    #[arg(long, conflicts_with = "request_id")]
    dry_run: bool,
    /// Why, for those who look later
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(super) async fn run(session: &Session, args: RetargetArgs) -> Result<(), Failure> {
    let name = args.plan.to_string();
    let targets = args.targets.targets()?;
    let policy = Some(args.policy.policy()?);
    if args.dry_run {
        let request = PreviewPlanRequest {
            targets,
            policy,
            retargets: name,
            ..PreviewPlanRequest::default()
        };
        return preview(session, request).await;
    }
    let request_id = args.change.request_id();
    let request = RetargetPlanRequest {
        request_id: request_id.to_string(),
        name: name.clone(),
        targets,
        policy,
        reason: args.reason,
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).retarget_plan(request).await
        })
        .await
        .map_err(point_to_dry_run)?;
    let plan = Plan::from(required(answer.plan, "plan")?);
    session.output.result(&plan, || became(&plan))?;
    remark(format!(
        "the other plan is made and started once nothing of {name} is in flight; `evenkeel plan show {name}` names it then"
    ));
    Ok(())
}
