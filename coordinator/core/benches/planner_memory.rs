//! How much memory planning for the largest fleets takes, at its peak.
//!
//! `cargo bench -p evenkeel-coordinator-core --bench planner_memory`. The whole process is measured, matrix and fleet
//! included; 100 MiB are allowed, and more is an error.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures itself and says so"
)]

#[path = "fleets/mod.rs"]
mod fleets;

use evenkeel_coordinator_core::planner::find;

const PEAK_KIB_MAX: u64 = 100 << 10;

/// The most memory that this process has held so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let digits = line.unwrap().split_whitespace().nth(1);
    digits.unwrap().parse().unwrap()
}

fn plan(what: &str, fleet: &fleets::Fleet) {
    let before = peak_kib();
    let answer = find(&fleet.request()).unwrap();
    let after = peak_kib();
    println!(
        "{what}: {} stages, {} restarts; peak {after} KiB, {before} KiB before the planner began",
        answer.steps.len(),
        answer.cost.restarts
    );
    assert!(after <= PEAK_KIB_MAX, "more than {PEAK_KIB_MAX} KiB");
}

fn main() {
    plan("a chain of 2,000 versions", &fleets::chain(2_000, true));
    plan(
        "6 components x 200 versions x 20,000 rules",
        &fleets::large(20_000, true),
    );
}
