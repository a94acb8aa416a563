//! Storage processes as units of systemd, which the agent talks to over D-Bus.
//!
//! A unit says how the process is run, and runs the current release through the instance's `current` link; the agent
//! alone decides when. So a unit is checked before anything is done to it ([`check`]), and one that would go its own way
//! is refused. The agent's death is nothing to a unit: a new agent asks systemd for the unit's process, and looks at
//! boot, number, start time and executable like that of any other. What is left alone on purpose: writing units.

mod bus;
mod check;
mod facts;
mod life;

use std::{fs, io, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::{BootId, Release};
use evenkeel_common::{clock::Timestamp, failpoint};
use rustix::process::{Pid, Signal};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use self::{
    bus::Properties,
    facts::{Active, Definition, UnitState},
};
use super::{
    ExitWatcher, FindError, KeptDown, StorageProcess, SupervisorError, folders_are_there, lock,
    output,
    process::{By, Marks},
    record::{self, ProcessRecord, UnitLife},
    system,
};
use crate::{
    config::{InstanceSettings, Settings},
    configuration, failpoints,
    releases::Store,
    report::sentence,
};

pub use bus::{Bus, BusError};
pub use life::UnitProcess;

/// How long a start may take from systemd's being asked to the execution of the storage process, with all that the
/// unit waits for and runs before it.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a unit may be between two states that say whether it has a process, before that is said to be unknown.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile, in case a signal was lost.
const LOOK: Duration = Duration::from_millis(100);

/// The file that keeps a unit from being started where it says `ConditionPathExists=!`.
const KEPT_DOWN: &str = "kept-down";

/// Runs the storage process of one instance as a unit of systemd. Copies of it are the same supervisor.
#[derive(Debug, Clone)]
pub struct SystemdSupervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    unit: String,
    settings: Arc<InstanceSettings>,
    folder: Utf8PathBuf,
    boot: BootId,
    store: Arc<Store>,
    watcher: Arc<ExitWatcher>,
    bus: Arc<Bus>,
    /// The unit that the agent runs in, if it does.
    own_unit: Option<String>,
}

impl SystemdSupervisor {
    /// A supervisor of the instance that lives in this folder and is run by this unit.
    #[must_use]
    pub fn new(
        (unit, bus): (String, Arc<Bus>),
        settings: Arc<InstanceSettings>,
        folder: Utf8PathBuf,
        boot: BootId,
        store: Arc<Store>,
        watcher: Arc<ExitWatcher>,
    ) -> Self {
        let shared = Shared {
            unit,
            settings,
            folder,
            boot,
            store,
            watcher,
            bus,
            own_unit: own_unit(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    fn unit(&self) -> &str {
        &self.shared.unit
    }

    fn folder(&self) -> &Utf8Path {
        &self.shared.folder
    }

    fn stop_timeout(&self) -> Duration {
        self.shared.settings.stop_timeout
    }

    /// What tells that the unit may have changed, or whether systemd answers.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.bus.changes(&self.shared.unit)
    }

    /// Why systemd cannot be reached, while it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.bus.trouble()
    }

    async fn properties(&self) -> Result<Properties, BusError> {
        self.shared.bus.properties(&self.shared.unit).await
    }

    async fn state(&self) -> Result<UnitState, BusError> {
        Ok(UnitState::of(&self.properties().await?))
    }

    async fn kill_all(&self) -> Result<(), BusError> {
        let shared = &self.shared;
        shared
            .bus
            .kill_all(&shared.unit, Signal::KILL.as_raw())
            .await
    }

    /// Sees to it that the unit is one that the agent can answer for.
    pub(super) async fn check(&self) -> Result<(), SupervisorError> {
        self.checked().await.map(drop)
    }

    async fn checked(&self) -> Result<UnitState, SupervisorError> {
        let properties = self.properties().await?;
        let (definition, this) = (Definition::of(&properties), self.clone());
        let problems = spawn_blocking(move || {
            let shared = &*this.shared;
            let own_unit = shared.own_unit.as_deref();
            problems_of(
                &definition,
                &shared.unit,
                &shared.settings,
                &shared.folder,
                own_unit,
            )
        });
        let problems = problems.await?;
        match problems.is_empty() {
            true => Ok(UnitState::of(&properties)),
            false => Err(SupervisorError::Unit {
                unit: self.shared.unit.clone(),
                problems: problems.join("; "),
            }),
        }
    }

    /// The living process, if there is one.
    pub(super) async fn find(&self) -> Result<Option<StorageProcess>, SupervisorError> {
        let error = match self.process_now().await {
            Err(SupervisorError::Systemd(error @ BusError::Unreachable(_))) => error,
            found => return found,
        };
        // Systemd says nothing, but the kernel does: one that was its process is that still, while it lives.
        match self.recorded().await? {
            Some(process) => Ok(Some(process)),
            None => Err(error.into()),
        }
    }

    /// The process that systemd says is the unit's.
    async fn process_now(&self) -> Result<Option<StorageProcess>, SupervisorError> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let state = self.state().await?;
            match (state.active, main_of(&state)) {
                (Active::No, _) => {
                    self.is_nobody_elses()?;
                    return Ok(None);
                }
                (Active::Yes | Active::Stopping, Some(main)) => {
                    if let Some(process) = self.identify(&state, main).await? {
                        return Ok(Some(process));
                    }
                }
                (Active::Yes | Active::Stopping, None) => {}
            }
            if Instant::now() >= deadline {
                return Err(SupervisorError::Unsettled {
                    unit: self.shared.unit.clone(),
                    state: state.sub_state,
                });
            }
            let _ = timeout(LOOK, changes.changed()).await;
        }
    }

    /// The process of a unit, if it is that still once its number cannot pass to another any more.
    async fn identify(
        &self,
        state: &UnitState,
        main: Pid,
    ) -> Result<Option<StorageProcess>, SupervisorError> {
        let shared = &self.shared;
        let known = record::read(&shared.folder).filter(|known| {
            let life = known.unit.as_ref();
            known.boot == shared.boot
                && known.pid == main
                && life.is_some_and(|life| life.invocation == state.invocation)
        });
        let marks = Marks {
            pid: main,
            start_ticks: known.as_ref().map(|known| known.start_ticks),
            started_at: Timestamp(state.started_at_us / 1000),
            configuration: known.as_ref().and_then(|known| known.configuration),
        };
        let process = self.look_at(marks, state.invocation.clone()).await?;
        let Some(process) = process else {
            return Ok(None);
        };
        // Systemd is its parent: while it says so the number was not given to another.
        let again = self.state().await?;
        if (again.main_pid, &again.invocation) != (state.main_pid, &state.invocation) {
            return Ok(None);
        }
        if known.is_none() {
            // Somebody else has started it: what it wrote before, and how it was configured, is not known.
            self.note(&process, output::length(&shared.folder))?;
        }
        Ok(Some(process))
    }

    async fn look_at(
        &self,
        marks: Marks,
        invocation: Vec<u8>,
    ) -> Result<Option<StorageProcess>, SupervisorError> {
        let this = self.clone();
        let looked = spawn_blocking(move || {
            let by = By::Unit(UnitProcess::new(this.clone(), invocation));
            StorageProcess::identify(marks, by, &this.shared.store, &this.shared.watcher)
        });
        Ok(looked.await??)
    }

    /// The process that was the unit's when systemd was last heard, if it lives.
    async fn recorded(&self) -> Result<Option<StorageProcess>, SupervisorError> {
        let shared = &self.shared;
        let record = record::read(&shared.folder).filter(|record| record.boot == shared.boot);
        let Some(record) = record else {
            return Ok(None);
        };
        match &record.unit {
            Some(life) if life.unit == shared.unit => {
                self.look_at(record.marks(), life.invocation.clone()).await
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Sees to it that no other supervisor, of an earlier configuration, has a process of the instance.
    fn is_nobody_elses(&self) -> Result<(), FindError> {
        let shared = &self.shared;
        let record = record::read(&shared.folder).filter(|record| record.boot == shared.boot);
        let Some(record) = record.filter(ProcessRecord::is_alive) else {
            return Ok(());
        };
        let by = match record.unit {
            Some(life) if life.unit == shared.unit => return Ok(()),
            Some(life) => format!("the unit {}", life.unit),
            None => "the agent itself (exec)".to_owned(),
        };
        Err(FindError::OtherSupervisor {
            pid: record.pid.as_raw_pid(),
            by,
        })
    }

    fn note(&self, process: &StorageProcess, output_from: u64) -> Result<(), SupervisorError> {
        let shared = &self.shared;
        let Some(life) = process.unit() else {
            return Ok(());
        };
        let record = ProcessRecord {
            boot: shared.boot,
            pid: process.pid,
            start_ticks: process.start_ticks,
            started_at: process.started_at,
            output_from,
            configuration: process.configuration,
            unit: Some(UnitLife {
                unit: shared.unit.clone(),
                invocation: life.invocation().to_vec(),
            }),
        };
        record::write(&shared.folder, &record)
            .map_err(system("write down which process the unit's is"))
    }

    /// Starts the current release, which has to be this one; the process that is there, if one already is.
    pub(super) async fn start(&self, release: &Release) -> Result<StorageProcess, SupervisorError> {
        let shared = &self.shared;
        let before = self.checked().await?;
        if let Some(process) = self.process_now().await? {
            return Ok(process);
        }
        let (this, wanted) = (self.clone(), release.clone());
        let output_from = spawn_blocking(move || this.make_ready(&wanted)).await??;
        failpoint::hit(failpoints::START[0]);
        match shared.bus.reset_failed(&shared.unit).await {
            // It says so of one that has not failed, or is not in its memory.
            Ok(()) | Err(BusError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut changes = self.changes();
        let job = shared.bus.start(&shared.unit).await?;
        failpoint::hit(failpoints::START[1]);
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            changes.mark_unchanged();
            let ended = shared.bus.result_of(&job);
            let state = self.state().await?;
            let is_new = state.invocation != before.invocation;
            if let Some(main) = main_of(&state)
                && state.active != Active::No
                && let Some(mut process) = self.identify(&state, main).await?
            {
                process.configuration = Some(configuration::digest_of(&shared.settings));
                self.note(&process, output_from)?;
                failpoint::hit(failpoints::START[2]);
                return Ok(process);
            }
            if state.active == Active::No && (is_new || ended.is_some()) {
                let how = match is_new {
                    true => state.how_it_ended(),
                    false => "systemd did not start it".to_owned(),
                };
                let how = match ended {
                    Some(result) if result != "done" => format!("{how} (its job: {result})"),
                    Some(_) | None => how,
                };
                let how = output::with_last_lines_from(how, &shared.folder, output_from);
                return Err(SupervisorError::Ended(how));
            }
            if Instant::now() >= deadline {
                // What has not begun must not begin later.
                shared.bus.stop(&shared.unit).await?;
                return Err(SupervisorError::Timeout(START_TIMEOUT.as_secs()));
            }
            let _ = timeout(LOOK, changes.changed()).await;
        }
    }

    /// What has to be so before systemd is asked to start a release; how long the output is by then. Blocks.
    fn make_ready(&self, release: &Release) -> Result<u64, SupervisorError> {
        let shared = &self.shared;
        folders_are_there(&shared.settings.data_dirs)?;
        let link = shared.folder.join("current");
        let target = link.read_link_utf8().map_err(system("read the link"))?;
        if target.file_name() != Some(&release.to_string()) {
            let reason = format!("its unit would start {target}, which is another release");
            return Err(SupervisorError::Refused(reason));
        }
        // Children of the agent's own, from before the configuration named a unit.
        match lock::take_for_now(&shared.folder).map_err(system("take the instance's lock"))? {
            Some(_) => {}
            None => return Err(SupervisorError::Locked),
        }
        match fs::remove_file(shared.folder.join(KEPT_DOWN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system("let it be started")(error));
            }
            _ => {}
        }
        output::open(&shared.folder).map_err(system("open the output file"))?;
        Ok(output::length(&shared.folder))
    }

    /// Has systemd stop the unit, unless the process's life is over.
    pub(super) async fn ask_to_stop(&self, process: &UnitProcess) -> Result<(), SupervisorError> {
        let state = self.checked().await?;
        if state.active == Active::No || state.invocation != process.invocation() {
            return Ok(());
        }
        self.shared.bus.stop(&self.shared.unit).await?;
        Ok(())
    }

    /// Kills all of the unit, unless the process's life is over. Where systemd does not answer, the main process.
    pub(super) async fn kill(
        &self,
        process: &StorageProcess,
        unit: &UnitProcess,
    ) -> Result<(), SupervisorError> {
        let killed = async {
            let state = self.state().await?;
            match state.active != Active::No && state.invocation == unit.invocation() {
                true => self.kill_all().await,
                false => Ok(()),
            }
        };
        match killed.await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(unit = %self.unit(), %error, "only the unit's main process is killed");
                process.signal(Signal::KILL).map_err(system("kill it"))
            }
        }
    }

    pub(super) fn trim_output(&self) -> io::Result<()> {
        output::trim(&self.shared.folder)
    }

    /// Makes sure that nothing of the unit runs, and that nothing is started while the answer is held.
    pub(super) async fn keep_down(&self) -> Result<KeptDown, SupervisorError> {
        let shared = &self.shared;
        self.checked().await?;
        let lock =
            lock::take_for_now(&shared.folder).map_err(system("take the instance's lock"))?;
        let lock = lock.ok_or(SupervisorError::Locked)?;
        let mark = shared.folder.join(KEPT_DOWN);
        fs::write(&mark, "").map_err(system("keep its unit from being started"))?;
        let kept_down = KeptDown::new(lock, Some(mark));
        match self.process_now().await? {
            None => Ok(kept_down),
            Some(process) => Err(SupervisorError::Runs(process.pid())),
        }
    }
}

/// What is wrong with a unit for this instance. Blocks.
fn problems_of(
    definition: &Definition,
    unit: &str,
    settings: &InstanceSettings,
    folder: &Utf8Path,
    own_unit: Option<&str>,
) -> Vec<String> {
    let kept_down = folder.join(KEPT_DOWN);
    let expected = check::Expected {
        unit,
        folder,
        binary: &settings.binary,
        stop_timeout: settings.stop_timeout,
        kept_down: settings.rebuild.is_some().then_some(&kept_down),
        own_unit,
    };
    check::problems(definition, &expected)
}

/// What is wrong with the units that a configuration names, each with its setting, before any agent runs on it.
pub async fn problems(settings: &Settings) -> Vec<String> {
    let units = settings.instances.iter().filter_map(|instance| {
        let unit = instance.supervisor.unit()?;
        Some((instance, unit))
    });
    let units: Vec<_> = units.collect();
    let bus = Arc::new(Bus::new(units.iter().map(|(_, unit)| (*unit).to_owned())));
    let connection = bus
        .is_needed()
        .then(|| tokio::spawn(Arc::clone(&bus).run()));
    let mut problems = Vec::new();
    for (instance, unit) in units {
        let at = format!("instance.{}.unit: {unit}", instance.name);
        let folder = settings.folder_of(&instance.name);
        match bus.properties(unit).await {
            Ok(properties) => {
                let definition = Definition::of(&properties);
                let found = problems_of(&definition, unit, instance, &folder, None);
                problems.extend(found.into_iter().map(|problem| format!("{at}: {problem}")));
            }
            Err(error) => problems.push(format!("{at}: {}", sentence(&error))),
        }
    }
    if let Some(connection) = connection {
        connection.abort();
    }
    problems
}

fn main_of(state: &UnitState) -> Option<Pid> {
    Pid::from_raw(i32::try_from(state.main_pid).ok()?)
}

/// The unit that this process runs in: the last service in the path of its control group (cgroups(7)).
fn own_unit() -> Option<String> {
    own_unit_in(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn own_unit_in(groups: &str) -> Option<String> {
    let mut paths = groups.lines().filter_map(|line| line.rsplit(':').next());
    paths.find_map(|path| {
        let mut parts = path.rsplit('/');
        parts
            .find(|part| part.ends_with(".service"))
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_unit_is_the_last_service_of_its_control_group() {
        let of = |groups| own_unit_in(groups);
        assert_eq!(
            of("1:name=systemd:/\n0::/system.slice/evenkeel-agent.service\n").as_deref(),
            Some("evenkeel-agent.service")
        );
        assert_eq!(
            of("0::/user.slice/user@0.service/app.slice/a.service/sub").as_deref(),
            Some("a.service")
        );
        assert_eq!(of("0::/\n"), None);
    }
}
