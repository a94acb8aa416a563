//! How long the coordinator takes from its disk to a state it can serve: 10,000 nodes, 100,000 records of the
//! ledger; once with a view that is current, once with none, so that it is made anew.
//!
//! `cargo bench -p evenkeel-coordinator --bench startup`

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_common::{clock, digest::digest_of, names::InstanceName};
use evenkeel_coordinator::{
    convert::change_to_record,
    ledger::{
        Ledger as _,
        local::{LocalLedger, LocalLedgerSettings},
    },
    startup,
};
use evenkeel_coordinator_core::{
    instance::{Fence, Health, Process, Report, Status},
    release::ReleaseRef,
    reports::{self, Hello},
    state::State,
};

const NODES: usize = 10_000;
const RECORDS: usize = 100_000;
const RUNS: usize = 7;
const CLUSTER: &str = "bench";

/// How long the view's writer may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = Utf8Path::from_path(dir.path()).context("the folder's name is not UTF-8")?;
    write_ledger(folder)?;

    let mut rebuilt = Vec::new();
    let mut current = Vec::new();
    for _ in 0..RUNS {
        std::fs::remove_dir_all(folder.join("view")).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        rebuilt.push(open(folder)?);
        current.push(open(folder)?);
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "coordinator start, {NODES} nodes, {RECORDS} ledger records, median (least to most) of {RUNS}"
    )?;
    for (what, mut times) in [("view current", current), ("view made anew", rebuilt)] {
        times.sort();
        writeln!(
            out,
            "{what:<16} {:8.0?} ({:.0?} to {:.0?})",
            times[RUNS / 2],
            times[0],
            times[RUNS - 1]
        )?;
    }
    Ok(())
}

fn open(folder: &Utf8Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let opened = startup::open(folder, CLUSTER)?;
    let took = begun.elapsed();
    ensure!(opened.state.nodes().count() == NODES, "nodes are missing");
    ensure!(
        opened.state.revision() == RECORDS as u64,
        "records are missing"
    );
    opened.view.context("no view")?.close(CLOSE_WITHIN)?;
    Ok(took)
}

/// A ledger as a fleet writes it: every node says hello, then instances change one after the other.
fn write_ledger(folder: &Utf8Path) -> anyhow::Result<()> {
    let (mut ledger, _) =
        LocalLedger::open(LocalLedgerSettings::new(folder.join("ledger"), CLUSTER))?;
    let mut state = State::default();
    let mut batch = Vec::new();
    for record in 0..RECORDS {
        let node = format!("n{}", record % NODES).parse()?;
        let instances = BTreeMap::from([(
            InstanceName::try_from("store".to_owned())?,
            report(u32::try_from(record)?)?,
        )]);
        let change = if record < NODES {
            let hello = Hello {
                agent_version: "0.1.0".parse()?,
                platform: "linux/amd64".to_owned(),
                labels: BTreeMap::from([("zone".to_owned(), format!("z{}", record % 16))]),
                instances,
            };
            reports::hello(&state, &node, &hello)
        } else {
            reports::report(&state, &node, &instances)
        };
        let change = change.context("nothing changed")?;
        let now = clock::now();
        batch.push(change_to_record(&change, now));
        state.apply(&change, now);
        if batch.len() == 1_000 {
            ledger.append(&batch)?;
            batch.clear();
        }
    }
    Ok(())
}

fn report(pid: u32) -> anyhow::Result<Report> {
    let release = ReleaseRef {
        version: "1.0.0".parse()?,
        digest: digest_of(b"bench"),
    };
    Ok(Report {
        may_rebuild: false,
        rebuild_obstacle: String::new(),
        configuration: String::new(),
        can_finalize: false,
        asks_before_stop: false,
        finalized: None,
        held: false,
        hold_word: 0,
        component: "data-service".parse()?,
        labels: BTreeMap::new(),
        status: Status::Running,
        health: Health::Healthy,
        reason: String::new(),
        current: Some(release.clone()),
        process: Some(Process {
            pid,
            started_at: clock::now(),
            release,
            configuration: String::new(),
        }),
        staged: Vec::new(),
        accepted: Fence::default(),
        progress: None,
    })
}
