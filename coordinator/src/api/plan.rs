//! `PlanService`: plans and their tasks.

use evenkeel_common::{
    names::InstanceId,
    problem::{ErrorCode, Problem},
};
use evenkeel_coordinator_core::{
    calls::Call,
    engine::waits,
    plan::PlanId,
    planner::Hop,
    state::{Key, State},
};
use evenkeel_proto::v1::{
    AbortPlanRequest, AbortPlanResponse, CreatePlanRequest, CreatePlanResponse, ExplainPlanRequest,
    ExplainPlanResponse, GetPlanRequest, GetPlanResponse, ListPlansRequest, ListPlansResponse,
    ListTasksRequest, ListTasksResponse, PausePlanRequest, PausePlanResponse, Plan,
    ResumePlanRequest, ResumePlanResponse, StartPlanRequest, StartPlanResponse, WatchPlanRequest,
    WatchPlanResponse, plan_service_server::PlanService, watch_plan_response::Change,
};
use tonic::{Request, Response, Status};

use super::{
    Shared, caller, not_found, paging, plan_id, request_key,
    watch::{Interest, Watch, watch},
};
use crate::convert::{
    parse, plan_to_proto, policy_from_proto, problem_of, task_to_proto, version, wait_to_proto,
};

/// The most waits that one call tells.
const WAITS_MAX: usize = 1_000;

/// The longest reason of an operator's, in characters.
const REASON_CHARS_MAX: usize = 500;

/// See [`PlanService`].
#[derive(Debug)]
pub(super) struct Plans(pub(super) Shared);

impl Plans {
    /// Hands a call to the writer and answers with the plan as it is afterwards.
    async fn call<T>(
        &self,
        request: &Request<T>,
        request_id: &str,
        call: Call,
    ) -> Result<Option<Plan>, Problem> {
        let key = request_key(&caller(request)?, request_id)?;
        let name = self.0.core.call(key, call).await?;
        let state = self.0.core.snapshot();
        let plan = state.known_plan(plan_id(&name)?).map_err(problem_of)?;
        Ok(Some(plan_to_proto(plan)))
    }
}

fn reason(text: &str) -> Result<String, Problem> {
    if text.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::new(
            ErrorCode::BadArgument,
            format!("reason: is longer than {REASON_CHARS_MAX} characters"),
        ));
    }
    Ok(text.to_owned())
}

#[tonic::async_trait]
impl PlanService for Plans {
    async fn create_plan(
        &self,
        request: Request<CreatePlanRequest>,
    ) -> Result<Response<CreatePlanResponse>, Status> {
        let asked = request.get_ref().clone();
        let read = || {
            Ok::<_, crate::convert::Invalid>(Call::CreatePlan {
                hop: Hop {
                    component: parse("component", &asked.component)?,
                    from: version("from_version", &asked.from_version)?,
                    to: version("to_version", &asked.to_version)?,
                },
                policy: policy_from_proto(asked.policy.clone(), &self.0.settings.policy)?,
            })
        };
        let call = read().map_err(Problem::from)?;
        let plan = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(CreatePlanResponse { plan }))
    }

    async fn get_plan(
        &self,
        request: Request<GetPlanRequest>,
    ) -> Result<Response<GetPlanResponse>, Status> {
        let id = plan_id(&request.get_ref().name)?;
        let state = self.0.core.snapshot();
        let plan = Some(plan_to_proto(state.known_plan(id).map_err(problem_of)?));
        Ok(Response::new(GetPlanResponse { plan }))
    }

    async fn list_plans(
        &self,
        request: Request<ListPlansRequest>,
    ) -> Result<Response<ListPlansResponse>, Status> {
        let request = request.into_inner();
        let after = paging::after::<PlanId>(&request.page_token)?;
        let state = self.0.core.snapshot();
        let plans = state.plans_after(after);
        let (plans, next_page_token) =
            paging::page(plans, paging::size(request.page_size), |plan| plan.id);
        Ok(Response::new(ListPlansResponse {
            plans: plans.into_iter().map(|plan| plan_to_proto(plan)).collect(),
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
        let after = paging::after::<InstanceId>(&request.page_token)?;
        let state = self.0.core.snapshot();
        state.known_plan(id).map_err(problem_of)?;
        let tasks = state.tasks_after(id, after.as_ref());
        let (tasks, next_page_token) = paging::page(tasks, paging::size(request.page_size), |t| {
            t.instance.clone()
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

    type WatchPlanStream = Watch<WatchPlanResponse>;

    async fn watch_plan(
        &self,
        request: Request<WatchPlanRequest>,
    ) -> Result<Response<Self::WatchPlanStream>, Status> {
        let request = request.into_inner();
        let id = plan_id(&request.name)?;
        let state = self.0.core.snapshot();
        state.known_plan(id).map_err(problem_of)?;
        Ok(Response::new(watch(
            &self.0,
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
        let state = self.0.core.snapshot();
        let plan = state.known_plan(id).map_err(problem_of)?;
        let waits = if request.instance.is_empty() {
            // Each wait is found by looking at the whole plan: others must not stand still meanwhile.
            tokio::task::block_in_place(|| {
                let waits = state
                    .tasks_of(id)
                    .filter_map(|task| waits::wait(&state, plan, task));
                let waits = waits.take(WAITS_MAX);
                waits.map(|wait| wait_to_proto(&wait)).collect()
            })
        } else {
            let instance: InstanceId =
                parse("instance", &request.instance).map_err(Problem::from)?;
            let task = state
                .task(id, &instance)
                .ok_or_else(|| not_found(format!("{id} has no task for an instance {instance}")))?;
            let wait = waits::wait(&state, plan, task);
            wait.iter().map(wait_to_proto).collect()
        };
        Ok(Response::new(ExplainPlanResponse { waits }))
    }
}

struct OnePlan(PlanId);

impl Interest for OnePlan {
    type Message = WatchPlanResponse;

    fn message(&self, state: &State, revision: u64, key: &Key) -> Option<WatchPlanResponse> {
        let change = match key {
            Key::Plan(id) if *id == self.0 => Change::Plan(plan_to_proto(state.plan(*id)?)),
            Key::Task(id, instance) if *id == self.0 => {
                Change::Task(task_to_proto(state.task(*id, instance)?))
            }
            Key::Coordinator
            | Key::Node(_)
            | Key::Instance(_)
            | Key::Release(..)
            | Key::Plan(_)
            | Key::Task(..)
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
        use evenkeel_coordinator_core::plan::PlanState;
        let state = state.plan(self.0).map(|plan| &plan.state);
        matches!(
            state,
            None | Some(PlanState::Finalized | PlanState::Aborted(_))
        )
    }
}
