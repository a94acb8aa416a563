//! The ledger's records and the view's keys and values.

use bytes::Bytes;
use evenkeel_common::clock::Timestamp;
use evenkeel_coordinator_core::{
    change::{Change, Request, RequestKey, Resource},
    state::Key,
};
use evenkeel_proto::store::v1::{self as store, resource::Kind};
use prost::Message as _;

use super::{
    Invalid, compatibility, fleet, plan,
    release::{release_from, release_to_proto},
    required,
};

/// The layout of records that this program writes, and the newest that it reads.
const SCHEMA_VERSION: u32 = 2;

/// A record as it is in the ledger: a change, and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// What changed.
    pub change: Change,
    /// When.
    pub at: Timestamp,
}

/// A change as the ledger keeps it.
#[must_use]
pub fn change_to_record(change: &Change, at: Timestamp) -> Bytes {
    let record = store::Record {
        schema_version: SCHEMA_VERSION,
        at_ms: at.0,
        actor: change.actor.clone(),
        cause: change.cause.clone(),
        resources: change.resources.iter().map(resource_to).collect(),
    };
    record.encode_to_vec().into()
}

/// Reads a record of the ledger.
///
/// # Errors
/// When it is none, or of a later layout.
pub fn record_from_bytes(bytes: Bytes) -> Result<StoredRecord, Invalid> {
    let record = store::Record::decode(bytes).map_err(|error| Invalid::new("record", error))?;
    if record.schema_version != SCHEMA_VERSION {
        return Err(Invalid::new(
            "schema_version",
            format!(
                "is {}, this program reads {SCHEMA_VERSION}; start the program that wrote it",
                record.schema_version
            ),
        ));
    }
    Ok(StoredRecord {
        at: Timestamp(record.at_ms),
        change: Change {
            actor: record.actor,
            cause: record.cause,
            resources: record
                .resources
                .into_iter()
                .map(resource_from)
                .collect::<Result<_, _>>()?,
        },
    })
}

/// A thing of the state, as the view keeps it.
#[must_use]
pub fn resource_to_bytes(resource: &Resource) -> Vec<u8> {
    resource_to(resource).encode_to_vec()
}

/// Reads a value of the view.
///
/// # Errors
/// When it is none.
pub fn resource_from_bytes(bytes: &[u8]) -> Result<Resource, Invalid> {
    let resource =
        store::Resource::decode(bytes).map_err(|error| Invalid::new("resource", error))?;
    resource_from(resource)
}

/// The name of a thing of the state, as the view keeps it.
#[must_use]
pub fn key_to_bytes(key: &Key) -> Vec<u8> {
    match key {
        Key::Coordinator => "coordinator".to_owned(),
        Key::Node(name) => format!("node/{name}"),
        Key::Instance(id) => format!("instance/{id}"),
        Key::Release(component, version) => format!("release/{component}/{version}"),
        Key::Plan(id) => format!("plan/{id}"),
        Key::Task(id) => format!("task/{}/{}/{}", id.plan, id.stage, id.instance),
        Key::Matrix => "matrix".to_owned(),
        Key::ReportedVersions(component, source) => format!("reported/{component}/{source}"),
        Key::Freeze => "freeze".to_owned(),
        Key::Request(key) => format!("request/{}/{}", key.request_id, key.subject),
    }
    .into_bytes()
}

fn resource_to(resource: &Resource) -> store::Resource {
    let kind = match resource {
        Resource::Coordinator { epoch } => Kind::Coordinator(store::Coordinator { epoch: *epoch }),
        Resource::Node(node) => Kind::Node(fleet::node_to_proto(node)),
        Resource::Instance(instance) => Kind::Instance(fleet::instance_to_store(instance)),
        Resource::InstanceGone(gone) => Kind::InstanceGone(fleet::gone_to_store(gone)),
        Resource::Release(release) => Kind::Release(release_to_proto(release)),
        Resource::Plan(plan) => Kind::Plan(plan::plan_to_proto(plan)),
        Resource::Task(task) => Kind::Task(plan::task_to_proto(task)),
        Resource::Matrix(applied) => Kind::Matrix(compatibility::matrix_to_proto(applied)),
        Resource::ReportedVersions(report) => {
            Kind::ReportedVersions(compatibility::reported_to_proto(report))
        }
        Resource::Freeze(freeze) => Kind::Freeze(fleet::freeze_to_proto(freeze)),
        Resource::Request(request) => Kind::Request(store::Request {
            subject: request.key.subject.clone(),
            request_id: request.key.request_id.clone(),
            fingerprint: request.fingerprint.clone(),
            resource: request.resource.clone(),
            at_ms: request.at.0,
        }),
    };
    store::Resource { kind: Some(kind) }
}

fn resource_from(resource: store::Resource) -> Result<Resource, Invalid> {
    Ok(match required("kind", resource.kind)? {
        Kind::Coordinator(coordinator) => Resource::Coordinator {
            epoch: coordinator.epoch,
        },
        Kind::Node(node) => Resource::Node(fleet::node_from(node)?),
        Kind::Instance(instance) => Resource::Instance(fleet::instance_from_store(instance)?),
        Kind::InstanceGone(gone) => Resource::InstanceGone(fleet::gone_from_store(gone)?),
        Kind::Release(release) => Resource::Release(release_from(release)?),
        Kind::Plan(plan) => Resource::Plan(plan::plan_from(plan)?),
        Kind::Task(task) => Resource::Task(plan::task_from(task)?),
        Kind::Matrix(matrix) => Resource::Matrix(compatibility::applied_from(matrix)?),
        Kind::ReportedVersions(report) => {
            Resource::ReportedVersions(compatibility::reported_from(report)?)
        }
        Kind::Freeze(freeze) => Resource::Freeze(fleet::freeze_from(freeze)?),
        Kind::Request(request) => Resource::Request(Request {
            key: RequestKey {
                subject: request.subject,
                request_id: request.request_id,
            },
            fingerprint: request.fingerprint,
            resource: request.resource,
            at: Timestamp(request.at_ms),
        }),
    })
}
