//! Requests that make no sense, and what is said to them; and what the second opinion finds.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::Level::{Full, None};
use evenkeel_coordinator_core::planner::{
    BadRequest, Fault, Mix, Passage, RUNNING_VERSIONS_MAX, Reason, VERSIONS_MAX, check,
};

use crate::setting::{Setting, name, version};

fn small() -> Setting {
    Setting::default()
        .runs("data-service", &[("1.0.0", 2)])
        .external("client-sdk")
        .reports("web-gateway", "client-sdk", &["1.0.0"])
        .publishes("data-service", &["1.1.0"])
        .own("data-service", "1.*", "1.*", Full)
}

fn said(setting: &Setting) -> String {
    let refusal = setting.find().unwrap_err();
    assert!(matches!(refusal.reason, Reason::BadRequest(_)), "{refusal}");
    refusal.to_string()
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_what_to_do_instead() {
    let cases = [
        (
            small(),
            "no target is given; name at least one component and the version to bring it to",
        ),
        (
            small()
                .to("data-service", "1.1.0")
                .to("data-service", "1.1.0"),
            "data-service is named more than once; give it one target",
        ),
        (
            small().to("metadata-service", "1.1.0"),
            "there is no instance of a component metadata-service; known are data-service",
        ),
        (
            small().to("client-sdk", "1.1.0"),
            "client-sdk is external: its versions are reported, and nothing of ours changes them; leave it out of the targets",
        ),
        (
            small().to("data-service", "1.0.0"),
            "every instance of data-service runs 1.0.0 already; there is nothing to do",
        ),
        (
            small().to("data-service", "0.9.0"),
            "2 instances of data-service run 1.0.0, which is newer than 0.9.0; to go back on purpose, allow the downgrade of data-service by name",
        ),
    ];
    for (setting, sentence) in cases {
        assert_eq!(said(&setting), sentence);
    }
    let nobody = Setting::default().to("data-service", "1.0.0");
    assert_eq!(
        said(&nobody),
        "there is no instance of a component data-service; no agent has reported any instance yet"
    );
}

#[test]
fn too_many_versions_are_told_of_and_not_looked_at() {
    let running: Vec<String> = (0..=RUNNING_VERSIONS_MAX)
        .map(|n| format!("1.0.{n}"))
        .collect();
    let running: Vec<(&str, u64)> = running.iter().map(|text| (text.as_str(), 1)).collect();
    let mixed = Setting::default().runs("data-service", &running);
    let mixed = mixed.to("data-service", "2.0.0").find().unwrap_err();
    assert!(matches!(
        mixed.reason,
        Reason::BadRequest(BadRequest::TooMixed { versions, .. }) if versions == running.len()
    ));

    let mut many = small().to("data-service", "2.0.0");
    let published = many.published.get_mut(&name("data-service")).unwrap();
    published.extend((0..VERSIONS_MAX as u64).map(|patch| semver::Version::new(1, 2, patch)));
    let many = many.find().unwrap_err();
    assert!(matches!(
        many.reason,
        Reason::BadRequest(BadRequest::TooManyVersions { .. })
    ));
}

#[test]
fn those_who_are_there_already_are_left_alone() {
    let setting = small()
        .runs("metadata-service", &[("1.0.0", 1)])
        .to("metadata-service", "1.0.0")
        .to("data-service", "1.1.0");
    let steps = setting.find().unwrap().steps;
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].component, name("data-service"));
}

/// What the second opinion says of stages of one component.
fn opinion(setting: &Setting, stages: &[(&str, &str, &str)]) -> Vec<Fault> {
    let fleet: BTreeMap<_, BTreeSet<_>> = setting
        .fleet
        .iter()
        .map(|(component, versions)| (component.clone(), versions.keys().cloned().collect()))
        .collect();
    let owned: Vec<_> = stages
        .iter()
        .map(|(component, from, to)| (name(component), version(from), version(to)))
        .collect();
    let stages: Vec<_> = owned
        .iter()
        .map(|(component, from, to)| Passage {
            component,
            from,
            to,
        })
        .collect();
    let mix = Mix {
        fleet: &fleet,
        reported: &setting.reported,
    };
    check(&setting.matrix, &mix, &stages)
}

fn sentences(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_second_opinion_names_what_would_meet_and_the_stage_it_would_meet_in() {
    let setting = small()
        .runs("metadata-service", &[("1.0.0", 1)])
        .publishes("data-service", &["1.2.0", "2.0.0"])
        .pair(("data-service", "*"), ("metadata-service", "*"), Full)
        .pair(
            ("data-service", "1.2.0"),
            ("metadata-service", "1.0.0"),
            None,
        )
        .pair(("data-service", "*"), ("client-sdk", "1.0.0"), Full)
        .pair(("data-service", "1.2.0"), ("client-sdk", "1.0.0"), None);
    let good = [("data-service", "1.0.0", "1.1.0")];
    assert_eq!(sentences(&opinion(&setting, &good)), Vec::<String>::new());
    let bad = [
        ("data-service", "1.0.0", "1.1.0"),
        ("data-service", "1.1.0", "1.2.0"),
        ("data-service", "1.2.0", "2.0.0"),
    ];
    let faults = opinion(&setting, &bad);
    assert_eq!(
        sentences(&faults),
        [
            "data-service 1.2.0 and metadata-service 1.0.0 would be there together: rule 3 says that they may not run side by side",
            "data-service 1.2.0 and client-sdk 1.0.0 (reported by web-gateway) would be there together: rule 5 says that they may not run side by side",
            "data-service 1.2.0 -> 2.0.0: no rule leads there",
            "data-service 1.2.0 and data-service 2.0.0 would be there together: no rule says that they may run side by side",
        ]
    );
    let stages: Vec<_> = faults.iter().map(Fault::stage).collect();
    assert_eq!(stages, [Some(1), Some(1), Some(2), Some(2)]);
}

#[test]
fn the_second_opinion_sees_what_is_at_odds_before_any_stage_and_what_nobody_has_reported() {
    let setting = small().runs("data-service", &[("3.0.0", 1)]);
    let faults = opinion(&setting, &[]);
    assert_eq!(
        faults.iter().map(Fault::stage).collect::<Vec<_>>(),
        [Option::None]
    );
    let mut setting = small().talks("data-service", "client-sdk");
    setting.reported.clear();
    let stages = [("data-service", "1.0.0", "1.1.0")];
    assert_eq!(
        sentences(&opinion(&setting, &stages)),
        ["nobody has said which versions of client-sdk are in use; report them, also if none is"]
    );
}

#[test]
fn a_stage_half_way_has_both_versions_though_only_one_is_left() {
    // Everybody has arrived, and one may have to go back.
    let setting = Setting::default()
        .runs("data-service", &[("1.1.0", 2)])
        .runs("metadata-service", &[("1.0.0", 1)])
        .own("data-service", "1.*", "1.*", Full)
        .pair(
            ("data-service", "1.1.0"),
            ("metadata-service", "1.0.0"),
            Full,
        )
        .pair(
            ("data-service", "1.0.0"),
            ("metadata-service", "1.0.0"),
            None,
        );
    let faults = opinion(&setting, &[("data-service", "1.0.0", "1.1.0")]);
    assert!(matches!(
        faults.as_slice(),
        [Fault::Meet { stage: Some(0), one, .. }] if one.1 == version("1.0.0")
    ));
}
