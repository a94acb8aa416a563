//! `PlanService`: plans and their tasks.

use std::{fmt, str::FromStr};

use evenkeel_common::{
    digest::digest_of,
    names::InstanceId,
    problem::{ErrorCode, Problem},
};
use evenkeel_coordinator_core::{
    calls::{self, Call},
    engine::waits,
    plan::{PlanId, PlanKind, Policy, Target, TaskId},
    planner::{self, NoDraft, Selection},
    state::{Key, State},
};
use evenkeel_proto::v1::{
    AbortPlanRequest, AbortPlanResponse, CreatePlanRequest, CreatePlanResponse, ExplainPlanRequest,
    ExplainPlanResponse, FinalizePlanRequest, FinalizePlanResponse, GetPlanRequest,
    GetPlanResponse, ListPlansRequest, ListPlansResponse, ListTasksRequest, ListTasksResponse,
    PausePlanRequest, PausePlanResponse, Plan, PlanPolicy, PreviewPlanRequest, PreviewPlanResponse,
    ResumePlanRequest, ResumePlanResponse, RetargetPlanRequest, RetargetPlanResponse,
    RetryTaskRequest, RetryTaskResponse, RollbackPlanRequest, RollbackPlanResponse,
    SkipTaskRequest, SkipTaskResponse, StartPlanRequest, StartPlanResponse, WatchPlanRequest,
    WatchPlanResponse, plan_service_server::PlanService, watch_plan_response::Change,
};
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{
    Shared, caller, not_found, paging, plan_id, reason, request_key, time,
    watch::{Interest, Watch, watch},
};
use crate::convert::{
    Invalid, no_path_to_proto, parse, plan_kind_from, plan_shown, plan_to_proto, policy_from_proto,
    problem_of, selection_from_proto, targets_from_proto, task_to_proto, wait_to_proto,
};

/// The most waits that one call tells.
const WAITS_MAX: usize = 1_000;

/// Drafts that are computed at once for those who want a plan made.
const DRAFTS_MAX: usize = 2;

/// The same for those who only look: however many do, who has to act is not kept waiting.
const PREVIEWS_MAX: usize = 1;

/// See [`PlanService`].
#[derive(Debug)]
pub(super) struct Plans {
    shared: Shared,
    /// Each takes memory, and a core for as long as it takes.
    drafts: Semaphore,
    previews: Semaphore,
}

impl Plans {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            drafts: Semaphore::new(DRAFTS_MAX),
            previews: Semaphore::new(PREVIEWS_MAX),
        }
    }

    /// Computes a draft. It may take its time, while others must not stand still.
    fn draft(
        permits: &Semaphore,
        state: &State,
        wanted: &Wanted,
        by: &str,
    ) -> Result<Result<evenkeel_coordinator_core::plan::Plan, NoDraft>, Problem> {
        let _permit = permits.try_acquire().map_err(|_| {
            Problem::new(
                ErrorCode::TooMuch,
                "as many plans as may be are being computed already",
            )
        })?;
        let at = state.at();
        let draft = || match &wanted.what {
            What::Upgrade(targets) => planner::draft(state, targets, &wanted.policy, by, at),
            What::Restart(kind, selection) => {
                let policy = &wanted.policy;
                planner::draft_restart(state, *kind, selection, policy, by, at)
                    .map_err(NoDraft::from)
            }
        };
        Ok(tokio::task::block_in_place(draft).map(|(plan, _)| plan))
    }

    /// Hands a call to the writer and answers with the plan as it is afterwards.
    async fn call<T>(
        &self,
        request: &Request<T>,
        request_id: &str,
        call: Call,
    ) -> Result<Option<Plan>, Problem> {
        let key = request_key(&caller(request)?, request_id)?;
        let name = self.shared.core.call(key, call).await?;
        let state = self.shared.core.snapshot();
        let plan = state.known_plan(plan_id(&name)?).map_err(problem_of)?;
        Ok(Some(plan_shown(&state, plan)))
    }

    /// What a caller wants a plan for, and how carefully.
    fn wanted(&self, asked: CreatePlanRequest) -> Result<Wanted, Problem> {
        let policy = policy_from_proto(asked.policy, &self.shared.settings.policy)?;
        let kind = plan_kind_from("kind", asked.kind)?;
        let what = match kind {
            PlanKind::Upgrade => {
                if !asked.components.is_empty() || !asked.instances.is_empty() {
                    let message = "components and instances: an upgrade has targets instead";
                    return Err(Problem::new(ErrorCode::BadArgument, message));
                }
                What::Upgrade(targets_from_proto(asked.targets)?)
            }
            PlanKind::CatchUp => {
                let message = "kind: those that are quarantined are caught up by plans that the coordinator makes itself";
                return Err(Problem::new(ErrorCode::BadArgument, message));
            }
            PlanKind::Restart | PlanKind::Reconfigure => {
                if !asked.targets.is_empty() {
                    let message = "targets: what is only restarted has none";
                    return Err(Problem::new(ErrorCode::BadArgument, message));
                }
                What::Restart(
                    kind,
                    selection_from_proto(&asked.components, &asked.instances)?,
                )
            }
        };
        Ok(Wanted { what, policy })
    }

    /// The policy of a plan, but for what a caller asks for.
    fn policy_of(
        &self,
        state: &State,
        id: PlanId,
        asked: Option<PlanPolicy>,
    ) -> Result<Policy, Problem> {
        let plan = state.known_plan(id).map_err(problem_of)?;
        Ok(policy_from_proto(asked, &plan.policy)?)
    }
}

/// What a plan is wanted for, and how carefully.
struct Wanted {
    what: What,
    policy: Policy,
}

enum What {
    Upgrade(Vec<Target>),
    Restart(PlanKind, Selection),
}

/// A plan that is not kept has no name.
fn preview(plan: &evenkeel_coordinator_core::plan::Plan) -> Plan {
    Plan {
        name: String::new(),
        ..plan_to_proto(plan)
    }
}

fn instance_id(text: &str) -> Result<InstanceId, Problem> {
    Ok(parse("instance", text)?)
}

#[tonic::async_trait]
impl PlanService for Plans {
    async fn preview_plan(
        &self,
        request: Request<PreviewPlanRequest>,
    ) -> Result<Response<PreviewPlanResponse>, Status> {
        let by = caller(&request)?.to_string();
        let asked = request.into_inner();
        let state = self.shared.core.snapshot();
        let retargets = asked.retargets;
        let policy = asked.policy.clone();
        let mut wanted = self.wanted(CreatePlanRequest {
            request_id: String::new(),
            targets: asked.targets,
            policy: asked.policy,
            kind: asked.kind,
            components: asked.components,
            instances: asked.instances,
        })?;
        if !retargets.is_empty() {
            if !matches!(wanted.what, What::Upgrade(_)) {
                let message = "retargets: another plan takes its place only where it has targets";
                return Err(Problem::new(ErrorCode::BadArgument, message).into());
            }
            let id = plan_id(&retargets)?;
            let plan = state.known_plan(id).map_err(problem_of)?;
            calls::may_be_retargeted(plan).map_err(problem_of)?;
            wanted.policy = self.policy_of(&state, id, policy)?;
        }
        let (plan, refusal) = match Self::draft(&self.previews, &state, &wanted, &by)? {
            Ok(plan) => (Some(preview(&plan)), None),
            Err(NoDraft::NoPath { no_path, notes }) => {
                (None, Some(no_path_to_proto(&state, &no_path, &notes)))
            }
            Err(NoDraft::Refused(refusal)) => return Err(problem_of(refusal).into()),
        };
        Ok(Response::new(PreviewPlanResponse { plan, refusal }))
    }

    async fn create_plan(
        &self,
        request: Request<CreatePlanRequest>,
    ) -> Result<Response<CreatePlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let content = digest_of(
            &CreatePlanRequest {
                request_id: String::new(),
                ..asked.clone()
            }
            .encode_to_vec(),
        );
        let request_id = asked.request_id.clone();
        let wanted = self.wanted(asked)?;
        let key = request_key(&caller(&request)?, &request_id)?;
        let state = self.shared.core.snapshot();
        // A refusal takes its time to explain, and the writer none: one that is plain from here does not get there.
        if state.request(&key).is_none() {
            let drafted = Self::draft(&self.drafts, &state, &wanted, &key.subject)?;
            drafted.map_err(|no_draft| problem_of(no_draft.into()))?;
        }
        let Wanted { what, policy } = wanted;
        let call = match what {
            What::Upgrade(targets) => Call::CreatePlan {
                targets,
                content,
                policy,
            },
            What::Restart(kind, selection) => Call::CreateRestart {
                kind,
                selection,
                content,
                policy,
            },
        };
        let plan = self.call(&request, &request_id, call).await?;
        Ok(Response::new(CreatePlanResponse { plan }))
    }

    async fn get_plan(
        &self,
        request: Request<GetPlanRequest>,
    ) -> Result<Response<GetPlanResponse>, Status> {
        let id = plan_id(&request.get_ref().name)?;
        let state = self.shared.core.snapshot();
        let plan = Some(plan_shown(
            &state,
            state.known_plan(id).map_err(problem_of)?,
        ));
        Ok(Response::new(GetPlanResponse { plan }))
    }

    async fn list_plans(
        &self,
        request: Request<ListPlansRequest>,
    ) -> Result<Response<ListPlansResponse>, Status> {
        let request = request.into_inner();
        let after = paging::after::<PlanId>(&request.page_token)?;
        let state = self.shared.core.snapshot();
        let plans = state.plans_after(after);
        let (plans, next_page_token) =
            paging::page(plans, paging::size(request.page_size), |plan| plan.id);
        Ok(Response::new(ListPlansResponse {
            plans: plans
                .into_iter()
                .map(|plan| plan_shown(&state, plan))
                .collect(),
            next_page_token,
            revision: state.revision(),
        }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let request = request.into_inner();
        let id = plan_id(&request.plan)?;
        let after = paging::after::<TaskName>(&request.page_token)?;
        let after = after.map(|TaskName(stage, instance)| TaskId {
            plan: id,
            stage,
            instance,
        });
        let state = self.shared.core.snapshot();
        state.known_plan(id).map_err(problem_of)?;
        let tasks = state.tasks_after(id, after.as_ref());
        let (tasks, next_page_token) = paging::page(tasks, paging::size(request.page_size), |t| {
            TaskName(t.stage, t.instance.clone())
        });
        Ok(Response::new(ListTasksResponse {
            tasks: tasks.into_iter().map(|task| task_to_proto(task)).collect(),
            next_page_token,
            revision: state.revision(),
        }))
    }

    async fn start_plan(
        &self,
        request: Request<StartPlanRequest>,
    ) -> Result<Response<StartPlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::StartPlan(plan_id(&asked.name)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(StartPlanResponse { plan }))
    }

    async fn pause_plan(
        &self,
        request: Request<PausePlanRequest>,
    ) -> Result<Response<PausePlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::PausePlan(plan_id(&asked.name)?, reason(&asked.reason)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(PausePlanResponse { plan }))
    }

    async fn resume_plan(
        &self,
        request: Request<ResumePlanRequest>,
    ) -> Result<Response<ResumePlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::ResumePlan(plan_id(&asked.name)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(ResumePlanResponse { plan }))
    }

    async fn abort_plan(
        &self,
        request: Request<AbortPlanRequest>,
    ) -> Result<Response<AbortPlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::AbortPlan(plan_id(&asked.name)?, reason(&asked.reason)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(AbortPlanResponse { plan }))
    }

    async fn finalize_plan(
        &self,
        request: Request<FinalizePlanRequest>,
    ) -> Result<Response<FinalizePlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::FinalizePlan {
            plan: plan_id(&asked.name)?,
            stage: asked.stage,
        };
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(FinalizePlanResponse { plan }))
    }

    async fn rollback_plan(
        &self,
        request: Request<RollbackPlanRequest>,
    ) -> Result<Response<RollbackPlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::RollBackPlan(plan_id(&asked.name)?, reason(&asked.reason)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(RollbackPlanResponse { plan }))
    }

    async fn retarget_plan(
        &self,
        request: Request<RetargetPlanRequest>,
    ) -> Result<Response<RetargetPlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let content = digest_of(
            &RetargetPlanRequest {
                request_id: String::new(),
                ..asked.clone()
            }
            .encode_to_vec(),
        );
        let id = plan_id(&asked.name)?;
        let key = request_key(&caller(&request)?, &asked.request_id)?;
        let state = self.shared.core.snapshot();
        let targets = targets_from_proto(asked.targets).map_err(Problem::from)?;
        let wanted = Wanted {
            what: What::Upgrade(targets.clone()),
            policy: self.policy_of(&state, id, asked.policy)?,
        };
        // As for a new plan: what is plain from here does not keep the writer.
        if state.request(&key).is_none() {
            let plan = state.known_plan(id).map_err(problem_of)?;
            calls::may_be_retargeted(plan).map_err(problem_of)?;
            let drafted = Self::draft(&self.drafts, &state, &wanted, &key.subject)?;
            drafted.map_err(|no_draft| problem_of(no_draft.into()))?;
        }
        let call = Call::RetargetPlan {
            plan: id,
            targets,
            content,
            policy: wanted.policy,
            reason: reason(&asked.reason)?,
        };
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(RetargetPlanResponse { plan }))
    }

    async fn retry_task(
        &self,
        request: Request<RetryTaskRequest>,
    ) -> Result<Response<RetryTaskResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::RetryTask(plan_id(&asked.plan)?, instance_id(&asked.instance)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(RetryTaskResponse { plan }))
    }

    async fn skip_task(
        &self,
        request: Request<SkipTaskRequest>,
    ) -> Result<Response<SkipTaskResponse>, Status> {
        let asked = request.get_ref().clone();
        let instance = instance_id(&asked.instance)?;
        let call = Call::SkipTask(plan_id(&asked.plan)?, instance, reason(&asked.reason)?);
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(SkipTaskResponse { plan }))
    }

    type WatchPlanStream = Watch<WatchPlanResponse>;

    async fn watch_plan(
        &self,
        request: Request<WatchPlanRequest>,
    ) -> Result<Response<Self::WatchPlanStream>, Status> {
        let request = request.into_inner();
        let id = plan_id(&request.name)?;
        let state = self.shared.core.snapshot();
        state.known_plan(id).map_err(problem_of)?;
        Ok(Response::new(watch(
            &self.shared,
            request.after_revision,
            OnePlan(id),
        )?))
    }

    async fn explain_plan(
        &self,
        request: Request<ExplainPlanRequest>,
    ) -> Result<Response<ExplainPlanResponse>, Status> {
        let request = request.into_inner();
        let id = plan_id(&request.name)?;
        let state = self.shared.core.snapshot();
        let plan = state.known_plan(id).map_err(problem_of)?;
        let now = time(&state);
        let waits = if request.instance.is_empty() {
            // Each wait is found by looking at the whole plan: others must not stand still meanwhile.
            tokio::task::block_in_place(|| {
                let tasks = state.tasks_of(id);
                let of_tasks = tasks.filter_map(|task| waits::wait(&state, plan, task, now));
                let waits = waits::wait_of_plan(&state, plan, now)
                    .into_iter()
                    .chain(of_tasks);
                let waits = waits.take(WAITS_MAX);
                waits.map(|wait| wait_to_proto(&wait)).collect()
            })
        } else {
            let instance = instance_id(&request.instance)?;
            let mut tasks = state
                .tasks_of(id)
                .filter(|task| task.instance == instance)
                .peekable();
            if tasks.peek().is_none() {
                let message = format!("{id} has no task for an instance {instance}");
                return Err(not_found(message).into());
            }
            let waits = tasks.filter_map(|task| waits::wait(&state, plan, task, now));
            waits.map(|wait| wait_to_proto(&wait)).collect()
        };
        Ok(Response::new(ExplainPlanResponse { waits }))
    }
}

/// A task's name among those of its plan: `<stage>/<node>/<instance>`.
struct TaskName(u32, InstanceId);

impl FromStr for TaskName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (stage, instance) = text
            .split_once('/')
            .ok_or_else(|| Invalid::new("name", "is not <stage>/<node>/<instance>"))?;
        Ok(Self(parse("stage", stage)?, parse("instance", instance)?))
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

struct OnePlan(PlanId);

impl Interest for OnePlan {
    type Message = WatchPlanResponse;

    fn message(&self, state: &State, revision: u64, key: &Key) -> Option<WatchPlanResponse> {
        let change = match key {
            Key::Plan(id) if *id == self.0 => Change::Plan(plan_shown(state, state.plan(*id)?)),
            Key::Task(id) if id.plan == self.0 => Change::Task(task_to_proto(state.task(id)?)),
            Key::Coordinator
            | Key::Node(_)
            | Key::Instance(_)
            | Key::Release(..)
            | Key::Plan(_)
            | Key::Task(_)
            | Key::Matrix
            | Key::ReportedVersions(..)
            | Key::Freeze
            | Key::Request(_) => return None,
        };
        Some(WatchPlanResponse {
            revision,
            change: Some(change),
        })
    }

    fn caught_up(&self, revision: u64) -> WatchPlanResponse {
        WatchPlanResponse {
            revision,
            change: None,
        }
    }

    fn ended(&self, state: &State) -> bool {
        let plan = state.plan(self.0);
        plan.is_none_or(|plan| plan.state.has_ended())
    }
}
