//! What is too large to be worked out exactly still gets an answer, in bounded time.

use evenkeel_compat::Level::{Backward, Full};
use evenkeel_coordinator_core::planner::{Reason, Remedy};

use crate::{
    changes, mixes,
    setting::{Setting, name},
};

const MINORS: usize = 24;

/// Three components in lock step through many minors. No rule leads from the minors in `gaps` to the next.
fn lock_step(gaps: &[usize]) -> Setting {
    let names = ["alpha", "beta", "gamma"];
    let minors: Vec<String> = (0..MINORS).map(|minor| format!("1.{minor}.0")).collect();
    let mut setting = Setting::default();
    for (at, component) in names.iter().enumerate() {
        setting = setting.runs(component, &[("1.0.0", 2)]);
        let all: Vec<&str> = minors.iter().map(String::as_str).collect();
        setting = setting.publishes(component, &all);
        setting = setting.to(component, &minors[MINORS - 1]);
        if at > 0 {
            setting = setting.after(component, names[at - 1]);
        }
    }
    for (minor, pair) in minors.windows(2).enumerate() {
        let (from, to) = (&pair[0], &pair[1]);
        for component in names {
            if !gaps.contains(&minor) {
                setting = setting.own(component, from, to, Backward);
            }
        }
        for (one, other) in [("alpha", "beta"), ("beta", "gamma")] {
            setting = setting.pair((one, from), (other, from), Full);
            setting = setting.pair((one, from), (other, to), Full);
            setting = setting.pair((one, to), (other, from), Full);
        }
    }
    let last = &minors[MINORS - 1];
    for (one, other) in [("alpha", "beta"), ("beta", "gamma")] {
        setting = setting.pair((one, last), (other, last), Full);
    }
    setting
}

#[test]
fn components_in_lock_step_are_interleaved_all_the_way() {
    let setting = lock_step(&[]);
    let answer = setting.find().unwrap();
    assert_eq!(answer.steps.len(), 3 * (MINORS - 1));
    mixes::walk(&setting, &answer);
}

#[test]
fn what_is_missing_in_two_places_of_a_long_way_is_found_and_nothing_that_is_not_needed() {
    let setting = lock_step(&[8, 15]);
    let refusal = setting.find().unwrap_err();
    assert!(matches!(refusal.reason, Reason::NoWay(_)), "{refusal}");
    assert!(!refusal.remedies.is_empty(), "{refusal}");
    assert!(refusal.remedies.len() <= 6, "{refusal}");
    let opens = |remedies: &[Remedy]| changes::with(&setting, remedies).unwrap().find().is_ok();
    assert!(opens(&refusal.remedies), "{refusal}");
    for left_out in 0..refusal.remedies.len() {
        let mut fewer = refusal.remedies.clone();
        fewer.remove(left_out);
        assert!(
            !opens(&fewer),
            "{} can be left out",
            refusal.remedies[left_out]
        );
    }
    for far in &refusal.furthest {
        assert_eq!(far.version, Some("1.8.0".parse().unwrap()), "{refusal}");
    }
}

#[test]
fn two_that_cannot_pass_each_other_are_found_among_ten() {
    // Ten components with versions to choose from, of which two may only go together.
    let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    let mut setting = Setting::default();
    for component in &names {
        setting = setting.runs(component, &[("1.0.0", 1)]);
        setting = setting.publishes(component, &["1.1.0", "1.2.0", "1.3.0", "2.0.0"]);
        setting = setting.own(component, "1.*", "1.*", Full);
        setting = setting.own(component, "1.3.0", "2.0.0", Full);
        setting = setting.to(component, "2.0.0");
    }
    for (at, one) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            setting = setting.pair((one, "1.*"), (other, "1.*"), Full);
            setting = setting.pair((one, "2.*"), (other, "2.*"), Full);
            if (at, other.as_str()) != (3, "c7") {
                setting = setting.pair((one, "2.*"), (other, "1.*"), Full);
                setting = setting.pair((one, "1.*"), (other, "2.*"), Full);
            }
        }
    }
    let refusal = setting.find().unwrap_err();
    let Reason::NoOrder(named) = &refusal.reason else {
        panic!("{refusal}");
    };
    let named: Vec<_> = named
        .iter()
        .map(|(component, _)| component.clone())
        .collect();
    assert_eq!(named, [name("c3"), name("c7")]);
    assert_eq!(refusal.remedies.len(), 1, "{refusal}");
    assert!(
        changes::with(&setting, &refusal.remedies)
            .unwrap()
            .find()
            .is_ok()
    );
}

#[test]
fn of_a_long_chain_the_link_that_is_missing_is_named_and_no_leap_over_it() {
    let versions: Vec<String> = (0..200).map(|minor| format!("1.{minor}.0")).collect();
    let all: Vec<&str> = versions.iter().map(String::as_str).collect();
    let mut setting = Setting::default().runs("data-service", &[("1.0.0", 1)]);
    setting = setting.publishes("data-service", &all);
    for (minor, pair) in all.windows(2).enumerate() {
        if minor != 120 {
            setting = setting.own("data-service", pair[0], pair[1], Full);
        }
    }
    let refusal = setting.to("data-service", "1.199.0").find().unwrap_err();
    let remedies: Vec<_> = refusal.remedies.iter().map(ToString::to_string).collect();
    assert_eq!(
        remedies,
        ["add a rule that relates 1.120.0 and 1.121.0 for data-service"]
    );
}
