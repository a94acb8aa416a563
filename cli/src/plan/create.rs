//! `evenkeel plan create`: a draft, shown with its tasks as a dry run.

use std::time::Duration;

use clap::Args;
use evenkeel_common::names::ComponentName;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use evenkeel_proto::v1::{CreatePlanRequest, PlanPolicy};
use semver::Version;
use uuid::Uuid;

use super::{drive, show};
use crate::args::{ChangeArgs, duration, duration_or_zero};
use crate::client::required;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::view::Plan;

/// What a new plan takes.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The component to change; every instance of it takes part
    #[arg(short, long, value_name = "COMPONENT")]
    component: ComponentName,
    /// The version that its instances run now (semver)
    #[arg(long, value_name = "VERSION")]
    from: Version,
    /// The version to bring them to (semver)
    #[arg(long, value_name = "VERSION")]
    to: Version,
    /// Start it at once
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// How carefully to go about it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy (the coordinator's configuration has the defaults)")]
struct PolicyArgs {
    /// How many instances of a group may be down at once, whoever took them down
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_unavailable: Option<u32>,
    /// The label that names an instance's failure domain; instances of two domains are never down at once
    #[arg(long, value_name = "LABEL")]
    failure_domain: Option<String>,
    /// How many instances go first, alone, and soak before any other is touched
    #[arg(long, value_name = "N")]
    canary: Option<u32>,
    /// How long an instance has to stay good before it counts as done
    #[arg(long, value_name = "DURATION", value_parser = duration_or_zero)]
    soak: Option<Duration>,
    /// How long one instance may take; past it the release before is put back
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    instance_deadline: Option<Duration>,
    /// The plan pauses when no task moved for this long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    progress_deadline: Option<Duration>,
}

impl PolicyArgs {
    fn policy(self) -> Result<PlanPolicy, Failure> {
        Ok(PlanPolicy {
            max_unavailable: self.max_unavailable,
            failure_domain: self.failure_domain,
            canary: self.canary,
            soak: wire(self.soak)?,
            instance_deadline: wire(self.instance_deadline)?,
            progress_deadline: wire(self.progress_deadline)?,
        })
    }
}

fn wire(duration: Option<Duration>) -> Result<Option<prost_types::Duration>, Failure> {
    duration
        .map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_| Failure::new(Exit::Usage, "a duration is too long"))
}

pub(super) async fn run(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let request = CreatePlanRequest {
        request_id: request_id.to_string(),
        component: args.component.into(),
        from_version: args.from.to_string(),
        to_version: args.to.to_string(),
        policy: Some(args.policy.policy()?),
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).create_plan(request).await
        })
        .await?;
    let draft = Plan::from(required(answer.plan, "plan")?);
    if !args.start {
        let name = draft.name.clone();
        show(session, draft).await?;
        remark(format!(
            "nothing is touched yet; `evenkeel plan start {name}` starts it"
        ));
        return Ok(());
    }
    let started = drive::start_plan(session, &draft.name, start_id(request_id)).await;
    match started {
        Ok(plan) => show(session, plan).await,
        Err(failure) => {
            remark(format!("the plan {} is made, but not started", draft.name));
            Err(failure)
        }
    }
}

/// The id of the second call, made from that of the first: to repeat the command with the same id is to repeat both.
fn start_id(create_id: Uuid) -> Uuid {
    Uuid::from_u128(create_id.as_u128() ^ 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_call_has_another_id_of_the_same_kind_every_time() {
        let first = Uuid::new_v4();
        assert_ne!(start_id(first), first);
        assert_eq!(start_id(first), start_id(first));
        assert_eq!(start_id(first).get_version_num(), 4);
    }
}
