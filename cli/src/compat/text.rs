//! The matrix and what is reported, as text for people.

use std::time::SystemTime;

use evenkeel_compat::Matrix;
use evenkeel_compat::file::to_toml;

use crate::failure::Failure;
use crate::look::Look;
use crate::table::{Table, printable};
use crate::time::age;
use crate::view::{CompatibilityMatrix, ReportedVersions, VersionInUse};

/// How much there is in a matrix.
pub(super) fn summary(matrix: &Matrix) -> String {
    let count = |number: usize, one: &str, more: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {more}"),
    };
    format!(
        "{}, {}, {}",
        count(matrix.components().len(), "component", "components"),
        count(matrix.rules().len(), "rule", "rules"),
        count(matrix.blocked().len(), "blocked hop", "blocked hops")
    )
}

/// The matrix as the file that can be applied again; what is no part of such a file stands in comments.
pub(super) fn matrix(matrix: &CompatibilityMatrix) -> Result<String, Failure> {
    let toml = to_toml(&matrix.checked()?);
    Ok(match matrix.version {
        0 => format!("# No matrix was ever applied.\n\n{toml}"),
        version => {
            let at = matrix.applied_at.as_deref().unwrap_or("at an unknown time");
            let who = printable(&matrix.applied_by);
            format!("# Version {version}, applied {at} by {who}.\n\n{toml}")
        }
    })
}

/// A warning about components that nobody knows; none where there are none.
pub(super) fn unseen(components: &[String]) -> Option<String> {
    let names = components.join(", ");
    match components {
        [] => None,
        [_] => Some(format!(
            "warning: no instance, release or report of {names} is known yet; is the name right?"
        )),
        _ => Some(format!(
            "warning: no instances, releases or reports of {names} are known yet; are the names right?"
        )),
    }
}

/// A warning about a component that nothing can be planned for.
pub(super) fn uncovered(component: &str) -> String {
    format!(
        "warning: {component} has instances and no rule of this matrix speaks of it: no plan for it is possible"
    )
}

/// What was reported, in columns.
pub(super) fn reports(reports: &[ReportedVersions], look: Look, now: SystemTime) -> String {
    let heading = ["COMPONENT", "SOURCE", "REPORTED", "BY", "VERSIONS IN USE"];
    let mut table = Table::new(look, &heading);
    for report in reports {
        let reported = age(report.reported_at.as_deref(), now);
        table.row([
            report.component.clone(),
            report.source.clone(),
            match reported.as_str() {
                "-" => reported,
                age => format!("{age} ago"),
            },
            report.reported_by.clone(),
            in_use(&report.versions),
        ]);
    }
    table.render()
}

/// Versions, and how many use each as far as that was counted.
pub(super) fn in_use(versions: &[VersionInUse]) -> String {
    let versions = versions.iter().map(|used| match used.count {
        0 => used.version.clone(),
        count => format!("{} ({count})", used.version),
    });
    match versions.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        versions => versions,
    }
}
