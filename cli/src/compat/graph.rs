//! `evenkeel compat graph`: versions and how they relate, drawn.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};
use evenkeel_common::names::ComponentName;
use evenkeel_compat::graph::{Drawn, dot, svg};
use evenkeel_compat::{Matrix, Scope, Versions};
use semver::Version;
use serde::Serialize;

use super::{file, get, report};
use crate::args::Globals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::instance::{self, Filter};
use crate::output::Output;
use crate::release;
use crate::session::Session;

/// What is drawn, and how.
#[derive(Debug, Args)]
#[command(
    after_help = "Drawn are the versions that rules name exactly and, where a coordinator is asked, those that are \
                  published, run, or are reported in use."
)]
pub(crate) struct GraphArgs {
    /// Only this component
    #[arg(short, long, value_name = "COMPONENT")]
    component: Option<ComponentName>,
    /// How it is drawn: `dot` for Graphviz, `svg` for a browser
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    format: Picture,
    /// Draw this matrix file, without a coordinator; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<Utf8PathBuf>,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Picture {
    /// The DOT language.
    #[default]
    Dot,
    /// An image.
    Svg,
}

/// A graph, as programs get it.
#[derive(Serialize)]
struct Graph {
    format: Picture,
    graph: String,
}

/// Draws a file, or the coordinator's matrix and what there is of each component.
pub(super) async fn run(globals: Globals, args: GraphArgs) -> Result<(), Failure> {
    if let Some(path) = &args.file {
        let matrix = file::read_sound(path)?;
        let drawn = named_exactly(&matrix);
        return draw(Output::new(globals.output), &args, &matrix, drawn);
    }
    let session = Session::begin(globals).await?;
    let client = &session.client;
    let matrix = get(client).await?.checked()?;
    let mut drawn = named_exactly(&matrix);
    for release in release::all(client, String::new()).await?.items {
        add(&mut drawn, &release.component, &release.version);
    }
    for instance in instance::all(client, &Filter::default()).await?.items {
        add(&mut drawn, &instance.component, instance.version());
    }
    for report in report::all(client, String::new()).await?.items {
        for used in &report.versions {
            add(&mut drawn, &report.component, &used.version);
        }
    }
    draw(session.output, &args, &matrix, drawn)
}

fn draw(
    output: Output,
    args: &GraphArgs,
    matrix: &Matrix,
    mut drawn: Drawn,
) -> Result<(), Failure> {
    if let Some(component) = &args.component {
        if !drawn.contains_key(component) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("nothing is known of a component {component}"),
            )
            .hint("`evenkeel compat show` has the components of the matrix"));
        }
        drawn.retain(|name, _| name == component);
    }
    if drawn.values().all(|versions| versions.is_empty()) {
        let none = "there is no version to draw: no rule names one exactly";
        return Err(match args.file {
            Some(_) => Failure::new(Exit::Other, none)
                .hint("name versions in a rule, or leave out --file to draw those that the coordinator knows of"),
            None => Failure::new(
                Exit::State,
                format!("{none}, and none is published, run or reported"),
            )
            .hint("publish a release, or name versions in a rule"),
        });
    }
    let graph = Graph {
        format: args.format,
        graph: match args.format {
            Picture::Dot => dot(matrix, &drawn),
            Picture::Svg => svg(matrix, &drawn),
        },
    };
    output.result(&graph, || graph.graph.clone())
}

/// Every component, with the versions of it that rules and blocked hops name exactly.
fn named_exactly(matrix: &Matrix) -> Drawn {
    let mut drawn: Drawn = matrix
        .components()
        .keys()
        .map(|name| (name.clone(), Default::default()))
        .collect();
    let mut name = |component: Option<&ComponentName>, versions: &Versions| {
        let Some(version) = versions.exact() else {
            return;
        };
        match component {
            Some(component) => {
                drawn
                    .entry(component.clone())
                    .or_default()
                    .insert(version.clone());
            }
            None => {
                for of_component in drawn.values_mut() {
                    of_component.insert(version.clone());
                }
            }
        }
    };
    for rule in matrix.rules() {
        let (first, second) = match &rule.scope {
            Scope::All => (None, None),
            Scope::Component(component) => (Some(component), Some(component)),
            Scope::Pair(first, second) => (Some(first), Some(second)),
        };
        name(first, &rule.from);
        name(second, &rule.to);
    }
    for blocked in matrix.blocked() {
        name(blocked.component.as_ref(), &blocked.from);
        name(blocked.component.as_ref(), &blocked.to);
    }
    drawn
}

/// Adds a version that the coordinator knows of. Components that the matrix does not speak of are drawn, too: that no
/// line leads to their versions is what there is to see.
fn add(drawn: &mut Drawn, component: &str, version: &str) {
    if let (Ok(component), Ok(version)) = (component.parse(), version.parse::<Version>()) {
        drawn.entry(component).or_default().insert(version);
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_compat::file::parse;

    use super::*;

    #[test]
    fn a_version_is_drawn_for_the_components_that_its_rule_speaks_of() {
        let matrix = parse(
            r#"
            format = 1
            [components.meta]
            [components.data]
            talks_to = ["meta"]
            [[rules]]
            from = "1.0.0"
            to = ">=1.1.0"
            level = "full"
            [[rules]]
            components = ["meta", "data"]
            from = "1.5.0"
            to = "1.6.0"
            level = "full"
            [[blocked]]
            component = "data"
            from = "1.6.0"
            to = "1.7.0"
            reason = "loses writes"
            "#,
        )
        .unwrap();
        let mut drawn = named_exactly(&matrix);
        add(&mut drawn, "other", "3.0.0");
        add(&mut drawn, "other", "no version");
        let drawn: Vec<_> = drawn
            .iter()
            .map(|(name, versions)| {
                let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
                format!("{name} {}", versions.join(" "))
            })
            .collect();
        assert_eq!(
            drawn,
            ["data 1.0.0 1.6.0 1.7.0", "meta 1.0.0 1.5.0", "other 3.0.0"]
        );
    }
}
