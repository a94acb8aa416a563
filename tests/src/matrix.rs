//! Compatibility matrices: the shipped ones, and what tests make of them.

use anyhow::Context as _;
use evenkeel_compat::{Level, Matrix, Scope, file};
use evenkeel_proto::v1::{
    BlockedHop, CompatibilityLevel, CompatibilityMatrix, CompatibilityRule, MatrixComponent,
};

/// The shipped matrix of etcd.
pub const ETCD: &str = include_str!("../../rules/etcd.toml");

/// The shipped matrix of NATS.
pub const NATS: &str = include_str!("../../rules/nats.toml");

/// The shipped matrix of the sample store.
pub const SAMPLE_STORE: &str = include_str!("../../rules/samplestore.toml");

/// The matrix of a file, as the API takes it.
///
/// # Errors
/// What is wrong with the file.
pub fn of_toml(text: &str) -> anyhow::Result<CompatibilityMatrix> {
    let matrix = file::parse(text).context("the matrix is not as it has to be")?;
    Ok(message(&matrix))
}

/// A matrix of one component whose versions all go together, as long as they are no pre-releases.
#[must_use]
pub fn all_go_together(component: &str) -> CompatibilityMatrix {
    CompatibilityMatrix {
        components: vec![MatrixComponent {
            name: component.to_owned(),
            ..Default::default()
        }],
        rules: vec![CompatibilityRule {
            components: vec![component.to_owned()],
            from: "*".to_owned(),
            to: "*".to_owned(),
            level: CompatibilityLevel::Full.into(),
            note: String::new(),
        }],
        ..Default::default()
    }
}

fn message(matrix: &Matrix) -> CompatibilityMatrix {
    let components = matrix.components().iter().map(|(name, component)| {
        let names = |names: &std::collections::BTreeSet<_>| {
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        MatrixComponent {
            name: name.to_string(),
            external: component.external,
            finalizes_itself: component.finalizes_itself,
            upgrade_after: names(&component.upgrade_after),
            talks_to: names(&component.talks_to),
        }
    });
    let rules = matrix.rules().iter().map(|rule| CompatibilityRule {
        components: match &rule.scope {
            Scope::All => Vec::new(),
            Scope::Component(name) => vec![name.to_string()],
            Scope::Pair(first, second) => vec![first.to_string(), second.to_string()],
        },
        from: rule.from.to_string(),
        to: rule.to.to_string(),
        level: level(rule.level).into(),
        note: rule.note.clone().unwrap_or_default(),
    });
    let blocked = matrix.blocked().iter().map(|hop| BlockedHop {
        component: hop
            .component
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        from: hop.from.to_string(),
        to: hop.to.to_string(),
        reason: hop.reason.clone(),
    });
    CompatibilityMatrix {
        components: components.collect(),
        rules: rules.collect(),
        blocked: blocked.collect(),
        ..Default::default()
    }
}

fn level(level: Level) -> CompatibilityLevel {
    match level {
        Level::Full => CompatibilityLevel::Full,
        Level::Backward => CompatibilityLevel::Backward,
        Level::Forward => CompatibilityLevel::Forward,
        Level::None => CompatibilityLevel::None,
    }
}
