//! How the ledger's and the view's speed compares with what the disk gives.
//!
//! `cargo bench -p evenkeel-coordinator --bench ledger` prints one table. Appends alternate with bare writes of the same
//! bytes in the same batches to a zero-filled file beside the ledger, so that both see the same disk at the same time.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use evenkeel_coordinator::ledger::Ledger;
use evenkeel_coordinator::ledger::local::{LocalLedger, LocalLedgerSettings};
use evenkeel_coordinator::view::{Entries, View, ViewOpen, ViewSettings};

const PAYLOAD_BYTES: usize = 256;
/// Appends of each kind before the other kind has its turn.
const TURN_APPENDS: usize = 20;
const RAW_FILE_BYTES: u64 = 16 * 1024 * 1024;
const OPEN_RECORDS: u64 = 100_000;
const OPEN_RECORD_BYTES: usize = 300;
const VIEW_ENTRIES: u64 = 10_000;
const VIEW_VALUE_BYTES: usize = 300;
/// How often opening is timed; the median counts.
const OPENINGS: usize = 9;

fn main() -> Result<()> {
    // `cargo bench` says so; test runners that start every target have nothing to look for here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "durable appends of {PAYLOAD_BYTES} bytes, ledger beside bare write and fdatasync"
    )?;
    writeln!(
        out,
        "batch   bare p50   ledger p50   ratio   bare rec/s   ledger rec/s   ratio"
    )?;
    for (batch, turns) in [(1, 200), (16, 200), (256, 100)] {
        let name = format!("append-{batch}");
        writeln!(
            out,
            "{}",
            compare_appends(&folder.path().join(name), batch, turns)?
        )?;
    }
    let opening = time_ledger_open(&folder.path().join("open"))?;
    writeln!(
        out,
        "ledger, {OPEN_RECORDS} records of {OPEN_RECORD_BYTES} bytes"
    )?;
    writeln!(
        out,
        "  open and verify        {:8.1} ms",
        milliseconds(opening.0)
    )?;
    writeln!(
        out,
        "  replay                 {:8.1} ms",
        milliseconds(opening.1)
    )?;
    let view = time_view(&folder.path().join("view"))?;
    writeln!(
        out,
        "view, {VIEW_ENTRIES} entries of {VIEW_VALUE_BYTES} bytes"
    )?;
    writeln!(
        out,
        "  fill                   {:8.1} ms",
        milliseconds(view.0)
    )?;
    writeln!(
        out,
        "  open and load          {:8.1} ms",
        milliseconds(view.1)
    )?;
    Ok(())
}

/// Times `turns` turns of both kinds of append and makes a line of the table.
fn compare_appends(folder: &Path, batch: usize, turns: usize) -> Result<String> {
    let (mut ledger, _) = LocalLedger::open(LocalLedgerSettings::new(folder, "bench"))?;
    let raw = raw_file(&folder.join("raw"))?;
    let payloads: Vec<Bytes> = (0..batch)
        .map(|seed| payload(seed as u64, PAYLOAD_BYTES))
        .collect();
    let raw_batch = payloads.concat();
    let mut offset = 0;
    let (mut raw_times, mut ledger_times) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        for _ in 0..TURN_APPENDS {
            if offset + raw_batch.len() as u64 > RAW_FILE_BYTES {
                offset = 0;
            }
            let start = Instant::now();
            raw.write_all_at(&raw_batch, offset)?;
            raw.sync_data()?;
            raw_times.push(start.elapsed());
            offset += raw_batch.len() as u64;
        }
        for _ in 0..TURN_APPENDS {
            let start = Instant::now();
            black_box(ledger.append(&payloads)?);
            ledger_times.push(start.elapsed());
        }
    }
    let per_second = |times: &[Duration]| {
        (times.len() * batch) as f64 / times.iter().sum::<Duration>().as_secs_f64()
    };
    let (raw_rate, ledger_rate) = (per_second(&raw_times), per_second(&ledger_times));
    let (raw_median, ledger_median) = (median(&mut raw_times), median(&mut ledger_times));
    Ok(format!(
        "{batch:5} {:7.0} µs {:9.0} µs {:6.0} % {raw_rate:12.0} {ledger_rate:14.0} {:6.0} %",
        raw_median.as_secs_f64() * 1e6,
        ledger_median.as_secs_f64() * 1e6,
        100.0 * raw_median.as_secs_f64() / ledger_median.as_secs_f64(),
        100.0 * ledger_rate / raw_rate,
    ))
}

/// Median times to open, which verifies, and to replay a ledger.
fn time_ledger_open(folder: &Path) -> Result<(Duration, Duration)> {
    let settings = LocalLedgerSettings::new(folder, "bench");
    let (mut ledger, _) = LocalLedger::open(settings.clone())?;
    let batch: Vec<Bytes> = (0..1_000)
        .map(|seed| payload(seed, OPEN_RECORD_BYTES))
        .collect();
    while ledger.position().revision < OPEN_RECORDS {
        ledger.append(&batch)?;
    }
    drop(ledger);
    let (mut opens, mut replays) = (Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        let start = Instant::now();
        let (ledger, _) = LocalLedger::open(settings.clone())?;
        opens.push(start.elapsed());
        let start = Instant::now();
        let mut records = 0;
        for record in ledger.replay(1)? {
            black_box(record?);
            records += 1;
        }
        replays.push(start.elapsed());
        if records != OPEN_RECORDS {
            bail!("replayed {records} records instead of {OPEN_RECORDS}");
        }
    }
    Ok((median(&mut opens), median(&mut replays)))
}

/// The time to fill a view and the median time to open and load it.
fn time_view(folder: &Path) -> Result<(Duration, Duration)> {
    let settings = ViewSettings::new(folder);
    let entries: Entries = (0..VIEW_ENTRIES)
        .map(|seed| {
            (
                Bytes::from(format!("instance/{seed:08}")),
                payload(seed, VIEW_VALUE_BYTES),
            )
        })
        .collect();
    let ledger_folder = folder.with_extension("ledger");
    let (ledger, _) = LocalLedger::open(LocalLedgerSettings::new(ledger_folder, "bench"))?;
    let ViewOpen::RebuildNeeded { view, .. } = View::open(&settings)? else {
        bail!("there is a view already");
    };
    let start = Instant::now();
    drop(view.fill(entries.clone(), ledger.position())?);
    let filled = start.elapsed();
    let mut opens = Vec::new();
    for _ in 0..OPENINGS {
        let start = Instant::now();
        let opened = View::open(&settings)?;
        opens.push(start.elapsed());
        match opened {
            ViewOpen::Loaded { entries: found, .. } if found == entries => {}
            _ => bail!("the view is not what was written"),
        }
    }
    Ok((filled, median(&mut opens)))
}

/// A zero-filled file, as the ledger's segments are.
fn raw_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .context("make the bare file")?;
    file.write_all_at(&vec![0; RAW_FILE_BYTES as usize], 0)?;
    file.sync_all()?;
    Ok(file)
}

fn payload(seed: u64, bytes: usize) -> Bytes {
    (0..bytes as u64)
        .map(|at| (seed.wrapping_mul(31) + at * 7) as u8)
        .collect()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
