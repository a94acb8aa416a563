//! `evenkeel plan why`: what each task that is not moving waits for.

use std::time::SystemTime;

use clap::Args;
use evenkeel_common::names::{InstanceId, PlanName};
use evenkeel_proto::v1::ExplainPlanRequest;
use evenkeel_proto::v1::plan_service_client::PlanServiceClient;
use serde::Serialize;

use super::text::stage_number;
use crate::failure::Failure;
use crate::look::Look;
use crate::output::remark;
use crate::session::Session;
use crate::table::Table;
use crate::time::{age, until};
use crate::view::Wait;

/// What is asked.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The plan's name
    plan: PlanName,
    /// Only this instance, NODE/INSTANCE
    instance: Option<InstanceId>,
}

#[derive(Serialize)]
struct Waits {
    waits: Vec<Wait>,
}

pub(super) async fn run(session: &Session, args: WhyArgs) -> Result<(), Failure> {
    let request = ExplainPlanRequest {
        name: args.plan.to_string(),
        instance: args.instance.map(String::from).unwrap_or_default(),
    };
    let answer = session
        .client
        .call(request, async |channel, request| {
            PlanServiceClient::new(channel).explain_plan(request).await
        })
        .await?;
    let waits = Waits {
        waits: answer.waits.into_iter().map(Wait::from).collect(),
    };
    if waits.waits.is_empty() {
        remark(format!(
            "nothing waits in {}: what there is to do is done or moving",
            args.plan
        ));
    }
    session.output.result(&waits, || {
        if waits.waits.is_empty() {
            return String::new();
        }
        text(&waits.waits, session.output.look, SystemTime::now())
    })
}

fn text(waits: &[Wait], look: Look, now: SystemTime) -> String {
    let heading = ["INSTANCE", "STAGE", "WAITS FOR", "SINCE", "AT MOST", "WHY"];
    let mut table = Table::new(look, &heading);
    for wait in waits {
        let (instance, stage) = match wait.instance.as_str() {
            "" => ("the plan".to_owned(), String::new()),
            instance => (instance.to_owned(), stage_number(wait.stage)),
        };
        table.row([
            instance,
            stage,
            wait.kind.clone(),
            age(wait.since.as_deref(), now),
            until(wait.until.as_deref(), now),
            wait.sentence.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use evenkeel_proto::v1::{self, WaitKind};

    use super::super::samples::{WIDTHS, before_now, now, wide};
    use super::*;

    #[test]
    fn each_wait_has_its_stage_and_its_reason_and_the_plan_its_own() {
        let wait = |instance: &str, stage, kind: WaitKind, sentence: &str| v1::Wait {
            instance: instance.to_owned(),
            stage,
            kind: kind.into(),
            sentence: sentence.to_owned(),
            since: before_now(75),
            until: before_now(-45),
        };
        let waits = [
            wait(
                "",
                0,
                WaitKind::Person,
                "the plan is paused: the matrix no longer allows data-service 1.1.0 -> 2.0.0; apply one that does, then resume the plan",
            ),
            wait("n1/data", 1, WaitKind::Soak, "it has to stay good for 45 s more"),
            wait("n2/data", 2, WaitKind::Stage, "stage 2 has to be done first"),
        ]
        .map(Wait::from);
        for width in WIDTHS {
            let page = text(&waits, wide(Some(width)), now());
            insta::assert_snapshot!(format!("waits_{width}"), page);
        }
    }
}
