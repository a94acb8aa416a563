//! A second opinion: walks the stages of a plan from what is there, and names every two versions that could meet on
//! the way and may not run side by side.
//!
//! It shares nothing with the search but the matrix's plain questions, and knows nothing of costs. While a stage goes
//! on, some of its instances have the version before and some the one after, in any numbers: so it is after a crash at
//! any step, half way back, and when a node comes back that was away. Everybody else stands where the stages before have
//! left them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use evenkeel_compat::{Apart, Matrix, NoHop};
use evenkeel_words::names::ComponentName;
use semver::Version;

use super::words::reported_by;

/// The most faults that are told.
pub const FAULTS_MAX: usize = 100;

/// What is there.
#[derive(Debug, Clone, Copy)]
pub struct Mix<'a> {
    /// The versions that instances of each component have, those that are away with the last they had.
    pub fleet: &'a BTreeMap<ComponentName, BTreeSet<Version>>,
    /// The versions of external components in use, and who said so. Of one that is not here nothing is known.
    pub reported: &'a BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>,
}

/// A stage as the checker sees it.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    /// The component.
    pub component: &'a ComponentName,
    /// What its instances have, all or some of them, or had before the stage was begun.
    pub from: &'a Version,
    /// What they are going to have.
    pub to: &'a Version,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Two versions could meet that may not run side by side.
    Meet {
        /// The stage in which they meet for the first time, from 0; none where they do already.
        stage: Option<usize>,
        /// The one.
        one: (ComponentName, Version),
        /// The other.
        other: (ComponentName, Version),
        /// Who reported the other; nobody where instances have it.
        sources: BTreeSet<String>,
        /// Why they may not run side by side.
        why: Apart,
    },
    /// The stage is not a hop that may be made.
    Hop {
        /// The stage, from 0.
        stage: usize,
        /// The component.
        component: ComponentName,
        /// From this version.
        from: Version,
        /// To this one.
        to: Version,
        /// Why not.
        why: NoHop,
    },
    /// Nobody has said which versions of an external component are in use.
    Unreported {
        /// The stage that would meet them first, from 0.
        stage: usize,
        /// The external component.
        component: ComponentName,
    },
}

impl Fault {
    /// The stage that it is a fault of, from 0; none where it is there before any.
    #[must_use]
    pub fn stage(&self) -> Option<usize> {
        match self {
            Self::Meet { stage, .. } => *stage,
            Self::Hop { stage, .. } | Self::Unreported { stage, .. } => Some(*stage),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meet {
                one,
                other,
                sources,
                why,
                ..
            } => {
                write!(f, "{} {} and {} {}", one.0, one.1, other.0, other.1)?;
                reported_by(f, sources)?;
                write!(f, " would be there together: {why}")
            }
            Self::Hop {
                component,
                from,
                to,
                why,
                ..
            } => write!(f, "{component} {from} -> {to}: {why}"),
            Self::Unreported { component, .. } => write!(
                f,
                "nobody has said which versions of {component} are in use; report them, also if none is"
            ),
        }
    }
}

/// Walks the stages in their order. Nothing is wrong if there is no fault; of more than [`FAULTS_MAX`] the first are told.
#[must_use]
pub fn check(matrix: &Matrix, mix: &Mix<'_>, stages: &[Passage<'_>]) -> Vec<Fault> {
    let mut walk = Walk {
        matrix,
        reported: mix.reported,
        present: mix.fleet.clone(),
        looked_at: BTreeSet::new(),
        faults: Vec::new(),
    };
    walk.look(None);
    for (number, stage) in stages.iter().enumerate() {
        if walk.faults.len() >= FAULTS_MAX {
            break;
        }
        walk.hop(number, stage);
        walk.unreported(number, stage.component);
        let versions = walk.present.entry(stage.component.clone()).or_default();
        versions.insert(stage.from.clone());
        versions.insert(stage.to.clone());
        walk.look(Some(number));
        if let Some(versions) = walk.present.get_mut(stage.component) {
            versions.remove(stage.from);
        }
    }
    walk.faults.truncate(FAULTS_MAX);
    walk.faults
}

type Named = (ComponentName, Version);

struct Walk<'a> {
    matrix: &'a Matrix,
    reported: &'a BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>,
    present: BTreeMap<ComponentName, BTreeSet<Version>>,
    /// Pairs that were told of or are good.
    looked_at: BTreeSet<(Named, Named)>,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn hop(&mut self, number: usize, stage: &Passage<'_>) {
        if let Err(why) = self.matrix.hop(stage.component, stage.from, stage.to) {
            self.faults.push(Fault::Hop {
                stage: number,
                component: stage.component.clone(),
                from: stage.from.clone(),
                to: stage.to.clone(),
                why,
            });
        }
    }

    fn unreported(&mut self, stage: usize, moves: &ComponentName) {
        for (component, known) in self.matrix.components() {
            let unheard = known.external && !self.reported.contains_key(component);
            let told = self.faults.iter().any(|fault| {
                matches!(fault, Fault::Unreported { component: told, .. } if told == component)
            });
            if unheard && !told && self.matrix.constrain(moves, component) {
                let component = component.clone();
                self.faults.push(Fault::Unreported { stage, component });
            }
        }
    }

    /// Looks at every two versions that are there now, but for two that others report: those are not ours to part.
    fn look(&mut self, stage: Option<usize>) {
        let nobody = BTreeSet::new();
        let ours: Vec<Named> = self
            .present
            .iter()
            .flat_map(|(component, versions)| {
                versions
                    .iter()
                    .map(|version| (component.clone(), version.clone()))
            })
            .collect();
        let reported = self.reported.iter().flat_map(|(component, versions)| {
            let versions = versions.iter();
            versions.map(|(version, sources)| ((component.clone(), version.clone()), sources))
        });
        let others = ours.iter().map(|named| (named.clone(), &nobody));
        let others: Vec<(Named, &BTreeSet<String>)> = others.chain(reported).collect();
        for (at, one) in ours.iter().enumerate() {
            for (other, sources) in &others[at + 1..] {
                if self.faults.len() >= FAULTS_MAX {
                    return;
                }
                let pair = (one.clone(), other.clone());
                if !self.matrix.constrain(&one.0, &other.0) || !self.looked_at.insert(pair) {
                    continue;
                }
                if let Err(why) = self.matrix.beside((&one.0, &one.1), (&other.0, &other.1)) {
                    self.faults.push(Fault::Meet {
                        stage,
                        one: one.clone(),
                        other: other.clone(),
                        sources: (*sources).clone(),
                        why,
                    });
                }
            }
        }
    }
}
