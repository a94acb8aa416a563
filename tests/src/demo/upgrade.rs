//! The upgrade itself: started, watched to its end, and what it took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use evenkeel_proto::v1::{
    Plan, PlanState, Task, TaskState, WatchPlanRequest, WatchPlanResponse,
    watch_plan_response::Change,
};
use evenkeel_samplestore::load::Workload;
use tokio::time::{interval, sleep, timeout};
use tonic::Streaming;

use super::{phases::Phases, view::View};
use crate::api::{Api, TaskKey};

/// How long the whole upgrade may take.
const ENDED_WITHIN: Duration = Duration::from_secs(120);

/// How often the client's figures are shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// How often in a row the coordinator may not answer, [`SHOW_EVERY`] apart.
const SILENCES_MAX: u32 = 50;

/// How an upgrade went.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// The plan at its end, or where it paused.
    pub(super) plan: Plan,
    /// Its tasks.
    pub(super) tasks: BTreeMap<TaskKey, Task>,
    /// From the call that started it to the news of its end.
    pub(super) wall: Duration,
    /// The part of it before the first order: every host fetches and verifies the release, and nothing is stopped.
    pub(super) prefetch: Duration,
    /// The part of it in which nothing was done but to watch whether what was done stays good.
    pub(super) soak: Duration,
}

impl Upgrade {
    /// The time that the processes needed themselves, one after the other: from stop signal to first good answer.
    pub(super) fn stop_to_ready(&self) -> Duration {
        let times = self.tasks.values().map(|task| task.stop_to_ready_us);
        Duration::from_micros(times.sum())
    }
}

/// Starts the plan and watches it until it comes to rest.
///
/// # Errors
/// When it cannot be started, the coordinator does not answer any more, or it takes too long.
pub(super) async fn run(
    api: &Api,
    plan: Plan,
    load: &Workload,
    view: &mut dyn View,
) -> anyhow::Result<Upgrade> {
    let begun_at = Instant::now();
    let mut watch = Watch {
        view,
        load,
        tasks: BTreeMap::new(),
        phases: Phases::default(),
        prefetched: false,
        revision: 0,
        plan: api.start_plan(&plan.name).await?,
    };
    let watched = timeout(ENDED_WITHIN, watch.until_at_rest(api)).await;
    watched.with_context(|| format!("{} has not ended within {ENDED_WITHIN:?}", plan.name))??;
    let wall = begun_at.elapsed();
    watch.view.load(&load.progress());
    Ok(Upgrade {
        wall,
        prefetch: watch.phases.prefetch(&watch.plan),
        soak: watch.phases.soak(),
        plan: watch.plan,
        tasks: watch.tasks,
    })
}

struct Watch<'a> {
    view: &'a mut dyn View,
    load: &'a Workload,
    plan: Plan,
    tasks: BTreeMap<TaskKey, Task>,
    phases: Phases,
    /// Whether it was told that every host holds the artifact.
    prefetched: bool,
    revision: u64,
}

impl Watch<'_> {
    /// Watches until the plan rests; a lost connection is made again.
    async fn until_at_rest(&mut self, api: &Api) -> anyhow::Result<()> {
        let mut silences = 0;
        while !self.rests() {
            let request = WatchPlanRequest {
                name: self.plan.name.clone(),
                after_revision: self.revision,
            };
            let seen = self.revision;
            let status = match api.plans().watch_plan(request).await {
                Ok(stream) => self.follow(stream.into_inner()).await,
                Err(status) => Err(status),
            };
            silences = if self.revision > seen {
                0
            } else {
                silences + 1
            };
            if let Err(status) = status
                && silences > SILENCES_MAX
            {
                bail!(
                    "the coordinator does not tell of {} any more: {}",
                    self.plan.name,
                    status.message()
                );
            }
            if !self.rests() {
                sleep(SHOW_EVERY).await;
            }
        }
        // The plan's last change may be told before that of its last task.
        for task in api.tasks(&self.plan.name).await?.into_values() {
            self.take_task(task);
        }
        Ok(())
    }

    async fn follow(
        &mut self,
        mut stream: Streaming<WatchPlanResponse>,
    ) -> Result<(), tonic::Status> {
        let mut ticks = interval(SHOW_EVERY);
        while !self.rests() {
            tokio::select! {
                message = stream.message() => match message? {
                    Some(message) => self.take(message),
                    None => return Ok(()),
                },
                _ = ticks.tick() => self.view.load(&self.load.progress()),
            }
        }
        Ok(())
    }

    fn rests(&self) -> bool {
        matches!(
            self.plan.state(),
            PlanState::Paused
                | PlanState::ReadyToFinalize
                | PlanState::Finalized
                | PlanState::Aborted
        )
    }

    fn take(&mut self, message: WatchPlanResponse) {
        self.revision = message.revision;
        match message.change {
            Some(Change::Plan(plan)) => {
                self.view.plan(&plan);
                self.plan = plan;
            }
            Some(Change::Task(task)) => self.take_task(task),
            // All that was there at the start has been told.
            None => {}
        }
    }

    fn take_task(&mut self, task: Task) {
        let key = (task.stage, task.instance.clone());
        let before = self.tasks.get(&key).map(Task::state);
        self.phases.saw(&task);
        let news = before != Some(task.state());
        self.tasks.insert(key, task.clone());
        if self.is_prefetched_now() {
            let version = task.to.as_ref().map_or("", |release| &release.version);
            self.view.done(&format!(
                "every node holds {version}, its digest and signature verified"
            ));
        }
        if news {
            self.view.task(&task);
        }
    }

    fn is_prefetched_now(&mut self) -> bool {
        let holds = |task: &Task| task.state() > TaskState::Pending;
        let all = self.tasks.len() == self.plan.tasks_total as usize;
        let now = all && self.tasks.values().all(holds);
        now && !std::mem::replace(&mut self.prefetched, true)
    }
}
