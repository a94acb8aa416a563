//! The compatibility matrix, and what is reported of external components.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_common::names::ComponentName;
use evenkeel_compat::{
    Blocked, Component, Level, Matrix, Method, RULES_MAX, Rule, Scope, Undo, Versions,
};
use evenkeel_coordinator_core::{
    compatibility::{AppliedMatrix, ReportedVersions, VersionInUse},
    release::ReleaseRef,
};
use evenkeel_proto::v1;

use super::{Invalid, enumerated, parse, required, time_from, time_to, version};

/// A matrix, as a caller wants it or as it was kept.
///
/// # Errors
/// Names everything that is wrong with it, by the place in its lists.
pub fn matrix_from_proto(matrix: v1::CompatibilityMatrix) -> Result<Matrix, Invalid> {
    if matrix.rules.len().saturating_add(matrix.blocked.len()) > RULES_MAX {
        return Err(Invalid::new(
            "matrix.rules",
            format!(
                "{} rules and {} blocked hops are more than the {RULES_MAX} that a matrix may have",
                matrix.rules.len(),
                matrix.blocked.len()
            ),
        ));
    }
    let mut components = BTreeMap::new();
    for component in matrix.components {
        let name: ComponentName = parse("matrix.components.name", &component.name)?;
        let names = |field: &str, names: Vec<String>| {
            let names = names.iter().map(|name| parse::<ComponentName>(field, name));
            names.collect::<Result<BTreeSet<_>, _>>()
        };
        let twice = components.insert(
            name.clone(),
            Component {
                external: component.external,
                finalizes_itself: component.finalizes_itself,
                upgrade_after: names("matrix.components.upgrade_after", component.upgrade_after)?,
                talks_to: names("matrix.components.talks_to", component.talks_to)?,
            },
        );
        if twice.is_some() {
            return Err(Invalid::new(
                "matrix.components.name",
                format!("{name} is there twice"),
            ));
        }
    }
    let rules = matrix.rules.into_iter().enumerate();
    let rules = rules
        .map(|(index, rule)| {
            rule_from(rule).map_err(|error| error.within(&format!("matrix.rules[{index}]")))
        })
        .collect::<Result<_, _>>()?;
    let blocked = matrix.blocked.into_iter().enumerate();
    let blocked = blocked
        .map(|(index, blocked)| {
            blocked_from(blocked).map_err(|error| error.within(&format!("matrix.blocked[{index}]")))
        })
        .collect::<Result<_, _>>()?;
    Matrix::new(components, rules, blocked).map_err(|faults| Invalid::new("matrix", faults))
}

fn rule_from(rule: v1::CompatibilityRule) -> Result<Rule, Invalid> {
    let named: Vec<ComponentName> = rule
        .components
        .iter()
        .map(|name| parse("components", name))
        .collect::<Result<_, _>>()?;
    Ok(Rule {
        scope: match <[ComponentName; 2]>::try_from(named) {
            Ok([first, second]) => Scope::Pair(first, second),
            Err(named) => match (named.len(), named.into_iter().next()) {
                (0, _) => Scope::All,
                (1, Some(only)) => Scope::Component(only),
                (many, _) => {
                    return Err(Invalid::new(
                        "components",
                        format!("names {many} components; one, two or none may be named"),
                    ));
                }
            },
        },
        from: versions("from", &rule.from)?,
        to: versions("to", &rule.to)?,
        level: level_from("level", rule.level)?,
        note: Some(rule.note).filter(|note| !note.is_empty()),
    })
}

fn blocked_from(blocked: v1::BlockedHop) -> Result<Blocked, Invalid> {
    Ok(Blocked {
        component: match blocked.component.as_str() {
            "" => None,
            name => Some(parse("component", name)?),
        },
        from: versions("from", &blocked.from)?,
        to: versions("to", &blocked.to)?,
        reason: blocked.reason,
    })
}

fn versions(field: &str, text: &str) -> Result<Versions, Invalid> {
    parse(field, text)
}

/// A matrix that was applied, for the API and the store.
#[must_use]
pub fn matrix_to_proto(applied: &AppliedMatrix) -> v1::CompatibilityMatrix {
    let matrix = &applied.matrix;
    let names = |names: &BTreeSet<ComponentName>| names.iter().map(ToString::to_string).collect();
    v1::CompatibilityMatrix {
        version: applied.version,
        components: matrix
            .components()
            .iter()
            .map(|(name, component)| v1::MatrixComponent {
                name: name.to_string(),
                external: component.external,
                finalizes_itself: component.finalizes_itself,
                upgrade_after: names(&component.upgrade_after),
                talks_to: names(&component.talks_to),
            })
            .collect(),
        rules: matrix
            .rules()
            .iter()
            .map(|rule| v1::CompatibilityRule {
                components: match &rule.scope {
                    Scope::All => Vec::new(),
                    Scope::Component(only) => vec![only.to_string()],
                    Scope::Pair(first, second) => vec![first.to_string(), second.to_string()],
                },
                from: rule.from.to_string(),
                to: rule.to.to_string(),
                level: level_to(rule.level).into(),
                note: rule.note.clone().unwrap_or_default(),
            })
            .collect(),
        blocked: matrix
            .blocked()
            .iter()
            .map(|blocked| v1::BlockedHop {
                component: blocked
                    .component
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
                from: blocked.from.to_string(),
                to: blocked.to.to_string(),
                reason: blocked.reason.clone(),
            })
            .collect(),
        applied_by: applied.applied_by.clone(),
        applied_at: (applied.version > 0).then(|| time_to(applied.applied_at)),
        revision: applied.revision,
    }
}

pub(super) fn applied_from(kept: v1::CompatibilityMatrix) -> Result<AppliedMatrix, Invalid> {
    Ok(AppliedMatrix {
        version: kept.version,
        applied_by: kept.applied_by.clone(),
        applied_at: time_from("applied_at", &kept.applied_at.unwrap_or_default())?,
        revision: kept.revision,
        matrix: matrix_from_proto(kept)?,
    })
}

/// Versions of an external component, as a caller reports them.
///
/// # Errors
/// Names the version at fault.
pub fn versions_in_use_from_proto(
    versions: Vec<v1::VersionInUse>,
) -> Result<Vec<VersionInUse>, Invalid> {
    let read = |in_use: v1::VersionInUse| {
        Ok(VersionInUse {
            version: version("versions.version", &in_use.version)?,
            count: in_use.count,
        })
    };
    versions.into_iter().map(read).collect()
}

/// What one source said of an external component, for the API and the store.
#[must_use]
pub fn reported_to_proto(report: &ReportedVersions) -> v1::ReportedVersions {
    v1::ReportedVersions {
        component: report.component.to_string(),
        source: report.source.to_string(),
        versions: report
            .versions
            .iter()
            .map(|in_use| v1::VersionInUse {
                version: in_use.version.to_string(),
                count: in_use.count,
            })
            .collect(),
        reported_by: report.reported_by.clone(),
        reported_at: Some(time_to(report.reported_at)),
        revision: report.revision,
    }
}

pub(super) fn reported_from(kept: v1::ReportedVersions) -> Result<ReportedVersions, Invalid> {
    Ok(ReportedVersions {
        component: parse("component", &kept.component)?,
        source: parse("source", &kept.source)?,
        versions: versions_in_use_from_proto(kept.versions)?,
        reported_by: kept.reported_by,
        reported_at: time_from("reported_at", &required("reported_at", kept.reported_at)?)?,
        revision: kept.revision,
    })
}

pub(super) fn level_to(level: Level) -> v1::CompatibilityLevel {
    match level {
        Level::Full => v1::CompatibilityLevel::Full,
        Level::Backward => v1::CompatibilityLevel::Backward,
        Level::Forward => v1::CompatibilityLevel::Forward,
        Level::None => v1::CompatibilityLevel::None,
    }
}

pub(super) fn level_from(field: &str, level: i32) -> Result<Level, Invalid> {
    Ok(match enumerated(field, level)? {
        v1::CompatibilityLevel::Unspecified => return Err(Invalid::new(field, "is missing")),
        v1::CompatibilityLevel::Full => Level::Full,
        v1::CompatibilityLevel::Backward => Level::Backward,
        v1::CompatibilityLevel::Forward => Level::Forward,
        v1::CompatibilityLevel::None => Level::None,
    })
}

pub(super) fn stage_method_to(method: Method) -> v1::StageMethod {
    match method {
        Method::InPlace => v1::StageMethod::InPlace,
        Method::Rebuild => v1::StageMethod::Rebuild,
    }
}

pub(super) fn stage_method_from(field: &str, method: i32) -> Result<Method, Invalid> {
    Ok(match enumerated(field, method)? {
        v1::StageMethod::Unspecified => return Err(Invalid::new(field, "is missing")),
        v1::StageMethod::InPlace => Method::InPlace,
        v1::StageMethod::Rebuild => Method::Rebuild,
    })
}

pub(super) fn order_method_to(method: Method) -> v1::OrderMethod {
    match method {
        Method::InPlace => v1::OrderMethod::InPlace,
        Method::Rebuild => v1::OrderMethod::Rebuild,
    }
}

/// How to come to a fallback, if there is one.
pub(super) fn fallback_method_to(fallback: Option<&(ReleaseRef, Method)>) -> v1::OrderMethod {
    fallback.map_or(v1::OrderMethod::Unspecified, |(_, method)| {
        order_method_to(*method)
    })
}

pub(super) fn order_method_from(field: &str, method: i32) -> Result<Method, Invalid> {
    Ok(match enumerated(field, method)? {
        v1::OrderMethod::Unspecified => return Err(Invalid::new(field, "is missing")),
        v1::OrderMethod::InPlace => Method::InPlace,
        v1::OrderMethod::Rebuild => Method::Rebuild,
    })
}

pub(super) fn undo_to(undo: Undo) -> v1::Undo {
    match undo {
        Undo::InPlace => v1::Undo::InPlace,
        Undo::Rebuild => v1::Undo::ByRebuild,
        Undo::NotAtAll => v1::Undo::NotAtAll,
    }
}

pub(super) fn undo_from(field: &str, undo: i32) -> Result<Undo, Invalid> {
    Ok(match enumerated(field, undo)? {
        v1::Undo::Unspecified => return Err(Invalid::new(field, "is missing")),
        v1::Undo::InPlace => Undo::InPlace,
        v1::Undo::ByRebuild => Undo::Rebuild,
        v1::Undo::NotAtAll => Undo::NotAtAll,
    })
}
