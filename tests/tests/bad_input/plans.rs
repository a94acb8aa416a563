//! Plans that make no sense, or not now.

use evenkeel_common::problem::ErrorCode::{
    self, BadArgument, Downgrade, FleetChanged, NotAllowedNow, NotFound, PlanConflict,
    RequestIdReused, RevisionAhead, TargetUnfit,
};
use evenkeel_proto::v1::{
    AbortPlanRequest, CreatePlanRequest, ExplainPlanRequest, GetInstanceRequest, GetNodeRequest,
    GetPlanRequest, GetReleaseRequest, ListInstancesRequest, ListNodesRequest, ListPlansRequest,
    ListReleasesRequest, ListTasksRequest, PausePlanRequest, PlanPolicy, PlanState, PlanTarget,
    ResumePlanRequest, StartPlanRequest, WatchFleetRequest, WatchPlanRequest,
};
use evenkeel_tests::{
    api::{Api, quick_policy, request_id, up},
    listing::Listing,
    systems::trivial::{COMPONENT, FIRST},
};

use crate::{
    mint::Mint,
    support::{NEXT, Place, refused},
};

/// A plan that would be made if nothing of it was changed.
fn good() -> CreatePlanRequest {
    CreatePlanRequest {
        request_id: request_id(),
        targets: vec![up(COMPONENT, NEXT)],
        policy: Some(quick_policy()),
        ..CreatePlanRequest::default()
    }
}

fn duration(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

type Change = fn(&mut CreatePlanRequest);

fn target(request: &mut CreatePlanRequest) -> &mut PlanTarget {
    &mut request.targets[0]
}

fn policy(request: &mut CreatePlanRequest) -> &mut PlanPolicy {
    request.policy.get_or_insert_default()
}

/// How a plan is spoilt, and what is said to that.
const DRAFTS: [(&str, Change, ErrorCode, &[&str]); 28] = [
    (
        "an unknown component",
        |r| target(r).component = "nothing".to_owned(),
        NotFound,
        &["no instance of a component nothing", "known are trivial"],
    ),
    (
        "a component that can be none",
        |r| target(r).component = "No Such Thing".to_owned(),
        BadArgument,
        &["component: ", "No Such Thing"],
    ),
    (
        "no component",
        |r| target(r).component.clear(),
        BadArgument,
        &["component: ", "is empty"],
    ),
    (
        "a component of a megabyte",
        |r| target(r).component = "a".repeat(1 << 20),
        BadArgument,
        &["component: ", "at most 63 are allowed"],
    ),
    (
        "an unknown version to go to",
        |r| target(r).version = "9.9.9".to_owned(),
        NotFound,
        &["trivial 9.9.9 is not published", "published are 1.1.0"],
    ),
    (
        "what runs already",
        |r| target(r).version = FIRST.to_owned(),
        TargetUnfit,
        &["every instance of trivial runs 1.0.0 already"],
    ),
    (
        "an older version",
        |r| target(r).version = "0.9.0".to_owned(),
        Downgrade,
        &["newer than 0.9.0", "allow the downgrade of trivial by name"],
    ),
    (
        "no target",
        |r| r.targets.clear(),
        BadArgument,
        &["no target is given"],
    ),
    (
        "one component twice",
        |r| r.targets.push(up(COMPONENT, "1.2.0")),
        BadArgument,
        &["trivial is named more than once"],
    ),
    (
        "more targets than there can be components",
        |r| r.targets = (0..257).map(|n| up(&format!("c-{n}"), NEXT)).collect(),
        BadArgument,
        &["targets: ", "256"],
    ),
    (
        "a version that is none",
        |r| target(r).version = "newest".to_owned(),
        BadArgument,
        &["version: ", "\"newest\" is not a version like 1.2.3"],
    ),
    (
        "no version",
        |r| target(r).version.clear(),
        BadArgument,
        &["version: ", "is not a version like 1.2.3"],
    ),
    (
        "no request id",
        |r| r.request_id.clear(),
        BadArgument,
        &["request_id: ", "is not a UUID", "make a new one"],
    ),
    (
        "a request id that is none",
        |r| r.request_id = "again".to_owned(),
        BadArgument,
        &["request_id: \"again\" is not a UUID"],
    ),
    (
        "nothing may ever be down",
        |r| policy(r).max_unavailable = Some(0),
        BadArgument,
        &["max_unavailable is 0", "the least is 1"],
    ),
    (
        "all copies may be down",
        |r| policy(r).max_unavailable = Some(2),
        BadArgument,
        &["all 2 instances be down at once", "the most is 1"],
    ),
    (
        "four thousand million may be down",
        |r| policy(r).max_unavailable = Some(u32::MAX),
        BadArgument,
        &["all 2 instances be down at once", "the most is 1"],
    ),
    (
        "domains that nobody has",
        |r| policy(r).failure_domain = Some("continent".to_owned()),
        NotAllowedNow,
        &[
            "the label \"continent\"",
            "missing on n1/store and n2/store",
        ],
    ),
    (
        "a domain of a kilobyte",
        |r| policy(r).failure_domain = Some("d".repeat(1024)),
        BadArgument,
        &["the failure domain is no label: ", "at most 63 are allowed"],
    ),
    (
        "a soak as long as the deadline",
        |r| policy(r).soak = duration(30, 0),
        BadArgument,
        &["the soak (30s)", "shorter than the instance deadline (30s)"],
    ),
    (
        "a deadline as long as the progress deadline",
        |r| policy(r).instance_deadline = duration(60, 0),
        BadArgument,
        &["the instance deadline (60s)", "shorter than the progress"],
    ),
    (
        "a deadline of no time",
        |r| policy(r).instance_deadline = duration(0, 0),
        BadArgument,
        &["shorter than the instance deadline (0ns)"],
    ),
    (
        "a negative soak",
        |r| policy(r).soak = duration(-1, 0),
        BadArgument,
        &["policy.soak: ", "negative"],
    ),
    (
        "a soak of too many nanoseconds",
        |r| policy(r).soak = duration(0, i32::MIN),
        BadArgument,
        &["policy.soak: ", "negative or no duration"],
    ),
    (
        "a soak of longer than the world stands",
        |r| policy(r).soak = duration(i64::MAX, 999_999_999),
        BadArgument,
        &["the soak (", "longer than the 2592000s allowed"],
    ),
    (
        "a deadline of a year",
        |r| policy(r).instance_deadline = duration(31_536_000, 0),
        BadArgument,
        &[
            "the instance deadline (31536000s)",
            "longer than the 2592000s allowed",
        ],
    ),
    (
        "a progress deadline of a year",
        |r| policy(r).progress_deadline = duration(31_536_000, 0),
        BadArgument,
        &[
            "the progress deadline (31536000s)",
            "longer than the 2592000s allowed",
        ],
    ),
    (
        "nothing at all",
        |r| *r = CreatePlanRequest::default(),
        BadArgument,
        &["request_id: ", "is not a UUID"],
    ),
];

#[tokio::test]
async fn drafts_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    for (what, spoil, code, words) in DRAFTS {
        let mut request = good();
        spoil(&mut request);
        let answer = place.api.plans().create_plan(request).await;
        refused(what, answer, code, words)?;
    }
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn things_that_are_not_there_and_names_that_are_none_are_refused() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let api = place.api.clone();
    let draft = api
        .create_plan(&[up(COMPONENT, NEXT)], quick_policy())
        .await?;
    let before = place.listing().await?;
    unknown_things(&api).await?;
    unknown_pages(&api, &draft.name).await?;
    unknown_plans(&api, &draft.name).await?;
    place.is_as_it_was(&before).await
}

async fn unknown_things(api: &Api) -> anyhow::Result<()> {
    let node = |name: &str| GetNodeRequest {
        name: name.to_owned(),
    };
    let answer = api.fleet().get_node(node("n9")).await;
    refused(
        "node",
        answer,
        NotFound,
        &["there is no node n9", "ever reported"],
    )?;
    let answer = api.fleet().get_node(node("N 9")).await;
    refused("node", answer, BadArgument, &["name: ", "\"N 9\""])?;
    let instance = |name: &str| GetInstanceRequest {
        name: name.to_owned(),
    };
    let answer = api.fleet().get_instance(instance("n1/none")).await;
    refused(
        "instance",
        answer,
        NotFound,
        &["there is no instance n1/none"],
    )?;
    let answer = api.fleet().get_instance(instance("n1")).await;
    refused(
        "instance",
        answer,
        BadArgument,
        &["name: ", "<node>/<instance>"],
    )?;
    let release = |version: &str| GetReleaseRequest {
        component: COMPONENT.to_owned(),
        version: version.to_owned(),
    };
    let answer = api.releases().get_release(release("2.0.0")).await;
    refused(
        "release",
        answer,
        NotFound,
        &["trivial 2.0.0 is not published"],
    )?;
    let answer = api.releases().get_release(release("2")).await;
    refused("release", answer, BadArgument, &["version: ", "like 1.2.3"])?;
    let instances = ListInstancesRequest {
        component: "A B".to_owned(),
        ..Default::default()
    };
    let answer = api.fleet().list_instances(instances).await;
    refused("filter", answer, BadArgument, &["component: ", "\"A B\""])
}

async fn unknown_pages(api: &Api, plan: &str) -> anyhow::Result<()> {
    let words = &["page_token: is not one that a page before ended with"];
    let page_token = "!".to_owned();
    let request = ListNodesRequest {
        page_token: page_token.clone(),
        ..Default::default()
    };
    let answer = api.fleet().list_nodes(request).await;
    refused("nodes", answer, BadArgument, words)?;
    let request = ListInstancesRequest {
        page_token: page_token.clone(),
        ..Default::default()
    };
    let answer = api.fleet().list_instances(request).await;
    refused("instances", answer, BadArgument, words)?;
    let request = ListReleasesRequest {
        page_token: page_token.clone(),
        ..Default::default()
    };
    let answer = api.releases().list_releases(request).await;
    refused("releases", answer, BadArgument, words)?;
    let request = ListPlansRequest {
        page_token: page_token.clone(),
        ..Default::default()
    };
    let answer = api.plans().list_plans(request).await;
    refused("plans", answer, BadArgument, words)?;
    let request = ListTasksRequest {
        plan: plan.to_owned(),
        page_token,
        ..Default::default()
    };
    let answer = api.plans().list_tasks(request).await;
    refused("tasks", answer, BadArgument, words)?;
    let after_revision = u64::MAX;
    let answer = api
        .fleet()
        .watch_fleet(WatchFleetRequest { after_revision })
        .await;
    let words = &["after_revision: ", "is not reached yet, the state is at "];
    refused("fleet", answer.map(|_| ()), RevisionAhead, words)?;
    let request = WatchPlanRequest {
        name: plan.to_owned(),
        after_revision,
    };
    let answer = api.plans().watch_plan(request).await;
    refused("plan", answer.map(|_| ()), RevisionAhead, words)
}

async fn unknown_plans(api: &Api, draft: &str) -> anyhow::Result<()> {
    let plans = [
        ("plan-99", NotFound, "plan-99"),
        ("upgrade", BadArgument, "plans are called plan-1, plan-2"),
        ("", BadArgument, "plans are called plan-1, plan-2"),
        ("plan-0", BadArgument, "plans are called plan-1, plan-2"),
    ];
    for (name, code, words) in plans {
        let name = name.to_owned();
        let request_id = request_id();
        let request = GetPlanRequest { name: name.clone() };
        refused("get", api.plans().get_plan(request).await, code, &[words])?;
        let request = StartPlanRequest {
            request_id: request_id.clone(),
            name: name.clone(),
        };
        refused(
            "start",
            api.plans().start_plan(request).await,
            code,
            &[words],
        )?;
        let request = ResumePlanRequest {
            request_id: request_id.clone(),
            name: name.clone(),
        };
        refused(
            "resume",
            api.plans().resume_plan(request).await,
            code,
            &[words],
        )?;
        let request = PausePlanRequest {
            request_id: request_id.clone(),
            name: name.clone(),
            reason: String::new(),
        };
        refused(
            "pause",
            api.plans().pause_plan(request).await,
            code,
            &[words],
        )?;
        let request = AbortPlanRequest {
            request_id,
            name: name.clone(),
            reason: String::new(),
        };
        refused(
            "abort",
            api.plans().abort_plan(request).await,
            code,
            &[words],
        )?;
        let request = ExplainPlanRequest {
            name: name.clone(),
            instance: String::new(),
        };
        refused(
            "explain",
            api.plans().explain_plan(request).await,
            code,
            &[words],
        )?;
        let request = WatchPlanRequest {
            name,
            after_revision: 0,
        };
        refused(
            "watch",
            api.plans().watch_plan(request).await,
            code,
            &[words],
        )?;
    }
    let request = ExplainPlanRequest {
        name: draft.to_owned(),
        instance: "n9/store".to_owned(),
    };
    let answer = api.plans().explain_plan(request).await;
    refused(
        "no task",
        answer,
        NotFound,
        &["has no task for an instance n9/store"],
    )?;
    let request = ResumePlanRequest {
        request_id: request_id(),
        name: draft.to_owned(),
    };
    let answer = api.plans().resume_plan(request).await;
    let words = &["plan-1 is a draft", "only a paused plan can be resumed"];
    refused("resume of a draft", answer, NotAllowedNow, words)?;
    let request = PausePlanRequest {
        request_id: request_id(),
        name: draft.to_owned(),
        reason: String::new(),
    };
    let answer = api.plans().pause_plan(request).await;
    let words = &["plan-1 is a draft", "only a running plan can be paused"];
    refused("pause of a draft", answer, NotAllowedNow, words)?;
    let request = AbortPlanRequest {
        request_id: request_id(),
        name: draft.to_owned(),
        reason: "r".repeat(501),
    };
    let answer = api.plans().abort_plan(request).await;
    let words = &["reason: is longer than 500 characters"];
    refused("a long reason", answer, BadArgument, words)
}

#[tokio::test]
async fn a_request_id_stands_for_one_call_of_one_caller() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let first = good();
    let created = place.api.plans().create_plan(first.clone()).await?;
    let before = place.listing().await?;
    // The same again is the same answer.
    let again = place.api.plans().create_plan(first.clone()).await?;
    assert_eq!(again.into_inner(), created.into_inner());
    let words = &[first.request_id.as_str(), "another call", "plan-1"];
    let other = CreatePlanRequest {
        policy: Some(PlanPolicy {
            canary: Some(0),
            ..quick_policy()
        }),
        ..first.clone()
    };
    let answer = place.api.plans().create_plan(other).await;
    refused("another policy", answer, RequestIdReused, words)?;
    let start = StartPlanRequest {
        request_id: first.request_id.clone(),
        name: "plan-1".to_owned(),
    };
    let answer = place.api.plans().start_plan(start).await;
    refused("another method", answer, RequestIdReused, words)?;
    place.is_as_it_was(&before).await?;

    // Somebody else knows nothing of it.
    let operator = Mint::of(&place.fleet)?.issue("operator/ada/operator")?;
    let other = Api::connect(place.fleet.address(), &operator)?;
    let created = other.plans().create_plan(first).await?.into_inner();
    assert_eq!(
        created.plan.map(|plan| plan.name),
        Some("plan-2".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn one_plan_at_a_time_touches_an_instance_and_only_in_the_fleet_it_was_made_for()
-> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let api = place.api.clone();
    let slow = PlanPolicy {
        soak: duration(20, 0),
        ..quick_policy()
    };
    let one = api.create_plan(&[up(COMPONENT, NEXT)], slow).await?;
    let two = api
        .create_plan(&[up(COMPONENT, NEXT)], quick_policy())
        .await?;
    let three = api
        .create_plan(&[up(COMPONENT, NEXT)], quick_policy())
        .await?;
    let start = |name: &str| StartPlanRequest {
        request_id: request_id(),
        name: name.to_owned(),
    };
    // Paused at once, so that nothing moves.
    api.start_plan(&one.name).await?;
    let pause = PausePlanRequest {
        request_id: request_id(),
        name: one.name.clone(),
        reason: "let us look".to_owned(),
    };
    api.plans().pause_plan(pause).await?;
    let within = std::time::Duration::from_secs(60);
    let before = Listing::at_rest(&api).await?;
    let answer = api.plans().start_plan(start(&two.name)).await;
    let words = &[
        "plan-1 is under way and has a task for n1/store",
        "one plan at a time",
    ];
    refused("two plans", answer, PlanConflict, words)?;
    let answer = api.plans().start_plan(start(&one.name)).await;
    let words = &["plan-1 is paused", "only a draft can be started"];
    refused("a second start", answer, NotAllowedNow, words)?;
    place.is_as_it_was(&before).await?;

    api.abort_plan(&one.name, "not this one").await?;
    api.wait_for_plan(&one.name, PlanState::Aborted, within)
        .await?;
    api.start_plan(&two.name).await?;
    api.wait_for_plan(&two.name, PlanState::Finalized, within)
        .await?;
    let before = Listing::at_rest(&api).await?;
    let answer = api.plans().start_plan(start(&three.name)).await;
    let words = &[
        "not the one that plan-3 was computed for",
        "n1/store runs 1.1.0, not 1.0.0",
        "n2/store runs 1.1.0, not 1.0.0",
        "create a new plan",
    ];
    refused("another fleet", answer, FleetChanged, words)?;
    let answer = api.plans().create_plan(good()).await;
    let words = &["every instance of trivial runs 1.1.0 already"];
    refused("nothing to do", answer, TargetUnfit, words)?;
    let abort = AbortPlanRequest {
        request_id: request_id(),
        name: two.name.clone(),
        reason: String::new(),
    };
    let answer = api.plans().abort_plan(abort).await;
    let words = &["plan-2 is finalized", "it has ended"];
    refused("an abort too late", answer, NotAllowedNow, words)?;
    place.is_as_it_was(&before).await
}
