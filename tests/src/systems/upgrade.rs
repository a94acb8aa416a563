//! A plan carried out while a client writes, from before its start until after its end.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use evenkeel_common::digest::Digest;
use evenkeel_proto::v1::{Plan, PlanPolicy, PlanState, PlanTarget, Task};

use super::writer::{Target, Writer, WriterOptions, Written};
use crate::{
    api::{Api, TaskKey, quick_policy, up},
    fleet::Fleet,
};

/// So many writes are acknowledged before the plan and again after it: enough for each member to have had its turns.
const WRITES_AROUND: usize = 100;

/// How long they may take.
const WRITES_WITHIN: Duration = Duration::from_secs(60);

/// How long the plan may take to come to rest.
const AT_REST_WITHIN: Duration = Duration::from_secs(120);

/// Where a fleet is brought.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The component.
    pub component: &'static str,
    /// The releases that are published for it, each with its program; the last one is where it leads.
    pub releases: Vec<(&'static str, Utf8PathBuf)>,
}

impl Upgrade {
    /// To one release.
    #[must_use]
    pub fn to(component: &'static str, version: &'static str, program: Utf8PathBuf) -> Self {
        Self {
            component,
            releases: vec![(version, program)],
        }
    }

    /// What a plan is asked for.
    ///
    /// # Errors
    /// When there is no release.
    pub fn target(&self) -> anyhow::Result<PlanTarget> {
        let (version, _) = self.releases.last().context("there is no release")?;
        Ok(up(self.component, version))
    }
}

/// What became of a plan and of what was written meanwhile.
#[derive(Debug)]
pub struct Outcome {
    /// The release that it led to.
    pub digest: Digest,
    /// The plan at rest.
    pub plan: Plan,
    /// Its tasks.
    pub tasks: BTreeMap<TaskKey, Task>,
    /// What was written.
    pub written: Written,
}

/// Publishes the releases and carries out the plan while a client writes to `target`. What has to be done or seen once
/// the plan is started is for `meanwhile`. The plan has to come to rest in `state`, and the fleet has to be whole then.
///
/// # Errors
/// When anything of that fails or takes too long.
pub async fn under_load(
    fleet: &Fleet,
    target: impl Target,
    upgrade: &Upgrade,
    state: PlanState,
    meanwhile: impl AsyncFnOnce(&Api, &Plan) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    let mut digest = None;
    for (version, program) in &upgrade.releases {
        let published = api.publish(upgrade.component, version, program, &key);
        digest = Some(published.await?);
    }

    let writer = Writer::start(target, WriterOptions::default());
    writer.wait_for_more(WRITES_AROUND, WRITES_WITHIN).await?;
    let plan = api.create_plan(&[upgrade.target()?], policy()).await?;
    let plan = api.start_plan(&plan.name).await?;
    meanwhile(&api, &plan).await?;
    let plan = api.wait_for_plan(&plan.name, state, AT_REST_WITHIN).await?;
    fleet.wait_until_whole().await?;
    writer.wait_for_more(WRITES_AROUND, WRITES_WITHIN).await?;
    let written = writer.finish().await?;
    Ok(Outcome {
        digest: digest.context("there is no release")?,
        tasks: api.tasks(&plan.name).await?,
        plan,
        written,
    })
}

/// One zone at a time, and long enough a soak for the members to notice what is wrong among them.
#[must_use]
pub fn policy() -> PlanPolicy {
    PlanPolicy {
        failure_domain: Some("zone".to_owned()),
        soak: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..quick_policy()
    }
}

/// An error unless every instance runs these bytes.
///
/// # Errors
/// Names the instance that does not.
pub async fn ensure_all_run(api: &Api, digest: &Digest) -> anyhow::Result<()> {
    for (name, instance) in api.instances().await? {
        let process = instance
            .process
            .with_context(|| format!("{name} is down"))?;
        let release = process.release.unwrap_or_default();
        ensure!(
            release.digest == digest.to_string(),
            "{name} runs {release:?} and not {digest}"
        );
    }
    Ok(())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; stop to ready", self.written)?;
        for task in self.tasks.values() {
            write!(f, " {} ms", task.stop_to_ready_us / 1_000)?;
        }
        Ok(())
    }
}
