//! Drivers: the programs that know one storage system. docs/DRIVERS.md is the contract.
//!
//! A driver is an executable that the agent's configuration names. It is called with one verb, gets a JSON object on
//! its standard input and answers by its exit status and, where it has something to say, a JSON object on its
//! standard output. There is no shell in between. Where to start reading: [`Driver::call`]; how a program is held to
//! its limits is in [`crate::program`].

use std::{process::ExitStatus, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use evenkeel_common::{
    limits::{REASON_BYTES_MAX, cut},
    names::{ComponentName, InstanceName, NodeName},
};
use rustix::fs::{Access, access};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    config::DriverSettings,
    program::{Limits, Program, ProgramError},
    report::sentence,
    supervisor::ExitWatcher,
};

/// The layout of what a driver is told.
const FORMAT: u32 = 1;

/// How many drivers run at a time on one host: they are other people's programs, and the storage needs the host.
pub const CALLS_MAX: usize = 4;

/// As many of these are left to what orders wait for.
const CALLS_KEPT: usize = 2;

/// For how long a driver that has not made an upgrade final yet is asked again, before that is reported: what follows
/// from the last restart takes a storage system seconds.
const FINAL_WITHIN: Duration = Duration::from_secs(30);

/// How often it is asked whether a process that was made ready to be stopped still may be: what was done for that, such
/// as another one beginning to lead, may take a moment to show.
const STILL_TRIES: u32 = 3;

/// How long between these.
const STILL_PAUSE: Duration = Duration::from_secs(1);

/// The exit status for a verb that a driver does not know (`EX_USAGE` of sysexits.h).
const UNSUPPORTED: i32 = 64;

/// A question, or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Begin to move what the instance serves to the others.
    Drain,
    /// Is all that the instance serves with the others?
    DrainStatus,
    /// The instance stays: move nothing away any more, and give back what it is to serve.
    CancelDrain,
    /// The instance is there, without the data it had: take it in. Does it have all it needs?
    Join,
    /// May the process be stopped now?
    OkToStop,
    /// Make the process ready to be stopped.
    Quiesce,
    /// The process is back, or stays: undo what was done to stop it.
    Unquiesce,
    /// Which version does the process that runs say it is?
    Version,
    /// Is the instance whole again among the others?
    Recovered,
    /// Make the upgrade final: nothing goes back from here on.
    Finalize,
    /// What is there to measure?
    Health,
}

/// Every verb.
pub const VERBS: [Verb; 11] = [
    Verb::Drain,
    Verb::DrainStatus,
    Verb::CancelDrain,
    Verb::Join,
    Verb::OkToStop,
    Verb::Quiesce,
    Verb::Unquiesce,
    Verb::Version,
    Verb::Recovered,
    Verb::Finalize,
    Verb::Health,
];

impl Verb {
    /// Whether an order waits for its yes before it goes on.
    fn is_gate(self) -> bool {
        match self {
            Self::OkToStop | Self::Quiesce | Self::Version | Self::Recovered => true,
            Self::Drain
            | Self::DrainStatus
            | Self::CancelDrain
            | Self::Join
            | Self::Unquiesce
            | Self::Finalize
            | Self::Health => false,
        }
    }

    /// As the driver is told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::DrainStatus => "drain-status",
            Self::CancelDrain => "cancel-drain",
            Self::Join => "join",
            Self::OkToStop => "ok-to-stop",
            Self::Quiesce => "quiesce",
            Self::Unquiesce => "unquiesce",
            Self::Version => "version",
            Self::Recovered => "recovered",
            Self::Finalize => "finalize",
            Self::Health => "health",
        }
    }
}

/// What a driver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, or done, with what it has to say.
    Yes(Map<String, Value>),
    /// No, or not yet, for this reason.
    No(String),
    /// It does not know the verb.
    Unsupported,
}

/// Why a driver said nothing.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// It did not run to its end within its limits.
    #[error("the driver's {verb} did not run to its end")]
    Program {
        /// What it was asked.
        verb: &'static str,
        /// What went wrong.
        #[source]
        source: ProgramError,
    },
    /// It was not asked.
    #[error("the driver is not asked for {verb} before its last runs have ended")]
    Unended {
        /// What it was to be asked.
        verb: &'static str,
    },
    /// It was not its turn.
    #[error("the driver's turn to be asked for {verb} did not come within {patience:?}")]
    NoTurn {
        /// What it was to be asked.
        verb: &'static str,
        /// For how long that was waited for.
        patience: Duration,
    },
    /// It ended in a way that means nothing.
    #[error("the driver's {verb} failed with {status}{said}")]
    Failed {
        /// What it was asked.
        verb: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last line of its standard error, after a colon; empty if there is none.
        said: String,
    },
    /// It said something that cannot be understood.
    #[error("the driver's {verb} answered something else than {expected}{said}")]
    Answer {
        /// What it was asked.
        verb: &'static str,
        /// What it should have said.
        expected: &'static str,
        /// The last line of its standard error, after a colon; empty if there is none.
        said: String,
    },
    /// It does not know the verb that tells when what it has begun is done.
    #[error(
        "the driver has begun to {begun} and knows no {verb}, so that nobody can say when that is done"
    )]
    NoEnd {
        /// What it said yes to.
        begun: &'static str,
        /// What it does not know.
        verb: &'static str,
    },
}

/// What a driver is told.
#[derive(Serialize)]
struct Told<'a> {
    format: u32,
    verb: &'static str,
    node: &'a NodeName,
    instance: &'a InstanceName,
    component: &'a ComponentName,
    data_dirs: &'a [Utf8PathBuf],
    settings: &'a Map<String, Value>,
    arguments: &'a Value,
}

/// What a driver says on its standard output. What else is in it is for whoever asks for more.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    reason: String,
}

/// Whom a driver speaks for.
#[derive(Debug)]
pub struct Subject {
    /// The node.
    pub node: NodeName,
    /// The instance.
    pub instance: InstanceName,
    /// Its component.
    pub component: ComponentName,
    /// Its data folders.
    pub data_dirs: Vec<Utf8PathBuf>,
}

/// The driver of one instance.
#[derive(Debug)]
pub struct Driver {
    settings: DriverSettings,
    subject: Subject,
    calls: Arc<Semaphore>,
    /// Of those that have not ended, even where they were killed, it has as many as run on the host.
    turns: Arc<Semaphore>,
    /// One of these is for what is asked again and again.
    health_turn: Arc<Semaphore>,
    watcher: Arc<ExitWatcher>,
}

impl Driver {
    /// A driver that speaks for an instance. All drivers of a host share `calls`, of [`CALLS_MAX`].
    #[must_use]
    pub fn new(
        settings: DriverSettings,
        subject: Subject,
        calls: Arc<Semaphore>,
        watcher: Arc<ExitWatcher>,
    ) -> Self {
        Self {
            settings,
            subject,
            calls,
            turns: Arc::new(Semaphore::new(CALLS_MAX)),
            health_turn: Arc::new(Semaphore::new(1)),
            watcher,
        }
    }

    /// Asks the driver once what nobody waits for; none while as many drivers run that what orders wait for would
    /// have to wait itself.
    pub async fn call_in_spare_time(
        &self,
        verb: Verb,
        arguments: &Value,
    ) -> Option<Result<Answer, DriverError>> {
        if self.calls.available_permits() <= CALLS_KEPT {
            return None;
        }
        Some(self.call(verb, arguments).await)
    }

    /// Asks the driver once. Dropped before the answer, it ends the driver with all that it started.
    ///
    /// # Errors
    /// When it does not answer within its limits, or not as the contract says.
    pub async fn call(&self, verb: Verb, arguments: &Value) -> Result<Answer, DriverError> {
        self.call_within(verb, arguments, self.settings.timeout, None)
            .await
    }

    /// Asks the driver once for how its instance is, for at most `time`, once its turn among all drivers has come, for which
    /// it waits for `patience`.
    ///
    /// # Errors
    /// As [`call`](Self::call); when its turn does not come.
    pub async fn health(&self, time: Duration, patience: Duration) -> Result<Answer, DriverError> {
        let time = time.min(self.settings.timeout);
        self.call_within(Verb::Health, &Value::Null, time, Some(patience))
            .await
    }

    async fn call_within(
        &self,
        verb: Verb,
        arguments: &Value,
        time: Duration,
        patience: Option<Duration>,
    ) -> Result<Answer, DriverError> {
        let until = patience.map(|patience| (patience, Instant::now() + patience));
        if !self.settings.knows(verb) {
            return Ok(Answer::Unsupported);
        }
        let name = verb.as_str();
        let told = Told {
            format: FORMAT,
            verb: name,
            node: &self.subject.node,
            instance: &self.subject.instance,
            component: &self.subject.component,
            data_dirs: &self.subject.data_dirs,
            settings: &self.settings.settings,
            arguments,
        };
        let failed = |source| DriverError::Program { verb: name, source };
        let told = serde_json::to_vec(&told).map_err(|error| failed(error.into()))?;
        let program = Program {
            command: &self.settings.command,
            last_argument: Some(name),
            user: None,
            input: told,
            limits: Limits {
                time,
                ..Limits::default()
            },
            turn: self.turn(verb, time).await?,
        };
        // It is closed by nobody.
        let _permit = match until {
            None => self.calls.acquire().await,
            Some((patience, until)) => {
                timeout_at(until, self.calls.acquire())
                    .await
                    .map_err(|_| DriverError::NoTurn {
                        verb: name,
                        patience,
                    })?
            }
        };
        let ran = program.run(&self.watcher).await.map_err(failed)?;
        let said = match ran.last_line {
            line if line.is_empty() => line,
            line => format!(": {line}"),
        };
        let answer = |expected, said| DriverError::Answer {
            verb: name,
            expected,
            said,
        };
        match ran.status.code() {
            Some(0) if ran.output.trim_ascii().is_empty() => Ok(Answer::Yes(Map::new())),
            Some(0) => match serde_json::from_slice(&ran.output) {
                Ok(said) => Ok(Answer::Yes(said)),
                Err(_) => Err(answer("a JSON object", said)),
            },
            // What a crash of many an interpreter looks like, too: without a reason it is no answer.
            Some(1) => match serde_json::from_slice::<Said>(&ran.output) {
                Ok(no) if !no.reason.is_empty() => {
                    Ok(Answer::No(cut(no.reason, REASON_BYTES_MAX / 2)))
                }
                Ok(_) | Err(_) => Err(answer("a JSON object with a reason", said)),
            },
            // Who names a gate relies on it.
            Some(UNSUPPORTED) if !(verb.is_gate() && self.settings.names(verb)) => {
                Ok(Answer::Unsupported)
            }
            Some(_) | None => Err(DriverError::Failed {
                verb: name,
                status: ran.status,
                said,
            }),
        }
    }

    /// Its turn among the runs of this driver, each of which lasts until it has ended; it is waited for for `time`.
    async fn turn(
        &self,
        verb: Verb,
        time: Duration,
    ) -> Result<Option<OwnedSemaphorePermit>, DriverError> {
        let turns = match verb == Verb::Health {
            true => &self.health_turn,
            false => &self.turns,
        };
        let turn = timeout(time, Arc::clone(turns).acquire_owned()).await;
        // They are closed by nobody.
        turn.map(Result::ok).map_err(|_| DriverError::Unended {
            verb: verb.as_str(),
        })
    }

    /// Asks the driver until it says yes, or that it does not know the verb. What is in the way goes into `trouble`.
    pub async fn until_yes(&self, verb: Verb, arguments: &Value, trouble: &watch::Sender<String>) {
        self.until(verb, None, arguments, trouble).await;
    }

    /// Has the driver drain the instance, and asks it until that is done. One that drains has to know when it has; of one
    /// that knows neither verb the instance is drained at once. What is in the way goes into `trouble`.
    pub async fn until_drained(&self, arguments: &Value, trouble: &watch::Sender<String>) {
        let begun = self.until(Verb::Drain, None, arguments, trouble).await;
        self.until(Verb::DrainStatus, begun, arguments, trouble)
            .await;
    }

    /// Asks the driver until it says yes, or, where nothing has begun that the verb is to tell the end of, that it does
    /// not know the verb. The verb, if it said yes.
    async fn until(
        &self,
        verb: Verb,
        begun: Option<Verb>,
        arguments: &Value,
        trouble: &watch::Sender<String>,
    ) -> Option<Verb> {
        let interval = match verb {
            Verb::OkToStop => self.settings.ok_to_stop_interval,
            Verb::Drain
            | Verb::DrainStatus
            | Verb::CancelDrain
            | Verb::Join
            | Verb::Quiesce
            | Verb::Unquiesce
            | Verb::Version
            | Verb::Recovered
            | Verb::Finalize
            | Verb::Health => self.settings.interval,
        };
        loop {
            let answer = match (self.call(verb, arguments).await, begun) {
                (Ok(Answer::Unsupported), Some(begun)) => Err(DriverError::NoEnd {
                    begun: begun.as_str(),
                    verb: verb.as_str(),
                }),
                (answer, _) => answer,
            };
            let reason = match answer {
                Ok(Answer::Yes(_)) => return Some(verb),
                Ok(Answer::Unsupported) => return None,
                Ok(Answer::No(reason)) => format!("{}: {reason}", verb.as_str()),
                Err(error) => {
                    let reason = sentence(&error);
                    tracing::warn!(instance = %self.subject.instance, %reason, "asked again");
                    reason
                }
            };
            say(trouble, reason);
            sleep(interval).await;
        }
    }

    /// Whether the process that was made ready to be stopped still may be.
    ///
    /// # Errors
    /// Why not.
    pub async fn still_ok_to_stop(
        &self,
        arguments: &Value,
        trouble: &watch::Sender<String>,
    ) -> Result<(), String> {
        let mut tries = STILL_TRIES;
        loop {
            let reason = match self.call(Verb::OkToStop, arguments).await {
                Ok(Answer::Yes(_) | Answer::Unsupported) => return Ok(()),
                Ok(Answer::No(reason)) => format!("{}: {reason}", Verb::OkToStop.as_str()),
                Err(error) => sentence(&error),
            };
            tries -= 1;
            if tries == 0 {
                return Err(cut(reason, REASON_BYTES_MAX / 2));
            }
            say(trouble, reason);
            sleep(STILL_PAUSE.min(self.settings.interval)).await;
        }
    }

    /// Has the driver make the process ready to be stopped. A no is asked again; what is in the way goes into `trouble`.
    ///
    /// # Errors
    /// When it fails: then it is not known what it did.
    pub async fn quiesce(
        &self,
        arguments: &Value,
        trouble: &watch::Sender<String>,
    ) -> Result<(), DriverError> {
        loop {
            let Answer::No(reason) = self.call(Verb::Quiesce, arguments).await? else {
                return Ok(());
            };
            say(trouble, format!("{}: {reason}", Verb::Quiesce.as_str()));
            sleep(self.settings.interval).await;
        }
    }

    /// Has the driver make an upgrade final. A no is asked again for a while; what is in the way goes into `trouble`.
    ///
    /// # Errors
    /// Why that was not done.
    pub async fn finalize(
        &self,
        arguments: &Value,
        trouble: &watch::Sender<String>,
    ) -> Result<(), String> {
        let until = Instant::now() + FINAL_WITHIN;
        loop {
            let reason = match self.call(Verb::Finalize, arguments).await {
                Ok(Answer::Yes(_) | Answer::Unsupported) => return Ok(()),
                Ok(Answer::No(reason)) => reason,
                Err(error) => return Err(sentence(&error)),
            };
            if Instant::now() + self.settings.interval > until {
                return Err(reason);
            }
            say(trouble, format!("{}: {reason}", Verb::Finalize.as_str()));
            sleep(self.settings.interval).await;
        }
    }

    /// The version that the process says it is, by its driver; none if that does not know how to ask. What is in the way
    /// goes into `trouble`.
    pub async fn version(
        &self,
        arguments: &Value,
        trouble: &watch::Sender<String>,
    ) -> Option<Version> {
        loop {
            let reason = match self.call(Verb::Version, arguments).await {
                Ok(Answer::Unsupported) => return None,
                Ok(Answer::Yes(said)) => {
                    let version = said.get("version").and_then(Value::as_str);
                    let version = version.unwrap_or_default();
                    match version.trim_start_matches('v').parse::<Version>() {
                        Ok(version) => return Some(version),
                        Err(error) => format!("version: {version:?} is no version: {error}"),
                    }
                }
                Ok(Answer::No(reason)) => format!("version: {reason}"),
                Err(error) => sentence(&error),
            };
            say(trouble, cut(reason, REASON_BYTES_MAX / 2));
            sleep(self.settings.interval).await;
        }
    }
}

/// Tells what is in the way, if that is new.
fn say(trouble: &watch::Sender<String>, reason: String) {
    trouble.send_if_modified(|trouble| {
        let is_new = *trouble != reason;
        *trouble = reason;
        is_new
    });
}

/// What is wrong with a driver's program; none if nothing is.
#[must_use]
pub fn problem(settings: &DriverSettings) -> Option<String> {
    let program = settings.command.first()?;
    match access(program.as_str(), Access::EXEC_OK) {
        Ok(()) => None,
        Err(error) => Some(format!("{program} cannot be executed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This piece of shell as a driver. Its `$0` is the verb.
    fn driver(script: &str) -> Driver {
        let settings = DriverSettings {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            timeout: Duration::from_secs(10),
            interval: Duration::from_millis(1),
            ok_to_stop_interval: Duration::from_millis(1),
            verbs: None,
            settings: Map::new(),
        };
        let subject = Subject {
            node: "n1".parse().unwrap(),
            instance: "a".parse().unwrap(),
            component: "blob".parse().unwrap(),
            data_dirs: Vec::new(),
        };
        let watcher = Arc::new(ExitWatcher::start().unwrap());
        Driver::new(settings, subject, Arc::new(Semaphore::new(1)), watcher)
    }

    /// What this piece of shell answers as a driver.
    async fn answer(script: &str) -> Result<Answer, String> {
        let answered = driver(script).call(Verb::DrainStatus, &Value::Null).await;
        answered.map_err(|error| sentence(&error))
    }

    /// Asks this piece of shell as a driver to drain, until it is done or something is in the way: that, or nothing.
    async fn drained(script: &str) -> String {
        let (trouble, mut news) = watch::channel(String::new());
        let driver = driver(script);
        tokio::select! {
            () = driver.until_drained(&Value::Null, &trouble) => String::new(),
            Ok(()) = news.changed() => news.borrow().clone(),
        }
    }

    #[tokio::test]
    async fn one_that_drains_has_to_know_when_it_has() {
        for (script, in_the_way) in [
            ("exit 64", ""),
            ("exit 0", ""),
            // Nothing has to be begun for there to be something to wait for.
            (
                r#"case "$0" in drain) exit 64;; esac; echo '{"reason": "copying"}'; exit 1"#,
                "drain-status: copying",
            ),
            (r#"case "$0" in drain) exit 64;; esac"#, ""),
            (
                r#"case "$0" in drain-status) exit 64;; esac"#,
                "the driver has begun to drain and knows no drain-status, so that nobody can say when that is done",
            ),
        ] {
            assert_eq!(drained(script).await, in_the_way, "{script}");
        }
    }

    #[tokio::test]
    async fn what_a_system_has_no_need_of_is_no_obstacle() {
        for verb in [Verb::Drain, Verb::CancelDrain, Verb::Join] {
            let (trouble, news) = watch::channel(String::new());
            let driver = driver("exit 64");
            driver.until_yes(verb, &Value::Null, &trouble).await;
            assert_eq!(*news.borrow(), "");
        }
    }

    #[tokio::test]
    async fn a_process_says_its_version_through_its_driver() {
        for (script, told) in [
            ("echo '{\"version\": \"1.2.3\"}'", Some("1.2.3")),
            ("echo '{\"version\": \"v1.2.3\"}'", Some("1.2.3")),
            ("exit 64", None),
        ] {
            let (trouble, _news) = watch::channel(String::new());
            let version = driver(script).version(&Value::Null, &trouble).await;
            assert_eq!(version, told.map(|told| told.parse().unwrap()), "{script}");
        }
        let (trouble, mut news) = watch::channel(String::new());
        let driver = driver("exit 0");
        tokio::select! {
            version = driver.version(&Value::Null, &trouble) => panic!("{version:?}"),
            Ok(()) = news.changed() => assert!(news.borrow().contains("is no version")),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_quiesced_is_a_failure_at_once_and_a_no_is_asked_again() {
        let (trouble, news) = watch::channel(String::new());
        assert!(
            driver("exit 7")
                .quiesce(&Value::Null, &trouble)
                .await
                .is_err()
        );
        driver("exit 64")
            .quiesce(&Value::Null, &trouble)
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let once = dir.path().join("asked").display().to_string();
        let script = format!(
            "test -e {once} && exit 0; touch {once}; echo '{{\"reason\": \"wait\"}}'; exit 1"
        );
        driver(&script)
            .quiesce(&Value::Null, &trouble)
            .await
            .unwrap();
        assert_eq!(*news.borrow(), "quiesce: wait");
    }

    #[tokio::test]
    async fn a_driver_whose_runs_do_not_end_is_not_run_again() {
        let mut driver = driver("exit 0");
        driver.settings.timeout = Duration::from_millis(500);
        let hangs = driver.health_turn.acquire().await.unwrap();
        let error = driver.call(Verb::Health, &Value::Null).await.unwrap_err();
        assert!(matches!(error, DriverError::Unended { .. }), "{error}");
        driver.call(Verb::OkToStop, &Value::Null).await.unwrap();
        let all = driver.turns.acquire_many(4).await.unwrap();
        let error = driver.call(Verb::OkToStop, &Value::Null).await;
        let error = error.unwrap_err();
        assert!(matches!(error, DriverError::Unended { .. }), "{error}");
        drop((hangs, all));
        driver.call(Verb::Health, &Value::Null).await.unwrap();
        driver.call(Verb::OkToStop, &Value::Null).await.unwrap();
    }

    #[tokio::test]
    async fn a_verb_that_the_configuration_does_not_name_is_not_asked() {
        let mut driver = driver("exit 7");
        driver.settings.verbs = Some(vec![Verb::Join]);
        let answer = driver.call(Verb::Drain, &Value::Null).await.unwrap();
        assert_eq!(answer, Answer::Unsupported);
        assert!(driver.call(Verb::Join, &Value::Null).await.is_err());
    }

    #[tokio::test]
    async fn a_gate_that_the_configuration_names_has_to_be_known() {
        let mut driver = driver("exit 64");
        driver.settings.verbs = Some(vec![Verb::OkToStop, Verb::CancelDrain]);
        assert!(driver.call(Verb::OkToStop, &Value::Null).await.is_err());
        let answer = driver.call(Verb::CancelDrain, &Value::Null).await.unwrap();
        assert_eq!(answer, Answer::Unsupported);
    }

    #[tokio::test]
    async fn a_yes_that_is_old_by_now_is_asked_for_once_more() {
        let (trouble, _) = watch::channel(String::new());
        let mut no = driver("echo '{\"reason\": \"n2 is down\"}'; exit 1");
        no.settings.interval = Duration::from_millis(1);
        let answer = no.still_ok_to_stop(&Value::Null, &trouble).await;
        assert_eq!(answer, Err("ok-to-stop: n2 is down".to_owned()));
        let yes = driver("exit 0");
        let answer = yes.still_ok_to_stop(&Value::Null, &trouble).await;
        assert_eq!(answer, Ok(()));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_asked_only_while_few_drivers_run() {
        let mut driver = driver("exit 0");
        driver.calls = Arc::new(Semaphore::new(CALLS_MAX));
        let health = async || {
            let asked = driver.call_in_spare_time(Verb::Health, &Value::Null);
            asked.await.is_some()
        };
        assert!(health().await);
        let busy = driver.calls.acquire_many(2).await.unwrap();
        assert!(!health().await);
        drop(busy);
        assert!(health().await);
    }

    #[tokio::test]
    async fn a_driver_answers_by_its_exit_status_and_a_no_with_a_reason() {
        assert_eq!(answer("exit 0").await, Ok(Answer::Yes(Map::new())));
        let left = Map::from_iter([("left".to_owned(), 0.into())]);
        assert_eq!(answer("echo '{\"left\": 0}'").await, Ok(Answer::Yes(left)));
        assert_eq!(answer("exit 64").await, Ok(Answer::Unsupported));
        let no = answer("echo '{\"reason\": \"too early\", \"left\": 7}'; exit 1").await;
        assert_eq!(no, Ok(Answer::No("too early".to_owned())));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_failure_that_says_what_was_on_standard_error() {
        for (script, failure) in [
            (
                "echo a trace >&2; exit 1",
                "the driver's drain-status answered something else than a JSON object with a reason: a trace",
            ),
            (
                "echo '{}'; exit 1",
                "the driver's drain-status answered something else than a JSON object with a reason",
            ),
            (
                "echo rubbish",
                "the driver's drain-status answered something else than a JSON object",
            ),
            (
                "echo no such node >&2; exit 7",
                "the driver's drain-status failed with exit status: 7: no such node",
            ),
            (
                "kill -9 $$",
                "the driver's drain-status failed with signal: 9 (SIGKILL)",
            ),
            (
                "yes",
                "the driver's drain-status did not run to its end: it wrote more than 65536 bytes",
            ),
        ] {
            assert_eq!(answer(script).await, Err(failure.to_owned()), "{script}");
        }
    }
}
