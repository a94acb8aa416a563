//! What the planner looks at, gathered out of the state.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::Matrix;
use evenkeel_words::names::ComponentName;
use semver::Version;

use super::{layout::same, request::Request};
use crate::{engine::undo::matrix_with_ways_back, plan::Target, state::State};

/// Which versions of external components are in use, and who said so.
pub(super) type Reported = BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>;

/// What the planner looks at, out of the state.
pub(super) struct Known {
    matrix: Matrix,
    fleet: BTreeMap<ComponentName, BTreeMap<Version, u64>>,
    reported: Reported,
    published: BTreeMap<ComponentName, BTreeSet<Version>>,
}

impl Known {
    pub(super) fn of(state: &State, targets: &[Target]) -> Self {
        let mut fleet = BTreeMap::<_, BTreeMap<_, _>>::new();
        for instance in state.instances() {
            let versions = fleet.entry(instance.report.component.clone()).or_default();
            // What is quarantined cannot start, and meets nothing.
            let current = instance.report.current.as_ref();
            if let Some(current) = current.filter(|_| !instance.is_quarantined()) {
                *versions.entry(current.version.clone()).or_insert(0) += 1;
            }
        }
        let published = fleet.keys().map(|component| {
            let platforms = platforms(state, component);
            let wanted = targets.iter().find(|target| target.component == *component);
            (
                component.clone(),
                publishable(state, component, &platforms, wanted),
            )
        });
        Self {
            matrix: matrix_with_ways_back(state, targets),
            published: published.collect(),
            fleet,
            reported: reported(state),
        }
    }

    pub(super) fn request<'r>(&'r self, targets: &'r [Target]) -> Request<'r> {
        Request {
            matrix: &self.matrix,
            fleet: &self.fleet,
            reported: &self.reported,
            published: &self.published,
            targets,
        }
    }
}

/// What others say is in use of what the matrix calls external.
pub(super) fn reported(state: &State) -> Reported {
    let components = state.matrix().matrix.components().iter();
    let external = components.filter(|(_, known)| known.external);
    external
        .filter_map(|(name, _)| {
            let in_use = state.in_use(name)?.map(|(version, sources)| {
                let sources = sources.iter().map(ToString::to_string).collect();
                (version.clone(), sources)
            });
            Some((name.clone(), in_use.collect()))
        })
        .collect()
}

/// What the nodes with instances of a component are.
fn platforms<'a>(state: &'a State, component: &ComponentName) -> BTreeSet<&'a str> {
    let nodes = state
        .instances_of(component)
        .filter_map(|instance| state.node(&instance.id.node));
    nodes.map(|node| node.platform.as_str()).collect()
}

/// The versions of a component that can be had on all these platforms. Of those that differ in build metadata
/// alone, the one that is wanted, or else the last.
fn publishable(
    state: &State,
    component: &ComponentName,
    platforms: &BTreeSet<&str>,
    wanted: Option<&Target>,
) -> BTreeSet<Version> {
    let mut versions: Vec<&Version> = Vec::new();
    for release in state.releases_of(component) {
        let everywhere = platforms.iter().all(|p| release.artifacts.contains_key(*p));
        if !everywhere {
            continue;
        }
        match versions
            .last_mut()
            .filter(|last| same(last, &release.version))
        {
            Some(last) if wanted.is_some_and(|wanted| wanted.version == **last) => {}
            Some(last) => *last = &release.version,
            None => versions.push(&release.version),
        }
    }
    versions.into_iter().cloned().collect()
}
