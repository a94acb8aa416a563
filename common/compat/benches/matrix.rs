//! How long a matrix takes to be read and to be asked, at the sizes that it has to bear.

#![allow(clippy::unwrap_used, reason = "a bench may be blunt")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evenkeel_compat::index::Index;
use evenkeel_compat::{Component, Level, Matrix, RULES_MAX, Rule, Scope, Versions, file};
use evenkeel_words::names::ComponentName;
use semver::{Version, VersionReq};

type Universe = BTreeMap<ComponentName, BTreeSet<Version>>;

fn name(number: usize) -> ComponentName {
    format!("component-{number}").parse().unwrap()
}

/// Version `number` of a long line of them: ten patches a minor, ten minors a major.
fn version(number: usize) -> Version {
    let number = number as u64;
    Version::new(number / 100, number / 10 % 10, number % 10)
}

fn range(lo: usize, hi: usize) -> Versions {
    let text = format!(">={}, <{}", version(lo), version(hi));
    Versions::Range(VersionReq::parse(&text).unwrap())
}

fn components(count: usize) -> BTreeMap<ComponentName, Component> {
    (0..count)
        .map(|n| (name(n), Component::default()))
        .collect()
}

fn universe(components: usize, versions: usize) -> Universe {
    let all: BTreeSet<_> = (0..versions).map(version).collect();
    (0..components).map(|n| (name(n), all.clone())).collect()
}

/// Range rules that overlap and agree: within each component, between each two, and for all.
fn ranges(components: usize, versions: usize, count: usize) -> Vec<Rule> {
    let rules = (0..count).map(|n| {
        let (lo, width) = (n * 7919 % versions, 2 + n % 19);
        let (a, b) = (n % components, n / components % components);
        Rule {
            scope: match n % 3 {
                0 if a != b => Scope::Pair(name(a), name(b)),
                0 | 1 => Scope::Component(name(a)),
                _ => Scope::All,
            },
            from: range(lo, lo + width),
            to: range(lo + 1 + n % 5, lo + 6 + width + n % 11),
            level: Level::Full,
            note: None,
        }
    });
    rules.collect()
}

/// Each version full with the next, and with none else.
fn chain(versions: usize) -> Vec<Rule> {
    let rules = (1..versions).map(|n| Rule {
        scope: Scope::Component(name(0)),
        from: Versions::Exact(version(n - 1)),
        to: Versions::Exact(version(n)),
        level: Level::Full,
        note: None,
    });
    rules.collect()
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10);
    for count in [RULES_MAX / 16, RULES_MAX / 4, RULES_MAX] {
        group.throughput(Throughput::Elements(count as u64));
        let rules = ranges(6, 200, count);
        let matrix = Matrix::new(components(6), rules.clone(), vec![]).unwrap();
        let text = file::to_toml(&matrix);
        group.bench_function(BenchmarkId::new("file of ranges", count), |b| {
            b.iter(|| file::parse(black_box(&text)).unwrap());
        });
        group.bench_function(BenchmarkId::new("ranges", count), |b| {
            let parts = || (components(6), rules.clone());
            b.iter_batched(
                parts,
                |(components, rules)| Matrix::new(components, rules, vec![]).unwrap(),
                BatchSize::LargeInput,
            );
        });
    }
    let mut text = "format = 1\n".to_owned();
    for _ in 0..1_000_000 {
        let _ = write!(
            text,
            "[[rules]]\nfrom = \"1.0.0\"\nto = \"1.1.0\"\nlevel = \"full\"\n"
        );
    }
    let inline = format!("rules = [{}]", "{},".repeat(1_000_000));
    group.throughput(Throughput::Elements(1_000_000));
    group.bench_function("a million rules refused", |b| {
        b.iter(|| file::parse(black_box(&text)).unwrap_err());
    });
    group.bench_function("a million rules in a line refused", |b| {
        b.iter(|| file::parse(black_box(&inline)).unwrap_err());
    });
    group.finish();
}

fn ask(c: &mut Criterion) {
    let mut group = c.benchmark_group("ask");
    let matrix = Matrix::new(components(6), ranges(6, 200, RULES_MAX), vec![]).unwrap();
    let (a, b) = (name(0), name(1));
    let (x, y) = (version(100), version(104));
    group.bench_function("a hop among 50,000 rules", |bench| {
        bench.iter(|| matrix.hop(black_box(&a), &x, &y).is_ok());
    });
    group.bench_function("side by side among 50,000 rules", |bench| {
        bench.iter(|| matrix.beside((black_box(&a), &x), (&b, &y)).is_ok());
    });
    group.finish();
}

/// Asks an index all that it can be asked.
fn exhaust(matrix: &Matrix, universe: &Universe) -> usize {
    let index = Index::new(matrix, universe);
    let mut answers = 0;
    for component in 0..index.components().len() {
        for version in 0..index.versions().len() {
            answers += index.hops(component, version).len();
            for other in 0..index.components().len() {
                answers += index.beside(component, version, other).len();
            }
        }
    }
    answers
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    group.sample_size(10);
    for count in [5_000, 20_000, RULES_MAX] {
        let matrix = Matrix::new(components(6), ranges(6, 200, count), vec![]).unwrap();
        let universe = universe(6, 200);
        group.bench_function(
            BenchmarkId::new("made, 6 components × 200 versions", count),
            |b| {
                b.iter(|| Index::new(black_box(&matrix), &universe).versions().len());
            },
        );
        group.bench_function(
            BenchmarkId::new("all answers, 6 components × 200 versions", count),
            |b| {
                b.iter(|| exhaust(black_box(&matrix), &universe));
            },
        );
    }
    let matrix = Matrix::new(components(1), chain(2_000), vec![]).unwrap();
    let universe = universe(1, 2_000);
    group.bench_function("all answers, a chain of 2,000 versions", |b| {
        b.iter(|| exhaust(black_box(&matrix), &universe));
    });
    group.finish();
}

criterion_group!(benches, load, ask, index);
criterion_main!(benches);
