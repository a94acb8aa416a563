//! Runs the probes of one instance.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Health, Probes, Tally};
use crate::latency::Answers;

/// The shortest wait between two questions after a start.
pub(super) const WAIT_MIN: Duration = Duration::from_millis(1);

/// The longest wait for as long as a start is [`EAGER`]: what it may cost to notice ready too late.
const WAIT_EAGER_MAX: Duration = Duration::from_millis(25);

/// How long after a start the probes are asked eagerly.
const EAGER: Duration = Duration::from_secs(30);

/// What the probes of a process say, all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitality {
    /// The worst of them.
    pub health: Health,
    /// Whether every one is good as often as it has to be.
    pub ready: bool,
    /// When the last of them became so.
    pub ready_at: Option<Instant>,
    /// What is wrong; empty if nothing is.
    pub trouble: String,
}

impl Default for Vitality {
    fn default() -> Self {
        Self {
            health: Health::Warning,
            ready: false,
            ready_at: None,
            trouble: "not probed yet".to_owned(),
        }
    }
}

/// The probes of one process; they stop when this is dropped.
#[derive(Debug)]
pub struct Prober {
    vitality: watch::Receiver<Vitality>,
    answers: Arc<Answers>,
    _tasks: JoinSet<()>,
}

impl Prober {
    /// Begins to probe a process that has just been started or found.
    #[must_use]
    pub fn start(probes: &Probes) -> Self {
        let (sender, vitality) = watch::channel(Vitality::default());
        let count = probes.settings.len();
        let tallies = watch::Sender::new(vec![Tally::default(); count]);
        let answers = Arc::new(Answers::default());
        let board = Arc::new(Board {
            answers: Arc::clone(&answers),
            probes: probes.clone(),
            tallies,
            vitality: sender,
        });
        let mut tasks = JoinSet::new();
        for index in 0..count {
            tasks.spawn(run(Arc::clone(&board), index));
        }
        Self {
            vitality,
            answers,
            _tasks: tasks,
        }
    }

    /// Waits until what the probes say has changed.
    pub async fn changed(&mut self) {
        if self.vitality.changed().await.is_err() {
            // Only when the runtime goes down.
            std::future::pending::<()>().await;
        }
    }

    /// How they were answered lately.
    #[must_use]
    pub fn answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    /// What the probes say.
    #[must_use]
    pub fn vitality(&self) -> Vitality {
        self.vitality.borrow().clone()
    }
}

/// Where the probes of a process write down their answers.
struct Board {
    probes: Probes,
    tallies: watch::Sender<Vec<Tally>>,
    vitality: watch::Sender<Vitality>,
    answers: Arc<Answers>,
}

impl Board {
    fn count(&self, index: usize, answer: Result<(), String>, since_start: Duration) {
        self.tallies.send_modify(|tallies| {
            if let (Some(tally), Some(settings)) =
                (tallies.get_mut(index), self.probes.settings.get(index))
            {
                tally.count(settings, answer, since_start);
            }
        });
        let tallies = self.tallies.borrow();
        let each = || tallies.iter().zip(self.probes.settings.iter());
        let health = each()
            .map(|(tally, settings)| tally.health(settings))
            .max()
            .unwrap_or(Health::Warning);
        let ready = each().all(|(tally, settings)| tally.is_ready(settings));
        let troubles: Vec<&str> = tallies.iter().filter_map(Tally::trouble).collect();
        let trouble = troubles.join("; ");
        self.vitality.send_if_modified(|vitality| {
            let ready_at = match (ready, vitality.ready_at) {
                (true, None) => Some(Instant::now()),
                (true, at) => at,
                (false, _) => None,
            };
            let now = Vitality {
                health,
                ready,
                ready_at,
                trouble,
            };
            let changed = now != *vitality;
            *vitality = now;
            changed
        });
    }
}

async fn run(board: Arc<Board>, index: usize) {
    let Some(settings) = board.probes.settings.get(index).cloned() else {
        return;
    };
    let started = Instant::now();
    let mut was_ready = false;
    loop {
        let asked = Instant::now();
        let question = &settings.question;
        let patience = settings.interval.saturating_add(settings.timeout);
        let answer = question
            .ask(&board.probes, settings.timeout, patience)
            .await;
        let good = answer.is_ok();
        board.answers.count(good.then(|| asked.elapsed()));
        board.count(index, answer, started.elapsed());
        was_ready |= good
            && board
                .tallies
                .borrow()
                .get(index)
                .is_some_and(|tally| tally.is_ready(&settings));
        let wait_min = settings.question.wait_min();
        sleep(wait(
            was_ready,
            started.elapsed(),
            settings.interval,
            wait_min,
        ))
        .await;
    }
}

/// How long to wait before the next question: the interval for a process that was ready once; before that
/// an eighth of the time since its start, so that ready is noticed at most that much late, but no less than `wait_min`.
fn wait(
    was_ready: bool,
    since_start: Duration,
    interval: Duration,
    wait_min: Duration,
) -> Duration {
    if was_ready {
        return interval;
    }
    let eighth = (since_start / 8).max(wait_min);
    let longest = if since_start < EAGER {
        interval.min(WAIT_EAGER_MAX.max(wait_min))
    } else {
        interval
    };
    eighth.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::{ProbeSettings, Question, tests::probes};

    #[test]
    fn before_ready_the_waits_grow_with_the_time_it_takes_up_to_the_interval() {
        let interval = Duration::from_secs(5);
        let at = |ms| wait(false, Duration::from_millis(ms), interval, WAIT_MIN);
        assert_eq!(at(0), Duration::from_millis(1));
        assert_eq!(at(80), Duration::from_millis(10));
        assert_eq!(at(10_000), WAIT_EAGER_MAX);
        assert_eq!(at(60_000), interval);
        assert_eq!(wait(true, Duration::ZERO, interval, WAIT_MIN), interval);
        let program = Duration::from_millis(250);
        for ms in [0, 100, 1_000, 10_000] {
            let wait = wait(false, Duration::from_millis(ms), interval, program);
            assert_eq!(wait, program, "{ms}");
        }
        let short = Duration::from_millis(50);
        assert_eq!(wait(false, Duration::ZERO, short, program), short);
    }

    #[tokio::test]
    async fn a_process_is_ready_when_the_last_probe_is_good() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let late = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let late_address = late.local_addr().unwrap();
        drop(late);
        let probe = |address| ProbeSettings {
            question: Question::Tcp(address),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            success_threshold: 2,
            failure_threshold: 3,
            start_period: Duration::from_secs(10),
        };
        let probes = probes(vec![
            probe(listener.local_addr().unwrap()),
            probe(late_address),
        ]);
        let mut prober = Prober::start(&probes);
        while !prober.vitality().trouble.contains("refused") {
            prober.changed().await;
        }
        assert!(!prober.vitality().ready);
        let _late = tokio::net::TcpListener::bind(late_address).await.unwrap();
        while !prober.vitality().ready {
            prober.changed().await;
        }
        assert_eq!(prober.vitality().health, Health::Healthy);
        assert!(prober.vitality().ready_at.is_some());
    }
}
