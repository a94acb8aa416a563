//! How long it takes to find a path, or that there is none.
//!
//! `cargo bench -p evenkeel-coordinator-core --bench planner`. What is to be reached: a fleet of six components with 200
//! versions each under 20,000 rules with ranges, 10,000 instances, in 200 ms; a chain of 2,000 versions in 50 ms; and a
//! time that grows no faster with the number of rules *n* than *n* log *n*. The matrix is made beforehand, as it is in the
//! coordinator; everything else is part of what is measured.

#![allow(missing_docs, reason = "made by criterion's macros")]
#![allow(clippy::unwrap_used, reason = "benches may be blunt")]

#[path = "fleets/mod.rs"]
mod fleets;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use evenkeel_coordinator_core::planner::find;

fn large_fleet(c: &mut Criterion) {
    let fleet = fleets::large(20_000, true);
    let mut group = c.benchmark_group("planner");
    group.sample_size(20);
    group.bench_function("6 components x 200 versions x 20,000 rules", |b| {
        b.iter(|| find(black_box(&fleet.request())).unwrap());
    });
    let stuck = fleets::large(20_000, false);
    group.bench_function("the same without a path", |b| {
        b.iter(|| find(black_box(&stuck.request())).unwrap_err());
    });
    group.finish();
}

fn chain(c: &mut Criterion) {
    let chain = fleets::chain(2_000, true);
    let mut group = c.benchmark_group("planner");
    group.sample_size(20);
    group.bench_function("a chain of 2,000 versions", |b| {
        b.iter(|| find(black_box(&chain.request())).unwrap());
    });
    let stuck = fleets::chain(2_000, false);
    group.bench_function("the same without its middle", |b| {
        b.iter(|| find(black_box(&stuck.request())).unwrap_err());
    });
    group.finish();
}

fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("planner: rules");
    group.sample_size(10);
    for rules in [2_500, 5_000, 10_000, 20_000, 40_000] {
        let fleet = fleets::large(rules, true);
        group.bench_with_input(BenchmarkId::from_parameter(rules), &fleet, |b, fleet| {
            b.iter(|| find(black_box(&fleet.request())).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, large_fleet, chain, growth);
criterion_main!(benches);
