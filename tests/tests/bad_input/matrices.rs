//! Matrices and reports that make no sense, and plans where nothing is known.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use evenkeel_common::problem::ErrorCode::{BadArgument, NotAllowedNow, PermissionDenied, TooMuch};
use evenkeel_proto::v1::{
    ApplyMatrixRequest, BlockedHop, CompatibilityLevel, CompatibilityMatrix, CompatibilityRule,
    CreatePlanRequest, MatrixComponent, ReportVersionsRequest, VersionInUse,
};
use evenkeel_tests::{
    api::{Api, quick_policy, request_id, up},
    matrix, places,
    systems::trivial::COMPONENT,
};
use tonic::Code;

use crate::{
    mint::Mint,
    support::{NEXT, Place, refused},
};

/// One more than a matrix may have.
const TOO_MANY_RULES: usize = 50_001;

fn apply(matrix: CompatibilityMatrix) -> ApplyMatrixRequest {
    ApplyMatrixRequest {
        request_id: request_id(),
        matrix: Some(matrix),
        expected_version: None,
    }
}

fn rule(from: &str, to: &str, level: CompatibilityLevel) -> CompatibilityRule {
    CompatibilityRule {
        components: vec![COMPONENT.to_owned()],
        from: from.to_owned(),
        to: to.to_owned(),
        level: level.into(),
        note: String::new(),
    }
}

fn component(name: &str) -> MatrixComponent {
    MatrixComponent {
        name: name.to_owned(),
        ..Default::default()
    }
}

type Change = fn(&mut CompatibilityMatrix);

/// How a matrix is spoilt, and what is said to that.
const MATRICES: [(&str, Change, &[&str]); 12] = [
    (
        "a component that nobody declares",
        |m| m.rules[0].components = vec!["nothing".to_owned()],
        &["nothing"],
    ),
    (
        "a component that can be none",
        |m| m.components[0].name = "No Such Thing".to_owned(),
        &["No Such Thing"],
    ),
    (
        "a component twice",
        |m| m.components.push(component(COMPONENT)),
        &["trivial", "twice"],
    ),
    (
        "a rule for three",
        |m| m.rules[0].components = ["a", "b", "c"].map(str::to_owned).into(),
        &["matrix.rules[0]", "3 components"],
    ),
    (
        "a version that is none",
        |m| m.rules[0].from = "newest".to_owned(),
        &["matrix.rules[0]", "newest"],
    ),
    (
        "a bare version",
        |m| m.rules[0].to = "1.2".to_owned(),
        &["matrix.rules[0]", "1.2.*"],
    ),
    (
        "a range without anything in it",
        |m| m.rules[0].from = ">=2.0.0, <1.0.0".to_owned(),
        &["rule 1"],
    ),
    (
        "no level",
        |m| m.rules[0].level = 0,
        &["matrix.rules[0]", "level"],
    ),
    (
        "a level that there is not",
        |m| m.rules[0].level = 99,
        &["matrix.rules[0]", "level"],
    ),
    (
        "rules that contradict each other",
        |m| m.rules.push(rule("1.*", "*", CompatibilityLevel::None)),
        &["rule 1", "rule 2"],
    ),
    (
        "a blocked hop without a reason",
        |m| {
            m.blocked.push(BlockedHop {
                from: "1.0.0".to_owned(),
                to: NEXT.to_owned(),
                ..Default::default()
            });
        },
        &["blocked 1", "reason"],
    ),
    (
        "an order that goes round",
        |m| {
            m.components[0].upgrade_after = vec!["other".to_owned()];
            m.components.push(MatrixComponent {
                upgrade_after: vec![COMPONENT.to_owned()],
                ..component("other")
            });
        },
        &["upgrade_after", "trivial", "other"],
    ),
];

#[tokio::test]
async fn matrices_that_make_no_sense_change_nothing() -> anyhow::Result<()> {
    let place = Place::new().await?;
    let before = place.listing().await?;
    for (what, spoil, words) in MATRICES {
        let mut matrix = matrix::all_go_together(COMPONENT);
        spoil(&mut matrix);
        let answer = place.api.compatibility().apply_matrix(apply(matrix)).await;
        refused(what, answer, BadArgument, words)?;
    }
    let expected = ApplyMatrixRequest {
        expected_version: Some(7),
        ..apply(matrix::all_go_together("another"))
    };
    let answer = place.api.compatibility().apply_matrix(expected).await;
    let words = &["version 1", "not 7"];
    refused("another version is expected", answer, NotAllowedNow, words)?;
    // The same again is no new version.
    let same = matrix::all_go_together(COMPONENT);
    assert_eq!(place.api.apply_matrix(same).await?, 1);
    let after = place.listing().await?;
    assert_eq!((after.matrix, after.plans), (before.matrix, before.plans));
    Ok(())
}

#[tokio::test]
async fn a_matrix_of_too_many_rules_is_refused_at_once() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    let mut matrix = matrix::all_go_together(COMPONENT);
    matrix.rules = vec![rule("1.0.0", "1.1.0", CompatibilityLevel::Full); TOO_MANY_RULES];
    let begun = Instant::now();
    let answer = place
        .api
        .compatibility()
        .apply_matrix(apply(matrix.clone()))
        .await;
    let words = &["50001 rules", "50000"];
    refused("50,001 rules", answer, BadArgument, words)?;

    matrix.rules = vec![matrix.rules[0].clone(); 1_000_000];
    let answer = place.api.compatibility().apply_matrix(apply(matrix)).await;
    let status = answer.err().context("a million rules were taken")?;
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status:?}"
    );
    // Not even read from the file.
    let rule =
        "[[rules]]\ncomponent = \"trivial\"\nfrom = \"1.0.0\"\nto = \"2.0.0\"\nlevel = \"full\"\n";
    let text = rule.repeat(1_000_000);
    let file = place.fleet.folder().join("million.toml");
    fs::write(&file, text)?;
    let checked = Command::new(places::program("evenkeel")?)
        .args(["compat", "check", file.as_str()])
        .output()?;
    let printed = String::from_utf8_lossy(&checked.stderr);
    ensure!(
        !checked.status.success() && printed.contains("larger than 8 MiB"),
        "{printed}"
    );
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(20), "it took {took:?}");
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn reports_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let mut matrix = matrix::all_go_together(COMPONENT);
    matrix.components.push(MatrixComponent {
        external: true,
        ..component("client-sdk")
    });
    place.api.apply_matrix(matrix).await?;
    let before = place.listing().await?;
    let report = |component: &str, source: &str, versions: &[&str]| ReportVersionsRequest {
        request_id: request_id(),
        component: component.to_owned(),
        source: source.to_owned(),
        versions: versions
            .iter()
            .map(|version| VersionInUse {
                version: (*version).to_owned(),
                count: 1,
            })
            .collect(),
    };
    let many: Vec<String> = (0..101).map(|patch| format!("1.0.{patch}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (
            "a component of ours",
            report(COMPONENT, "gateway", &["1.0.0"]),
            BadArgument,
            ["no external component", "client-sdk"],
        ),
        (
            "an unknown component",
            report("nothing", "gateway", &["1.0.0"]),
            BadArgument,
            ["nothing is no external component", "client-sdk"],
        ),
        (
            "a source that can be none",
            report("client-sdk", "The Gateway", &["1.0.0"]),
            BadArgument,
            ["source", "The Gateway"],
        ),
        (
            "a version that is none",
            report("client-sdk", "gateway", &["1.0"]),
            BadArgument,
            ["version", "\"1.0\" is not a version like 1.2.3"],
        ),
        (
            "a version twice",
            report("client-sdk", "gateway", &["1.0.0", "1.0.0"]),
            BadArgument,
            ["1.0.0", "twice"],
        ),
        (
            "too many versions",
            report("client-sdk", "gateway", &many),
            TooMuch,
            ["101 versions", "100"],
        ),
    ];
    for (what, request, code, words) in cases {
        let answer = place.api.compatibility().report_versions(request).await;
        refused(what, answer, code, &words)?;
    }
    let viewer = Mint::of(&place.fleet)?.issue("operator/vera/viewer")?;
    let viewer = Api::connect(place.fleet.address(), &viewer)?;
    let request = report("client-sdk", "gateway", &["1.0.0"]);
    let answer = viewer.compatibility().report_versions(request).await;
    refused("a viewer reports", answer, PermissionDenied, &["vera"])?;
    let request = apply(CompatibilityMatrix::default());
    let answer = viewer.compatibility().apply_matrix(request).await;
    refused("a viewer applies", answer, PermissionDenied, &["vera"])?;
    assert_eq!(viewer.matrix().await?.version, 2);
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn where_nothing_is_known_of_versions_there_is_no_plan() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place
        .api
        .apply_matrix(CompatibilityMatrix::default())
        .await?;
    let create = CreatePlanRequest {
        request_id: request_id(),
        targets: vec![up(COMPONENT, NEXT)],
        policy: Some(quick_policy()),
        ..CreatePlanRequest::default()
    };
    let answer = place.api.plans().create_plan(create).await;
    refused("no rule", answer, NotAllowedNow, &["trivial", NEXT])?;
    let preview = place
        .api
        .preview_plan(&[up(COMPONENT, NEXT)], quick_policy())
        .await?;
    let refusal = preview.refusal.context("there is a plan")?;
    ensure!(!refusal.remedies.is_empty(), "{refusal:?}");
    Ok(())
}
