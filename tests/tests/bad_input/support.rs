//! A quiet fleet, and how a refusal has to look.

use std::{collections::BTreeSet, fmt::Debug};

use anyhow::ensure;
use camino::Utf8PathBuf;
use evenkeel_common::{manifest::SigningKey, problem::ErrorCode};
use evenkeel_tests::{
    api::Api,
    fleet::Fleet,
    folder::utf8,
    listing::Listing,
    systems::trivial::{self, Conduct, Layout},
};
use tonic::Status;

/// The release that is published from the beginning.
pub(crate) const NEXT: &str = "1.1.0";

/// Two nodes that run 1.0.0, with 1.1.0 published, and nothing going on.
pub(crate) struct Place {
    _dir: tempfile::TempDir,
    pub(crate) layout: Layout,
    pub(crate) fleet: Fleet,
    pub(crate) api: Api,
    pub(crate) key: SigningKey,
}

impl Place {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let folder = utf8(&dir)?;
        let mut layout = Layout::new(folder, 2)?;
        // Who is slow now and then is not told of: here the revision has to stand still.
        for node in &mut layout.spec.nodes {
            for instance in &mut node.instances {
                *instance = instance.replace("interval = \"200ms\"", "interval = \"60s\"");
            }
        }
        let silence = "[agents]\nheartbeat_interval = \"500ms\"\nsuspect_after = \"30s\"\nlost_after = \"60s\"\n";
        layout.spec.coordinator_extra = silence.to_owned();
        let fleet = Fleet::start(folder, &layout.spec).await?;
        let api = fleet.api()?;
        let key = fleet.release_key()?;
        let program = layout.release(NEXT, Conduct::Good)?;
        api.publish(trivial::COMPONENT, NEXT, &program, &key)
            .await?;
        Listing::at_rest(&api).await?;
        Ok(Self {
            _dir: dir,
            layout,
            fleet,
            api,
            key,
        })
    }

    pub(crate) async fn listing(&self) -> anyhow::Result<Listing> {
        Listing::of(&self.api).await
    }

    /// Everything is as it was, and the coordinator the one that it was and in good health.
    pub(crate) async fn is_as_it_was(&mut self, before: &Listing) -> anyhow::Result<()> {
        ensure!(
            self.fleet.coordinator()?.runs()?,
            "the coordinator has ended"
        );
        assert_eq!(self.listing().await?, *before);
        let printed = self.fleet.coordinator()?.printed();
        assert!(!printed.contains("panicked"), "{printed}");
        Ok(())
    }

    /// The files that the coordinator keeps for releases.
    pub(crate) fn artifacts(&self) -> anyhow::Result<BTreeSet<Utf8PathBuf>> {
        let folder = self.fleet.coordinator_data().join("artifacts");
        folder
            .read_dir_utf8()?
            .map(|entry| Ok(entry?.path().to_owned()))
            .collect()
    }
}

/// Checks that the answer is a refusal of this kind, and that its sentence has these words.
pub(crate) fn refused<T: Debug>(
    what: &str,
    answer: Result<T, Status>,
    code: ErrorCode,
    words: &[&str],
) -> anyhow::Result<()> {
    let status = match answer {
        Ok(done) => anyhow::bail!("{what}: was done: {done:?}"),
        Err(status) => status,
    };
    ensure!(
        ErrorCode::of(&status) == Some(code) && status.code() == code.grpc(),
        "{what}: {status:?}"
    );
    for word in words {
        ensure!(status.message().contains(word), "{what}: {status:?}");
    }
    Ok(())
}
