//! Everything that the coordinator lists, to be compared with what it lists later.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use evenkeel_proto::v1::{self, ListInstancesRequest};

use tokio::time::sleep;

use crate::{
    api::{Api, PAGE_MAX, TaskKey},
    wait,
};

/// How long a fleet without a plan may take to come to rest.
const AT_REST_WITHIN: Duration = Duration::from_secs(60);

/// For how long nothing is written down at rest. Agents tell at once of what changes.
const MOMENT: Duration = Duration::from_millis(300);

/// All that there is. Two that are equal stand for states between which nothing was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The nodes.
    pub nodes: BTreeMap<String, v1::Node>,
    /// The instances.
    pub instances: BTreeMap<String, v1::Instance>,
    /// The releases.
    pub releases: Vec<v1::Release>,
    /// The plans.
    pub plans: Vec<v1::Plan>,
    /// The tasks of every plan.
    pub tasks: BTreeMap<String, BTreeMap<TaskKey, v1::Task>>,
    /// The compatibility matrix.
    pub matrix: v1::CompatibilityMatrix,
    /// What is reported of external components.
    pub reported: Vec<v1::ReportedVersions>,
    /// The state's revision; it rises with every record of the ledger.
    pub revision: u64,
}

impl Listing {
    /// What there is now. At most 1,000 of each kind.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn of(api: &Api) -> anyhow::Result<Self> {
        let plans = api.plan_list().await?;
        let mut tasks = BTreeMap::new();
        for plan in &plans {
            tasks.insert(plan.name.clone(), api.tasks(&plan.name).await?);
        }
        let request = ListInstancesRequest {
            page_size: PAGE_MAX,
            ..Default::default()
        };
        let revision = api
            .fleet()
            .list_instances(request)
            .await?
            .into_inner()
            .revision;
        Ok(Self {
            nodes: api.nodes().await?,
            instances: api.instances().await?,
            releases: api.release_list().await?,
            matrix: api.matrix().await?,
            reported: api.reported_versions().await?,
            plans,
            tasks,
            revision,
        })
    }

    /// What there is once nothing is going on: every agent has taken in the coordinator's word, and nothing was
    /// written down for a moment.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn at_rest(api: &Api) -> anyhow::Result<Self> {
        wait::until("the fleet to be at rest", AT_REST_WITHIN, || async {
            let before = Self::of(api).await?;
            let mut instances = before.instances.values();
            let unheard = instances.find(|instance| instance.accepted_epoch == 0);
            ensure!(unheard.is_none(), "{unheard:?} has accepted no epoch");
            sleep(MOMENT).await;
            let after = Self::of(api).await?;
            ensure!(before == after, "it is at revision {}", after.revision);
            Ok(after)
        })
        .await
    }

    /// The same without what each start of the coordinator changes: the revision, and that no agent was heard since.
    #[must_use]
    pub fn of_any_start(mut self) -> Self {
        self.revision = 0;
        for node in self.nodes.values_mut() {
            node.set_liveness(v1::Liveness::Unspecified);
            node.changed_at = None;
            node.revision = 0;
        }
        self
    }
}
