//! Every planted bug is found. What the simulation does not notice when it is broken, it does not test.
#![cfg(feature = "planted-bugs")]

use std::time::Instant;

use evenkeel_sim::{Bug, run};

/// In how many lives a bug has to be found.
const LIVES_MAX: u64 = 2_000;

#[test]
fn every_planted_bug_is_found() {
    let mut survivors = Vec::new();
    for bug in Bug::ALL.iter().copied() {
        let began = Instant::now();
        let campaign = run(0, LIVES_MAX, 1, Some(bug));
        let name = bug.name();
        match campaign.failures.first() {
            Some(failure) => {
                let wrong = failure.wrong.lines().next().unwrap_or_default();
                let (lives, took) = (campaign.lives, began.elapsed());
                eprintln!("{name}: found after {lives} lives, {took:?}: {wrong}");
            }
            None => {
                eprintln!(
                    "{name}: NOT FOUND in {LIVES_MAX} lives, {:?}",
                    began.elapsed()
                );
                survivors.push(name);
            }
        }
    }
    assert!(survivors.is_empty(), "not found: {}", survivors.join(", "));
    assert!(Bug::ALL.len() >= 25);
}
