//! From what is on disk to a state that can be trusted: the ledger is checked whole, the view is taken if
//! it stands for a part of it and made again otherwise. What cannot be trusted stops the start.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use camino::Utf8Path;
use evenkeel_common::{clock::Timestamp, files};
use evenkeel_coordinator_core::state::{Key, State};

use crate::{
    convert::{key_to_bytes, record_from_bytes, resource_from_bytes, resource_to_bytes},
    ledger::{
        Ledger, Position,
        local::{LocalLedger, LocalLedgerSettings},
    },
    view::{
        Entries, FreshView, RebuildReason, Reconciliation, View, ViewError, ViewOpen, ViewSettings,
        ViewUpdate, ViewWriter, ViewWriterSettings, reconcile,
    },
};

/// What the writer begins with.
#[derive(Debug)]
pub struct Opened {
    /// The truth.
    pub ledger: LocalLedger,
    /// What it comes to.
    pub state: State,
    /// Where readers of a later start find it quickly; not there where it could not be made.
    pub view: Option<ViewWriter>,
}

/// Opens ledger and view below `data_dir`.
///
/// # Errors
/// When another coordinator has them open, or the ledger is damaged, of another cluster, or shorter than the view
/// has seen it. Nothing is changed then.
pub fn open(data_dir: &Utf8Path, cluster: &str) -> anyhow::Result<Opened> {
    files::create_private_folder(data_dir)
        .with_context(|| format!("cannot make the folder {data_dir}"))?;
    let ledger_folder = data_dir.join("ledger");
    let view_folder = data_dir.join("view");
    // An emptied ledger beside a view that is not is a lost ledger, and must not be begun anew.
    let view_alone = view_folder.exists() && !ledger_folder.exists();
    if view_alone {
        bail!(
            "the ledger {ledger_folder} is gone, but the view {view_folder} is there: bring the ledger back from a backup; only if this is meant to be a new cluster, delete the view too"
        );
    }
    let ledger_settings = LocalLedgerSettings {
        // A ledger is older than its view, so beside a view there must be one.
        may_create: !view_folder.exists(),
        ..LocalLedgerSettings::new(&ledger_folder, cluster)
    };
    let (ledger, report) = LocalLedger::open(ledger_settings)
        .with_context(|| format!("cannot open the ledger {ledger_folder}"))?;
    if let Some(torn) = &report.torn {
        tracing::warn!(
            ?torn,
            "dropped what an interrupted append had left; it was never acknowledged"
        );
    }
    let opened = View::open(&ViewSettings::new(&view_folder)).context("cannot open the view")?;
    let (state, view, behind) = match opened {
        ViewOpen::Loaded {
            view,
            entries,
            position,
        } => match reconcile(position, &ledger)? {
            Reconciliation::Usable { .. } => match restore(&entries, position, &ledger) {
                Ok((state, behind)) => (state, Some(view), behind),
                Err(error) => {
                    let reason = RebuildReason::Unreadable {
                        message: format!("{error:#}"),
                    };
                    rebuild(view.discard(&reason)?, &reason, &ledger)?
                }
            },
            Reconciliation::Rebuild(reason) => rebuild(view.discard(&reason)?, &reason, &ledger)?,
            Reconciliation::LedgerLostRecords {
                ledger_revision,
                view_revision,
            } => bail!(
                "the ledger {ledger_folder} ends at record {ledger_revision}, but the view {view_folder} has seen {view_revision}: acknowledged records are lost; bring the ledger back from a backup that has them"
            ),
        },
        ViewOpen::RebuildNeeded { view, reason } => rebuild(view, &reason, &ledger)?,
    };
    let view = view.and_then(|view| {
        keep_current(view, &state, &behind, ledger.position())
            .inspect_err(|error| tracing::error!(%error, "going on without a view"))
            .ok()
    });
    Ok(Opened {
        ledger,
        state,
        view,
    })
}

/// Starts the view's writer, and first of all has it take in what the ledger has beyond the view: the writer goes on
/// from the ledger's end and would leave that out for ever.
fn keep_current(
    view: View,
    state: &State,
    behind: &BTreeSet<Key>,
    end: Position,
) -> Result<ViewWriter, ViewError> {
    let is_behind = view.position().revision < end.revision;
    let view = view.into_writer(ViewWriterSettings::default())?;
    if is_behind {
        view.submit(update(state, behind, end))?;
    }
    Ok(view)
}

/// The state that the view's entries make with the records since, and what those are about.
fn restore(
    entries: &Entries,
    position: Position,
    ledger: &LocalLedger,
) -> anyhow::Result<(State, BTreeSet<Key>)> {
    let resources = entries
        .values()
        .map(|value| resource_from_bytes(value))
        .collect::<Result<Vec<_>, _>>()?;
    if position.revision == 0 {
        return replay(State::default(), ledger);
    }
    let newest = ledger.replay(position.revision)?.next();
    let newest = newest.context("the ledger has no record at the view's position")??;
    let at = record_from_bytes(newest.payload)?.at;
    replay(State::restore(resources, position.revision, at), ledger)
}

/// Makes state and view anew from the ledger.
fn rebuild(
    view: FreshView,
    reason: &RebuildReason,
    ledger: &LocalLedger,
) -> anyhow::Result<(State, Option<View>, BTreeSet<Key>)> {
    let records = ledger.position().revision;
    if records > 0 {
        tracing::warn!(%reason, records, "the view is made anew from the ledger");
    }
    let (state, _) = replay(State::default(), ledger)?;
    let entries = state.keys().filter_map(|key| entry(&state, &key)).collect();
    let view = view
        .fill(entries, ledger.position())
        .inspect_err(|error| tracing::error!(%error, "going on without a view"))
        .ok();
    Ok((state, view, BTreeSet::new()))
}

/// Takes in the records that the state has not seen; says what they are about.
fn replay(mut state: State, ledger: &LocalLedger) -> anyhow::Result<(State, BTreeSet<Key>)> {
    let mut keys = BTreeSet::new();
    for record in ledger.replay(state.revision().saturating_add(1))? {
        let record = record?;
        let revision = record.position.revision;
        let stored = record_from_bytes(record.payload)
            .with_context(|| format!("cannot read record {revision} of the ledger"))?;
        keys.extend(state.apply(&stored.change, stored.at.max(Timestamp::default())));
    }
    Ok((state, keys))
}

/// What the view has to take in when these things of the state have changed.
pub fn update(state: &State, keys: &BTreeSet<Key>, position: Position) -> ViewUpdate {
    let mut update = ViewUpdate {
        upserts: Vec::new(),
        deletes: Vec::new(),
        position,
    };
    for key in keys {
        match entry(state, key) {
            Some(entry) => update.upserts.push(entry),
            None => update.deletes.push(key_to_bytes(key).into()),
        }
    }
    update
}

/// A thing of the state, as the view keeps it.
fn entry(state: &State, key: &Key) -> Option<(Bytes, Bytes)> {
    let resource = state.resource(key)?;
    Some((
        key_to_bytes(key).into(),
        resource_to_bytes(&resource).into(),
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_coordinator_core::change::{Change, Resource};

    use super::*;
    use crate::convert::change_to_record;

    fn epoch(epoch: u64) -> Change {
        Change {
            actor: "coordinator".to_owned(),
            cause: "a test".to_owned(),
            resources: vec![Resource::Coordinator { epoch }],
        }
    }

    #[test]
    fn what_the_view_had_not_seen_before_a_kill_is_in_it_after_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let data = Utf8Path::from_path(dir.path()).unwrap();
        let mut opened = open(data, "test").unwrap();
        let record = change_to_record(&epoch(7), Timestamp(1));
        opened.ledger.append(&[record]).unwrap();
        // Killed before the view heard of it.
        drop(opened);

        let opened = open(data, "test").unwrap();
        assert_eq!(opened.state.epoch(), 7);
        let view = opened.view.unwrap();
        assert_eq!(view.close(Duration::from_secs(10)).unwrap().revision, 1);
        drop(opened.ledger);

        let opened = open(data, "test").unwrap();
        assert_eq!(opened.state.epoch(), 7);
        assert_eq!(opened.state.revision(), 1);
    }
}
