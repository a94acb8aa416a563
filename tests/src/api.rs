//! Talking to the coordinator as an operator does.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use camino::Utf8Path;
use evenkeel_common::{
    digest::{Digest, digest_of},
    manifest::{ReleaseManifest, SigningKey},
    platform,
    tls::{self, TlsFiles},
};
use evenkeel_proto::v1::{
    self, AbortPlanRequest, Amount, ApplyMatrixRequest, CompatibilityMatrix, CreatePlanRequest,
    ExplainPlanRequest, FinalizePlanRequest, GetMatrixRequest, GetPlanRequest,
    ListInstancesRequest, ListNodesRequest, ListPlansRequest, ListReleasesRequest,
    ListReportedVersionsRequest, ListTasksRequest, Plan, PlanComparison, PlanPolicy, PlanState,
    PlanTarget, PreviewPlanRequest, PreviewPlanResponse, PublishHeader, PublishReleaseRequest,
    ReportVersionsRequest, ResumePlanRequest, StartPlanRequest, VersionInUse, amount::Kind,
    compatibility_service_client::CompatibilityServiceClient,
    fleet_service_client::FleetServiceClient, plan_service_client::PlanServiceClient,
    publish_release_request::Part, release_service_client::ReleaseServiceClient,
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::wait;

/// The bytes of one message of a publish call.
const CHUNK_BYTES: usize = 512 << 10;

/// The most things that one page of a list has.
pub const PAGE_MAX: u32 = 1_000;

/// Which of a plan's tasks: its stage, from 0, and its instance. Where a wait is the whole plan's, the instance is empty.
pub type TaskKey = (u32, String);

/// A component brought up to a version.
#[must_use]
pub fn up(component: &str, version: &str) -> PlanTarget {
    PlanTarget {
        component: component.to_owned(),
        version: version.to_owned(),
        allow_downgrade: false,
    }
}

/// A component brought to a version that is perhaps an older one.
#[must_use]
pub fn down(component: &str, version: &str) -> PlanTarget {
    PlanTarget {
        allow_downgrade: true,
        ..up(component, version)
    }
}

/// The task of an instance in the first stage.
#[must_use]
pub fn first_stage(instance: &str) -> TaskKey {
    (0, instance.to_owned())
}

/// All that come after the canary together.
#[must_use]
pub fn one_wave() -> Vec<Amount> {
    let all = Kind::Percent(100);
    vec![Amount { kind: Some(all) }]
}

/// A policy for tests that have no time: no soak, one wave after the canary, half a minute an instance.
#[must_use]
pub fn quick_policy() -> PlanPolicy {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    PlanPolicy {
        soak: seconds(0),
        instance_deadline: seconds(30),
        progress_deadline: seconds(60),
        waves: one_wave(),
        compare: Some(PlanComparison {
            off: true,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A connection to the coordinator.
#[derive(Debug, Clone)]
pub struct Api {
    channel: Channel,
}

/// A new name for a mutating call.
#[must_use]
pub fn request_id() -> String {
    Uuid::new_v4().to_string()
}

impl Api {
    /// Connects with the certificate in `files`; the connection is made anew whenever it is lost.
    ///
    /// # Errors
    /// When the files are not as they have to be.
    pub fn connect(address: &str, files: &TlsFiles) -> anyhow::Result<Self> {
        let channel = tls::connect_lazy(address, files)?;
        Ok(Self { channel })
    }

    /// The client of the fleet's service.
    #[must_use]
    pub fn fleet(&self) -> FleetServiceClient<Channel> {
        FleetServiceClient::new(self.channel.clone())
    }

    /// The client of the releases' service.
    #[must_use]
    pub fn releases(&self) -> ReleaseServiceClient<Channel> {
        ReleaseServiceClient::new(self.channel.clone())
    }

    /// The client of the plans' service.
    #[must_use]
    pub fn plans(&self) -> PlanServiceClient<Channel> {
        PlanServiceClient::new(self.channel.clone())
    }

    /// The client of the compatibility matrix's service.
    #[must_use]
    pub fn compatibility(&self) -> CompatibilityServiceClient<Channel> {
        CompatibilityServiceClient::new(self.channel.clone())
    }

    /// Puts a matrix in the place of the one before; its version.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn apply_matrix(&self, matrix: CompatibilityMatrix) -> anyhow::Result<u64> {
        let request = ApplyMatrixRequest {
            request_id: request_id(),
            matrix: Some(matrix),
            expected_version: None,
        };
        let applied = self.compatibility().apply_matrix(request).await?;
        Ok(applied.into_inner().version)
    }

    /// The matrix that is in place.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn matrix(&self) -> anyhow::Result<CompatibilityMatrix> {
        let got = self.compatibility().get_matrix(GetMatrixRequest {}).await?;
        got.into_inner().matrix.context("the answer has no matrix")
    }

    /// Everything that is reported of external components; at most 1,000 reports.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn reported_versions(&self) -> anyhow::Result<Vec<v1::ReportedVersions>> {
        let request = ListReportedVersionsRequest {
            page_size: PAGE_MAX,
            ..Default::default()
        };
        let listed = self.compatibility().list_reported_versions(request).await?;
        Ok(listed.into_inner().reports)
    }

    /// Says which versions of an external component somebody sees in use, and how many use each.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn report_versions(
        &self,
        component: &str,
        source: &str,
        versions: &[(&str, u64)],
    ) -> anyhow::Result<()> {
        let in_use = versions.iter().map(|(version, count)| VersionInUse {
            version: (*version).to_owned(),
            count: *count,
        });
        let request = ReportVersionsRequest {
            request_id: request_id(),
            component: component.to_owned(),
            source: source.to_owned(),
            versions: in_use.collect(),
        };
        self.compatibility().report_versions(request).await?;
        Ok(())
    }

    /// Every node, by name; at most 1,000.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn nodes(&self) -> anyhow::Result<BTreeMap<String, v1::Node>> {
        let request = ListNodesRequest {
            page_size: PAGE_MAX,
            page_token: String::new(),
        };
        let nodes = self.fleet().list_nodes(request).await?.into_inner().nodes;
        Ok(nodes
            .into_iter()
            .map(|node| (node.name.clone(), node))
            .collect())
    }

    /// Every instance, by name; at most 1,000.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn instances(&self) -> anyhow::Result<BTreeMap<String, v1::Instance>> {
        let request = ListInstancesRequest {
            page_size: PAGE_MAX,
            ..Default::default()
        };
        let instances = self
            .fleet()
            .list_instances(request)
            .await?
            .into_inner()
            .instances;
        Ok(instances.into_iter().map(|i| (i.name.clone(), i)).collect())
    }

    /// Publishes a file as a release for this platform, signed with the key.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn publish(
        &self,
        component: &str,
        version: &str,
        file: &Utf8Path,
        key: &SigningKey,
    ) -> anyhow::Result<Digest> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
        let manifest = ReleaseManifest {
            component: component.parse()?,
            version: version.parse()?,
            platform: platform::current().to_owned(),
            sha256: digest_of(&bytes),
            size_bytes: bytes.len() as u64,
            tree: None,
        };
        let requests = publish_requests(&manifest, key, bytes)?;
        self.releases()
            .publish_release(tokio_stream::iter(requests))
            .await
            .with_context(|| format!("publishing {component} {version}"))?;
        Ok(manifest.sha256)
    }

    /// Creates a draft.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn create_plan(
        &self,
        targets: &[PlanTarget],
        policy: PlanPolicy,
    ) -> anyhow::Result<Plan> {
        let request = CreatePlanRequest {
            request_id: request_id(),
            targets: targets.to_vec(),
            policy: Some(policy),
            ..CreatePlanRequest::default()
        };
        let created = self.plans().create_plan(request).await?.into_inner();
        created.plan.context("the answer has no plan")
    }

    /// What the plan would be, or why there is none.
    ///
    /// # Errors
    /// What the coordinator answers where it cannot even say that.
    pub async fn preview_plan(
        &self,
        targets: &[PlanTarget],
        policy: PlanPolicy,
    ) -> anyhow::Result<PreviewPlanResponse> {
        let request = PreviewPlanRequest {
            targets: targets.to_vec(),
            policy: Some(policy),
            ..PreviewPlanRequest::default()
        };
        Ok(self.plans().preview_plan(request).await?.into_inner())
    }

    /// Starts a draft.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn start_plan(&self, name: &str) -> anyhow::Result<Plan> {
        let request = StartPlanRequest {
            request_id: request_id(),
            name: name.to_owned(),
        };
        let started = self.plans().start_plan(request).await?.into_inner();
        started.plan.context("the answer has no plan")
    }

    /// Goes on with a paused plan.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn resume_plan(&self, name: &str) -> anyhow::Result<Plan> {
        let request = ResumePlanRequest {
            request_id: request_id(),
            name: name.to_owned(),
        };
        let resumed = self.plans().resume_plan(request).await?.into_inner();
        resumed.plan.context("the answer has no plan")
    }

    /// Gives a plan up.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn abort_plan(&self, name: &str, reason: &str) -> anyhow::Result<Plan> {
        let request = AbortPlanRequest {
            request_id: request_id(),
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let aborted = self.plans().abort_plan(request).await?.into_inner();
        aborted.plan.context("the answer has no plan")
    }

    /// Says that there need be no way back.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn finalize_plan(&self, name: &str) -> anyhow::Result<Plan> {
        let request = FinalizePlanRequest {
            request_id: request_id(),
            name: name.to_owned(),
            stage: None,
        };
        let finalized = self.plans().finalize_plan(request).await?.into_inner();
        finalized.plan.context("the answer has no plan")
    }

    /// Why tasks of the plan do not move.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn explain_plan(&self, name: &str) -> anyhow::Result<BTreeMap<TaskKey, v1::Wait>> {
        let request = ExplainPlanRequest {
            name: name.to_owned(),
            instance: String::new(),
        };
        let waits = self.plans().explain_plan(request).await?.into_inner().waits;
        Ok(waits
            .into_iter()
            .map(|wait| ((wait.stage, wait.instance.clone()), wait))
            .collect())
    }

    /// Every plan, oldest first; at most 1,000.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn plan_list(&self) -> anyhow::Result<Vec<Plan>> {
        let request = ListPlansRequest {
            page_size: PAGE_MAX,
            page_token: String::new(),
        };
        Ok(self.plans().list_plans(request).await?.into_inner().plans)
    }

    /// Every release; at most 1,000.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn release_list(&self) -> anyhow::Result<Vec<v1::Release>> {
        let request = ListReleasesRequest {
            page_size: PAGE_MAX,
            ..Default::default()
        };
        let listed = self.releases().list_releases(request).await?.into_inner();
        Ok(listed.releases)
    }

    /// The plan as it is.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn plan(&self, name: &str) -> anyhow::Result<Plan> {
        let name = name.to_owned();
        let got = self
            .plans()
            .get_plan(GetPlanRequest { name })
            .await?
            .into_inner();
        got.plan.context("the answer has no plan")
    }

    /// The plan's tasks; at most 1,000.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn tasks(&self, plan: &str) -> anyhow::Result<BTreeMap<TaskKey, v1::Task>> {
        let request = ListTasksRequest {
            plan: plan.to_owned(),
            page_size: PAGE_MAX,
            page_token: String::new(),
        };
        let tasks = self.plans().list_tasks(request).await?.into_inner().tasks;
        Ok(tasks
            .into_iter()
            .map(|task| ((task.stage, task.instance.clone()), task))
            .collect())
    }

    /// What the tasks of a plan wait for, a line each.
    async fn waits_of(&self, name: &str) -> String {
        let waits = self.explain_plan(name).await.unwrap_or_default();
        let lines = waits
            .values()
            .map(|wait| format!("{} waits: {}", wait.instance, wait.sentence));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Waits until the plan is in `state`; coming to rest in another is an error that says why.
    ///
    /// # Errors
    /// When it ends or pauses otherwise, or takes longer than `within`. A coordinator that is away is waited for.
    pub async fn wait_for_plan(
        &self,
        name: &str,
        state: PlanState,
        within: Duration,
    ) -> anyhow::Result<Plan> {
        let what = format!("{name} to be {}", state.as_str_name());
        let at_rest = wait::until(&what, within, || async {
            let plan = self.plan(name).await?;
            let resting = matches!(
                plan.state(),
                PlanState::Paused
                    | PlanState::ReadyToFinalize
                    | PlanState::Finalized
                    | PlanState::Aborted
            );
            ensure!(
                resting || plan.state() == state,
                "it is {}",
                plan.state().as_str_name()
            );
            Ok(plan)
        })
        .await;
        let at_rest = match at_rest {
            Ok(plan) => plan,
            Err(error) => return Err(error.context(self.waits_of(name).await)),
        };
        if at_rest.state() != state {
            bail!(
                "{name} is {}: {}",
                at_rest.state().as_str_name(),
                at_rest.reason
            );
        }
        Ok(at_rest)
    }
}

/// The messages of a publish call.
///
/// # Errors
/// When the manifest cannot be signed.
pub fn publish_requests(
    manifest: &ReleaseManifest,
    key: &SigningKey,
    bytes: Vec<u8>,
) -> anyhow::Result<Vec<PublishReleaseRequest>> {
    let signed = manifest.sign(key)?;
    let header = PublishHeader {
        request_id: request_id(),
        manifest: Some(v1::SignedManifest {
            manifest: signed.manifest,
            key_id: signed.key_id.to_string(),
            signature: signed.signature,
        }),
    };
    let mut parts = vec![Part::Header(header)];
    parts.extend(
        bytes
            .chunks(CHUNK_BYTES)
            .map(|chunk| Part::Chunk(chunk.to_vec())),
    );
    Ok(parts
        .into_iter()
        .map(|part| PublishReleaseRequest { part: Some(part) })
        .collect())
}
