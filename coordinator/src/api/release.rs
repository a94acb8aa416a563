//! `ReleaseService`: releases, and taking in new ones.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use evenkeel_common::{
    clock,
    limits::PUBLISH_CHUNK_BYTES_MAX,
    manifest::ReleaseManifest,
    names::ComponentName,
    problem::{ErrorCode, Problem},
};
use evenkeel_coordinator_core::{
    calls::{self, Call},
    release::Artifact,
};
use evenkeel_proto::v1::{
    GetReleaseRequest, GetReleaseResponse, ListReleasesRequest, ListReleasesResponse,
    PublishReleaseRequest, PublishReleaseResponse, publish_release_request::Part,
    release_service_server::ReleaseService,
};
use semver::Version;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use super::{Shared, caller, not_found, paging, request_key};
use crate::convert::{
    Invalid, parse, problem_of, release_to_proto, signed_manifest_from_proto,
    signed_manifest_to_core, version,
};

/// How long the next piece of an upload may take to come.
const NEXT_WITHIN: Duration = Duration::from_secs(60);

/// Uploads at once.
const UPLOADS_MAX: usize = 4;

/// See [`ReleaseService`].
#[derive(Debug)]
pub(super) struct Releases {
    shared: Shared,
    uploads: Arc<Semaphore>,
    uploads_begun: AtomicU64,
}

impl Releases {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            uploads_begun: AtomicU64::new(0),
        }
    }

    async fn publish(
        &self,
        caller: &evenkeel_common::identity::Identity,
        stream: &mut Streaming<PublishReleaseRequest>,
    ) -> Result<PublishReleaseResponse, Status> {
        let Some(PublishReleaseRequest {
            part: Some(Part::Header(header)),
        }) = next(stream).await?
        else {
            return Err(bad("the first message of a publish call has to be its header").into());
        };
        let key = request_key(caller, &header.request_id)?;
        let signed = header
            .manifest
            .ok_or_else(|| bad("header.manifest: is missing"))?;
        let signed = signed_manifest_from_proto(signed).map_err(Problem::from)?;
        let manifest = signed
            .verify(&self.shared.settings.trusted_release_keys)
            .map_err(|error| bad(format!("header.manifest: {error}")))?;

        let call = Call::PublishRelease {
            component: manifest.component.clone(),
            version: manifest.version.clone(),
            platform: manifest.platform.clone(),
            artifact: Artifact {
                digest: manifest.sha256,
                size_bytes: manifest.size_bytes,
                manifest: signed_manifest_to_core(signed),
            },
        };
        // What will be refused need not be sent, let alone kept.
        calls::handle(&self.shared.core.snapshot(), &key, &call, clock::now())
            .map_err(problem_of)?;
        // Bytes that are there already need not come again.
        if !self.shared.artifacts.has(&manifest).await? {
            self.take_in(&manifest, stream).await?;
        }
        self.shared.core.call(key, call).await?;
        let state = self.shared.core.snapshot();
        let release = state.release(&manifest.component, &manifest.version);
        Ok(PublishReleaseResponse {
            release: release.map(|release| release_to_proto(release)),
        })
    }

    /// Takes in the bytes that follow the header.
    async fn take_in(
        &self,
        manifest: &ReleaseManifest,
        stream: &mut Streaming<PublishReleaseRequest>,
    ) -> Result<(), Status> {
        let number = self.uploads_begun.fetch_add(1, Ordering::Relaxed);
        let mut upload = self.shared.artifacts.upload(manifest, number).await?;
        while let Some(message) = next(stream).await? {
            match message.part {
                Some(Part::Chunk(chunk)) if chunk.len() <= PUBLISH_CHUNK_BYTES_MAX => {
                    upload.write(&chunk).await?;
                }
                Some(Part::Chunk(_)) => {
                    let message = format!("a chunk is larger than {PUBLISH_CHUNK_BYTES_MAX} bytes");
                    return Err(bad(message).into());
                }
                Some(Part::Header(_)) | None => {
                    return Err(bad("every message after the header has to be a chunk").into());
                }
            }
        }
        Ok(upload.finish().await?)
    }
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::BadArgument, message)
}

/// The next message of an upload; a caller that says nothing for long gives its place up.
async fn next(
    stream: &mut Streaming<PublishReleaseRequest>,
) -> Result<Option<PublishReleaseRequest>, Status> {
    let message = tokio::time::timeout(NEXT_WITHIN, stream.message()).await;
    message.map_err(|_| {
        Problem::new(
            ErrorCode::TooMuch,
            format!("nothing came for {NEXT_WITHIN:?}; uploads are few at a time, so the place is another's now"),
        )
    })?
}

#[tonic::async_trait]
impl ReleaseService for Releases {
    async fn publish_release(
        &self,
        request: Request<Streaming<PublishReleaseRequest>>,
    ) -> Result<Response<PublishReleaseResponse>, Status> {
        let caller = caller(&request)?;
        let _permit = self.uploads.try_acquire().map_err(|_| {
            Problem::new(
                ErrorCode::TooMuch,
                format!("{UPLOADS_MAX} uploads are going on already"),
            )
        })?;
        let mut stream = request.into_inner();
        self.publish(&caller, &mut stream).await.map(Response::new)
    }

    async fn get_release(
        &self,
        request: Request<GetReleaseRequest>,
    ) -> Result<Response<GetReleaseResponse>, Status> {
        let request = request.into_inner();
        let component: ComponentName =
            parse("component", &request.component).map_err(Problem::from)?;
        let version = version("version", &request.version).map_err(Problem::from)?;
        let state = self.shared.core.snapshot();
        let release = state
            .release(&component, &version)
            .ok_or_else(|| not_found(format!("{component} {version} is not published")))?;
        let release = Some(release_to_proto(release));
        Ok(Response::new(GetReleaseResponse { release }))
    }

    async fn list_releases(
        &self,
        request: Request<ListReleasesRequest>,
    ) -> Result<Response<ListReleasesResponse>, Status> {
        let request = request.into_inner();
        let after = paging::after::<Name>(&request.page_token)?.map(|name| (name.0, name.1));
        let component: Option<ComponentName> = match request.component.as_str() {
            "" => None,
            name => Some(parse("component", name).map_err(Problem::from)?),
        };
        let state = self.shared.core.snapshot();
        let releases = state
            .releases_after(after.as_ref())
            .filter(|release| component.as_ref().is_none_or(|c| *c == release.component));
        let (releases, next_page_token) =
            paging::page(releases, paging::size(request.page_size), |release| {
                Name(release.component.clone(), release.version.clone())
            });
        Ok(Response::new(ListReleasesResponse {
            releases: releases.into_iter().map(|r| release_to_proto(r)).collect(),
            next_page_token,
            revision: state.revision(),
        }))
    }
}

/// A release's name: `<component>/<version>`.
struct Name(ComponentName, Version);

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (component, of) = text
            .split_once('/')
            .ok_or_else(|| Invalid::new("name", "is not <component>/<version>"))?;
        Ok(Self(
            parse("component", component)?,
            version("version", of)?,
        ))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}
