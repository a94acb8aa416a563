//! Transcripts: lines that begin with `> ` are commands, those that begin with `#` are for the reader, and
//! all others are what came of the command before. [`check`] runs the commands and compares.
//!
//! A whole transcript is written anew with `UPDATE_TRANSCRIPTS=1 cargo test -p evenkeel-coordinator-core`;
//! read the difference before you keep it.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_compat::{Matrix, file};
use evenkeel_coordinator_core::{
    calls::Call,
    compatibility::VersionInUse,
    desired,
    engine::{quarantine, waits},
    measures::Measure,
    plan::{Comparison, OnFailure, PlanId, PlanKind, Policy, Target, Window},
    planner::Selection,
    release::{Artifact, SignedManifest},
};
use evenkeel_words::{
    digest::Digest,
    names::{ComponentName, InstanceId, InstanceName, NodeName},
    timestamp::Timestamp,
};
use semver::Version;

use crate::{
    host::{Fault, Host, Local, release},
    world::{START, World},
};

/// The end of time, as far as a transcript goes.
const EVENTUALLY: Duration = Duration::from_secs(100 * 3600);

/// Runs a transcript and compares.
pub(crate) fn check(name: &str) {
    let path = format!(
        "{}/tests/engine/scripts/{name}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let expected = std::fs::read_to_string(&path).unwrap();
    let mut script = Script::new();
    let mut actual = String::new();
    for line in expected.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            actual += &format!("{line}\n{}", script.run(command));
        } else if line.starts_with('#') || line.is_empty() {
            actual += &format!("{line}\n");
        }
    }
    script.world.replays(script.world.changes() / 2);
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(&path, &actual).unwrap();
    } else {
        let lines = actual.lines().zip(expected.lines());
        let same = lines
            .take_while(|(actual, expected)| actual == expected)
            .count();
        let rest = |text: &str| {
            text.lines()
                .skip(same)
                .take(12)
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(
            actual == expected,
            "{path}:{}\n--- expected\n{}\n--- what came\n{}",
            same + 1,
            rest(&expected),
            rest(&actual)
        );
    }
}

struct Script {
    world: World,
    every_step: bool,
}

/// A command's words, and its options of the form `name=value`.
struct Words<'a> {
    words: std::vec::IntoIter<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(command: &'a str) -> Self {
        let (options, words): (Vec<_>, Vec<_>) = command
            .split_whitespace()
            .partition(|word| word.contains('='));
        Self {
            words: words.into_iter(),
            options: options
                .into_iter()
                .map(|o| o.split_once('=').unwrap())
                .collect(),
        }
    }

    fn next(&mut self) -> &'a str {
        self.words.next().expect("one more word")
    }

    fn rest(&mut self) -> String {
        self.words.by_ref().collect::<Vec<_>>().join(" ")
    }

    fn version(&mut self) -> Version {
        self.next().parse().unwrap()
    }

    fn versions(&mut self) -> Vec<VersionInUse> {
        let versions = self.words.by_ref();
        versions
            .map(|version| VersionInUse {
                version: version.parse().unwrap(),
                count: 1,
            })
            .collect()
    }

    fn number(&self, name: &str, otherwise: u32) -> u32 {
        self.options
            .get(name)
            .map_or(otherwise, |text| text.parse().unwrap())
    }

    fn duration(&self, name: &str, otherwise: Duration) -> Duration {
        self.options
            .get(name)
            .map_or(otherwise, |text| duration(text))
    }
}

fn duration(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

fn since_start(at: Timestamp) -> String {
    format!("{} s", at.since(START).as_secs())
}

impl Script {
    fn new() -> Self {
        Self {
            world: World::new(),
            every_step: false,
        }
    }

    /// Carries out a command; what came of it, a line each.
    fn run(&mut self, command: &str) -> String {
        let mut words = Words::new(command);
        let mut said = Vec::new();
        match words.next() {
            "fleet" => self.fleet(&mut words),
            "node" => self.node(&mut words),
            "every-step" => self.every_step = true,
            "publish" | "matrix" | "in-use" | "create" | "start" | "pause" | "resume" | "abort"
            | "finalize" | "rollback" | "retarget" | "retry" | "skip" | "freeze" | "unfreeze"
            | "restart-plan" | "reconfigure-plan" => {
                let call = call(command);
                match self.world.ask(words.options.get("id").copied(), &call) {
                    Err(refusal) => {
                        said.push(format!("refused as {:?}: {refusal}", refusal.kind));
                    }
                    Ok(outcome) if outcome.change.is_none() => {
                        said.push(format!("answered before: {}", outcome.resource));
                    }
                    Ok(_) => {}
                }
            }
            "measure" => self.measure(&mut words),
            "restart" => self.world.restart(),
            "round" => {
                self.world.round();
            }
            "run" => self.world.run(),
            "wait" => match words.next() {
                "eventually" => self.world.wait(EVENTUALLY),
                time => self.world.wait(duration(time)),
            },
            "why" => said = self.why(words.next().parse().unwrap()),
            "show" => said = self.show(words.next().parse().unwrap()),
            "next" => {
                let next = self.world.engine.next_due();
                said.push(next.map_or("nothing is due".to_owned(), |at| {
                    format!("at {} something is due", since_start(at))
                }));
            }
            "desired" => said = self.desired(&words.next().parse().unwrap()),
            "held" => said = self.held(),
            "quarantined" => said = self.quarantined(),
            fault => self.fault(fault, &mut words),
        }
        let steps = ["quiesced", "stopped", "swapped", "started", "verified"];
        let log = std::mem::take(&mut self.world.log)
            .into_iter()
            .filter(|line| {
                self.every_step || !steps.iter().any(|step| line.ends_with(&format!(" {step}")))
            });
        log.chain(said).map(|line| line + "\n").collect()
    }

    /// `fleet 5 store 1.0.0 zones=3 groups=2`: nodes n1 to n5, spread over zones and groups in turns.
    fn fleet(&mut self, words: &mut Words) {
        let count: u32 = words.next().parse().unwrap();
        let (component, version) = (words.next(), words.next());
        let turn = |name: &str, label: &str, letter: &str, index: u32| match words.number(name, 0) {
            0 => String::new(),
            of => format!(" {label}={letter}{}", index % of + 1),
        };
        for index in 0..count {
            let zone = turn("zones", "zone", "z", index);
            let group = turn("groups", "group", "g", index);
            let name = format!("n{}", index + 1);
            self.node(&mut Words::new(&format!(
                "{name} {component} {version}{zone}{group}"
            )));
        }
    }

    /// `node n9 store 1.0.0 zone=z1 group=g2 platform=linux/arm64`
    fn node(&mut self, words: &mut Words) {
        let name: NodeName = words.next().parse().unwrap();
        let component: ComponentName = words.next().parse().unwrap();
        let version = words.version();
        let platform = words.options.remove("platform").unwrap_or("linux/amd64");
        let labels = |only_group: bool| {
            let options = words.options.iter();
            options
                .filter(|(label, _)| (**label == "group") == only_group)
                .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut host = Host::new(platform, labels(false));
        let instance: InstanceName = component.as_str().parse().unwrap();
        let local = Local::new(component, release(&version), labels(true));
        host.instances.insert(instance, local);
        self.world.hosts.insert(name.clone(), host);
        self.world.report(&name);
    }

    /// `measure n1 20 restarts=1`: the instance of the node has answered 60 probes in 20 ms each; with `process=before`
    /// that was another process than it has now, and with `process=unsaid` its agent does not say which.
    fn measure(&mut self, words: &mut Words) {
        let node: NodeName = words.next().parse().unwrap();
        let latency = Duration::from_millis(words.next().parse().unwrap());
        let name = self.world.hosts[&node].instances.keys().next().cloned();
        let id = InstanceId {
            node,
            name: name.unwrap(),
        };
        let instance = self.world.state.instance(&id);
        let process = instance.and_then(|instance| instance.report.process.as_ref());
        let started_at = process.map(|process| process.started_at);
        let process_started_at = match words.options.get("process").copied() {
            Some("before") => started_at.map(|at| Timestamp(at.0 - 1)),
            Some("unsaid") => None,
            Some(other) => panic!("a process {other}"),
            None => started_at,
        };
        let measure = Measure {
            at: self.world.now,
            process_started_at,
            up: Duration::from_secs(100),
            probes: 60,
            failures: words.number("failures", 0),
            latency_p50: latency,
            latency_p99: latency,
            restarts: words.number("restarts", 0),
            metrics: BTreeMap::new(),
        };
        self.world.see(&id, measure);
    }

    fn fault(&mut self, fault: &str, words: &mut Words) {
        let node: NodeName = words.next().parse().unwrap();
        if fault == "vanish" {
            return self.world.vanish(&node);
        }
        let host = self
            .world
            .hosts
            .get_mut(&node)
            .expect("a node or a command");
        let local = host.instances.values_mut().next();
        match (fault, local) {
            ("return", _) => host.reachable = true,
            ("hang", _) => host.hangs = true,
            ("unhang", _) => host.hangs = false,
            ("relabel", _) => {
                for (label, value) in &words.options {
                    host.labels.insert((*label).to_owned(), (*value).to_owned());
                }
                host.labels.retain(|_, value| !value.is_empty());
                host.in_session = false;
            }
            ("boot", _) => host.boot(),
            ("remove", _) => host.remove(),
            ("put-back", _) => host.put_back(),
            ("does-not-start", Some(local)) => {
                local.faults.insert(words.version(), Fault::DoesNotStart);
            }
            ("never-healthy", Some(local)) => {
                local.faults.insert(words.version(), Fault::NeverHealthy);
            }
            ("good", Some(local)) => local.faults.clear(),
            ("sick", Some(local)) => local.sick = Some(words.rest()),
            ("well", Some(local)) => (local.sick, local.shaky) = (None, false),
            ("shaky", Some(local)) => local.shaky = true,
            ("can-finalize", Some(local)) => {
                local.can_finalize = true;
                host.in_session = false;
            }
            ("asks", Some(local)) => {
                local.asks = true;
                host.in_session = false;
            }
            ("not-final", Some(local)) => local.not_final = Some(words.rest()),
            ("makes-final", Some(local)) => local.not_final = None,
            ("configured", Some(local)) => {
                local.configuration = words.rest();
                host.in_session = false;
            }
            ("cannot-fetch", Some(local)) => local.unfetchable = Some(words.rest()),
            ("can-fetch", Some(local)) => local.unfetchable = None,
            ("needed", Some(local)) => local.needed = Some(words.rest()),
            ("spared", Some(local)) => local.needed = None,
            ("from-image", Some(local)) => {
                local.by_hand(release(&words.version()));
                host.boot();
            }
            ("by-hand", Some(local)) => local.by_hand(release(&words.version())),
            ("forget", _) => host.forget(),
            ("accepted", Some(local)) => {
                local.accepted.epoch = words.number("epoch", 0).into();
                local.accepted.generation = words.number("generation", 0).into();
                host.in_session = false;
            }
            (unknown, _) => panic!("no such command: {unknown}"),
        }
    }

    fn why(&self, id: PlanId) -> Vec<String> {
        let state = &self.world.state;
        let plan = state.plan(id).unwrap();
        let tasks = state.tasks_of(id);
        let of_tasks = tasks.filter_map(|task| waits::wait(state, plan, task, self.world.now));
        let waits = waits::wait_of_plan(state, plan, self.world.now)
            .into_iter()
            .chain(of_tasks);
        waits
            .map(|wait| {
                let until = wait.until.map(|at| format!(", until {}", since_start(at)));
                let instance = wait
                    .instance
                    .map_or_else(|| id.to_string(), |i| i.to_string());
                format!(
                    "{instance} since {}{}: {:?}: {}",
                    since_start(wait.since),
                    until.unwrap_or_default(),
                    wait.kind,
                    wait.sentence
                )
            })
            .collect()
    }

    fn show(&self, id: PlanId) -> Vec<String> {
        let plan = self.world.state.plan(id).unwrap();
        let of = (plan.tasks_done, plan.tasks_total);
        let head = format!("{id} {}, {} of {} done", plan.state.name(), of.0, of.1);
        let tasks = self.world.state.tasks_of(id).map(|task| {
            let reason = match task.state.reason() {
                "" => String::new(),
                reason => format!(" ({reason})"),
            };
            let stage = match plan.stages.len() {
                1 => String::new(),
                _ => format!("stage {}, ", task.stage),
            };
            format!(
                "  {stage}wave {}: {} {}{reason}",
                task.wave,
                task.instance,
                task.state.name()
            )
        });
        let several = plan.stages.len() > 1;
        let stages = plan.stages.iter().filter(|_| several).enumerate();
        let stages =
            stages.map(|(index, stage)| format!("  stage {index}: {stage} {:?}", stage.way));
        std::iter::once(head).chain(stages).chain(tasks).collect()
    }

    fn desired(&self, node: &NodeName) -> Vec<String> {
        let desired = desired::desired(&self.world.state, node);
        desired
            .map(|desired| {
                let order = desired.order.map_or("no order".to_owned(), |order| {
                    format!("order {} for {}", order.generation, order.release.version)
                });
                let finalize = desired.finalize;
                let finalize = finalize.map(|it| format!(", to finalize as {}", it.id));
                format!(
                    "{}: {order}, {} to prefetch{}",
                    desired.name,
                    desired.prefetch.len(),
                    finalize.unwrap_or_default()
                )
            })
            .collect()
    }

    /// What people read of every instance that is held, or ought not to meet what it does, and what it runs.
    fn quarantined(&self) -> Vec<String> {
        let state = &self.world.state;
        let told = state.instances().filter_map(|instance| {
            let told = quarantine::told(state, instance, self.world.now)?;
            Some(format!("{}: {told}", instance.id))
        });
        let told: Vec<_> = told.collect();
        match told.is_empty() {
            true => vec!["nobody is".to_owned()],
            false => told,
        }
    }

    fn held(&self) -> Vec<String> {
        let holders = self.world.state.slot_holders();
        holders
            .map(|holder| {
                format!(
                    "{} is held by {}",
                    holder.id,
                    holder.slot.as_ref().unwrap().plan
                )
            })
            .collect()
    }
}

fn call(command: &str) -> Call {
    let mut words = Words::new(command);
    match words.next() {
        "publish" => publish(&mut words),
        "create" => Call::CreatePlan {
            content: content(command),
            policy: policy(&words),
            targets: targets(&mut words),
        },
        "matrix" => matrix(&words.rest()),
        "in-use" => Call::ReportVersions {
            component: words.next().parse().unwrap(),
            source: "gateway".parse().unwrap(),
            content: release(&Version::new(command.len() as u64, 0, 0)).digest,
            versions: words.versions(),
        },
        "finalize" => Call::FinalizePlan {
            plan: words.next().parse().unwrap(),
            stage: words
                .options
                .get("stage")
                .map(|stage| stage.parse().unwrap()),
        },
        "start" => Call::StartPlan(words.next().parse().unwrap()),
        "pause" => Call::PausePlan(words.next().parse().unwrap(), words.rest()),
        "restart-plan" => restart(PlanKind::Restart, &mut words),
        "reconfigure-plan" => restart(PlanKind::Reconfigure, &mut words),
        "rollback" => Call::RollBackPlan(words.next().parse().unwrap(), words.rest()),
        "retarget" => Call::RetargetPlan {
            plan: words.next().parse().unwrap(),
            content: content(command),
            policy: policy(&words),
            targets: targets(&mut words),
            reason: String::new(),
        },
        "retry" => {
            let plan = words.next().parse().unwrap();
            Call::RetryTask(plan, words.next().parse().unwrap())
        }
        "skip" => {
            let (plan, instance) = (words.next().parse().unwrap(), words.next().parse().unwrap());
            Call::SkipTask(plan, instance, words.rest())
        }
        "resume" => Call::ResumePlan(words.next().parse().unwrap()),
        "freeze" => Call::FreezeFleet(words.rest()),
        "unfreeze" => Call::UnfreezeFleet,
        "abort" => Call::AbortPlan(words.next().parse().unwrap(), words.rest()),
        verb => panic!("no such call: {verb}"),
    }
}

/// What tells one command from another.
fn content(command: &str) -> Digest {
    let mut bytes = [0; 32];
    for (index, byte) in command.bytes().enumerate() {
        bytes[index % 32] ^= byte;
    }
    Digest::from_bytes(bytes)
}

/// `store n1/gate`: what takes part.
fn restart(kind: PlanKind, words: &mut Words) -> Call {
    let policy = policy(words);
    let mut selection = Selection::default();
    for word in words.words.by_ref() {
        match word.contains('/') {
            true => selection.instances.push(word.parse().unwrap()),
            false => selection.components.push(word.parse().unwrap()),
        }
    }
    Call::CreateRestart {
        kind,
        content: release(&Version::new(selection.instances.len() as u64, 0, 0)).digest,
        selection,
        policy,
    }
}

/// `store 1.1.0 gate 1.2.0`: where to bring which components; `down` after a version allows the downgrade.
fn targets(words: &mut Words) -> Vec<Target> {
    let mut targets = Vec::<Target>::new();
    while let Some(word) = words.words.next() {
        match (word, targets.last_mut()) {
            ("down", Some(last)) => last.allow_downgrade = true,
            (component, _) => targets.push(Target {
                component: component.parse().unwrap(),
                version: words.version(),
                allow_downgrade: false,
            }),
        }
    }
    targets
}

/// The matrix of a name: what is in the file of that name beside the scripts, or what all scripts begin with.
fn matrix(name: &str) -> Call {
    let path = format!(
        "{}/tests/engine/matrices/{name}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap();
    apply(&file::parse(&text).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// The call that puts a matrix in place.
pub(crate) fn apply(matrix: &Matrix) -> Call {
    // Any digest that differs with the matrix will do.
    let content = release(&Version::new(matrix.rules().len() as u64, 0, 0)).digest;
    Call::ApplyMatrix {
        matrix: matrix.clone(),
        content,
        expected_version: None,
    }
}

fn publish(words: &mut Words) -> Call {
    let component = words.next().parse().unwrap();
    let version = words.version();
    let bytes = words
        .options
        .get("bytes")
        .map_or_else(|| version.clone(), |b| b.parse().unwrap());
    published(
        component,
        version.clone(),
        words.options.get("for").copied(),
        &bytes,
    )
}

/// The call that publishes a release with the bytes that all tests call by that version.
pub(crate) fn published(
    component: ComponentName,
    version: Version,
    platform: Option<&str>,
    bytes: &Version,
) -> Call {
    let digest = release(bytes).digest;
    Call::PublishRelease {
        component,
        platform: platform.unwrap_or("linux/amd64").to_owned(),
        artifact: Artifact {
            digest,
            size_bytes: 1,
            manifest: SignedManifest {
                manifest: format!("{digest} {version}").into_bytes(),
                key_id: String::new(),
                signature: Vec::new(),
            },
        },
        version,
    }
}

fn policy(words: &Words) -> Policy {
    let defaults = Policy::default();
    let amount = |name: &str| words.options.get(name).map(|text| text.parse().unwrap());
    let waves = words.options.get("waves").copied().unwrap_or("100%");
    let windows = words.options.get("window").copied();
    Policy {
        max_unavailable: amount("max_unavailable").unwrap_or(defaults.max_unavailable),
        max_unavailable_component: amount("max_unavailable_component"),
        min_healthy: amount("min_healthy"),
        failure_domain: words
            .options
            .get("failure_domain")
            .map(|label| (*label).to_owned()),
        failure_domains_at_once: words.number("failure_domains_at_once", 1),
        canary: words.number("canary", defaults.canary),
        waves: waves.split(',').map(|wave| wave.parse().unwrap()).collect(),
        soak: words.duration("soak", defaults.soak),
        instance_deadline: words.duration("instance_deadline", defaults.instance_deadline),
        progress_deadline: words.duration("progress_deadline", defaults.progress_deadline),
        plan_deadline: words
            .options
            .get("plan_deadline")
            .map(|text| duration(text)),
        on_failure: match words.options.get("on_failure").copied() {
            Some("pause") => OnFailure::Pause,
            None | Some("revert") => OnFailure::Revert,
            Some("rollback") => OnFailure::Rollback,
            Some(other) => panic!("no such action: {other}"),
        },
        failures_tolerated: words.number("failures_tolerated", 0),
        pause_before_finalize: words.options.contains_key("pause_before_finalize"),
        windows: windows.into_iter().map(window).collect(),
        compare: words.options.get("compare").map(|percent| Comparison {
            latency_percent_max: percent.strip_suffix('%').unwrap().parse().unwrap(),
            worse_for: words
                .options
                .get("worse_for")
                .map_or(Duration::ZERO, |time| duration(time)),
            ..Comparison::default()
        }),
    }
}

/// `0_22_*_*_SAT_for_4h_in_UTC`: a window as people write it, in one word.
fn window(word: &str) -> Window {
    Window::new(word.replace('_', " ").parse().unwrap()).unwrap()
}
