//! Dry runs: what a plan would be or why there is none, for people and for programs, and nothing changes.

use evenkeel_common::problem::{ErrorCode, Problem};
use evenkeel_proto::v1::*;
use serde_json::json;

use crate::coordinator::{Coordinator, State};
use crate::sample;

const DRY_RUN: [&str; 5] = ["plan", "create", "--to", "store=2.0.0", "--dry-run"];

fn answering(preview: PreviewPlanResponse) -> Coordinator {
    Coordinator::start(State {
        preview,
        ..sample::fleet()
    })
}

fn a_plan() -> PreviewPlanResponse {
    let plan = Plan {
        name: String::new(),
        stages: vec![
            Stage {
                direct: false,
                ..sample::stage("1.0.0", "1.1.0")
            },
            Stage {
                direct: false,
                level: CompatibilityLevel::Backward.into(),
                undo_when_final: Undo::NotAtAll.into(),
                note: "the data is rewritten\u{1b}[2J at the first start".to_owned(),
                ..sample::stage("1.1.0", "2.0.0")
            },
        ],
        ..sample::plan(PlanState::Draft, 0)
    };
    PreviewPlanResponse {
        plan: Some(plan),
        refusal: None,
    }
}

fn a_refusal() -> PreviewPlanResponse {
    PreviewPlanResponse {
        plan: None,
        refusal: Some(PlanRefusal {
            summary: "store cannot come from 1.0.0 to 2.0.0".to_owned(),
            reasons: vec!["no rule relates 1.0.0 to 2.0.0".to_owned()],
            remedies: vec![Remedy {
                kind: RemedyKind::AddRule.into(),
                components: vec!["store".to_owned()],
                from_version: "1.0.0".to_owned(),
                to_version: "2.0.0".to_owned(),
                sentence: "add a rule 1.0.0 -> 2.0.0 for store".to_owned(),
            }],
            furthest: vec![Reachable {
                component: "store".to_owned(),
                version: "1.1.0".to_owned(),
                at_least: true,
            }],
            remedies_are_smallest: true,
            error_code: "NOT_ALLOWED_NOW".to_owned(),
            ..PlanRefusal::default()
        }),
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let coordinator = answering(a_plan());
    let run = coordinator.run(&[&DRY_RUN[..], &["--canary", "2"]].concat());
    assert!(run.err.contains("nothing is kept"), "{run:?}");
    insta::assert_snapshot!(run.good());
    let state = coordinator.state();
    assert_eq!(state.changes, []);
    let asked = state.previewed.clone().unwrap();
    assert_eq!(asked.targets[0].version, "2.0.0");
    assert_eq!(asked.policy.unwrap().canary, Some(2));
}

#[test]
fn a_dry_run_for_programs_has_the_plan_with_every_field() {
    let coordinator = answering(a_plan());
    let preview = coordinator
        .run(&[&DRY_RUN[..], &["-o", "json"]].concat())
        .json();
    assert_eq!(preview["refusal"], json!(null));
    assert_eq!(
        preview["plan"]["stages"][1],
        json!({
            "component": "store",
            "from_version": "1.1.0",
            "to_version": "2.0.0",
            "level": "backward",
            "reversed": false,
            "method": "in-place",
            "undo": "in-place",
            "undo_when_final": "not-at-all",
            "undoes": null,
            "finalizes_itself": false,
            "instances": 3,
            "direct": false,
            "through": [],
            "out_of_order": false,
            "note": "the data is rewritten\u{1b}[2J at the first start",
            "reachable_back": ["1.1.0"],
            "confirmed_by": "",
            "confirmed_at": null,
        })
    );
    assert_eq!(
        preview["plan"]["targets"],
        json!([{"component": "store", "version": "1.1.0", "allow_downgrade": false}])
    );
}

#[test]
fn a_refusal_is_a_page_and_the_status_of_what_the_state_does_not_allow() {
    let coordinator = answering(a_refusal());
    let run = coordinator.run(&DRY_RUN);
    insta::assert_snapshot!(run.out);
    run.refused(5, "no such plan", "see above");

    let run = coordinator.run(&[&DRY_RUN[..], &["-o", "json"]].concat());
    let preview: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(preview["plan"], json!(null));
    assert_eq!(
        preview["refusal"]["remedies"],
        json!([{
            "kind": "add-rule",
            "components": ["store"],
            "from_version": "1.0.0",
            "to_version": "2.0.0",
            "sentence": "add a rule 1.0.0 -> 2.0.0 for store",
        }])
    );
    assert_eq!(
        preview["refusal"]["furthest"],
        json!([{"component": "store", "version": "1.1.0", "at_least": true}])
    );
    assert_eq!(preview["refusal"]["remedies_are_smallest"], json!(true));
    assert_eq!(preview["refusal"]["error_code"], json!("NOT_ALLOWED_NOW"));
    assert_eq!(run.status, Some(5));
}

#[test]
fn a_dry_run_that_is_refused_ends_as_the_call_that_makes_the_draft() {
    for code in ErrorCode::ALL {
        let mut answer = a_refusal();
        if let Some(refusal) = &mut answer.refusal {
            refusal.error_code = code.reason().to_owned();
        }
        let coordinator = answering(answer);
        let dry = coordinator.run(&DRY_RUN).status;
        assert_eq!(dry, Some(i32::from(code.exit_status())), "{code:?}");
        let refused = Problem::new(*code, "store cannot come from 1.0.0 to 2.0.0");
        // A coordinator that is not there is tried again.
        coordinator.state().failures = vec![refused.into(); 20].into();
        let made = coordinator.run(&DRY_RUN[..4]).status;
        assert_eq!(made, dry, "{code:?}");
    }
}

#[test]
fn a_refusal_without_a_code_that_is_known_is_one_of_the_state() {
    for code in ["", "TOO_FULL_MOON"] {
        let mut answer = a_refusal();
        if let Some(refusal) = &mut answer.refusal {
            refusal.error_code = code.to_owned();
        }
        let run = answering(answer).run(&DRY_RUN);
        run.refused(5, "no such plan", "see above");
    }
}

#[test]
fn an_answer_without_a_plan_and_without_a_refusal_is_the_coordinators_fault() {
    let coordinator = answering(PreviewPlanResponse::default());
    let run = coordinator.run(&DRY_RUN);
    assert_eq!(run.status, Some(8), "{run:?}");
}
