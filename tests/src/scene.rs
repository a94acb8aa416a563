//! A fleet of trivial processes, and somebody at its command line.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    api::Api,
    cli::Cli,
    fleet::Fleet,
    folder::utf8,
    systems::{
        json,
        trivial::{COMPONENT, Conduct, Layout},
    },
};

/// How long anything may take that nothing keeps from happening.
pub const SOON: Duration = Duration::from_secs(30);

/// What makes a plan quick: no soak, all that come after the canary together, and short deadlines.
pub const QUICK: [&str; 9] = [
    "--no-compare",
    "--soak",
    "0s",
    "--waves",
    "100%",
    "--instance-deadline",
    "20s",
    "--progress-deadline",
    "60s",
];

/// A fleet of trivial processes, and somebody at its command line.
#[derive(Debug)]
pub struct Scene {
    /// The fleet.
    pub fleet: Fleet,
    /// The command line.
    pub cli: Cli,
    /// What is easier asked of the coordinator itself.
    pub api: Api,
    layout: Layout,
    // Last, so that it is there for as long as the fleet.
    dir: TempDir,
}

impl Scene {
    /// Starts a fleet of so many nodes, laid out further by `lay_out`, which is told a folder of its own.
    ///
    /// # Errors
    /// When anything of it does not come up.
    pub async fn new(
        nodes: usize,
        lay_out: impl FnOnce(&Utf8Path, Layout) -> anyhow::Result<Layout>,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let folder = utf8(&dir)?;
        let layout = lay_out(folder, Layout::new(folder, nodes)?)?;
        let fleet = Fleet::start(folder, &layout.spec).await?;
        Ok(Self {
            cli: Cli::of(&fleet)?,
            api: fleet.api()?,
            fleet,
            layout,
            dir,
        })
    }

    /// The folder that everything of it is in.
    ///
    /// # Errors
    /// When its name is not UTF-8.
    pub fn folder(&self) -> anyhow::Result<&Utf8Path> {
        utf8(&self.dir)
    }

    /// Publishes a release.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn publish(&self, version: &str, conduct: Conduct) -> anyhow::Result<()> {
        let program = self.layout.release(version, conduct)?;
        let key = self.fleet.release_key()?;
        self.api.publish(COMPONENT, version, &program, &key).await?;
        Ok(())
    }

    /// Makes and starts a quick plan to a version; more of the policy is in `also`. Its name.
    ///
    /// # Errors
    /// When that is refused.
    pub fn upgrade(&self, version: &str, also: &[&str]) -> anyhow::Result<String> {
        let to = format!("{COMPONENT}={version}");
        // An option may be said once.
        let mut quick = Vec::new();
        for word in QUICK {
            match word.starts_with("--") {
                true => quick.push(vec![word]),
                false => quick.last_mut().context("no option")?.push(word),
            }
        }
        let compares = also.iter().any(|word| word.starts_with("--compare"));
        let otherwise =
            |option: &str| also.contains(&option) || (compares && option == "--no-compare");
        let quick = quick.iter().filter(|option| !otherwise(option[0]));
        let quick: Vec<&str> = quick.flatten().copied().collect();
        self.cli
            .plan(&[&["create", "--to", &to], quick.as_slice(), also].concat())
    }

    /// The instances by name, as the command line lists them.
    ///
    /// # Errors
    /// When it does not.
    pub fn instances(&self) -> anyhow::Result<Vec<(String, Value)>> {
        let listed = self.cli.json(&["instance", "list"])?;
        let listed = listed.pointer("/instances").and_then(Value::as_array);
        let listed = listed.context("no instances")?.iter();
        listed
            .map(|instance| Ok((json::text(instance, "/name")?.to_owned(), instance.clone())))
            .collect()
    }

    /// What each process is, by its instance: its id and the version that it runs.
    ///
    /// # Errors
    /// When one has none.
    pub fn running(&self) -> anyhow::Result<Vec<(String, u64, String)>> {
        let instances = self.instances()?.into_iter();
        instances
            .map(|(name, instance)| {
                let pid = json::number(&instance, "/process/pid")?;
                let version = json::text(&instance, "/process/release/version")?;
                Ok((name, pid, version.to_owned()))
            })
            .collect()
    }

    /// An error unless every instance runs this version.
    ///
    /// # Errors
    /// Names the instances that do not.
    pub fn ensure_all_run(&self, version: &str) -> anyhow::Result<()> {
        let running = self.running()?;
        ensure!(
            running.iter().all(|(_, _, runs)| runs == version),
            "{running:?}"
        );
        Ok(())
    }
}

/// Writes a driver, a script of `sh` that finds the verb in `$1` and what its caller said in nothing; its path. Verbs that
/// `answers` (the branches of a `case`) says nothing of are not known to it.
///
/// # Errors
/// When it cannot be written.
pub fn driver(folder: &Utf8Path, answers: &str) -> anyhow::Result<Utf8PathBuf> {
    let path = folder.join("driver");
    let text = format!(
        "#!/bin/sh\ncat >/dev/null\nnode=$1\ncase \"$2\" in\n{answers}\n*) exit 64 ;;\nesac\n"
    );
    fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
