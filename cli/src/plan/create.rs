//! `evenkeel plan create`: a draft, or with `--dry-run` a look at what it would be.

use std::collections::BTreeSet;
use std::time::SystemTime;

use clap::Args;
use evenkeel_common::names::ComponentName;
use evenkeel_common::problem::ErrorCode;
use evenkeel_proto::v1;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use evenkeel_proto::v1::{CreatePlanRequest, PreviewPlanRequest};
use semver::Version;
use uuid::Uuid;

use super::drive::{Ask, drive};
use super::policy::PolicyArgs;
use super::{page, refusal, show};
use crate::args::ChangeArgs;
use crate::client::required;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::view::{Plan, Preview};

/// What a new plan takes.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Only say what the plan would be, or why there is none and what would help; nothing is kept
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

/// Where to go.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// A component and the version to bring all its instances to (semver); again for each further component
    #[arg(long, value_name = "COMPONENT=VERSION", required = true)]
    to: Vec<Target>,
    /// A component that may be brought to an older version than it runs; again for each further one
    #[arg(long, value_name = "COMPONENT")]
    allow_downgrade: Vec<ComponentName>,
}

/// A component and a version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    component: ComponentName,
    version: Version,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((component, version)) = text.split_once('=') else {
            return Err("write COMPONENT=VERSION, for example data-service=2.0.0".to_owned());
        };
        let component = component.parse::<ComponentName>();
        let version = version.parse::<Version>().map_err(|error| {
            format!("{version:?} is not a version, write one like 2.0.0 ({error})")
        });
        Ok(Self {
            component: component.map_err(|error| error.to_string())?,
            version: version?,
        })
    }
}

impl TargetArgs {
    /// The targets, each component once.
    pub(super) fn targets(self) -> Result<Vec<v1::PlanTarget>, Failure> {
        let mut downgrades: BTreeSet<_> = self.allow_downgrade.into_iter().collect();
        let mut named = BTreeSet::new();
        let mut targets = Vec::new();
        for Target { component, version } in self.to {
            if !named.insert(component.clone()) {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("--to names {component} twice"),
                ));
            }
            targets.push(v1::PlanTarget {
                allow_downgrade: downgrades.remove(&component),
                component: component.into(),
                version: version.to_string(),
            });
        }
        match downgrades.first() {
            None => Ok(targets),
            Some(other) => Err(Failure::new(
                Exit::Usage,
                format!("--allow-downgrade names {other}, and no --to does"),
            )),
        }
    }
}

pub(super) async fn run(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let targets = args.targets.targets()?;
    let policy = Some(args.policy.policy()?);
    let request_id = args.change.request_id();
    let request = CreatePlanRequest {
        request_id: request_id.to_string(),
        targets,
        policy,
        ..CreatePlanRequest::default()
    };
    match args.dry_run {
        true => preview(session, dry(request)).await,
        false => create(session, request, request_id, args.start).await,
    }
}

/// The dry run of a call.
pub(super) fn dry(request: CreatePlanRequest) -> PreviewPlanRequest {
    PreviewPlanRequest {
        targets: request.targets,
        policy: request.policy,
        kind: request.kind,
        components: request.components,
        instances: request.instances,
        retargets: String::new(),
    }
}

/// Makes the draft, and starts it if that is wanted.
pub(super) async fn create(
    session: &Session,
    request: CreatePlanRequest,
    request_id: Uuid,
    start: bool,
) -> Result<(), Failure> {
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            PlanServiceClient::new(channel).create_plan(request).await
        })
        .await
        .map_err(point_to_dry_run)?;
    let draft = Plan::from(required(answer.plan, "plan")?);
    if !start {
        let name = draft.name.clone();
        show(session, draft).await?;
        remark(format!(
            "nothing is touched yet; `evenkeel plan start {name}` starts it"
        ));
        return Ok(());
    }
    let name = draft.name.clone();
    match drive(&session.client, name, start_id(request_id), Ask::Start).await {
        Ok(plan) => show(session, plan).await,
        Err(failure) => {
            remark(format!("the plan {} is made, but not started", draft.name));
            Err(failure)
        }
    }
}

/// Where the fleet, the matrix or the releases are in the way, the dry run has the whole answer.
pub(super) fn point_to_dry_run(mut failure: Failure) -> Failure {
    let dry_run =
        "the same command with `--dry-run` says all that is in the way and what would help";
    match failure.code {
        Some(ErrorCode::Downgrade) => failure.hint("`--allow-downgrade COMPONENT` does that"),
        // The sentence says all that there is to say.
        Some(ErrorCode::TargetUnfit) => {
            failure.hint = None;
            failure
        }
        Some(ErrorCode::NotAllowedNow) => failure.hint(dry_run),
        // A release that is missing, or a name that is misspelt.
        Some(code @ ErrorCode::NotFound) => failure.hint(format!("{}; {dry_run}", code.remedy())),
        _ => failure,
    }
}

/// Shows what the plan would be, or why there is none.
pub(super) async fn preview(session: &Session, request: PreviewPlanRequest) -> Result<(), Failure> {
    let answer = session
        .client
        .call(request, async |channel, request| {
            PlanServiceClient::new(channel).preview_plan(request).await
        })
        .await?;
    let preview = Preview::from(answer);
    let output = session.output;
    match (&preview.plan, &preview.refusal) {
        (Some(plan), _) => {
            output.result(&preview, || {
                page::plan(plan, &[], output.look, SystemTime::now())
            })?;
            remark(
                "this was a dry run: nothing is kept; the same command without --dry-run makes the draft",
            );
            Ok(())
        }
        (None, Some(refused)) => {
            output.result(&preview, || refusal::page(refused, output.look))?;
            // As the call that makes the draft would end; a coordinator that does not say how is an earlier one.
            let exit = ErrorCode::from_reason(&refused.error_code).map_or(Exit::State, Exit::of);
            Err(Failure::new(exit, "there is no such plan as things are")
                .hint("see above for what is in the way"))
        }
        (None, None) => required(None, "plan"),
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

    fn targets(to: &[&str], allow_downgrade: &[&str]) -> Result<Vec<v1::PlanTarget>, Failure> {
        let args = TargetArgs {
            to: to.iter().map(|text| text.parse().unwrap()).collect(),
            allow_downgrade: allow_downgrade
                .iter()
                .map(|name| name.parse().unwrap())
                .collect(),
        };
        args.targets()
    }

    #[test]
    fn a_target_is_a_component_and_a_version_and_may_be_a_downgrade() {
        let both = targets(&["meta=1.2.0", "data=2.0.0-rc.1+b7"], &["data"]).unwrap();
        let told: Vec<_> = both
            .iter()
            .map(|t| (t.component.as_str(), t.version.as_str(), t.allow_downgrade))
            .collect();
        assert_eq!(
            told,
            [("meta", "1.2.0", false), ("data", "2.0.0-rc.1+b7", true)]
        );
        for (text, said) in [
            ("data", "write COMPONENT=VERSION"),
            ("data=2.0", "is not a version"),
            ("data=", "is not a version"),
            ("Data=2.0.0", "name"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_component_is_named_once_and_a_downgrade_is_one_of_a_target() {
        let twice = targets(&["data=1.0.0", "data=2.0.0"], &[]).unwrap_err();
        assert_eq!(
            (twice.exit, twice.sentence.as_str()),
            (Exit::Usage, "--to names data twice")
        );
        let stray = targets(&["data=1.0.0"], &["meta"]).unwrap_err();
        assert!(stray.sentence.contains("meta"), "{stray:?}");
    }
}
