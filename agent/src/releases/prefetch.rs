//! Keeps at hand what the coordinator asks for: one download at a time, tried again with back-off.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use evenkeel_agent_core::Release;
use evenkeel_common::{
    archive::UNPACKED_BYTES_MAX,
    digest::Digest,
    limits::{REASON_BYTES_MAX, cut},
    manifest::{ReleaseManifest, SignedManifest, TrustedKeys},
    names::{ComponentName, InstanceName},
    platform,
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tonic::transport::Channel;

use super::{
    Store,
    fetch::{self, Artifact, FetchError},
};
use crate::{
    backoff::{Backoff, random_part},
    report::Reports,
};

/// Whether a release that was asked for is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Being downloaded, or waiting for its turn.
    Fetching,
    /// As many are being downloaded elsewhere as may be; asked for again.
    Waiting,
    /// Downloaded, verified and durable.
    Ready,
    /// Could not be had so far.
    Failed,
}

/// A release that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Which one.
    pub release: Release,
    /// Whether it is there.
    pub stage: Stage,
    /// Why it failed; empty otherwise.
    pub reason: String,
}

/// What one instance is to have at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its component.
    pub component: ComponentName,
    /// The name of the program in a release's folder.
    pub binary: String,
    /// The manifests of the releases; nobody has verified them yet.
    pub manifests: Vec<SignedManifest>,
}

/// What every instance is to have at hand.
pub type AllWanted = BTreeMap<InstanceName, Wanted>;

/// The task that downloads.
pub struct Prefetcher {
    store: Arc<Store>,
    keys: TrustedKeys,
    reports: Arc<Reports>,
    wanted: watch::Receiver<AllWanted>,
    channel: watch::Receiver<Option<Channel>>,
    failures: BTreeMap<Digest, Failure>,
    /// When what is wanted may be asked for first.
    first_at: BTreeMap<Digest, Instant>,
}

/// What is known of an artifact that could not be had so far.
struct Failure {
    reason: String,
    /// Nothing is wrong: others are being served.
    is_wait: bool,
    backoff: Backoff,
    retry_at: Instant,
}

/// Within this time the first try comes, at random: the hosts of a fleet are told all at once.
const FIRST_WITHIN: Duration = Duration::from_millis(200);

/// The shortest and the longest wait before an artifact is asked for again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The wait before an artifact is looked at again that will not do for what it is: by then another agent may run.
const RETRY_REFUSED: Duration = Duration::from_secs(3600);

impl Prefetcher {
    /// A prefetcher that installs into this store what any of these keys signed.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        keys: TrustedKeys,
        reports: Arc<Reports>,
        wanted: watch::Receiver<AllWanted>,
        channel: watch::Receiver<Option<Channel>>,
    ) -> Self {
        Self {
            store,
            keys,
            reports,
            wanted,
            channel,
            failures: BTreeMap::new(),
            first_at: BTreeMap::new(),
        }
    }

    /// Runs until the program ends.
    pub async fn run(mut self) {
        loop {
            let artifacts = self.review();
            let next = self.next(&artifacts);
            let channel = self.channel.borrow_and_update().clone();
            match (next, channel) {
                (Some((artifact, at)), Some(channel)) if at <= Instant::now() => {
                    let artifact = artifact.clone();
                    self.fetch(channel, &artifact).await;
                }
                (next, channel) => {
                    let retry_at = next.filter(|_| channel.is_some()).map(|(_, at)| at);
                    let retry = async {
                        match retry_at {
                            Some(at) => sleep_until(at).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = retry => {}
                        changed = self.wanted.changed() => if changed.is_err() { return },
                        changed = self.channel.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// Downloads an artifact, unless nobody wants it any more.
    async fn fetch(&mut self, channel: Channel, artifact: &Artifact) {
        let store = Arc::clone(&self.store);
        let fetching = fetch::fetch(channel, &store, artifact);
        tokio::pin!(fetching);
        loop {
            tokio::select! {
                fetched = &mut fetching => return self.note(artifact, fetched),
                changed = self.wanted.changed() => {
                    let wanted = self.review();
                    if changed.is_err() || !wanted.iter().any(|other| other.manifest == artifact.manifest) {
                        return;
                    }
                }
            }
        }
    }

    /// Looks at everything that is wanted, reports how it stands, and gives back what may be fetched.
    fn review(&mut self) -> Vec<Artifact> {
        let wanted = self.wanted.borrow_and_update().clone();
        let mut artifacts: Vec<Artifact> = Vec::new();
        for (instance, wanted) in &wanted {
            let mut staged = Vec::new();
            for signed in &wanted.manifests {
                match verify(signed, wanted, &self.keys) {
                    Ok(artifact) => {
                        staged.push(self.staged(&artifact));
                        if !artifacts.iter().any(|a| a.manifest == artifact.manifest) {
                            artifacts.push(artifact);
                        }
                    }
                    Err((release, reason)) => {
                        let reason = cut(reason, REASON_BYTES_MAX);
                        staged.extend(release.map(|release| Staged {
                            release,
                            stage: Stage::Failed,
                            reason,
                        }));
                    }
                }
            }
            self.reports.update(instance, |facts| facts.staged = staged);
        }
        let wanted_now = |digest: &Digest| {
            let mut manifests = artifacts.iter().map(|artifact| &artifact.manifest);
            manifests.any(|manifest| manifest.sha256 == *digest)
        };
        self.first_at.retain(|digest, _| wanted_now(digest));
        for artifact in &artifacts {
            self.first_at
                .entry(artifact.manifest.sha256)
                .or_insert_with(|| Instant::now() + FIRST_WITHIN.mul_f64(random_part()));
        }
        self.failures
            .retain(|digest, _| artifacts.iter().any(|a| a.manifest.sha256 == *digest));
        self.forget_unwanted(&wanted, &artifacts);
        artifacts
    }

    fn staged(&self, artifact: &Artifact) -> Staged {
        let release = artifact.release();
        let failure = self.failures.get(&artifact.manifest.sha256);
        let (stage, reason) = if self.store.has(&artifact.manifest.component, &release) {
            (Stage::Ready, String::new())
        } else if failure.is_some_and(|failure| failure.is_wait) {
            (Stage::Waiting, String::new())
        } else if let Some(failure) = failure {
            (Stage::Failed, failure.reason.clone())
        } else {
            (Stage::Fetching, String::new())
        };
        Staged {
            release,
            stage,
            reason,
        }
    }

    fn forget_unwanted(&self, wanted: &AllWanted, artifacts: &[Artifact]) {
        let digests: Vec<Digest> = artifacts.iter().map(|a| a.manifest.sha256).collect();
        for component in wanted.values().map(|wanted| &wanted.component) {
            let folder = self.store.root().join(component.as_str());
            if folder.is_dir()
                && let Err(error) = fetch::forget_others(&folder, &digests)
            {
                tracing::warn!(%folder, %error, "cannot delete downloads that nobody wants");
            }
        }
    }

    /// The artifact to fetch next, and when.
    fn next<'a>(&self, artifacts: &'a [Artifact]) -> Option<(&'a Artifact, Instant)> {
        artifacts
            .iter()
            .filter(|artifact| {
                !self
                    .store
                    .has(&artifact.manifest.component, &artifact.release())
            })
            .map(|artifact| {
                let digest = &artifact.manifest.sha256;
                let first_at = self.first_at.get(digest).copied();
                let retry_at = self.failures.get(digest).map(|failure| failure.retry_at);
                (artifact, retry_at.or(first_at).unwrap_or_else(Instant::now))
            })
            .min_by_key(|(_, at)| *at)
    }

    fn note(&mut self, artifact: &Artifact, fetched: Result<(), FetchError>) {
        let ReleaseManifest {
            component,
            version,
            sha256: digest,
            ..
        } = &artifact.manifest;
        match fetched {
            Ok(()) => {
                tracing::info!(%component, %version, "a release is at hand");
                self.failures.remove(digest);
                let (store, component) = (Arc::clone(&self.store), component.clone());
                spawn_blocking(move || store.collect_or_warn(&component));
            }
            Err(error) => {
                let reason = crate::report::sentence(&error);
                let failure = self.failures.entry(*digest).or_insert_with(|| Failure {
                    reason: String::new(),
                    is_wait: false,
                    backoff: Backoff::new(RETRY.0, RETRY.1),
                    retry_at: Instant::now(),
                });
                let wait = match error.is_for_good() {
                    true => RETRY_REFUSED,
                    false => failure.backoff.wait(),
                };
                tracing::warn!(%component, %version, %reason, ?wait, "a release could not be had; tried again later");
                failure.retry_at = Instant::now() + wait;
                failure.is_wait = error.is_wait();
                failure.reason = reason;
            }
        }
    }
}

/// What a manifest asks for, if it is trusted and for this host and component; otherwise what it claims to be,
/// if that much can be told, and what is wrong with it.
fn verify(
    signed: &SignedManifest,
    wanted: &Wanted,
    keys: &TrustedKeys,
) -> Result<Artifact, (Option<Release>, String)> {
    let claimed = || {
        let manifest = ReleaseManifest::decode(&signed.manifest).ok()?;
        Some(Release {
            version: manifest.version,
            digest: manifest.sha256,
        })
    };
    let manifest = signed
        .verify(keys)
        .map_err(|error| (claimed(), crate::report::sentence(&error)))?;
    if manifest.component != wanted.component {
        let reason = format!(
            "it is a release of {}, not of {}",
            manifest.component, wanted.component
        );
        return Err((claimed(), reason));
    }
    if manifest.platform != platform::current() {
        let reason = format!(
            "it is for {}, and this host is {}",
            manifest.platform,
            platform::current()
        );
        return Err((claimed(), reason));
    }
    if manifest.size_bytes > evenkeel_common::limits::ARTIFACT_BYTES_MAX {
        return Err((
            claimed(),
            format!("its {} bytes are more than allowed", manifest.size_bytes),
        ));
    }
    if let Some(tree) = &manifest.tree {
        if tree.executable.as_str() != wanted.binary {
            let reason = format!(
                "its executable is {}, and the configuration says {:?}",
                tree.executable, wanted.binary
            );
            return Err((claimed(), reason));
        }
        if tree.unpacked_bytes > UNPACKED_BYTES_MAX {
            let reason = format!(
                "its {} bytes when unpacked are more than allowed",
                tree.unpacked_bytes
            );
            return Err((claimed(), reason));
        }
    }
    Ok(Artifact {
        manifest,
        signed: signed.clone(),
        binary: wanted.binary.clone(),
    })
}
