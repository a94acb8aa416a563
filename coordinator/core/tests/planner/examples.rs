//! Examples to read: what is asked, and the page that answers.

use evenkeel_compat::Level::{Backward, Forward, Full, None};
use evenkeel_coordinator_core::planner::{Reason, Remedy};
use insta::assert_snapshot;

use crate::{
    mixes,
    setting::{Setting, name, version},
};

/// The fleet of the worked example, before anybody says which client versions are in use.
fn example() -> Setting {
    Setting::default()
        .runs("metadata-service", &[("1.0.0", 3)])
        .runs("data-service", &[("1.1.0", 6)])
        .external("client-sdk")
        .publishes("metadata-service", &["1.1.0", "1.2.0", "2.0.0", "2.1.0"])
        .publishes("data-service", &["1.2.0", "2.0.0", "2.1.0"])
        .after("data-service", "metadata-service")
        .all("1.0.0", "1.1.0", Full)
        .all("1.1.0", "1.2.0", Full)
        .all("1.0.0", "1.2.0", Backward)
        .all("2.0.0", "2.1.0", Full)
        .to("metadata-service", "2.0.0")
        .to("data-service", "2.0.0")
}

fn path(setting: &Setting) -> String {
    let answer = setting.find().unwrap();
    mixes::walk(setting, &answer);
    assert_eq!(mixes::faults(setting, &answer), Vec::<String>::new());
    answer.to_string()
}

fn refusal(setting: &Setting) -> String {
    setting.find().unwrap_err().to_string()
}

#[test]
fn the_worked_example_is_refused_without_the_bridge_and_names_it() {
    let setting = example().reports("web-gateway", "client-sdk", &["1.0.0"]);
    let refusal = setting.find().unwrap_err();
    let bridge = refusal.remedies.iter().any(|remedy| {
        matches!(remedy, Remedy::AddRule { from, to, .. }
            if (from, to) == (&version("1.2.0"), &version("2.0.0")))
    });
    assert!(bridge && refusal.smallest);
    let furthest: Vec<_> = refusal.furthest.iter().map(ToString::to_string).collect();
    assert_eq!(furthest, ["data-service 1.2.0", "metadata-service 1.2.0"]);
    assert_snapshot!(refusal);
}

#[test]
fn with_the_bridge_the_client_that_is_too_old_blocks_the_stage_it_has_to() {
    let setting =
        example()
            .all("1.2.0", "2.0.0", Backward)
            .reports("web-gateway", "client-sdk", &["1.0.0"]);
    let refusal = setting.find().unwrap_err();
    assert!(matches!(
        refusal.remedies.as_slice(),
        [Remedy::MoveUsers { component, version, .. }]
            if *component == name("client-sdk") && *version == self::version("1.0.0")
    ));
    assert_snapshot!(refusal);
}

#[test]
fn with_the_bridge_and_a_client_that_is_new_enough_the_path_goes_through_1_2_0() {
    let setting =
        example()
            .all("1.2.0", "2.0.0", Backward)
            .reports("web-gateway", "client-sdk", &["1.2.0"]);
    assert_snapshot!(path(&setting));
}

#[test]
fn what_nobody_has_reported_is_not_nothing() {
    assert_snapshot!(refusal(&example()));
    let none = example().reports("web-gateway", "client-sdk", &[]);
    let none = none.all("1.2.0", "2.0.0", Backward);
    assert!(none.find().is_ok());
}

#[test]
fn components_are_interleaved_where_neither_can_go_all_the_way_first() {
    let setting = Setting::default()
        .runs("metadata-service", &[("1.0.0", 3)])
        .runs("data-service", &[("1.0.0", 9)])
        .publishes("metadata-service", &["2.0.0", "3.0.0"])
        .publishes("data-service", &["2.0.0", "3.0.0"])
        .after("data-service", "metadata-service")
        .own("metadata-service", "*", "*", Full)
        .own("data-service", "*", "*", Full)
        .pair(("metadata-service", "1.*"), ("data-service", "1.*"), Full)
        .pair(("metadata-service", "2.*"), ("data-service", "1.*"), Full)
        .pair(("metadata-service", "2.*"), ("data-service", "3.*"), Full)
        .pair(("metadata-service", "3.*"), ("data-service", "3.*"), Full)
        .to("metadata-service", "3.0.0")
        .to("data-service", "3.0.0");
    assert_snapshot!(path(&setting));
}

#[test]
fn a_fleet_that_is_mixed_is_a_start_like_any_other() {
    let setting = Setting::default()
        .runs("data-service", &[("1.0.0", 2), ("1.1.0", 3), ("2.0.0", 1)])
        .own("data-service", "1.0.0", "1.1.0", Full)
        .own("data-service", "1.0.0", "2.0.0", Forward)
        .own("data-service", "1.1.0", "2.0.0", Backward)
        .noted("clears its caches at the first start")
        .to("data-service", "2.0.0");
    assert_snapshot!(path(&setting));
}

#[test]
fn a_forward_hop_is_a_rebuild_and_taken_only_where_it_saves_restarts() {
    let straight = Setting::default()
        .runs("data-service", &[("1.0.0", 5)])
        .publishes("data-service", &["2.0.0"])
        .own("data-service", "1.0.0", "2.0.0", Forward)
        .to("data-service", "2.0.0");
    assert_snapshot!(path(&straight));
}

#[test]
fn going_back_is_planned_when_it_is_asked_for() {
    let down = Setting::default()
        .runs("data-service", &[("1.2.0", 4)])
        .publishes("data-service", &["1.0.0", "1.1.0"])
        .own("data-service", "1.0.0", "1.1.0", Forward)
        .own("data-service", "1.1.0", "1.2.0", Full)
        .own("data-service", "1.0.0", "1.2.0", Backward);
    let not_asked_for = down.clone().to("data-service", "1.0.0");
    assert_snapshot!(
        "going_back_is_refused_unless_asked_for",
        refusal(&not_asked_for)
    );
    assert_snapshot!(path(&down.back_to("data-service", "1.0.0")));
}

#[test]
fn a_format_that_takes_hold_by_itself_leaves_no_way_back() {
    let setting = Setting::default()
        .runs("etcd", &[("3.4.23", 3)])
        .publishes("etcd", &["3.5.0", "3.5.1"])
        .finalizes_itself("etcd")
        .own("etcd", "3.4.*", "3.5.*", Backward)
        .own("etcd", "3.5.*", "3.5.*", Full)
        .to("etcd", "3.5.1");
    assert_snapshot!(path(&setting));
}

#[test]
fn a_bridge_that_is_not_published_is_to_be_published_first() {
    let setting = Setting::default()
        .runs("data-service", &[("1.1.0", 4)])
        .publishes("data-service", &["2.0.0"])
        .own("data-service", "1.1.0", "1.2.0", Full)
        .own("data-service", "1.2.0", "2.0.0", Backward)
        .to("data-service", "2.0.0");
    let refusal = setting.find().unwrap_err();
    assert_eq!(
        refusal.publish_first,
        [(name("data-service"), version("1.2.0"))]
    );
    assert_snapshot!(refusal);
}

#[test]
fn a_target_that_is_not_published_is_to_be_published_first() {
    let setting = Setting::default()
        .runs("data-service", &[("1.1.0", 4)])
        .publishes("data-service", &["1.2.0"])
        .own("data-service", "1.*", "1.*", Full)
        .to("data-service", "1.3.0");
    assert_snapshot!(refusal(&setting));
}

#[test]
fn a_blocked_hop_is_gone_round_and_the_reason_told() {
    let setting = Setting::default()
        .runs("data-service", &[("1.0.0", 4)])
        .publishes("data-service", &["1.1.0", "1.2.0", "1.3.0"])
        .own("data-service", "1.*", "1.*", Full)
        .blocks("data-service", "1.0.0", "1.3.0", "loses writes under load")
        .to("data-service", "1.3.0");
    assert_snapshot!(path(&setting));
}

#[test]
fn a_blocked_hop_without_a_way_round_would_have_to_be_unblocked() {
    let setting = Setting::default()
        .runs("data-service", &[("1.0.0", 4)])
        .publishes("data-service", &["1.1.0", "1.2.0"])
        .own("data-service", "1.*", "1.*", Full)
        .own("data-service", "1.1.0", "1.2.0", None)
        .blocks("data-service", "1.0.0", "1.2.0", "loses writes under load")
        .to("data-service", "1.2.0");
    let refusal = setting.find().unwrap_err();
    assert!(matches!(
        refusal.remedies.as_slice(),
        [Remedy::ChangeRule { number: 1, .. }]
    ));
    assert_snapshot!(refusal);
}

#[test]
fn versions_that_are_at_odds_already_are_named() {
    let setting = Setting::default()
        .runs("metadata-service", &[("1.0.0", 3)])
        .runs("data-service", &[("1.0.0", 5), ("3.0.0", 1)])
        .publishes("data-service", &["2.0.0"])
        .talks("data-service", "metadata-service")
        .own("data-service", "1.*", "2.*", Full)
        .own("data-service", "2.*", "3.*", Full)
        .to("data-service", "3.0.0");
    assert_snapshot!(refusal(&setting));
}

#[test]
fn components_that_cannot_pass_each_other_are_named_together() {
    let setting = Setting::default()
        .runs("metadata-service", &[("1.0.0", 3)])
        .runs("data-service", &[("1.0.0", 5)])
        .runs("gateway", &[("1.0.0", 2)])
        .publishes("metadata-service", &["2.0.0"])
        .publishes("data-service", &["2.0.0"])
        .publishes("gateway", &["2.0.0"])
        .own("metadata-service", "*", "*", Full)
        .own("data-service", "*", "*", Full)
        .own("gateway", "*", "*", Full)
        .pair(("metadata-service", "*"), ("data-service", "*"), Full)
        .pair(
            ("metadata-service", "1.0.0"),
            ("data-service", "2.0.0"),
            None,
        )
        .pair(
            ("metadata-service", "2.0.0"),
            ("data-service", "1.0.0"),
            None,
        )
        .pair(("gateway", "*"), ("data-service", "*"), Full)
        .pair(("gateway", "1.0.0"), ("data-service", "2.0.0"), None)
        .to("metadata-service", "2.0.0")
        .to("data-service", "2.0.0")
        .to("gateway", "2.0.0");
    let refusal = setting.find().unwrap_err();
    assert!(matches!(refusal.reason, Reason::NoOrder(_)));
    assert_snapshot!(refusal);
}

#[test]
fn the_least_rebuild_and_then_the_most_reversible_path_is_taken_of_those_with_the_fewest_restarts()
{
    let two_ways = Setting::default()
        .runs("data-service", &[("1.0.0", 2)])
        .publishes("data-service", &["1.1.0", "1.2.0", "1.3.0", "2.0.0"])
        .own("data-service", "1.0.0", "1.1.0", Forward)
        .own("data-service", "1.1.0", "2.0.0", Full)
        .own("data-service", "1.0.0", "1.2.0", Backward)
        .own("data-service", "1.2.0", "2.0.0", Full)
        .own("data-service", "1.0.0", "1.3.0", Full)
        .own("data-service", "1.3.0", "2.0.0", Full)
        .to("data-service", "2.0.0");
    let through = |setting: &Setting| setting.find().unwrap().steps[0].to.to_string();
    assert_eq!(through(&two_ways), "1.3.0");
    let blocked = |setting: Setting, to| setting.blocks("data-service", "1.0.0", to, "bad");
    let two_ways = blocked(two_ways, "1.3.0");
    assert_eq!(through(&two_ways), "1.2.0");
    assert_eq!(through(&blocked(two_ways, "1.2.0")), "1.1.0");
}

#[test]
fn a_build_of_the_target_that_runs_is_not_the_target() {
    let setting = Setting::default()
        .runs("data-service", &[("2.0.0+a", 3), ("2.0.0+b", 1)])
        .to("data-service", "2.0.0+b");
    assert_snapshot!(path(&setting));
}

#[test]
fn a_pre_release_comes_before_its_release_and_no_range_reaches_it_by_chance() {
    let setting = Setting::default()
        .runs("data-service", &[("1.1.0", 3)])
        .publishes("data-service", &["1.2.0-rc.1", "1.2.0"])
        .own("data-service", ">=1.1.0, <2", ">=1.1.0, <2", Full);
    let released = setting.clone().to("data-service", "1.2.0");
    assert_eq!(released.find().unwrap().steps.len(), 1);
    assert!(
        setting
            .clone()
            .to("data-service", "1.2.0-rc.1")
            .find()
            .is_err()
    );
    let named = setting.own("data-service", "1.1.0", "1.2.0-rc.1", Full);
    assert_eq!(
        named
            .to("data-service", "1.2.0-rc.1")
            .find()
            .unwrap()
            .steps
            .len(),
        1
    );
}
