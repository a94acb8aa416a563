//! `FleetService`: nodes and instances, read only; and the freeze.

use evenkeel_common::{
    clock,
    names::{ComponentName, InstanceId, NodeName},
    problem::Problem,
};
use evenkeel_coordinator_core::{
    calls::Call,
    state::{Key, State},
};
use evenkeel_proto::v1::{
    self, FreezeFleetRequest, FreezeFleetResponse, GetFleetRequest, GetFleetResponse,
    GetInstanceRequest, GetInstanceResponse, GetNodeRequest, GetNodeResponse, ListInstancesRequest,
    ListInstancesResponse, ListNodesRequest, ListNodesResponse, UnfreezeFleetRequest,
    UnfreezeFleetResponse, WatchFleetRequest, WatchFleetResponse,
    fleet_service_server::FleetService, watch_fleet_response::Change,
};
use tonic::{Request, Response, Status};

use super::{
    Shared, caller, not_found, paging, reason, request_key, time,
    watch::{Interest, Watch, watch},
};
use crate::convert::{
    Invalid, age_to_proto, fleet_to_proto, freeze_to_proto, instance_shown, measure_to_proto,
    node_to_proto, parse,
};

/// See [`FleetService`].
#[derive(Debug)]
pub(super) struct Fleet(pub(super) Shared);

fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Invalid> {
    match text.is_empty() {
        true => Ok(None),
        false => parse(field, text).map(Some),
    }
}

impl Fleet {
    /// The fleet as a whole, as it is now.
    fn now(&self) -> (v1::Fleet, u64) {
        let state = self.0.core.snapshot();
        // Available is told from counts; how many there are is not.
        let fleet = tokio::task::block_in_place(|| fleet_to_proto(&state, time(&state)));
        (fleet, state.revision())
    }

    /// Hands a call to the writer and answers with the fleet as it is afterwards.
    async fn call<T>(
        &self,
        request: &Request<T>,
        request_id: &str,
        call: Call,
    ) -> Result<Option<v1::Fleet>, Problem> {
        let key = request_key(&caller(request)?, request_id)?;
        self.0.core.call(key, call).await?;
        Ok(Some(self.now().0))
    }
}

#[tonic::async_trait]
impl FleetService for Fleet {
    async fn get_fleet(
        &self,
        _request: Request<GetFleetRequest>,
    ) -> Result<Response<GetFleetResponse>, Status> {
        let (fleet, revision) = self.now();
        Ok(Response::new(GetFleetResponse {
            fleet: Some(fleet),
            revision,
        }))
    }

    async fn freeze_fleet(
        &self,
        request: Request<FreezeFleetRequest>,
    ) -> Result<Response<FreezeFleetResponse>, Status> {
        let asked = request.get_ref().clone();
        let call = Call::FreezeFleet(reason(&asked.reason)?);
        let fleet = self.call(&request, &asked.request_id, call).await?;
        Ok(Response::new(FreezeFleetResponse { fleet }))
    }

    async fn unfreeze_fleet(
        &self,
        request: Request<UnfreezeFleetRequest>,
    ) -> Result<Response<UnfreezeFleetResponse>, Status> {
        let id = request.get_ref().request_id.clone();
        let fleet = self.call(&request, &id, Call::UnfreezeFleet).await?;
        Ok(Response::new(UnfreezeFleetResponse { fleet }))
    }

    async fn get_node(
        &self,
        request: Request<GetNodeRequest>,
    ) -> Result<Response<GetNodeResponse>, Status> {
        let name: NodeName = parse("name", &request.get_ref().name).map_err(problem)?;
        let state = self.0.core.snapshot();
        let node = state.node(&name).ok_or_else(|| {
            not_found(format!(
                "there is no node {name}: no agent of that name ever reported"
            ))
        })?;
        let node = Some(node_to_proto(node));
        let (vitals, age) = self.0.vitals.of(&name).unzip();
        Ok(Response::new(GetNodeResponse {
            node,
            vitals,
            vitals_age: age.map(age_to_proto),
        }))
    }

    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let request = request.into_inner();
        let after = paging::after::<NodeName>(&request.page_token)?;
        let state = self.0.core.snapshot();
        let nodes = state.nodes_after(after.as_ref());
        let (nodes, next_page_token) =
            paging::page(nodes, paging::size(request.page_size), |node| {
                node.name.clone()
            });
        Ok(Response::new(ListNodesResponse {
            nodes: nodes.into_iter().map(|node| node_to_proto(node)).collect(),
            next_page_token,
            revision: state.revision(),
        }))
    }

    async fn get_instance(
        &self,
        request: Request<GetInstanceRequest>,
    ) -> Result<Response<GetInstanceResponse>, Status> {
        let id: InstanceId = parse("name", &request.get_ref().name).map_err(problem)?;
        let state = self.0.core.snapshot();
        let instance = state
            .instance(&id)
            .ok_or_else(|| not_found(format!("there is no instance {id}: no agent reports it")))?;
        let instance = Some(instance_shown(&state, instance));
        let measure = state.measure_of(&id);
        Ok(Response::new(GetInstanceResponse {
            instance,
            measures: measure.map(|measure| measure_to_proto(&id.name, measure)),
            measures_age: measure.map(|measure| age_to_proto(clock::now().since(measure.at))),
        }))
    }

    async fn list_instances(
        &self,
        request: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        let request = request.into_inner();
        let after = paging::after::<InstanceId>(&request.page_token)?;
        let component: Option<ComponentName> =
            optional("component", &request.component).map_err(problem)?;
        let node: Option<NodeName> = optional("node", &request.node).map_err(problem)?;
        let state = self.0.core.snapshot();
        let instances = state.instances_after(after.as_ref()).filter(|instance| {
            let component = component
                .as_ref()
                .is_none_or(|c| *c == instance.report.component);
            component && node.as_ref().is_none_or(|n| *n == instance.id.node)
        });
        let (instances, next_page_token) =
            paging::page(instances, paging::size(request.page_size), |i| i.id.clone());
        Ok(Response::new(ListInstancesResponse {
            instances: instances
                .into_iter()
                .map(|i| instance_shown(&state, i))
                .collect(),
            next_page_token,
            revision: state.revision(),
        }))
    }

    type WatchFleetStream = Watch<WatchFleetResponse>;

    async fn watch_fleet(
        &self,
        request: Request<WatchFleetRequest>,
    ) -> Result<Response<Self::WatchFleetStream>, Status> {
        let after = request.get_ref().after_revision;
        Ok(Response::new(watch(&self.0, after, WholeFleet)?))
    }
}

struct WholeFleet;

impl Interest for WholeFleet {
    type Message = WatchFleetResponse;

    fn message(&self, state: &State, revision: u64, key: &Key) -> Option<WatchFleetResponse> {
        let change = match key {
            Key::Node(name) => Change::Node(node_to_proto(state.node(name)?)),
            Key::Instance(id) => match state.instance(id) {
                Some(instance) => Change::Instance(instance_shown(state, instance)),
                None => Change::InstanceGone(id.to_string()),
            },
            Key::Freeze => Change::Freeze(freeze_to_proto(state.freeze()?)),
            Key::Coordinator
            | Key::Release(..)
            | Key::Plan(_)
            | Key::Task(_)
            | Key::Matrix
            | Key::ReportedVersions(..)
            | Key::Request(_) => return None,
        };
        Some(WatchFleetResponse {
            revision,
            change: Some(change),
        })
    }

    fn caught_up(&self, revision: u64) -> WatchFleetResponse {
        WatchFleetResponse {
            revision,
            change: None,
        }
    }

    fn ended(&self, _state: &State) -> bool {
        false
    }
}

fn problem(invalid: Invalid) -> Status {
    evenkeel_common::problem::Problem::from(invalid).into()
}
