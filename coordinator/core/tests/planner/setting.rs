//! What the planner is asked in a test: everything that a request borrows, owned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use evenkeel_compat::{Blocked, Component, Level, Matrix, Rule, Scope};
use evenkeel_coordinator_core::{
    plan::Target,
    planner::{Answer, NoPath, Request, find},
};
use evenkeel_words::names::ComponentName;
use semver::Version;

pub(crate) type Reported = BTreeMap<ComponentName, BTreeMap<Version, BTreeSet<String>>>;

#[derive(Clone, Default)]
pub(crate) struct Setting {
    pub(crate) matrix: Matrix,
    pub(crate) fleet: BTreeMap<ComponentName, BTreeMap<Version, u64>>,
    pub(crate) reported: Reported,
    pub(crate) published: BTreeMap<ComponentName, BTreeSet<Version>>,
    pub(crate) targets: Vec<Target>,
}

pub(crate) fn name(text: &str) -> ComponentName {
    text.parse().unwrap()
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// As a page, for a failing case is read by people.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (component, known) in self.matrix.components() {
            let names = |names: &BTreeSet<ComponentName>| {
                let names: Vec<_> = names.iter().map(ToString::to_string).collect();
                names.join(" ")
            };
            let (after, talks) = (names(&known.upgrade_after), names(&known.talks_to));
            writeln!(f, "{component}: after [{after}], talks to [{talks}]")?;
        }
        for (number, rule) in self.matrix.rules().iter().enumerate() {
            writeln!(f, "rule {}: {rule}", number + 1)?;
        }
        for Blocked {
            component,
            from,
            to,
            ..
        } in self.matrix.blocked()
        {
            let of = component.as_ref().map_or("all", ComponentName::as_str);
            writeln!(f, "blocked: {of} {from} -> {to}")?;
        }
        for (component, versions) in &self.fleet {
            let versions = versions
                .iter()
                .map(|(version, n)| format!("{n} of {version}"));
            writeln!(
                f,
                "{component} runs {}",
                versions.collect::<Vec<_>>().join(", ")
            )?;
        }
        for (component, versions) in &self.reported {
            let versions: Vec<_> = versions.keys().map(ToString::to_string).collect();
            writeln!(f, "{component} is reported with {}", versions.join(", "))?;
        }
        for (component, versions) in &self.published {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            writeln!(f, "{component} is published as {}", versions.join(", "))?;
        }
        for Target {
            component,
            version,
            allow_downgrade,
        } in &self.targets
        {
            writeln!(f, "{component} to {version}, down too: {allow_downgrade}")?;
        }
        Ok(())
    }
}

impl Setting {
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            matrix: &self.matrix,
            fleet: &self.fleet,
            reported: &self.reported,
            published: &self.published,
            targets: &self.targets,
        }
    }

    pub(crate) fn find(&self) -> Result<Answer, Box<NoPath>> {
        find(&self.request())
    }

    /// The matrix with other rules and blocks; nothing if they do not go together.
    pub(crate) fn with_matrix(
        &self,
        change: impl FnOnce(&mut Vec<Rule>, &mut Vec<Blocked>),
    ) -> Option<Self> {
        let mut rules = self.matrix.rules().to_vec();
        let mut blocked = self.matrix.blocked().to_vec();
        change(&mut rules, &mut blocked);
        let matrix = Matrix::new(self.matrix.components().clone(), rules, blocked).ok()?;
        Some(Self {
            matrix,
            ..self.clone()
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Vec<Rule>, &mut Vec<Blocked>)) -> Self {
        self = self.with_matrix(change).unwrap();
        self
    }

    fn with_component(mut self, component: &str, change: impl FnOnce(&mut Component)) -> Self {
        let mut components = self.matrix.components().clone();
        change(components.entry(name(component)).or_default());
        let (rules, blocked) = (self.matrix.rules(), self.matrix.blocked());
        self.matrix = Matrix::new(components, rules.to_vec(), blocked.to_vec()).unwrap();
        self
    }

    /// A component with so many instances of each version, and releases of each of these.
    pub(crate) fn runs(mut self, component: &str, versions: &[(&str, u64)]) -> Self {
        self = self.with_component(component, |_| {});
        for (text, instances) in versions {
            let versions = self.fleet.entry(name(component)).or_default();
            versions.insert(version(text), *instances);
            self = self.publishes(component, &[text]);
        }
        self
    }

    pub(crate) fn publishes(mut self, component: &str, versions: &[&str]) -> Self {
        let published = self.published.entry(name(component)).or_default();
        published.extend(versions.iter().map(|text| version(text)));
        self
    }

    pub(crate) fn after(self, component: &str, first: &str) -> Self {
        self.with_component(component, |known| {
            known.upgrade_after.insert(name(first));
        })
    }

    pub(crate) fn talks(self, component: &str, other: &str) -> Self {
        self.with_component(component, |known| {
            known.talks_to.insert(name(other));
        })
    }

    pub(crate) fn finalizes_itself(self, component: &str) -> Self {
        self.with_component(component, |known| known.finalizes_itself = true)
    }

    pub(crate) fn external(self, component: &str) -> Self {
        self.with_component(component, |known| known.external = true)
    }

    pub(crate) fn reports(mut self, source: &str, component: &str, versions: &[&str]) -> Self {
        let reported = self.reported.entry(name(component)).or_default();
        for text in versions {
            let sources = reported.entry(version(text)).or_default();
            sources.insert(source.to_owned());
        }
        self
    }

    pub(crate) fn to(mut self, component: &str, text: &str) -> Self {
        self.targets.push(Target {
            component: name(component),
            version: version(text),
            allow_downgrade: false,
        });
        self
    }

    pub(crate) fn back_to(mut self, component: &str, text: &str) -> Self {
        self = self.to(component, text);
        self.targets.last_mut().unwrap().allow_downgrade = true;
        self
    }

    /// A rule for all components.
    pub(crate) fn all(self, from: &str, to: &str, level: Level) -> Self {
        self.rule(Scope::All, from, to, level)
    }

    /// A rule for one component.
    pub(crate) fn own(self, component: &str, from: &str, to: &str, level: Level) -> Self {
        self.rule(Scope::Component(name(component)), from, to, level)
    }

    /// A rule for two components.
    pub(crate) fn pair(self, one: (&str, &str), other: (&str, &str), level: Level) -> Self {
        let scope = Scope::Pair(name(one.0), name(other.0));
        self.rule(scope, one.1, other.1, level)
    }

    fn rule(self, scope: Scope, from: &str, to: &str, level: Level) -> Self {
        self.change(|rules, _| {
            rules.push(Rule {
                scope,
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                level,
                note: None,
            });
        })
    }

    pub(crate) fn noted(self, note: &str) -> Self {
        self.change(|rules, _| rules.last_mut().unwrap().note = Some(note.to_owned()))
    }

    pub(crate) fn blocks(self, component: &str, from: &str, to: &str, reason: &str) -> Self {
        self.change(|_, blocked| {
            blocked.push(Blocked {
                component: Some(name(component)),
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                reason: reason.to_owned(),
            });
        })
    }
}
