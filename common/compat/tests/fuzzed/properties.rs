//! What has to hold of any input at all. Shared by the fuzz targets and by the tests beside this file.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_compat::index::Index;
use evenkeel_compat::{FAULTS_MAX, Level, Matrix, Rule, Scope, Versions, file, graph};
use evenkeel_words::names::ComponentName;
use semver::Version;

/// How many versions that an input names are looked at.
const VERSIONS_MAX: usize = 8;

/// A text that may be the file of a matrix: a matrix is written and read again as the same one and is asked and drawn; the
/// faults of what is none lie within it.
pub(crate) fn matrix_file(text: &str) {
    match file::parse(text) {
        Ok(matrix) => {
            let written = file::to_toml(&matrix);
            assert_eq!(file::parse(&written).as_ref(), Ok(&matrix), "{written}");
            ask(&matrix);
        }
        Err(error) => {
            assert!((1..=FAULTS_MAX).contains(&error.faults.len()));
            let lines = text.matches('\n').count() + 1;
            for fault in &error.faults {
                assert!((1..=lines).contains(&fault.line), "{fault:?}");
                assert!(fault.column >= 1 && !fault.marked.is_empty(), "{fault:?}");
                assert!(
                    fault.marked.start <= fault.shown.chars().count(),
                    "{fault:?}"
                );
                assert!(!fault.shown.contains(char::is_control), "{fault:?}");
            }
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Holds the index against plain questions, for the versions that the rules name.
fn ask(matrix: &Matrix) {
    let sides = matrix
        .rules()
        .iter()
        .flat_map(|rule| [&rule.from, &rule.to]);
    let named = sides.filter_map(Versions::exact).take(VERSIONS_MAX);
    let versions: BTreeSet<Version> = named.cloned().chain([Version::new(1, 0, 0)]).collect();
    let names = matrix.components().keys().take(3);
    let universe: BTreeMap<_, _> = names.map(|name| (name.clone(), versions.clone())).collect();
    let index = Index::new(matrix, &universe);
    for (component, name) in index.components().iter().enumerate() {
        for (from, x) in index.versions().iter().enumerate() {
            let hops: BTreeMap<_, _> = index.hops(component, from).iter().copied().collect();
            for (to, y) in index.versions().iter().enumerate() {
                let plain = matrix.hop(name, x, y).ok().filter(|_| from != to);
                assert_eq!(
                    hops.get(&to).copied(),
                    plain.map(|hop| hop.way),
                    "{name} {x} {y}"
                );
                for (other, other_name) in index.components().iter().enumerate() {
                    let plain = matrix.beside((name, x), (other_name, y)).is_ok();
                    let row = index.beside(component, from, other);
                    assert_eq!(row.contains(to), plain, "{name} {x} {other_name} {y}");
                }
            }
        }
    }
    assert!(graph::dot(matrix, &universe).ends_with("}\n"));
    assert!(graph::svg(matrix, &universe).ends_with("</svg>\n"));
}

/// A text whose first line may stand for versions, and whose others may be versions to hold against it.
pub(crate) fn version(text: &str) {
    let mut lines = text.lines();
    let Some(versions) = lines.next().and_then(|line| line.parse::<Versions>().ok()) else {
        return;
    };
    let written = versions.to_string().parse::<Versions>().ok();
    assert_eq!(written.as_ref(), Some(&versions));
    // Anything the range does not share with the other side.
    let other = Version::new(7, 7, 7);
    let rule = Rule {
        scope: Scope::All,
        from: versions.clone(),
        to: Versions::Exact(other.clone()),
        level: Level::Full,
        note: None,
    };
    let Ok(matrix) = Matrix::new(BTreeMap::new(), vec![rule], vec![]) else {
        let found =
            lines.find(|line| Version::parse(line).is_ok_and(|version| versions.matches(&version)));
        assert_eq!(found, None, "{versions} matches nothing");
        return;
    };
    let Ok(name) = "a".parse::<ComponentName>() else {
        return;
    };
    for version in lines
        .filter_map(|line| Version::parse(line).ok())
        .take(VERSIONS_MAX)
    {
        let is_other = version.cmp_precedence(&other).is_eq();
        let beside = matrix.beside((&name, &version), (&name, &other)).is_ok();
        assert_eq!(
            beside,
            versions.matches(&version) || is_other,
            "{versions} and {version}"
        );
    }
}
