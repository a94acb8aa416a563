//! The command line, run as a person or a script does.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::{fleet::Fleet, places, systems::json, wait};

/// The command line of a fleet's admin.
#[derive(Debug, Clone)]
pub struct Cli {
    program: Utf8PathBuf,
    config: Utf8PathBuf,
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit status.
    pub status: i32,
    /// On standard output.
    pub output: String,
    /// On standard error.
    pub remarks: String,
}

impl Cli {
    /// That of the admin whom `evenkeel init` made.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn of(fleet: &Fleet) -> anyhow::Result<Self> {
        Ok(Self {
            program: places::program("evenkeel")?,
            config: fleet.folder().join("evenkeel.toml"),
        })
    }

    /// Runs a command to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot be started, or something kills it.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let output = Command::new(&self.program)
            .env("EVENKEEL_CONFIG", &self.config)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run {arguments:?}"))?;
        Ok(Said {
            status: output.status.code().context("it was killed")?,
            output: String::from_utf8(output.stdout)?,
            remarks: String::from_utf8(output.stderr)?,
        })
    }

    /// What a command that succeeds says on standard output.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn done(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let said = self.run(arguments)?;
        ensure!(said.status == 0, "{arguments:?}: {said:?}");
        Ok(said.output)
    }

    /// What a command that is refused says on standard error.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let said = self.run(arguments)?;
        ensure!(said.status != 0, "{arguments:?}: {said:?}");
        Ok(said.remarks)
    }

    /// What a command that succeeds says to a program.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let said = self.done(&[arguments, &["--output", "json"]].concat())?;
        Ok(serde_json::from_str(&said)?)
    }

    /// Makes and starts a plan; its name.
    ///
    /// # Errors
    /// When that is refused.
    pub fn plan(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let created = self.json(&[&["plan"], arguments].concat())?;
        let name = json::text(&created, "/name")?.to_owned();
        self.done(&["plan", "start", &name])?;
        Ok(name)
    }

    /// The plan and its tasks.
    ///
    /// # Errors
    /// When there is none.
    pub fn show(&self, plan: &str) -> anyhow::Result<Value> {
        self.json(&["plan", "show", plan])
    }

    /// Waits until the plan is in this state, in the command line's own word.
    ///
    /// # Errors
    /// When it is not `within` that time; what it is then, and what it waits for.
    pub async fn until_plan(
        &self,
        plan: &str,
        state: &str,
        within: Duration,
    ) -> anyhow::Result<Value> {
        wait::until(&format!("{plan} to be {state}"), within, || async {
            let shown = self.show(plan)?;
            let is = json::text(&shown, "/state")?;
            ensure!(
                is == state,
                "it is {is}, {}: {}",
                json::text(&shown, "/reason")?,
                self.run(&["plan", "why", plan])?.output
            );
            Ok(shown)
        })
        .await
    }

    /// Waits until the plan says of an instance that it waits for this kind of thing; the sentence.
    ///
    /// # Errors
    /// When it does not `within` that time.
    pub async fn until_waits(
        &self,
        (plan, instance): (&str, &str),
        kind: &str,
        within: Duration,
    ) -> anyhow::Result<Value> {
        let what = format!("{instance} to wait for {kind}");
        wait::until(&what, within, || async {
            let told = self.json(&["plan", "why", plan, instance])?;
            let wait = told.pointer("/waits/0");
            let wait = wait.with_context(|| format!("{told}"))?;
            ensure!(json::text(wait, "/kind")? == kind, "{wait}");
            Ok(wait.clone())
        })
        .await
    }
}

/// The task of an instance in a stage, from 0, of what `plan show` says.
///
/// # Errors
/// When there is none.
pub fn task<'a>(shown: &'a Value, stage: u64, instance: &str) -> anyhow::Result<&'a Value> {
    let tasks = shown.pointer("/tasks").and_then(Value::as_array);
    let mut tasks = tasks.with_context(|| format!("no tasks: {shown}"))?.iter();
    let found = tasks.find(|task| {
        task.pointer("/instance").and_then(Value::as_str) == Some(instance)
            && task.pointer("/stage").and_then(Value::as_u64) == Some(stage)
    });
    found.with_context(|| format!("{instance} has no task in stage {stage}: {shown}"))
}
