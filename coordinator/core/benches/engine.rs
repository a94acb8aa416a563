//! What one change costs the engine, in fleets of different sizes.
//!
//! `cargo bench -p evenkeel-coordinator-core --bench engine`. Five components are upgraded at once, in groups of five of
//! which one each is out; then one agent says that its order is done. What is measured is the turn that follows, until
//! the engine has nothing more to say: the task moves on, its slot is given back, and the next of its group is ordered.
//! What is to be reached: no more than 5 ms with 10,000 instances, and no more than twice the time with a hundred times
//! the instances. Beside it, in the same run, what it costs an engine that knows nothing of what changed.

#![allow(missing_docs, reason = "made by criterion's macros")]
#![allow(clippy::unwrap_used, reason = "benches may be blunt")]

#[path = "running/mod.rs"]
mod running;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use evenkeel_coordinator_core::engine::Engine;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn one_change(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine: one change");
    group.sample_size(20);
    for size in SIZES {
        let running = running::Running::of(size);
        group.bench_with_input(
            BenchmarkId::new("told of it", size),
            &running,
            |b, running| {
                b.iter_batched_ref(
                    || running.clone(),
                    |running| running.one_done(),
                    BatchSize::NumIterations(1),
                );
            },
        );
        group.bench_with_input(
            BenchmarkId::new("not told", size),
            &running,
            |b, running| {
                b.iter_batched_ref(
                    || running.clone(),
                    |running| {
                        running.engine = Engine::new(&running.state);
                        running.one_done()
                    },
                    BatchSize::NumIterations(1),
                );
            },
        );
    }
    group.finish();
}

criterion_group!(benches, one_change);
criterion_main!(benches);
