//! Releases that are made known.

use evenkeel_words::{digest::Digest, names::ComponentName, timestamp::Timestamp};
use semver::Version;

use crate::{
    refusal::{Refusal, RefusalKind},
    release::{Artifact, Release},
    state::State,
};

pub(super) fn publish(
    state: &State,
    component: &ComponentName,
    version: &Version,
    platform: &str,
    artifact: &Artifact,
) -> Result<Option<Release>, Refusal> {
    let mut release = match state.release(component, version) {
        Some(release) => Release::clone(release),
        None => Release {
            component: component.clone(),
            version: version.clone(),
            artifacts: Default::default(),
            changed_at: Timestamp::default(),
            revision: 0,
        },
    };
    match release.artifacts.get(platform) {
        Some(there) if there == artifact => Ok(None),
        // The same bytes, signed anew.
        Some(there) if there.digest == artifact.digest => {
            release
                .artifacts
                .insert(platform.to_owned(), artifact.clone());
            Ok(Some(release))
        }
        Some(there) => Err(other_bytes(component, version, platform, &there.digest)),
        None => {
            release
                .artifacts
                .insert(platform.to_owned(), artifact.clone());
            Ok(Some(release))
        }
    }
}

fn other_bytes(
    component: &ComponentName,
    version: &Version,
    platform: &str,
    there: &Digest,
) -> Refusal {
    Refusal::new(
        RefusalKind::AlreadyExists,
        format!(
            "{component} {version} for {platform} is published with other bytes ({there}); a published version never changes"
        ),
    )
}
