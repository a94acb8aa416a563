//! What is told of two sides, and how often that is right.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};

use super::*;

fn measure(latency_ms: u64) -> Measure {
    Measure {
        at: Timestamp(0),
        process_started_at: None,
        up: Duration::from_secs(100),
        probes: 60,
        failures: 0,
        latency_p50: Duration::from_millis(latency_ms),
        latency_p99: Duration::from_millis(2 * latency_ms),
        restarts: 0,
        metrics: [("errors".to_owned(), 1.0)].into(),
    }
}

fn sides<'a>(changed: &'a [Measure], others: &'a [Measure]) -> Sides<'a> {
    Sides {
        changed: changed.iter().collect(),
        changed_of: changed.len(),
        others: others.iter().collect(),
        others_of: others.len(),
    }
}

fn told(comparison: &Comparison, changed: &[Measure], others: &[Measure]) -> String {
    match sides(changed, others).look(comparison) {
        Look::TooLittle(why) => format!("too little: {why}"),
        Look::Good(why) => format!("good: {why}"),
        Look::Unclear(why) => format!("unclear: {why}"),
        Look::Worse(why) => format!("worse: {why}"),
    }
}

fn is_good(changed: &[Measure], others: &[Measure]) -> bool {
    told(&Comparison::default(), changed, others).starts_with("good")
}

#[test]
fn those_that_do_as_well_pass() {
    let said = told(
        &Comparison::default(),
        &[measure(11)],
        &[measure(10), measure(9)],
    );
    assert_eq!(
        said,
        "good: the 1 that were changed do as well as 2 others: latency 11ms against 10ms"
    );
}

#[test]
fn those_that_are_slower_do_not_and_the_figures_are_told() {
    let said = told(
        &Comparison::default(),
        &[measure(40)],
        &[measure(10), measure(10)],
    );
    assert_eq!(
        said,
        "worse: the 1 that were changed do worse than the others: half of their probes take up to 40ms, the others' 10ms"
    );
    let said = told(&Comparison::default(), &[measure(18)], &[measure(10)]);
    assert!(
        said.starts_with("unclear: it is not clear whether"),
        "{said}"
    );
}

#[test]
fn a_ratio_of_next_to_nothing_is_noise() {
    let quick = |us| Measure {
        latency_p50: Duration::from_micros(us),
        latency_p99: Duration::from_micros(us),
        ..measure(0)
    };
    assert!(is_good(&[quick(4_900)], &[quick(100)]));
    assert!(!is_good(&[quick(5_200)], &[quick(100)]));
}

#[test]
fn one_bad_host_of_several_speaks_neither_for_the_others_nor_against_them() {
    // Of those that were changed one is slow, and so is one that was not.
    assert!(is_good(
        &[measure(10), measure(90), measure(11)],
        &[measure(10), measure(10)]
    ));
    assert!(is_good(
        &[measure(30)],
        &[measure(10), measure(10), measure(30)]
    ));
    assert!(!is_good(
        &[measure(30)],
        &[
            measure(10),
            measure(10),
            measure(10),
            measure(10),
            measure(30)
        ]
    ));
}

#[test]
fn the_slowest_hundredth_counts_where_it_is_more_than_a_single_answer() {
    let with_tail = |probes, tail_ms| Measure {
        probes,
        latency_p99: Duration::from_millis(tail_ms),
        ..measure(10)
    };
    assert!(is_good(&[with_tail(100, 90)], &[with_tail(100, 20)]));
    let said = told(
        &Comparison::default(),
        &[with_tail(900, 90)],
        &[with_tail(900, 20)],
    );
    assert!(
        said.contains("99 of 100 of their probes take up to 90ms, the others' 20ms"),
        "{said}"
    );
    assert!(said.starts_with("worse"), "{said}");
}

#[test]
fn ends_failing_probes_and_figures_of_the_driver_count() {
    let others = [measure(10), measure(10)];
    let ended = Measure {
        restarts: 1,
        ..measure(10)
    };
    let said = told(
        &Comparison::default(),
        std::slice::from_ref(&ended),
        &others,
    );
    assert!(
        said.contains("100% of them ended by themselves, 0% of the others"),
        "{said}"
    );
    // One of many may have had bad luck; its own soak looks at it.
    let mut many = vec![measure(10); 9];
    many.push(ended);
    assert!(is_good(&many, &others));

    let failing = |failures| Measure {
        probes: 60 - failures,
        failures,
        ..measure(10)
    };
    let said = told(&Comparison::default(), &[failing(30)], &others);
    assert!(
        said.starts_with("worse") && said.contains("50% of their probes fail"),
        "{said}"
    );
    let said = told(
        &Comparison::default(),
        &[failing(5)],
        &[failing(1), failing(0)],
    );
    assert!(said.starts_with("unclear"), "{said}");
    assert!(is_good(&[failing(3)], &others));

    let comparison = Comparison {
        metrics: [("errors".to_owned(), 150)].into(),
        ..Comparison::default()
    };
    let erring = Measure {
        metrics: [("errors".to_owned(), 2.0)].into(),
        ..measure(10)
    };
    let said = told(&comparison, &[erring], &others);
    assert!(
        said.contains("errors is 2.000, the others' 1.000"),
        "{said}"
    );
    let silent = Measure {
        metrics: Default::default(),
        ..measure(10)
    };
    let said = told(&comparison, &[silent], &others);
    assert!(said.starts_with("too little"), "{said}");
}

#[test]
fn any_is_worse_than_none_and_what_is_less_than_none_is_not_compared() {
    let comparison = Comparison {
        metrics: [("errors".to_owned(), 150)].into(),
        ..Comparison::default()
    };
    let with = |errors| Measure {
        metrics: [("errors".to_owned(), errors)].into(),
        ..measure(10)
    };
    for (mine, theirs, good) in [
        (3.0, 0.0, false),
        (0.0, 0.0, true),
        (-9.0, -10.0, true),
        (-1.0, 1.0, true),
    ] {
        let said = told(&comparison, &[with(mine)], &[with(theirs)]);
        assert_eq!(said.starts_with("good"), good, "{mine} {theirs}: {said}");
    }
}

#[test]
fn nothing_is_told_of_too_few() {
    for (changed, others) in [(0, 1), (1, 0)] {
        let said = told(
            &Comparison::default(),
            &vec![measure(10); changed],
            &vec![measure(10); others],
        );
        assert!(said.starts_with("too little"), "{said}");
    }
    let measures = [measure(10), measure(10)];
    let most_are_silent = Sides {
        changed_of: 3,
        ..sides(&measures, &measures)
    };
    assert!(matches!(
        most_are_silent.look(&Comparison::default()),
        Look::TooLittle(_)
    ));
}

/// Looks at these sides, one after the other and so many seconds apart, until something is decided; when that was.
fn decided(comparison: &Comparison, looks: &[(u64, Sides<'_>)]) -> Option<(u64, Verdict, String)> {
    let mut before: Option<Compared> = None;
    for (second, sides) in looks {
        let now = Timestamp(second * 1_000);
        match follows(comparison, before.as_ref(), sides, now, false) {
            Follows::Wait => {}
            Follows::Watch(watched, sentence) => {
                before = Some(Compared {
                    stage: 0,
                    wave: 1,
                    verdict: Verdict::Watched,
                    sentence,
                    at: now,
                    watched,
                });
            }
            Follows::Decided(verdict, sentence) => return Some((*second, verdict, sentence)),
        }
    }
    None
}

/// A side that was heard of at each of these seconds, with such a latency.
fn heard(latencies: &[(u64, u64)]) -> Vec<[Measure; 1]> {
    let heard = |(second, ms): &(u64, u64)| {
        [Measure {
            at: Timestamp(second * 1_000),
            ..measure(*ms)
        }]
    };
    latencies.iter().map(heard).collect()
}

/// What is decided of one that was changed when, beside one that answers in 10 ms.
fn decided_of(comparison: &Comparison, latencies: &[(u64, u64)]) -> Option<(u64, Verdict, String)> {
    let others = [measure(10)];
    let heard = heard(latencies);
    let looks = latencies.iter().zip(&heard);
    let looks: Vec<_> = looks
        .map(|((second, _), changed)| (*second, sides(changed, &others)))
        .collect();
    decided(comparison, &looks)
}

#[test]
fn those_that_do_worse_are_watched_before_that_counts() {
    let comparison = Comparison::default();
    let slow: Vec<(u64, u64)> = (0..40).map(|turn| (turn * 10, 40)).collect();
    let (second, verdict, sentence) = decided_of(&comparison, &slow).unwrap();
    assert_eq!((second, verdict), (120, Verdict::Worse));
    assert!(
        sentence.ends_with("; in 5 of 5 looks within 120s they did worse"),
        "{sentence}"
    );

    // It was something else, and is over.
    let once: Vec<(u64, u64)> = (0..40)
        .map(|turn| (turn * 10, if turn < 3 { 40 } else { 10 }))
        .collect();
    let (second, verdict, sentence) = decided_of(&comparison, &once).unwrap();
    assert_eq!((second, verdict), (120, Verdict::AsGood));
    assert!(sentence.contains("in 1 of 5 looks"), "{sentence}");

    // Without any patience the first word counts.
    let at_once = Comparison {
        worse_for: Duration::ZERO,
        ..comparison.clone()
    };
    let (second, verdict, _) = decided_of(&at_once, &slow).unwrap();
    assert_eq!((second, verdict), (0, Verdict::Worse));
    let (second, verdict, _) = decided_of(&comparison, &[(0, 10)]).unwrap();
    assert_eq!((second, verdict), (0, Verdict::AsGood));
}

#[test]
fn the_same_figures_twice_are_one_look_and_few_looks_decide_nothing() {
    let others = [measure(10)];
    let heard = heard(&[(0, 40)]);
    let stale: Vec<_> = (0..60)
        .map(|turn| (turn * 10, sides(&heard[0], &others)))
        .collect();
    assert_eq!(decided(&Comparison::default(), &stale), None);
    // The coordinator was away in between.
    assert_eq!(
        decided_of(&Comparison::default(), &[(0, 40), (200, 40)]),
        None
    );
    let third = decided_of(&Comparison::default(), &[(0, 40), (200, 40), (230, 40)]);
    assert!(matches!(third, Some((230, Verdict::Worse, _))), "{third:?}");
}

#[test]
fn when_the_time_is_over_what_is_there_decides() {
    let others = [measure(10)];
    let over = |changed: &[Measure]| {
        let sides = sides(changed, &others);
        match follows(&Comparison::default(), None, &sides, Timestamp(0), true) {
            Follows::Decided(verdict, _) => verdict,
            Follows::Wait | Follows::Watch(..) => panic!("nothing was decided"),
        }
    };
    assert_eq!(over(&[]), Verdict::TooLittle);
    assert_eq!(over(&[measure(10)]), Verdict::AsGood);
    assert_eq!(over(&[measure(50)]), Verdict::Worse);
}

/// How long a probe takes.
#[derive(Debug, Clone, Copy)]
enum Latency {
    /// The logarithm is normal, with this deviation: at 1 the slowest hundredth takes ten times as long as half of them.
    LogNormal(f64),
    /// A Pareto distribution of this index: at 1.2 the slowest hundredth takes 26 times as long, and there is no variance.
    Pareto(f64),
    /// This share of them meets something that takes up to twenty times as long.
    Mixed(f64),
}

/// Numbers that look like chance, and are the same each time.
struct Random(u64);

impl Random {
    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        // splitmix64, by Sebastiano Vigna, in the public domain.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let unit = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        unit
    }

    fn seconds(&mut self, latency: Latency) -> f64 {
        0.01 * match latency {
            Latency::LogNormal(deviation) => {
                let (one, other) = (self.unit(), self.unit());
                let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos();
                (deviation * normal).exp()
            }
            Latency::Pareto(index) => self.unit().powf(-1.0 / index),
            Latency::Mixed(share) => match self.unit() < share {
                true => 20.0 * self.unit(),
                false => 0.8 + 0.4 * self.unit(),
            },
        }
    }
}

/// A rollout of which the measures are made up.
#[derive(Debug, Clone)]
struct Rollout {
    latency: Latency,
    /// How much slower those are that were changed.
    times: f64,
    /// How many percent of the probes of all of them fail.
    failing: f64,
    changed: usize,
    others: usize,
    /// Between two probes, in seconds.
    interval: u64,
    seed: u64,
}

/// How long the soak is, in seconds; those that were changed began to be probed with it.
const SOAK: u64 = 120;

/// How far back an agent's measures go, in seconds.
const WINDOW: u64 = 300;

impl Rollout {
    /// What comes of it.
    fn verdict(&self) -> Verdict {
        let mut random = Random(self.seed);
        let mut probes = |times: f64, from: u64| -> Vec<(u64, Option<f64>)> {
            let seconds =
                (from..WINDOW + 2 * SOAK + 30).step_by(usize::try_from(self.interval).unwrap());
            let probe = |second| {
                let fails = 100.0 * random.unit() <= self.failing;
                (
                    second,
                    (!fails).then(|| times * random.seconds(self.latency)),
                )
            };
            seconds.map(probe).collect()
        };
        let changed: Vec<_> = (0..self.changed)
            .map(|_| probes(self.times, WINDOW))
            .collect();
        let others: Vec<_> = (0..self.others).map(|_| probes(1.0, 0)).collect();
        let heard: Vec<_> = (0..=5)
            .map(|turn| {
                let now = WINDOW + SOAK + 30 * turn;
                let of = |all: &[Vec<(u64, Option<f64>)>]| -> Vec<Measure> {
                    all.iter().map(|probes| lately(probes, now)).collect()
                };
                (now, of(&changed), of(&others))
            })
            .collect();
        let looks: Vec<_> = heard
            .iter()
            .map(|(now, changed, others)| (*now, sides(changed, others)))
            .collect();
        decided(&Comparison::default(), &looks)
            .expect("no verdict")
            .1
    }
}

/// What an agent says at a time of such probes.
fn lately(probes: &[(u64, Option<f64>)], now: u64) -> Measure {
    let of_late = probes
        .iter()
        .filter(|(second, _)| *second <= now && second + WINDOW > now);
    let mut good: Vec<f64> = of_late.clone().filter_map(|(_, took)| *took).collect();
    good.sort_unstable_by(f64::total_cmp);
    let percentile = |share: usize| {
        let rank = (good.len() * share).div_ceil(100).saturating_sub(1);
        Duration::from_secs_f64(good.get(rank).copied().unwrap_or_default())
    };
    Measure {
        at: Timestamp(now * 1_000),
        probes: u32::try_from(good.len()).unwrap(),
        failures: u32::try_from(of_late.count() - good.len()).unwrap(),
        latency_p50: percentile(50),
        latency_p99: percentile(99),
        ..measure(0)
    }
}

fn rollouts(times: f64, latency: impl Strategy<Value = Latency>) -> impl Strategy<Value = Rollout> {
    let sizes = (1_usize..=4, 1_usize..=9, 1_u64..=5, 0.0..10.0_f64);
    (latency, sizes, any::<u64>()).prop_map(
        move |(latency, (changed, others, interval, failing), seed)| Rollout {
            latency,
            times,
            failing,
            changed,
            others,
            interval,
            seed,
        },
    )
}

fn heavy_tails() -> impl Strategy<Value = Latency> {
    prop_oneof![
        (0.2..1.5).prop_map(Latency::LogNormal),
        (1.1..3.0).prop_map(Latency::Pareto),
        (0.0..0.4).prop_map(Latency::Mixed),
    ]
}

/// Of so many made-up rollouts, the share that was said to be worse. The same ones each time.
fn worse(rollouts: impl Strategy<Value = Rollout>, count: u32) -> f64 {
    let mut runner = TestRunner::deterministic();
    let of = |_| rollouts.new_tree(&mut runner).unwrap().current().verdict();
    let worse = (0..count)
        .map(of)
        .filter(|verdict| *verdict == Verdict::Worse);
    f64::from(u32::try_from(worse.count()).unwrap()) / f64::from(count)
}

#[test]
fn of_a_thousand_rollouts_that_change_nothing_less_than_one_is_said_to_be_worse() {
    let share = worse(rollouts(1.0, heavy_tails()), 10_000);
    assert!(share < 0.001, "{share}");
}

#[test]
fn what_is_three_times_as_slow_is_found() {
    let usual = prop_oneof![
        (0.2..0.7).prop_map(Latency::LogNormal),
        (1.5..3.0).prop_map(Latency::Pareto),
        (0.0..0.2).prop_map(Latency::Mixed),
    ];
    let share = worse(rollouts(3.0, usual), 2_000);
    assert!(share > 0.99, "{share}");
    let share = worse(rollouts(3.0, heavy_tails()), 2_000);
    assert!(share > 0.8, "{share}");
}

proptest! {
    #![proptest_config(Config { cases: 512, failure_persistence: None, ..Config::default() })]

    /// Whatever agents say, nothing panics, and what is the same on both sides is never worse.
    #[test]
    fn what_is_the_same_on_both_sides_is_good(
        figures in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<f64>()), 1..20),
    ) {
        let measures: Vec<Measure> = figures
            .into_iter()
            .map(|(probes, failures, p50, p99, restarts, errors)| Measure {
                probes,
                failures,
                latency_p50: Duration::from_micros(p50),
                latency_p99: Duration::from_micros(p99),
                restarts,
                metrics: [("errors".to_owned(), errors)].into(),
                ..measure(0)
            })
            .collect();
        let comparison = Comparison { metrics: [("errors".to_owned(), 100)].into(), ..Comparison::default() };
        let said = told(&comparison, &measures, &measures);
        prop_assert!(said.starts_with("good"), "{}", said);
    }
}
