//! A caller who does not give up: each call is made again, under the same request id, until it is answered.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_proto::v1::{
    CreatePlanRequest, Plan, PlanPolicy, PlanState, PlanTarget, StartPlanRequest,
};

use crate::{
    api::{Api, request_id},
    wait,
};

/// How long one call may remain without an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// How long a plan may take to come to rest.
const AT_REST_WITHIN: Duration = Duration::from_secs(120);

/// Creates a plan, starts it and waits until it is in `state`, whatever becomes of the coordinator meanwhile.
///
/// # Errors
/// When a call stays without an answer, or the plan comes to rest elsewhere.
pub async fn carry_through(
    api: &Api,
    target: &PlanTarget,
    policy: PlanPolicy,
    state: PlanState,
) -> anyhow::Result<Plan> {
    let create = CreatePlanRequest {
        request_id: request_id(),
        targets: vec![target.clone()],
        policy: Some(policy),
        ..CreatePlanRequest::default()
    };
    let created = wait::until("the draft", ANSWERED_WITHIN, || async {
        let answer = api.plans().create_plan(create.clone()).await?;
        answer.into_inner().plan.context("the answer has no plan")
    })
    .await?;
    let start = StartPlanRequest {
        request_id: request_id(),
        name: created.name.clone(),
    };
    wait::until("the start", ANSWERED_WITHIN, || async {
        Ok(api.plans().start_plan(start.clone()).await?)
    })
    .await?;
    api.wait_for_plan(&created.name, state, AT_REST_WITHIN)
        .await
}
