//! A client that writes all the while and remembers every write that was acknowledged, whatever the storage system is.
//!
//! A [`Target`] makes one attempt at one write; [`Writer`] makes attempts until one is acknowledged or time runs out, at
//! a steady rate, one write after the other. [`Written`] is what it knows afterwards, and judges what is found then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    time::Duration,
};

use anyhow::ensure;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::wait;

/// Pause before a write is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// The most problems that are told one by one.
const PROBLEMS_MAX: usize = 10;

/// One write. No two of a run have the same key or the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What it is found by.
    pub key: String,
    /// What is written.
    pub value: String,
}

impl Write {
    /// The write of this number in a run; about 200 bytes.
    fn new(run: u64, number: u64) -> Self {
        Self {
            key: format!("write-{number:08}"),
            value: format!("{run:016x}-{number:08} ").repeat(8),
        }
    }
}

/// Where writes go.
pub trait Target: Send + Sync + 'static {
    /// Tries once to write; on success the system has acknowledged it, and says at which position (a revision, a
    /// sequence number) it stands. Writing the same again may not change what is there. `turn` counts the attempts of
    /// the whole run, so that members can be asked in turn.
    fn write(&self, write: &Write, turn: usize)
    -> impl Future<Output = anyhow::Result<u64>> + Send;
}

/// How much is written, and how patiently.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// A write begins this long after the one before, or when that one has ended, if that is later.
    pub every: Duration,
    /// How long a write may take, with all its attempts.
    pub deadline: Duration,
    /// How long the first attempt may take before the next is made; after each that took too long, twice as long.
    pub attempt_timeout: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(5),
            deadline: Duration::from_secs(5),
            // What a stopping member has taken is lost without a word; what a slow machine needs is found out by doubling.
            attempt_timeout: Duration::from_millis(250),
        }
    }
}

/// A write that was acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// What was written.
    pub write: Write,
    /// The position the system gave it.
    pub position: u64,
}

/// A write that was found in the system.
#[derive(Debug, Clone)]
pub struct Found {
    /// What was found.
    pub write: Write,
    /// The position of its first write; later than that only where the same was written again.
    pub first_position: u64,
    /// The position of its last write.
    pub last_position: u64,
}

/// What a writer knows.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// What was acknowledged, in the order of writing.
    pub acknowledged: Vec<Acknowledged>,
    /// Writes that nobody acknowledged in time, with what was said last. They may have happened and may not.
    pub unserved: BTreeMap<String, String>,
    /// Attempts that failed, each of them made again unless time had run out.
    pub refused: usize,
    /// The longest time without an acknowledgement.
    pub longest_gap: Duration,
}

impl Written {
    /// What speaks against nothing having been lost, changed, doubled or reordered; empty if all is well.
    #[must_use]
    pub fn problems(&self, found: &[Found]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut by_key = BTreeMap::new();
        for one in found {
            if by_key.insert(one.write.key.as_str(), one).is_some() {
                problems.push(format!("{} is there twice", one.write.key));
            }
        }
        let mut position_before = None;
        for Acknowledged { write, position } in &self.acknowledged {
            let key = &write.key;
            if position_before.replace(*position) >= Some(*position) {
                problems.push(format!(
                    "{key} was acknowledged at {position}, not after the write before"
                ));
            }
            match by_key.get(key.as_str()) {
                None => problems.push(format!("{key} was acknowledged and is not there")),
                Some(one) if one.write.value != write.value => {
                    problems.push(format!("{key} has another value: {:?}", one.write.value));
                }
                Some(one) if !(one.first_position..=one.last_position).contains(position) => {
                    problems.push(format!(
                        "{key} was acknowledged at {position} and is at {} to {}",
                        one.first_position, one.last_position
                    ));
                }
                Some(_) => {}
            }
        }
        let asked_for: BTreeSet<&str> = self
            .acknowledged
            .iter()
            .map(|one| one.write.key.as_str())
            .chain(self.unserved.keys().map(String::as_str))
            .collect();
        let foreign = by_key.keys().filter(|key| !asked_for.contains(*key));
        problems.extend(foreign.map(|key| format!("{key} is there and was never written")));
        shortened(problems)
    }
}

fn shortened(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    problems
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} writes acknowledged, {} not; {} attempts refused and made again; longest gap {} ms",
            self.acknowledged.len(),
            self.unserved.len(),
            self.refused,
            self.longest_gap.as_millis()
        )
    }
}

/// A running writer. It ends when this is dropped.
#[derive(Debug)]
pub struct Writer {
    task: Option<JoinHandle<Written>>,
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<usize>,
}

impl Writer {
    /// Starts to write. Must be called within a Tokio runtime.
    pub fn start(target: impl Target, options: WriterOptions) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (count, acknowledged) = watch::channel(0);
        Self {
            task: Some(tokio::spawn(run(target, options, stopped, count))),
            stop,
            acknowledged,
        }
    }

    /// Waits until `count` more writes than now are acknowledged.
    ///
    /// # Errors
    /// When that takes longer than `within`.
    pub async fn wait_for_more(&self, count: usize, within: Duration) -> anyhow::Result<()> {
        let begun_at = *self.acknowledged.borrow();
        let what = format!("{count} more writes");
        wait::until(&what, within, || async {
            let more = *self.acknowledged.borrow() - begun_at;
            ensure!(more >= count, "{more}");
            Ok(())
        })
        .await
    }

    /// Stops after the write that is under way, and says what was written.
    ///
    /// # Errors
    /// When the writer has panicked.
    pub async fn finish(mut self) -> anyhow::Result<Written> {
        // Fails only if the writer has ended, which is what is wanted.
        let _ = self.stop.send(true);
        match self.task.take() {
            Some(task) => Ok(task.await?),
            None => Ok(Written::default()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(
    target: impl Target,
    options: WriterOptions,
    mut stopped: watch::Receiver<bool>,
    count: watch::Sender<usize>,
) -> Written {
    let run = rand::random();
    let mut written = Written::default();
    let mut turn = 0;
    let mut ticks = interval(options.every);
    // Writes missed while one was slow are not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_at = Instant::now();
    for number in 0.. {
        tokio::select! {
            // An error means that whoever could say so is gone.
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = ticks.tick() => {}
        }
        let write = Write::new(run, number);
        match acknowledge(&target, &write, &options, &mut turn).await {
            Ok(position) => {
                written.longest_gap = written.longest_gap.max(last_at.elapsed());
                last_at = Instant::now();
                written.acknowledged.push(Acknowledged { write, position });
                count.send_replace(written.acknowledged.len());
            }
            Err(last) => {
                written.unserved.insert(write.key, last);
            }
        }
    }
    written.longest_gap = written.longest_gap.max(last_at.elapsed());
    written.refused = turn - written.acknowledged.len();
    written
}

/// Makes attempts until one is acknowledged; an error is what was said last before time ran out.
async fn acknowledge(
    target: &impl Target,
    write: &Write,
    options: &WriterOptions,
    turn: &mut usize,
) -> Result<u64, String> {
    let end = Instant::now() + options.deadline;
    let mut patience = options.attempt_timeout;
    let mut last = "there was no time".to_owned();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(last);
        }
        let limit = left.min(patience);
        let attempt = target.write(write, *turn);
        *turn += 1;
        last = match timeout(limit, attempt).await {
            Ok(Ok(position)) => return Ok(position),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => {
                patience = patience.saturating_mul(2);
                format!("no answer within {limit:?}")
            }
        };
        sleep(RETRY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use anyhow::bail;

    use super::*;

    /// Keeps writes in memory, and refuses the attempt of one turn.
    #[derive(Debug)]
    struct Memory {
        refused_turn: usize,
        kept: Mutex<Vec<Write>>,
    }

    impl Target for Arc<Memory> {
        async fn write(&self, write: &Write, turn: usize) -> anyhow::Result<u64> {
            if turn == self.refused_turn {
                bail!("not now");
            }
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(write.clone());
            Ok(kept.len() as u64)
        }
    }

    /// A run of five writes or more, and what was found after it.
    async fn run_of_five() -> (Written, Vec<Found>) {
        let memory = Arc::new(Memory {
            refused_turn: 2,
            kept: Mutex::default(),
        });
        let writer = Writer::start(memory.clone(), WriterOptions::default());
        writer
            .wait_for_more(5, Duration::from_secs(10))
            .await
            .unwrap();
        let written = writer.finish().await.unwrap();
        let kept = memory.kept.lock().unwrap();
        let found = kept.iter().zip(1..).map(|(write, position)| Found {
            write: write.clone(),
            first_position: position,
            last_position: position,
        });
        (written, found.collect())
    }

    #[tokio::test]
    async fn what_was_acknowledged_and_is_there_is_no_problem() {
        let (written, found) = run_of_five().await;
        assert_eq!(written.problems(&found), [""; 0]);
        assert!(written.acknowledged.len() >= 5, "{written}");
        assert_eq!((written.refused, written.unserved.len()), (1, 0));
        assert!(written.longest_gap >= RETRY_PAUSE, "{written}");
    }

    #[tokio::test]
    async fn each_way_to_lose_a_write_is_noticed() {
        let (written, good) = run_of_five().await;
        let check = |break_it: &dyn Fn(&mut Vec<Found>), problem: &str| {
            let mut found = good.clone();
            break_it(&mut found);
            let problems = written.problems(&found);
            assert!(problems.iter().any(|p| p.contains(problem)), "{problems:?}");
        };
        check(
            &|f| drop(f.remove(1)),
            "00000001 was acknowledged and is not there",
        );
        check(
            &|f| f[1].write.value.push('x'),
            "00000001 has another value",
        );
        check(&|f| f.push(f[1].clone()), "00000001 is there twice");
        check(
            &|f| f[1].first_position = 3,
            "00000001 was acknowledged at 2 and is at 3",
        );
        check(
            &|f| f[1].write.key.push('x'),
            "00000001x is there and was never written",
        );

        let mut reordered = written.clone();
        reordered.acknowledged.swap(1, 2);
        let problems = reordered.problems(&good);
        assert!(
            problems[0].contains("not after the write before"),
            "{problems:?}"
        );
    }

    #[tokio::test]
    async fn each_attempt_that_took_too_long_is_followed_by_one_that_may_take_twice_as_long() {
        struct Silent;
        impl Target for Silent {
            async fn write(&self, _: &Write, _: usize) -> anyhow::Result<u64> {
                std::future::pending().await
            }
        }
        let options = WriterOptions {
            deadline: Duration::from_millis(90),
            attempt_timeout: Duration::from_millis(1),
            ..WriterOptions::default()
        };
        let mut turn = 0;
        let last = acknowledge(&Silent, &Write::new(1, 7), &options, &mut turn).await;
        assert!(last.unwrap_err().contains("no answer"));
        // 1, 2, 4, 8, 16 and 32 ms with their pauses fill the time; of 1 ms there would be 15.
        assert!(turn <= 6, "{turn}");
    }

    #[tokio::test]
    async fn a_write_that_nobody_takes_is_unserved_and_may_be_there_or_not() {
        struct Nobody;
        impl Target for Nobody {
            async fn write(&self, _: &Write, _: usize) -> anyhow::Result<u64> {
                bail!("gone")
            }
        }
        let options = WriterOptions {
            deadline: Duration::from_millis(20),
            ..WriterOptions::default()
        };
        let mut turn = 0;
        let write = Write::new(1, 7);
        let last = acknowledge(&Nobody, &write, &options, &mut turn).await;
        assert_eq!(last, Err("gone".to_owned()));
        assert!(turn > 0);

        let written = Written {
            unserved: [(write.key.clone(), "gone".to_owned())].into(),
            ..Written::default()
        };
        let found = Found {
            write,
            first_position: 1,
            last_position: 1,
        };
        assert_eq!(written.problems(&[found]), [""; 0]);
        assert_eq!(written.problems(&[]), [""; 0]);
    }
}
