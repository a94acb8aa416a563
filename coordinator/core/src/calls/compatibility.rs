//! The matrix that is put in place, and what is said of external components.

use std::collections::BTreeSet;

use evenkeel_compat::Matrix;
use evenkeel_words::{
    names::{ComponentName, SourceName},
    timestamp::Timestamp,
};

use crate::{
    compatibility::{
        AppliedMatrix, IN_USE_VERSIONS_MAX, REPORTED_VERSIONS_MAX, ReportedVersions, SOURCES_MAX,
        VersionInUse,
    },
    refusal::{Refusal, RefusalKind},
    state::State,
};

pub(super) fn apply_matrix(
    state: &State,
    matrix: &Matrix,
    expected_version: Option<u64>,
    subject: &str,
    now: Timestamp,
) -> Result<Option<AppliedMatrix>, Refusal> {
    let there = state.matrix();
    if let Some(expected) = expected_version.filter(|expected| *expected != there.version) {
        return Err(Refusal::new(
            RefusalKind::NotAllowedNow,
            format!(
                "the matrix in place has version {}, not {expected}; look at what changed",
                there.version
            ),
        ));
    }
    if there.version > 0 && there.matrix == *matrix {
        return Ok(None);
    }
    Ok(Some(AppliedMatrix {
        version: there.version.saturating_add(1),
        matrix: matrix.clone(),
        applied_by: subject.to_owned(),
        applied_at: now,
        revision: 0,
    }))
}

pub(super) fn report_versions(
    state: &State,
    component: &ComponentName,
    source: &SourceName,
    versions: &[VersionInUse],
    subject: &str,
    now: Timestamp,
) -> Result<ReportedVersions, Refusal> {
    let applied = state.matrix();
    let external = |name: &ComponentName| {
        applied
            .matrix
            .components()
            .get(name)
            .is_some_and(|c| c.external)
    };
    if !external(component) {
        let known: Vec<_> = applied
            .matrix
            .components()
            .iter()
            .filter(|(_, component)| component.external)
            .map(|(name, _)| name.to_string())
            .collect();
        let known = match (applied.version, known.is_empty()) {
            (0, _) => "no matrix was ever applied".to_owned(),
            (version, true) => format!("the matrix (version {version}) has none"),
            (version, false) => {
                format!("the matrix (version {version}) has {}", known.join(", "))
            }
        };
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            format!("{component} is no external component; {known}"),
        ));
    }
    if versions.len() > REPORTED_VERSIONS_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!(
                "{} versions are more than the {REPORTED_VERSIONS_MAX} that one report may have",
                versions.len()
            ),
        ));
    }
    let others = state
        .reported_versions_of(component)
        .filter(|report| report.source != *source)
        .flat_map(|report| &report.versions);
    let all: BTreeSet<_> = others
        .chain(versions)
        .map(|in_use| &in_use.version)
        .collect();
    if all.len() > IN_USE_VERSIONS_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!(
                "all sources together may report {IN_USE_VERSIONS_MAX} versions of {component}, and these would be more"
            ),
        ));
    }
    let known = state.reported_by(component, source).is_some();
    if !known && state.reported_versions().count() >= SOURCES_MAX {
        return Err(Refusal::new(
            RefusalKind::TooMuch,
            format!("there are {SOURCES_MAX} reports already, the most there may be"),
        ));
    }
    let mut versions = versions.to_vec();
    versions.sort_by(|a, b| a.version.cmp(&b.version));
    if let Some([twice, _]) = versions
        .array_windows()
        .find(|[a, b]| a.version == b.version)
    {
        return Err(Refusal::new(
            RefusalKind::BadArgument,
            format!("the version {} is named twice", twice.version),
        ));
    }
    Ok(ReportedVersions {
        component: component.clone(),
        source: source.clone(),
        versions,
        reported_by: subject.to_owned(),
        reported_at: now,
        revision: 0,
    })
}
