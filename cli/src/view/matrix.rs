//! The compatibility matrix and what is reported of external components. A matrix is also turned into the pure one and
//! back here.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_common::names::ComponentName;
use evenkeel_compat as compat;
use evenkeel_proto::v1;
use serde::Serialize;

use super::word;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::time::rfc3339;

/// The word for a level.
pub(super) fn level(level: i32) -> String {
    word!(v1::CompatibilityLevel, "COMPATIBILITY_LEVEL_", level)
}

/// Something that every version of a component has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct MatrixComponent {
    pub(crate) name: String,
    pub(crate) external: bool,
    pub(crate) finalizes_itself: bool,
    pub(crate) upgrade_after: Vec<String>,
    pub(crate) talks_to: Vec<String>,
}

/// How versions relate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CompatibilityRule {
    pub(crate) components: Vec<String>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) level: String,
    pub(crate) note: String,
}

/// A step that is known to be bad.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct BlockedHop {
    pub(crate) component: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason: String,
}

/// Everything that is known of versions and how they relate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CompatibilityMatrix {
    pub(crate) version: u64,
    pub(crate) components: Vec<MatrixComponent>,
    pub(crate) rules: Vec<CompatibilityRule>,
    pub(crate) blocked: Vec<BlockedHop>,
    pub(crate) applied_by: String,
    pub(crate) applied_at: Option<String>,
    pub(crate) revision: u64,
}

impl From<v1::CompatibilityMatrix> for CompatibilityMatrix {
    fn from(matrix: v1::CompatibilityMatrix) -> Self {
        let component = |component: v1::MatrixComponent| MatrixComponent {
            name: component.name,
            external: component.external,
            finalizes_itself: component.finalizes_itself,
            upgrade_after: component.upgrade_after,
            talks_to: component.talks_to,
        };
        let rule = |rule: v1::CompatibilityRule| CompatibilityRule {
            components: rule.components,
            from: rule.from,
            to: rule.to,
            level: level(rule.level),
            note: rule.note,
        };
        let blocked = |blocked: v1::BlockedHop| BlockedHop {
            component: blocked.component,
            from: blocked.from,
            to: blocked.to,
            reason: blocked.reason,
        };
        Self {
            version: matrix.version,
            components: matrix.components.into_iter().map(component).collect(),
            rules: matrix.rules.into_iter().map(rule).collect(),
            blocked: matrix.blocked.into_iter().map(blocked).collect(),
            applied_by: matrix.applied_by,
            applied_at: rfc3339(matrix.applied_at),
            revision: matrix.revision,
        }
    }
}

impl CompatibilityMatrix {
    /// The matrix, to be asked and drawn. It was sound for the coordinator, so that only a coordinator of another
    /// version may have one that is not.
    pub(crate) fn checked(&self) -> Result<compat::Matrix, Failure> {
        let strange = |what: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Coordinator,
                format!("the coordinator's matrix is not one that this program knows: {what}"),
            )
            .hint("use a program of the coordinator's version; `--output json` shows the matrix all the same")
        };
        let name = |text: &String| {
            let name = text.parse::<ComponentName>();
            name.map_err(|error| strange(&error))
        };
        let names = |texts: &[String]| texts.iter().map(name).collect::<Result<_, _>>();
        let versions = |text: &String| {
            let versions = text.parse::<compat::Versions>();
            versions.map_err(|error| strange(&error))
        };

        let mut components = BTreeMap::new();
        for component in &self.components {
            let known = compat::Component {
                external: component.external,
                finalizes_itself: component.finalizes_itself,
                upgrade_after: names(&component.upgrade_after)?,
                talks_to: names(&component.talks_to)?,
            };
            components.insert(name(&component.name)?, known);
        }
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let scope = match rule.components.as_slice() {
                [] => compat::Scope::All,
                [one] => compat::Scope::Component(name(one)?),
                [first, second] => compat::Scope::Pair(name(first)?, name(second)?),
                _ => return Err(strange(&"a rule names more than two components")),
            };
            rules.push(compat::Rule {
                scope,
                from: versions(&rule.from)?,
                to: versions(&rule.to)?,
                level: rule.level.parse().map_err(|error| strange(&error))?,
                note: Some(rule.note.clone()).filter(|note| !note.is_empty()),
            });
        }
        let mut blocked = Vec::with_capacity(self.blocked.len());
        for hop in &self.blocked {
            blocked.push(compat::Blocked {
                component: match hop.component.as_str() {
                    "" => None,
                    _ => Some(name(&hop.component)?),
                },
                from: versions(&hop.from)?,
                to: versions(&hop.to)?,
                reason: hop.reason.clone(),
            });
        }
        compat::Matrix::new(components, rules, blocked).map_err(|error| strange(&error))
    }
}

/// A matrix as it is sent.
pub(crate) fn wire(matrix: &compat::Matrix) -> v1::CompatibilityMatrix {
    let texts = |names: &BTreeSet<ComponentName>| names.iter().map(ToString::to_string).collect();
    let components = matrix
        .components()
        .iter()
        .map(|(name, component)| v1::MatrixComponent {
            name: name.to_string(),
            external: component.external,
            finalizes_itself: component.finalizes_itself,
            upgrade_after: texts(&component.upgrade_after),
            talks_to: texts(&component.talks_to),
        });
    let rules = matrix.rules().iter().map(|rule| {
        let level = match rule.level {
            compat::Level::Full => v1::CompatibilityLevel::Full,
            compat::Level::Backward => v1::CompatibilityLevel::Backward,
            compat::Level::Forward => v1::CompatibilityLevel::Forward,
            compat::Level::None => v1::CompatibilityLevel::None,
        };
        v1::CompatibilityRule {
            components: match &rule.scope {
                compat::Scope::All => Vec::new(),
                compat::Scope::Component(name) => vec![name.to_string()],
                compat::Scope::Pair(first, second) => vec![first.to_string(), second.to_string()],
            },
            from: rule.from.to_string(),
            to: rule.to.to_string(),
            level: level.into(),
            note: rule.note.clone().unwrap_or_default(),
        }
    });
    let blocked = matrix.blocked().iter().map(|blocked| v1::BlockedHop {
        component: blocked
            .component
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        from: blocked.from.to_string(),
        to: blocked.to.to_string(),
        reason: blocked.reason.clone(),
    });
    v1::CompatibilityMatrix {
        components: components.collect(),
        rules: rules.collect(),
        blocked: blocked.collect(),
        ..v1::CompatibilityMatrix::default()
    }
}

/// A version that is in use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct VersionInUse {
    pub(crate) version: String,
    pub(crate) count: u64,
}

/// What one source said of an external component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReportedVersions {
    pub(crate) component: String,
    pub(crate) source: String,
    pub(crate) versions: Vec<VersionInUse>,
    pub(crate) reported_by: String,
    pub(crate) reported_at: Option<String>,
    pub(crate) revision: u64,
}

impl From<v1::ReportedVersions> for ReportedVersions {
    fn from(report: v1::ReportedVersions) -> Self {
        let in_use = |version: v1::VersionInUse| VersionInUse {
            version: version.version,
            count: version.count,
        };
        Self {
            component: report.component,
            source: report.source,
            versions: report.versions.into_iter().map(in_use).collect(),
            reported_by: report.reported_by,
            reported_at: rfc3339(report.reported_at),
            revision: report.revision,
        }
    }
}
