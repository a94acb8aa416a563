//! The planner against one that tries everything, on small cases at random.

use std::collections::BTreeSet;

use evenkeel_compat::Matrix;
use evenkeel_coordinator_core::planner::{Answer, NoPath, Reason, Step};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use semver::Version;

use crate::{brute::Brute, cases::settings, changes, mixes, setting::Setting};

/// The cases that every run begins with, whatever else it draws.
const SEEDS: &str = include_str!("seeds.txt");

/// How many cases are drawn from each of the seeds.
const CASES_A_SEED: u32 = 50;

/// Half of all cases, so 10,000 in all; or what `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    let asked = usual.cases != 256;
    ProptestConfig {
        cases: if asked { usual.cases } else { 5_000 },
        max_shrink_iters: 20_000,
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_planner_agrees_with_one_that_tries_everything(setting in settings(1..=2)) {
        agree(&setting);
    }

    #[test]
    fn the_planner_agrees_with_one_that_tries_everything_on_three_components(
        setting in settings(3..=3),
    ) {
        agree(&setting);
    }
}

#[test]
fn the_planner_agrees_on_the_cases_of_fixed_seeds() {
    for seed in SEEDS.lines() {
        let seed: u64 = seed.parse().unwrap();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
        for _ in 0..CASES_A_SEED {
            let setting = settings(1..=3).new_tree(&mut runner).unwrap().current();
            agree(&setting);
        }
    }
}

fn agree(setting: &Setting) {
    let found = setting.find();
    agree_turned_round(setting, &found);
    match &found {
        Ok(answer) => {
            let cheapest = Brute::new(setting).cheapest();
            assert_eq!(Some(answer.cost), cheapest, "{answer}");
            mixes::walk(setting, answer);
            assert_eq!(
                mixes::faults(setting, answer),
                Vec::<String>::new(),
                "{answer}"
            );
        }
        Err(refusal) => refused(setting, refusal),
    }
}

/// The same request has the same answer, and the order of the rules makes no difference but in their numbers.
fn agree_turned_round(setting: &Setting, found: &Result<Answer, Box<NoPath>>) {
    // There are very many of these, and what they have to say is said by the others, too.
    if let Err(refusal) = found
        && refusal.reason == Reason::AtOdds
    {
        return;
    }
    let turned = setting.with_matrix(|rules, blocked| {
        rules.reverse();
        blocked.reverse();
    });
    match (found, turned.unwrap().find()) {
        (Ok(found), Ok(turned)) => {
            assert_eq!(setting.find().as_ref(), Ok(found), "the same again");
            assert_eq!(bare(&turned.steps), bare(&found.steps));
            assert_eq!(turned.cost, found.cost);
        }
        (Err(found), Err(turned)) => {
            assert_eq!(turned.furthest, found.furthest);
            if turned.smallest && found.smallest {
                assert_eq!(turned.remedies.len(), found.remedies.len());
            }
        }
        (found, turned) => panic!("{found:?} and {turned:?}"),
    }
}

/// Steps without the number of the rule.
fn bare(steps: &[Step]) -> Vec<Step> {
    let bare = |step: &Step| Step { ..step.clone() };
    steps.iter().map(bare).collect()
}

fn refused(setting: &Setting, refusal: &NoPath) {
    match &refusal.reason {
        Reason::BadRequest(_) => return,
        Reason::Unreported(_) => {
            assert!(!Brute::new(setting).start_is_fine());
            return;
        }
        Reason::GaveUp { .. } => panic!("gave up on a small case"),
        Reason::AtOdds => assert!(!Brute::new(setting).start_is_fine()),
        Reason::NotPublished { .. } | Reason::NoWay(_) | Reason::NoOrder(_) => {
            assert!(Brute::new(setting).start_is_fine());
            furthest(setting, refusal);
        }
    }
    assert!(!Brute::new(setting).has_path(), "{refusal}");
    remedies(setting, refusal);
    publishing(setting, refusal);
}

fn furthest(setting: &Setting, refusal: &NoPath) {
    let wholly = Brute::new(setting).wholly();
    let nowhere = BTreeSet::new();
    for target in &setting.targets {
        let mut told = refusal.furthest.iter();
        let told = told.find(|far| far.component == target.component).unwrap();
        assert!(told.certain);
        let there = wholly.get(&target.component).unwrap_or(&nowhere);
        match &told.version {
            None => assert!(there.is_empty(), "{refusal}"),
            Some(version) => {
                assert!(there.contains(version), "{refusal}");
                let nearer = |other: &Version| {
                    let way = version.cmp_precedence(&target.version);
                    version.cmp_precedence(other) == way && way.is_ne()
                };
                assert!(!there.iter().any(nearer), "{refusal}");
            }
        }
    }
}

/// What the refusal names opens a path, and nothing smaller does.
fn remedies(setting: &Setting, refusal: &NoPath) {
    assert!(!refusal.remedies.is_empty(), "{refusal}");
    assert!(!refusal.obstacles.is_empty(), "{refusal}");
    // Two rules that say the same of the same versions have to be changed together.
    let Some(opens) = changes::opens(setting, &refusal.remedies) else {
        return;
    };
    assert!(opens, "{refusal}");
    // Trying every change takes a hundred searches, so it is done for some.
    let instances: u64 = setting.fleet.values().flat_map(|all| all.values()).sum();
    if refusal.smallest && refusal.remedies.len() == 2 && instances.is_multiple_of(3) {
        for one in changes::all(setting) {
            let opens = changes::opens(setting, std::slice::from_ref(&one));
            assert_ne!(opens, Some(true), "{one} is enough\n{refusal}");
        }
    }
    let count = refusal.remedies.len();
    for left_out in (0..count).filter(|_| count <= 3) {
        let mut fewer = refusal.remedies.clone();
        fewer.remove(left_out);
        let opens = changes::opens(setting, &fewer);
        assert_ne!(opens, Some(true), "one can be left out\n{refusal}");
    }
}

/// Publishing what the refusal names opens the path that it shows.
fn publishing(setting: &Setting, refusal: &NoPath) {
    if refusal.publish_first.is_empty() {
        assert!(refusal.steps.is_empty());
        return;
    }
    let mut published = setting.clone();
    for (component, version) in &refusal.publish_first {
        let versions = published.published.entry(component.clone()).or_default();
        assert!(
            versions.insert(version.clone()),
            "{component} {version} is published"
        );
    }
    assert_eq!(published.find().unwrap().steps, refusal.steps);
}

#[test]
fn a_matrix_without_rules_lets_nothing_move() {
    let setting = Setting::default().runs("alpha", &[("1.0.0", 1)]);
    let setting = setting.publishes("alpha", &["2.0.0"]).to("alpha", "2.0.0");
    assert_eq!(setting.matrix.rules(), Matrix::default().rules());
    assert!(matches!(
        setting.find().unwrap_err().reason,
        Reason::NoWay(_)
    ));
}
