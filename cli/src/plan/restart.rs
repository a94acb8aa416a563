//! `evenkeel plan restart` and `evenkeel plan reconfigure`: a draft that brings nothing to another version.

use clap::Args;
use evenkeel_common::names::{ComponentName, InstanceId};
use evenkeel_proto::v1::{CreatePlanRequest, PlanKind};

use super::create::{create, dry, preview};
use super::policy::PolicyArgs;
use crate::args::ChangeArgs;
use crate::failure::Failure;
use crate::session::Session;

/// What takes part, and how.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// A component, all instances of which take part, or a single instance, NODE/INSTANCE
    #[arg(required = true, value_name = "COMPONENT|INSTANCE")]
    what: Vec<What>,
    /// Only say what the plan would be; nothing is kept
    #[arg(long, conflicts_with_all = ["start", "request_id"])]
    dry_run: bool,
    /// Start it at once
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A component or an instance: only the name of an instance has a slash.
#[derive(Debug, Clone)]
enum What {
    Component(ComponentName),
    Instance(InstanceId),
}

impl std::str::FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains('/') {
            true => text.parse().map(Self::Instance).map_err(|e| format!("{e}")),
            false => text
                .parse()
                .map(Self::Component)
                .map_err(|e| format!("{e}")),
        }
    }
}

pub(super) async fn run(
    session: &Session,
    kind: PlanKind,
    args: RestartArgs,
) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let mut request = CreatePlanRequest {
        request_id: request_id.to_string(),
        kind: kind.into(),
        policy: Some(args.policy.policy()?),
        ..CreatePlanRequest::default()
    };
    for what in args.what {
        match what {
            What::Component(component) => request.components.push(component.into()),
            What::Instance(instance) => request.instances.push(instance.into()),
        }
    }
    match args.dry_run {
        true => preview(session, dry(request)).await,
        false => create(session, request, request_id, args.start).await,
    }
}
