//! What `cargo demo` runs: a coordinator, five agents and five processes of the sample store, upgraded while a client
//! writes and reads.
//!
//! Start reading at [`run`]. [`place`] keeps the folder to one demo, [`upgrade`] watches the plan, [`view`] shows it
//! ([`live`] on terminals, [`plain`] elsewhere), [`report`] and [`next`] are what is said at the end.

mod arguments;
mod live;
mod next;
mod phases;
mod place;
mod plain;
mod report;
mod shell;
mod upgrade;
mod view;
mod words;

use std::{io, process::ExitCode, time::Duration};

use anyhow::Context as _;
use camino::Utf8Path;
use evenkeel_common::digest::Digest;
use evenkeel_proto::v1::{InstanceHealth, Plan, PlanComparison, PlanPolicy, Task};
use evenkeel_samplestore::load::{Workload, WorkloadOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use self::arguments::Arguments;
use self::{
    arguments::Action,
    place::Place,
    view::{Row, write_line},
};
use crate::{
    api::{Api, one_wave, up},
    fleet::Fleet,
    places, processes,
    systems::samplestore::{COMPONENT, Layout},
};

/// How many nodes the fleet has.
const NODES: usize = 5;

/// The release that the fleet runs.
const FROM: &str = "1.0.0";

/// The release that it is brought to.
const TO: &str = "1.1.0";

/// A release that exits as soon as it is started, for those who look round.
const BROKEN: &str = "1.1.1";

/// The label of a failure domain.
const ZONE: &str = "zone";

/// Long enough to see it, short enough to watch.
const SOAK: Duration = Duration::from_secs(1);

/// How long an instance may take to its first good answer.
const INSTANCE_DEADLINE: Duration = Duration::from_secs(30);

/// How long the plan may stand still.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(60);

/// How long storage processes may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a shell adds to a signal's number for an exit status.
const SIGNALLED: u8 = 128;

/// Runs the demo and says by the exit status whether all of it held.
///
/// # Errors
/// When it could not run.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let dir = arguments.dir.context(
        "which folder to use is not said: run `cargo demo`, which has one, or name one with --dir",
    )?;
    if matches!(arguments.action, Some(Action::Stop)) {
        let dir_shown = shell::path(&dir);
        write_line(&match place::stop(&dir)? {
            0 => format!("nothing runs in {dir_shown}"),
            count => format!("stopped {count} processes; state and logs stay in {dir_shown}"),
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupts = Interrupts::new()?;
    let place = Place::take(&dir)?;
    tokio::select! {
        held = show(place.folder(), arguments.keep) => {
            let held = held.with_context(|| {
                format!("the demo could not go on (its logs are in {})", shell::path(place.folder()))
            })?;
            Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        // What was started has ended by now: it is stopped when the demo is dropped.
        number = interrupts.first() => {
            write_line("interrupted; everything that was started is stopped");
            Ok(ExitCode::from(SIGNALLED.saturating_add(number)))
        }
    }
}

/// The demo from its first process to its last word. Says whether all of it held.
async fn show(folder: &Utf8Path, keep: bool) -> anyhow::Result<bool> {
    let mut layout = Layout::new(folder, NODES, FROM)?;
    layout.spec.detached = true;
    let mut view = view::of_stdout();
    view.begun("a coordinator, its agents and the storage processes start");
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    view.done(&format!(
        "a coordinator, {NODES} agents and {NODES} processes of {COMPONENT} {FROM} run"
    ));
    let load = Workload::start(&layout.client(), &WorkloadOptions::default());
    view.done("a client writes and reads");

    let api = fleet.api()?;
    let key = fleet.release_key()?;
    let digest = api
        .publish(COMPONENT, TO, &places::samplestore(TO)?, &key)
        .await?;
    view.done(&format!("{COMPONENT} {TO} is published and signed"));
    let plan = api.create_plan(&[up(COMPONENT, TO)], policy()?).await?;
    view.starts(&plan, &rows(&api, &plan).await?);
    let upgrade = upgrade::run(&api, plan, &load, view.as_mut()).await?;
    let load = load.finish().await;
    view.ends();

    let broken = report::broken(&upgrade, &load, strays(&api, digest).await?);
    write_line("");
    write_line(&report::verdict(&broken));
    write_line(&report::figures(&upgrade, &load));
    write_line(&report::places(folder));
    let next = match (keep, broken.is_empty()) {
        (true, true) => {
            api.publish(COMPONENT, BROKEN, &places::samplestore(BROKEN)?, &key)
                .await?;
            let draft = api.create_plan(&[up(COMPONENT, BROKEN)], policy()?).await?;
            next::while_it_runs(folder, &draft.name)?
        }
        (true, false) => next::while_it_is_broken(folder, &upgrade.plan.name)?,
        (false, _) => next::afterwards(folder)?,
    };
    if keep {
        fleet.leave_running();
    } else {
        fleet.stop()?;
        processes::stop_below(folder, STOP_WITHIN)?;
    }
    write_line(&next);
    Ok(broken.is_empty())
}

fn policy() -> anyhow::Result<PlanPolicy> {
    Ok(PlanPolicy {
        failure_domain: Some(ZONE.to_owned()),
        soak: Some(SOAK.try_into()?),
        instance_deadline: Some(INSTANCE_DEADLINE.try_into()?),
        progress_deadline: Some(PROGRESS_DEADLINE.try_into()?),
        waves: one_wave(),
        // What starts at the same moment on a small machine differs by chance.
        compare: Some(PlanComparison {
            off: true,
            ..PlanComparison::default()
        }),
        ..PlanPolicy::default()
    })
}

/// The instances that the plan touches, in the order in which they go.
async fn rows(api: &Api, plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let instances = api.instances().await?;
    let mut tasks: Vec<Task> = api.tasks(&plan.name).await?.into_values().collect();
    tasks.sort_by(|a, b| (a.wave, &a.instance).cmp(&(b.wave, &b.instance)));
    let rows = tasks.into_iter().map(|task| {
        let zone = instances
            .get(&task.instance)
            .and_then(|instance| instance.labels.get(ZONE));
        Row {
            zone: zone.cloned().unwrap_or_default(),
            canary: task.wave == 0,
            instance: task.instance,
        }
    });
    Ok(rows.collect())
}

/// The instances that do not run these bytes in good health, in words.
async fn strays(api: &Api, digest: Digest) -> anyhow::Result<Vec<String>> {
    let instances = api.instances().await?;
    let strays = instances.into_iter().filter_map(|(name, instance)| {
        if instance.health() != InstanceHealth::Healthy {
            return Some(format!("{name} is not healthy: {}", instance.reason));
        }
        let release = instance.process.and_then(|process| process.release);
        let runs = release.map(|release| release.digest).unwrap_or_default();
        (runs != digest.to_string()).then(|| format!("{name} does not run {TO}"))
    });
    Ok(strays.collect())
}

/// The signals that end the demo.
struct Interrupts([(Signal, SignalKind); 3]);

impl Interrupts {
    /// From here on they do not end the process by themselves.
    fn new() -> io::Result<Self> {
        let listen = |kind| Ok::<_, io::Error>((signal(kind)?, kind));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// Waits for the first of them and gives its number.
    async fn first(&mut self) -> u8 {
        let [a, b, c] = &mut self.0;
        let kind = tokio::select! {
            _ = a.0.recv() => a.1,
            _ = b.0.recv() => b.1,
            _ = c.0.recv() => c.1,
        };
        u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }
}
