//! A coordinator of canned answers: it hands out what it is given, page by page, and writes down what it is asked.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use evenkeel_common::limits::MATRIX_MESSAGE_BYTES_MAX;
use evenkeel_common::manifest::ArchiveFormat;
use evenkeel_common::tls::{Incoming, IncomingLimits, ServerTls, listen};
use evenkeel_proto::v1::compatibility_service_server::{
    CompatibilityService, CompatibilityServiceServer,
};
use evenkeel_proto::v1::fleet_service_server::{FleetService, FleetServiceServer};
use evenkeel_proto::v1::plan_service_server::{PlanService, PlanServiceServer};
use evenkeel_proto::v1::publish_release_request::Part;
use evenkeel_proto::v1::release_service_server::{ReleaseService, ReleaseServiceServer};
use evenkeel_proto::v1::*;
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::{Cluster, Run};

/// The most of a page, so that a few things already are several.
const PAGE_SIZE: usize = 2;

/// What the coordinator has and was asked.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) fleet: Fleet,
    pub(crate) nodes: Vec<Node>,
    /// What the agent of each says of its host.
    pub(crate) vitals: Option<NodeVitals>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) releases: Vec<Release>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) waits: Vec<Wait>,
    /// What a dry run is answered with.
    pub(crate) preview: PreviewPlanResponse,
    /// The matrix in place, and what a matrix is said to have that nobody knows.
    pub(crate) matrix: CompatibilityMatrix,
    pub(crate) unseen_components: Vec<String>,
    /// Components that a matrix is said to leave out.
    pub(crate) uncovered_components: Vec<String>,
    pub(crate) reports: Vec<ReportedVersions>,
    /// What the next calls that change something are answered with, before the plan is.
    pub(crate) failures: VecDeque<Status>,
    /// What the next watches see: changes, then how the stream ends. With none left a stream stays open.
    pub(crate) plan_watches: VecDeque<(Vec<WatchPlanResponse>, End)>,
    pub(crate) fleet_watches: VecDeque<(Vec<WatchFleetResponse>, End)>,
    /// Method and request id of each call that changes something.
    pub(crate) changes: Vec<(&'static str, String)>,
    /// The last request to make a plan.
    pub(crate) created: Option<CreatePlanRequest>,
    /// The last instance that was to be tried again or left out, and why.
    pub(crate) decided: Option<(String, String)>,
    /// The last dry run, the last matrix and the last report.
    pub(crate) previewed: Option<PreviewPlanRequest>,
    pub(crate) applied: Option<ApplyMatrixRequest>,
    pub(crate) reported: Option<ReportVersionsRequest>,
    /// The revisions after which was watched.
    pub(crate) watched_after: Vec<u64>,
    /// The bytes that were published.
    pub(crate) published: Vec<u8>,
}

/// How a stream ends.
#[derive(Clone)]
pub(crate) enum End {
    /// As if the coordinator were stopped.
    Closed,
    /// With an error.
    Failed(Status),
    /// Not at all.
    Open,
}

/// The coordinator and its cluster.
pub(crate) struct Coordinator {
    pub(crate) cluster: Cluster,
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    // Ends the tasks of the server when it is dropped.
    runtime: Option<Runtime>,
}

impl Coordinator {
    pub(crate) fn start(state: State) -> Self {
        let mut coordinator = Self {
            cluster: Cluster::new(),
            state: Arc::new(Mutex::new(state)),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            runtime: None,
        };
        coordinator.serve();
        let address = coordinator.address.to_string();
        coordinator.cluster.configure(&address);
        coordinator
    }

    /// Ends, as if it were killed, and comes back at the same address.
    pub(crate) fn restart(&mut self) {
        drop(self.runtime.take());
        self.serve();
    }

    fn serve(&mut self) {
        let tls = Arc::new(ServerTls::load(self.cluster.coordinator(), Vec::new()).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let canned = Canned(Arc::clone(&self.state));
        {
            let _entered = runtime.enter();
            let listener = listen(self.address).unwrap();
            self.address = listener.local_addr().unwrap();
            let shutdown = CancellationToken::new();
            let incoming = Incoming::start(listener, tls, IncomingLimits::default(), shutdown);
            runtime.spawn(
                Server::builder()
                    .add_service(FleetServiceServer::new(canned.clone()))
                    .add_service(ReleaseServiceServer::new(canned.clone()))
                    .add_service(PlanServiceServer::new(canned.clone()))
                    .add_service(
                        CompatibilityServiceServer::new(canned)
                            .max_decoding_message_size(MATRIX_MESSAGE_BYTES_MAX)
                            .max_encoding_message_size(MATRIX_MESSAGE_BYTES_MAX),
                    )
                    .serve_with_incoming(incoming),
            );
        }
        self.runtime = Some(runtime);
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.cluster.run(arguments)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[derive(Clone)]
struct Canned(Arc<Mutex<State>>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn answers<T: Send + 'static>((changes, end): (Vec<T>, End)) -> Answers<T> {
    use tokio_stream::StreamExt as _;
    let changes = tokio_stream::iter(changes.into_iter().map(Ok));
    match end {
        End::Closed => Box::pin(changes),
        End::Failed(status) => Box::pin(changes.chain(tokio_stream::once(Err(status)))),
        End::Open => Box::pin(changes.chain(tokio_stream::pending())),
    }
}

/// The page of `items` that a token asks for, and the next token.
fn page<T: Clone>(items: &[T], token: &str) -> (Vec<T>, String) {
    let from: usize = match token {
        "" => 0,
        token => token.parse().unwrap(),
    };
    let to = items.len().min(from + PAGE_SIZE);
    let next = if to < items.len() {
        to.to_string()
    } else {
        String::new()
    };
    (items[from..to].to_vec(), next)
}

fn found<T: Clone>(items: &[T], what: &str, is: impl Fn(&&T) -> bool) -> Result<T, Status> {
    let problem = || {
        evenkeel_common::problem::Problem::new(
            evenkeel_common::problem::ErrorCode::NotFound,
            format!("there is no {what}"),
        )
    };
    Ok(items.iter().find(is).cloned().ok_or_else(problem)?)
}

impl Canned {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Notes a call, and fails it if that is next.
    fn note(&self, method: &'static str, id: String) -> Result<MutexGuard<'_, State>, Status> {
        let mut state = self.state();
        state.changes.push((method, id));
        match state.failures.pop_front() {
            Some(failure) => Err(failure),
            None => Ok(state),
        }
    }

    /// Notes a call, and fails it if that is next; otherwise the plan of that name.
    fn change(&self, method: &'static str, id: String, name: &str) -> Result<Plan, Status> {
        let state = self.note(method, id)?;
        found(&state.plans, "such plan", |plan| plan.name == name)
    }
}

#[tonic::async_trait]
impl FleetService for Canned {
    async fn get_fleet(
        &self,
        _request: Request<GetFleetRequest>,
    ) -> Result<Response<GetFleetResponse>, Status> {
        let fleet = Some(self.state().fleet.clone());
        Ok(Response::new(GetFleetResponse { fleet, revision: 7 }))
    }

    async fn freeze_fleet(
        &self,
        request: Request<FreezeFleetRequest>,
    ) -> Result<Response<FreezeFleetResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.note("freeze", request.request_id)?;
        state.fleet.freeze = Some(Freeze {
            reason: request.reason,
            frozen_by: "ada".to_owned(),
            ..Freeze::default()
        });
        let fleet = Some(state.fleet.clone());
        Ok(Response::new(FreezeFleetResponse { fleet }))
    }

    async fn unfreeze_fleet(
        &self,
        request: Request<UnfreezeFleetRequest>,
    ) -> Result<Response<UnfreezeFleetResponse>, Status> {
        let mut state = self.note("unfreeze", request.into_inner().request_id)?;
        state.fleet.freeze = None;
        let fleet = Some(state.fleet.clone());
        Ok(Response::new(UnfreezeFleetResponse { fleet }))
    }

    async fn get_node(
        &self,
        request: Request<GetNodeRequest>,
    ) -> Result<Response<GetNodeResponse>, Status> {
        let name = request.into_inner().name;
        let node = found(&self.state().nodes, &format!("node {name}"), |n| {
            n.name == name
        })?;
        Ok(Response::new(GetNodeResponse {
            node: Some(node),
            vitals: self.state().vitals.clone(),
            vitals_age: Some(prost_types::Duration {
                seconds: 12,
                nanos: 0,
            }),
        }))
    }

    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let (nodes, next_page_token) = page(&self.state().nodes, &request.get_ref().page_token);
        Ok(Response::new(ListNodesResponse {
            nodes,
            next_page_token,
            revision: 7,
        }))
    }

    async fn get_instance(
        &self,
        request: Request<GetInstanceRequest>,
    ) -> Result<Response<GetInstanceResponse>, Status> {
        let name = request.into_inner().name;
        let state = self.state();
        let instance = found(&state.instances, &format!("instance {name}"), |i| {
            i.name == name
        })?;
        Ok(Response::new(GetInstanceResponse {
            instance: Some(instance),
            measures: None,
            measures_age: None,
        }))
    }

    async fn list_instances(
        &self,
        request: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        let request = request.into_inner();
        let matches = |instance: &&Instance| {
            (request.component.is_empty() || instance.component == request.component)
                && (request.node.is_empty()
                    || instance.name.starts_with(&format!("{}/", request.node)))
        };
        let all: Vec<_> = self
            .state()
            .instances
            .iter()
            .filter(matches)
            .cloned()
            .collect();
        let (instances, next_page_token) = page(&all, &request.page_token);
        Ok(Response::new(ListInstancesResponse {
            instances,
            next_page_token,
            revision: 7,
        }))
    }

    type WatchFleetStream = Answers<WatchFleetResponse>;

    async fn watch_fleet(
        &self,
        request: Request<WatchFleetRequest>,
    ) -> Result<Response<Self::WatchFleetStream>, Status> {
        let mut state = self.state();
        state.watched_after.push(request.get_ref().after_revision);
        let watch = state.fleet_watches.pop_front();
        Ok(Response::new(answers(
            watch.unwrap_or((Vec::new(), End::Open)),
        )))
    }
}

#[tonic::async_trait]
impl ReleaseService for Canned {
    async fn publish_release(
        &self,
        request: Request<Streaming<PublishReleaseRequest>>,
    ) -> Result<Response<PublishReleaseResponse>, Status> {
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|message| message.part);
        let Some(Part::Header(header)) = first else {
            return Err(Status::invalid_argument("the header comes first"));
        };
        let failure = {
            let mut state = self.state();
            state.changes.push(("PublishRelease", header.request_id));
            state.published.clear();
            state.failures.pop_front()
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        while let Some(message) = parts.message().await? {
            let Some(Part::Chunk(chunk)) = message.part else {
                return Err(Status::invalid_argument("chunks come after the header"));
            };
            self.state().published.extend(chunk);
        }
        let signed = header.manifest.unwrap();
        let manifest =
            evenkeel_common::manifest::ReleaseManifest::decode(&signed.manifest).unwrap();
        let (format, executable, unpacked_bytes) = match manifest.tree {
            None => (ArtifactFormat::Plain, String::new(), 0),
            Some(tree) => {
                let format = match tree.format {
                    ArchiveFormat::TarZst => ArtifactFormat::TarZst,
                    ArchiveFormat::TarGz => ArtifactFormat::TarGz,
                };
                (format, tree.executable.to_string(), tree.unpacked_bytes)
            }
        };
        Ok(Response::new(PublishReleaseResponse {
            release: Some(Release {
                component: manifest.component.into(),
                version: manifest.version.to_string(),
                artifacts: vec![Artifact {
                    platform: manifest.platform,
                    digest: manifest.sha256.to_string(),
                    size_bytes: manifest.size_bytes,
                    manifest: Some(signed),
                    format: format.into(),
                    executable,
                    unpacked_bytes,
                }],
                ..Release::default()
            }),
        }))
    }

    async fn get_release(
        &self,
        request: Request<GetReleaseRequest>,
    ) -> Result<Response<GetReleaseResponse>, Status> {
        let GetReleaseRequest { component, version } = request.into_inner();
        let release = found(&self.state().releases, "such release", |release| {
            release.component == component && release.version == version
        })?;
        Ok(Response::new(GetReleaseResponse {
            release: Some(release),
        }))
    }

    async fn list_releases(
        &self,
        request: Request<ListReleasesRequest>,
    ) -> Result<Response<ListReleasesResponse>, Status> {
        let (releases, next_page_token) =
            page(&self.state().releases, &request.get_ref().page_token);
        Ok(Response::new(ListReleasesResponse {
            releases,
            next_page_token,
            revision: 7,
        }))
    }
}

#[tonic::async_trait]
impl CompatibilityService for Canned {
    async fn apply_matrix(
        &self,
        request: Request<ApplyMatrixRequest>,
    ) -> Result<Response<ApplyMatrixResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.note("ApplyMatrix", request.request_id.clone())?;
        let before = state.applied.as_ref().and_then(|one| one.matrix.as_ref());
        let unchanged = before == request.matrix.as_ref();
        let answer = ApplyMatrixResponse {
            version: state.matrix.version + u64::from(!unchanged),
            unseen_components: state.unseen_components.clone(),
            uncovered_components: state.uncovered_components.clone(),
            unchanged,
        };
        state.matrix = CompatibilityMatrix {
            version: answer.version,
            applied_by: "ada".to_owned(),
            applied_at: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 0,
            }),
            ..request.matrix.clone().unwrap()
        };
        state.applied = Some(request);
        Ok(Response::new(answer))
    }

    async fn get_matrix(
        &self,
        _: Request<GetMatrixRequest>,
    ) -> Result<Response<GetMatrixResponse>, Status> {
        let matrix = Some(self.state().matrix.clone());
        Ok(Response::new(GetMatrixResponse { matrix }))
    }

    async fn report_versions(
        &self,
        request: Request<ReportVersionsRequest>,
    ) -> Result<Response<ReportVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.note("ReportVersions", request.request_id.clone())?;
        let report = ReportedVersions {
            component: request.component.clone(),
            source: request.source.clone(),
            versions: request.versions.clone(),
            reported_by: "ada".to_owned(),
            ..ReportedVersions::default()
        };
        state.reported = Some(request);
        Ok(Response::new(ReportVersionsResponse {
            report: Some(report),
        }))
    }

    async fn list_reported_versions(
        &self,
        request: Request<ListReportedVersionsRequest>,
    ) -> Result<Response<ListReportedVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut all = self.state().reports.clone();
        all.retain(|report| request.component.is_empty() || report.component == request.component);
        let (reports, next_page_token) = page(&all, &request.page_token);
        Ok(Response::new(ListReportedVersionsResponse {
            reports,
            next_page_token,
            revision: 7,
        }))
    }
}

#[tonic::async_trait]
impl PlanService for Canned {
    async fn preview_plan(
        &self,
        request: Request<PreviewPlanRequest>,
    ) -> Result<Response<PreviewPlanResponse>, Status> {
        let mut state = self.state();
        state.previewed = Some(request.into_inner());
        Ok(Response::new(state.preview.clone()))
    }

    async fn create_plan(
        &self,
        request: Request<CreatePlanRequest>,
    ) -> Result<Response<CreatePlanResponse>, Status> {
        let request = request.into_inner();
        let plan = self.change("CreatePlan", request.request_id.clone(), "p1")?;
        self.state().created = Some(request);
        Ok(Response::new(CreatePlanResponse { plan: Some(plan) }))
    }

    async fn get_plan(
        &self,
        request: Request<GetPlanRequest>,
    ) -> Result<Response<GetPlanResponse>, Status> {
        let name = request.into_inner().name;
        let plan = found(&self.state().plans, &format!("plan {name}"), |p| {
            p.name == name
        })?;
        Ok(Response::new(GetPlanResponse { plan: Some(plan) }))
    }

    async fn list_plans(
        &self,
        request: Request<ListPlansRequest>,
    ) -> Result<Response<ListPlansResponse>, Status> {
        let (plans, next_page_token) = page(&self.state().plans, &request.get_ref().page_token);
        Ok(Response::new(ListPlansResponse {
            plans,
            next_page_token,
            revision: 7,
        }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let (tasks, next_page_token) = page(&self.state().tasks, &request.get_ref().page_token);
        Ok(Response::new(ListTasksResponse {
            tasks,
            next_page_token,
            revision: 7,
        }))
    }

    async fn start_plan(
        &self,
        request: Request<StartPlanRequest>,
    ) -> Result<Response<StartPlanResponse>, Status> {
        let StartPlanRequest { request_id, name } = request.into_inner();
        let mut plan = self.change("StartPlan", request_id, &name)?;
        plan.state = PlanState::Running.into();
        Ok(Response::new(StartPlanResponse { plan: Some(plan) }))
    }

    async fn pause_plan(
        &self,
        request: Request<PausePlanRequest>,
    ) -> Result<Response<PausePlanResponse>, Status> {
        let request = request.into_inner();
        let mut plan = self.change("PausePlan", request.request_id, &request.name)?;
        plan.state = PlanState::Paused.into();
        plan.reason = request.reason;
        Ok(Response::new(PausePlanResponse { plan: Some(plan) }))
    }

    async fn resume_plan(
        &self,
        request: Request<ResumePlanRequest>,
    ) -> Result<Response<ResumePlanResponse>, Status> {
        let ResumePlanRequest { request_id, name } = request.into_inner();
        let mut plan = self.change("ResumePlan", request_id, &name)?;
        plan.state = PlanState::Running.into();
        Ok(Response::new(ResumePlanResponse { plan: Some(plan) }))
    }

    async fn abort_plan(
        &self,
        request: Request<AbortPlanRequest>,
    ) -> Result<Response<AbortPlanResponse>, Status> {
        let request = request.into_inner();
        let mut plan = self.change("AbortPlan", request.request_id, &request.name)?;
        plan.state = PlanState::Aborting.into();
        plan.reason = request.reason;
        Ok(Response::new(AbortPlanResponse { plan: Some(plan) }))
    }

    async fn rollback_plan(
        &self,
        request: Request<RollbackPlanRequest>,
    ) -> Result<Response<RollbackPlanResponse>, Status> {
        let request = request.into_inner();
        let mut plan = self.change("RollbackPlan", request.request_id, &request.name)?;
        plan.state = PlanState::RollingBack.into();
        plan.reason = request.reason;
        Ok(Response::new(RollbackPlanResponse { plan: Some(plan) }))
    }

    async fn retarget_plan(
        &self,
        request: Request<RetargetPlanRequest>,
    ) -> Result<Response<RetargetPlanResponse>, Status> {
        let request = request.into_inner();
        let mut plan = self.change("RetargetPlan", request.request_id, &request.name)?;
        plan.state = PlanState::Aborting.into();
        plan.reason = request.reason;
        plan.successor = Some(PlanSuccessor {
            targets: request.targets,
            policy: request.policy,
            asked_by: "ada".to_owned(),
        });
        Ok(Response::new(RetargetPlanResponse { plan: Some(plan) }))
    }

    async fn retry_task(
        &self,
        request: Request<RetryTaskRequest>,
    ) -> Result<Response<RetryTaskResponse>, Status> {
        let request = request.into_inner();
        let plan = self.change("RetryTask", request.request_id, &request.plan)?;
        self.state().decided = Some((request.instance, String::new()));
        Ok(Response::new(RetryTaskResponse { plan: Some(plan) }))
    }

    async fn skip_task(
        &self,
        request: Request<SkipTaskRequest>,
    ) -> Result<Response<SkipTaskResponse>, Status> {
        let request = request.into_inner();
        let plan = self.change("SkipTask", request.request_id, &request.plan)?;
        self.state().decided = Some((request.instance, request.reason));
        Ok(Response::new(SkipTaskResponse { plan: Some(plan) }))
    }

    async fn finalize_plan(
        &self,
        request: Request<FinalizePlanRequest>,
    ) -> Result<Response<FinalizePlanResponse>, Status> {
        let FinalizePlanRequest {
            request_id,
            name,
            stage: _,
        } = request.into_inner();
        let mut plan = self.change("FinalizePlan", request_id, &name)?;
        // The last instance goes on where the plan holds it; otherwise the plan ends.
        let stages = plan.stages.iter_mut();
        match stages.rev().find(|stage| stage.finalizes_itself) {
            Some(held) if plan.waits_for_finalize => {
                held.confirmed_by = "ada".to_owned();
                plan.waits_for_finalize = false;
                plan.reason.clear();
            }
            _ => plan.state = PlanState::Finalized.into(),
        }
        Ok(Response::new(FinalizePlanResponse { plan: Some(plan) }))
    }

    type WatchPlanStream = Answers<WatchPlanResponse>;

    async fn watch_plan(
        &self,
        request: Request<WatchPlanRequest>,
    ) -> Result<Response<Self::WatchPlanStream>, Status> {
        let mut state = self.state();
        state.watched_after.push(request.get_ref().after_revision);
        let watch = state.plan_watches.pop_front();
        Ok(Response::new(answers(
            watch.unwrap_or((Vec::new(), End::Open)),
        )))
    }

    async fn explain_plan(
        &self,
        request: Request<ExplainPlanRequest>,
    ) -> Result<Response<ExplainPlanResponse>, Status> {
        let instance = request.into_inner().instance;
        let mut waits = self.state().waits.clone();
        waits.retain(|wait| instance.is_empty() || wait.instance == instance);
        Ok(Response::new(ExplainPlanResponse { waits }))
    }
}
