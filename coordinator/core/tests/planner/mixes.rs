//! Every mix of versions that a path can make, listed: instance by instance, forwards, half way, and back.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_coordinator_core::planner::{Answer, Mix, Passage, check};
use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::setting::Setting;

type Present = BTreeMap<ComponentName, BTreeMap<Version, u64>>;

/// Panics if two versions can meet that may not run side by side, or a stage moves other instances than it says.
pub(crate) fn walk(setting: &Setting, answer: &Answer) {
    let mut present = setting.fleet.clone();
    for versions in present.values_mut() {
        versions.retain(|_, instances| *instances > 0);
    }
    assert_compatible(setting, &present);
    for step in &answer.steps {
        let there = present[&step.component].get(&step.from).copied();
        assert_eq!(there, Some(step.instances), "{step}");
        // One after the other; half way back is one of these, too.
        for _ in 0..step.instances {
            let versions = present.get_mut(&step.component).unwrap();
            *versions.get_mut(&step.from).unwrap() -= 1;
            *versions.entry(step.to.clone()).or_default() += 1;
            assert_compatible(setting, &present);
        }
        present
            .get_mut(&step.component)
            .unwrap()
            .retain(|_, instances| *instances > 0);
    }
    for target in &setting.targets {
        let there: Vec<_> = present[&target.component].keys().collect();
        assert_eq!(there, [&target.version], "{answer}");
    }
}

fn assert_compatible(setting: &Setting, present: &Present) {
    let matrix = &setting.matrix;
    let ours = present.iter().flat_map(|(component, versions)| {
        let there = versions.iter().filter(|(_, instances)| **instances > 0);
        there.map(move |(version, _)| (component, version, true))
    });
    let theirs = setting.reported.iter().flat_map(|(component, versions)| {
        versions
            .keys()
            .map(move |version| (component, version, false))
    });
    let all: Vec<_> = ours.chain(theirs).collect();
    for a in &all {
        for b in &all {
            let two = (a.0, a.1) != (b.0, b.1);
            if two && (a.2 || b.2) && matrix.constrain(a.0, b.0) {
                let beside = matrix.beside((a.0, a.1), (b.0, b.1));
                assert!(beside.is_ok(), "{} {} meets {} {}", a.0, a.1, b.0, b.1);
            }
        }
    }
}

/// What the second opinion says of the stages of an answer.
pub(crate) fn faults(setting: &Setting, answer: &Answer) -> Vec<String> {
    let fleet = setting.fleet.iter().map(|(component, versions)| {
        let there = versions.iter().filter(|(_, instances)| **instances > 0);
        let there: BTreeSet<_> = there.map(|(version, _)| version.clone()).collect();
        (component.clone(), there)
    });
    let stages = answer.steps.iter().map(|step| Passage {
        component: &step.component,
        from: &step.from,
        to: &step.to,
    });
    let mix = Mix {
        fleet: &fleet.collect(),
        reported: &setting.reported,
    };
    let faults = check(&setting.matrix, &mix, &stages.collect::<Vec<_>>());
    faults.iter().map(ToString::to_string).collect()
}
