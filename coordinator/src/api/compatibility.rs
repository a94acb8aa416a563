//! `CompatibilityService`: the matrix, and the versions of external components in use.

use std::{fmt, str::FromStr};

use evenkeel_common::{
    digest::digest_of,
    names::{ComponentName, SourceName},
    problem::Problem,
};
use evenkeel_compat::{Matrix, Scope};
use evenkeel_coordinator_core::{calls::Call, state::State};
use evenkeel_proto::v1::{
    ApplyMatrixRequest, ApplyMatrixResponse, GetMatrixRequest, GetMatrixResponse,
    ListReportedVersionsRequest, ListReportedVersionsResponse, ReportVersionsRequest,
    ReportVersionsResponse, compatibility_service_server::CompatibilityService,
};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{Shared, caller, not_found, paging, request_key};
use crate::convert::{
    Invalid, matrix_from_proto, matrix_to_proto, parse, reported_to_proto,
    versions_in_use_from_proto,
};

/// See [`CompatibilityService`].
#[derive(Debug)]
pub(super) struct Compatibility(pub(super) Shared);

#[tonic::async_trait]
impl CompatibilityService for Compatibility {
    async fn apply_matrix(
        &self,
        request: Request<ApplyMatrixRequest>,
    ) -> Result<Response<ApplyMatrixResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let key = request_key(&caller, &asked.request_id)?;
        let wanted = asked.matrix.unwrap_or_default();
        // A large matrix takes its time to check: others must not stand still meanwhile.
        let (matrix, content) = tokio::task::block_in_place(|| {
            let content = digest_of(&wanted.encode_to_vec());
            matrix_from_proto(wanted).map(|matrix| (matrix, content))
        })
        .map_err(Problem::from)?;
        let before = self.0.core.snapshot();
        let unseen_components = unseen(&before, matrix.components().keys());
        let uncovered_components = uncovered(&before, &matrix);
        let call = Call::ApplyMatrix {
            matrix,
            content,
            expected_version: asked.expected_version,
        };
        let resource = self.0.core.call(key, call).await?;
        let version = resource
            .strip_prefix("matrix/")
            .and_then(|v| v.parse().ok());
        let version = version.unwrap_or_default();
        Ok(Response::new(ApplyMatrixResponse {
            version,
            unchanged: version == before.matrix().version,
            uncovered_components,
            unseen_components,
        }))
    }

    async fn get_matrix(
        &self,
        _request: Request<GetMatrixRequest>,
    ) -> Result<Response<GetMatrixResponse>, Status> {
        let state = self.0.core.snapshot();
        let matrix = Some(matrix_to_proto(state.matrix()));
        Ok(Response::new(GetMatrixResponse { matrix }))
    }

    async fn report_versions(
        &self,
        request: Request<ReportVersionsRequest>,
    ) -> Result<Response<ReportVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let key = request_key(&caller, &asked.request_id)?;
        let content = digest_of(&asked.encode_to_vec());
        let read = || {
            let component: ComponentName = parse("component", &asked.component)?;
            let source: SourceName = parse("source", &asked.source)?;
            let versions = versions_in_use_from_proto(asked.versions)?;
            Ok::<_, Invalid>((component, source, versions))
        };
        let (component, source, versions) = read().map_err(Problem::from)?;
        let call = Call::ReportVersions {
            component: component.clone(),
            source: source.clone(),
            versions,
            content,
        };
        self.0.core.call(key, call).await?;
        let state = self.0.core.snapshot();
        let report = state
            .reported_by(&component, &source)
            .ok_or_else(|| not_found(format!("{source} has not reported {component}")))?;
        let report = Some(reported_to_proto(report));
        Ok(Response::new(ReportVersionsResponse { report }))
    }

    async fn list_reported_versions(
        &self,
        request: Request<ListReportedVersionsRequest>,
    ) -> Result<Response<ListReportedVersionsResponse>, Status> {
        let request = request.into_inner();
        let after = paging::after::<Name>(&request.page_token)?.map(|name| (name.0, name.1));
        let component: Option<ComponentName> = match request.component.as_str() {
            "" => None,
            name => Some(parse("component", name).map_err(Problem::from)?),
        };
        let state = self.0.core.snapshot();
        let reports = state
            .reported_versions_after(after.as_ref())
            .filter(|report| component.as_ref().is_none_or(|c| *c == report.component));
        let (reports, next_page_token) =
            paging::page(reports, paging::size(request.page_size), |report| {
                Name(report.component.clone(), report.source.clone())
            });
        Ok(Response::new(ListReportedVersionsResponse {
            reports: reports.into_iter().map(|r| reported_to_proto(r)).collect(),
            next_page_token,
            revision: state.revision(),
        }))
    }
}

/// The components of which nothing was seen yet.
fn unseen<'a>(state: &State, components: impl Iterator<Item = &'a ComponentName>) -> Vec<String> {
    components
        .filter(|component| {
            state.instances_of(component).next().is_none()
                && state.releases_of(component).next().is_none()
                && state.reported_versions_of(component).next().is_none()
        })
        .map(ToString::to_string)
        .collect()
}

/// The components with instances that no rule speaks of: nothing of them can be changed.
fn uncovered(state: &State, matrix: &Matrix) -> Vec<String> {
    let speaks = |component: &ComponentName| {
        let mut rules = matrix.rules().iter();
        rules.any(|rule| match &rule.scope {
            Scope::All => true,
            Scope::Component(of) => of == component,
            Scope::Pair(..) => false,
        })
    };
    let components = state.components().filter(|component| !speaks(component));
    components.map(ToString::to_string).collect()
}

/// A report's name: `<component>/<source>`.
struct Name(ComponentName, SourceName);

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (component, source) = text
            .split_once('/')
            .ok_or_else(|| Invalid::new("name", "is not <component>/<source>"))?;
        Ok(Self(
            parse("component", component)?,
            parse("source", source)?,
        ))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}
