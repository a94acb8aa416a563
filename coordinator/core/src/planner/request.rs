//! What is asked of the planner, and whether it makes sense.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::Matrix;
use evenkeel_words::names::ComponentName;
use semver::Version;

use crate::plan::Target;

/// The most versions of one component that are considered: those that run, those that are published and those that
/// rules name, between what runs and the target. Two a week for thirty years are 3,000.
pub const VERSIONS_MAX: usize = 4_000;

/// The most versions of one component that may run at once. An upgrade that stopped half way leaves two, and one on
/// top of it three.
pub const RUNNING_VERSIONS_MAX: usize = 32;

/// What the planner is asked, and all that it looks at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is known of versions.
    pub matrix: &'a Matrix,
    /// How many instances of each component run each version. An instance that is away counts with the version it had.
    pub fleet: &'a BTreeMap<ComponentName, BTreeMap<Version, u64>>,
    /// Which versions of external components are in use, and who said so. A component that is here without a version
    /// is in use nowhere; of one that is not here nothing is known.
    pub reported: &'a BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>,
    /// Which versions of each component there are releases of.
    pub published: &'a BTreeMap<ComponentName, BTreeSet<Version>>,
    /// Where to bring which components.
    pub targets: &'a [Target],
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// No component is named.
    #[error("no target is given; name at least one component and the version to bring it to")]
    NoTarget,
    /// A component is named twice.
    #[error("{component} is named more than once; give it one target")]
    NamedTwice {
        /// The component.
        component: ComponentName,
    },
    /// No instance of the component is known.
    #[error("there is no instance of a component {component}; {}", those_known(.known))]
    UnknownComponent {
        /// The component.
        component: ComponentName,
        /// Those of which there are instances.
        known: Vec<ComponentName>,
    },
    /// Nobody of ours changes the component.
    #[error(
        "{component} is external: its versions are reported, and nothing of ours changes them; leave it out of the targets"
    )]
    External {
        /// The component.
        component: ComponentName,
    },
    /// Every instance of every named component runs its target.
    #[error("{} already; there is nothing to do", all_there(.targets))]
    AlreadyThere {
        /// The components and their versions.
        targets: Vec<(ComponentName, Version)>,
    },
    /// The target is older than what runs, and that was not asked for.
    #[error(
        "{} of {component} {} {running}, which is newer than {to}; to go back on purpose, allow the downgrade of {component} by name",
        super::words::counted(*.instances, "instance", "instances"),
        if *.instances == 1 { "runs" } else { "run" }
    )]
    Downgrade {
        /// The component.
        component: ComponentName,
        /// How many instances run it.
        instances: u64,
        /// The newest version that runs.
        running: Version,
        /// The target.
        to: Version,
    },
    /// More versions at once than are planned for.
    #[error(
        "instances of {component} run {versions} versions at once, and plans begin from at most {RUNNING_VERSIONS_MAX}"
    )]
    TooMixed {
        /// The component.
        component: ComponentName,
        /// How many.
        versions: usize,
    },
    /// More versions between here and there than are looked at.
    #[error(
        "there are {versions} versions of {component} on the way to {to}, and at most {VERSIONS_MAX} are looked at; choose a nearer target"
    )]
    TooManyVersions {
        /// The component.
        component: ComponentName,
        /// How many.
        versions: usize,
        /// The target.
        to: Version,
    },
}

fn those_known(known: &[ComponentName]) -> String {
    if known.is_empty() {
        return "no agent has reported any instance yet".to_owned();
    }
    let names: Vec<_> = known.iter().map(ToString::to_string).collect();
    format!("known are {}", super::words::listed(&names))
}

fn all_there(targets: &[(ComponentName, Version)]) -> String {
    let all: Vec<_> = targets
        .iter()
        .map(|(component, version)| format!("every instance of {component} runs {version}"))
        .collect();
    super::words::listed(&all)
}

impl<'a> Request<'a> {
    /// How many instances of a component run which version.
    pub(super) fn cohorts(
        &self,
        component: &ComponentName,
    ) -> impl Iterator<Item = (&'a Version, u64)> + use<'a> {
        self.fleet
            .get(component)
            .into_iter()
            .flatten()
            .filter(|(_, instances)| **instances > 0)
            .map(|(version, instances)| (version, *instances))
    }

    /// Whether there is a release of it.
    pub(super) fn publishes(&self, component: &ComponentName, version: &Version) -> bool {
        self.published
            .get(component)
            .is_some_and(|versions| versions.contains(version))
    }

    /// Checks that it makes sense.
    pub(super) fn check(&self) -> Result<(), BadRequest> {
        if self.targets.is_empty() {
            return Err(BadRequest::NoTarget);
        }
        let mut named = BTreeSet::new();
        for target in self.targets {
            if !named.insert(&target.component) {
                let component = target.component.clone();
                return Err(BadRequest::NamedTwice { component });
            }
            self.check_target(target)?;
        }
        let there = |target: &Target| {
            self.cohorts(&target.component)
                .all(|(version, _)| *version == target.version)
        };
        if self.targets.iter().all(there) {
            let named = |target: &Target| (target.component.clone(), target.version.clone());
            let targets = self.targets.iter().map(named).collect();
            return Err(BadRequest::AlreadyThere { targets });
        }
        Ok(())
    }

    fn check_target(&self, target: &Target) -> Result<(), BadRequest> {
        let component = target.component.clone();
        let known = self.matrix.components().get(&component);
        if known.is_some_and(|known| known.external) {
            return Err(BadRequest::External { component });
        }
        let versions = self.cohorts(&component).count();
        if versions == 0 {
            let known = self.fleet.keys();
            let known = known.filter(|name| self.cohorts(name).next().is_some());
            let known = known.cloned().collect();
            return Err(BadRequest::UnknownComponent { component, known });
        }
        if versions > RUNNING_VERSIONS_MAX {
            return Err(BadRequest::TooMixed {
                component,
                versions,
            });
        }
        if target.allow_downgrade {
            return Ok(());
        }
        let to = &target.version;
        match self.cohorts(&component).last() {
            Some((newest, instances)) if newest.cmp_precedence(to).is_gt() => {
                Err(BadRequest::Downgrade {
                    component,
                    instances,
                    running: newest.clone(),
                    to: to.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}
