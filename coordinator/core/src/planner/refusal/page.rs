//! A refusal as a page that reads well to whoever is woken by it.

use std::fmt;

use semver::Version;

use super::{Furthest, NoPath, Obstacle, Reason};
use crate::planner::words::{counted, listed, reported_by};

fn versions(versions: &[Version]) -> String {
    let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
    listed(&versions)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(why) => write!(f, "{why}"),
            Self::AtOdds => f.write_str(
                "versions that are in use now may not run side by side; that has to be put right before anything is moved",
            ),
            Self::Unreported(components) => {
                let names: Vec<_> = components.iter().map(ToString::to_string).collect();
                let names = listed(&names);
                write!(
                    f,
                    "nobody has said which versions of {names} are in use; report them, also if none is"
                )
            }
            Self::NotPublished {
                component,
                version,
                published,
            } => match published.as_slice() {
                [] => write!(f, "{component} {version} is not published, and no version of it is"),
                published => write!(
                    f,
                    "{component} {version} is not published; published are {}",
                    versions(published)
                ),
            },
            Self::NoWay(stuck) => {
                let ways = stuck.iter().map(|(component, from, to)| {
                    format!("{component} from {} to {to}", versions(from))
                });
                write!(f, "no way leads {}", listed(&ways.collect::<Vec<_>>()))
            }
            Self::NoOrder(targets) => {
                let targets = targets.iter().map(|(component, to)| format!("{component} to {to}"));
                write!(
                    f,
                    "there is no order of stages that brings {} without versions meeting that may not run side by side",
                    listed(&targets.collect::<Vec<_>>())
                )
            }
            Self::GaveUp { states } => write!(
                f,
                "{states} combinations of versions were looked at and no path was found; whether there is one is not known; name fewer components, or nearer targets"
            ),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(ruled_out) => write!(f, "{ruled_out}"),
            Self::Present {
                one,
                other,
                sources,
                why,
            } => {
                write!(f, "{} {} and {} {}", one.0, one.1, other.0, other.1)?;
                reported_by(f, sources)?;
                write!(f, " are both in use: {why}")
            }
        }
    }
}

impl fmt::Display for Furthest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            component,
            version,
            target,
            certain,
        } = self;
        match version {
            Some(version) if version == target => write!(f, "{component} {version}, its target")?,
            Some(version) => write!(f, "{component} {version}")?,
            None => write!(
                f,
                "{component}: no version that all of its instances can come to"
            )?,
        }
        if !certain {
            f.write_str(" (perhaps more: there was too much to look at)")?;
        }
        Ok(())
    }
}

impl NoPath {
    /// The refusal in one sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut summary = self.reason.to_string();
        if !self.publish_first.is_empty() {
            let named = self.publish_first.iter();
            let named = named.map(|(component, version)| format!("{component} {version}"));
            let named = listed(&named.collect::<Vec<_>>());
            summary.push_str(&format!("; publish first: {named}"));
        }
        summary
    }
}

impl std::error::Error for NoPath {}

impl fmt::Display for NoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        section(f, "in the way", &self.obstacles)?;
        let title = match (self.remedies.len() as u64, self.smallest) {
            (1, _) => "this would open a path".to_owned(),
            (count, true) => format!(
                "these {} together would open a path, and no fewer would",
                counted(count, "change", "changes")
            ),
            (count, false) => format!(
                "these {} together would open a path, though perhaps fewer would",
                counted(count, "change", "changes")
            ),
        };
        section(f, &title, &self.remedies)?;
        section(f, "the path once that is published", &self.steps)?;
        section(f, "as things are, these can be reached", &self.furthest)?;
        section(f, "ruled out", &self.ruled_out)
    }
}

fn section<T: fmt::Display>(f: &mut fmt::Formatter<'_>, title: &str, lines: &[T]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    write!(f, "\n{title}:")?;
    lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
}
