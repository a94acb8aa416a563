//! The shipped matrices say what their comments say.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_compat::{Hop, Level, Matrix, Method, NoHop, Undo, file};
use evenkeel_tests::{matrix, systems};
use semver::Version;

/// A component of a matrix, to be asked of.
struct Asked {
    matrix: Matrix,
    component: evenkeel_common::names::ComponentName,
}

impl Asked {
    fn new(text: &str, component: &str) -> anyhow::Result<Self> {
        Ok(Self {
            matrix: file::parse(text)?,
            component: component.parse()?,
        })
    }

    fn hop(&self, from: &str, to: &str) -> anyhow::Result<Result<Hop<'_>, NoHop>> {
        let (from, to): (Version, Version) = (from.parse()?, to.parse()?);
        Ok(self.matrix.hop(&self.component, &from, &to))
    }

    /// There is a step in place of this level, with these ways back before and after it is final.
    fn goes(&self, from: &str, to: &str, level: Level, back: [Undo; 2]) -> anyhow::Result<()> {
        let hop = self.hop(from, to)?;
        let way = hop.map_err(|no| anyhow::anyhow!("{no}"))?.way;
        ensure!(
            way.method == Method::InPlace
                && way.level == level
                && [way.undo, way.undo_when_final] == back,
            "{from} to {to}: {way:?}"
        );
        Ok(())
    }

    /// It goes in both directions, and is never final.
    fn is_full(&self, a: &str, b: &str) -> anyhow::Result<()> {
        self.goes(a, b, Level::Full, [Undo::InPlace; 2])?;
        self.goes(b, a, Level::Full, [Undo::InPlace; 2])
    }

    /// It goes there, and back only as long as it is not final.
    fn is_backward(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let back = [Undo::InPlace, Undo::NotAtAll];
        self.goes(from, to, Level::Backward, back)?;
        let way_back = self.hop(to, from)?;
        ensure!(
            matches!(way_back, Err(NoHop::OnlyBackward { .. })),
            "{to} to {from}: {way_back:?}"
        );
        Ok(())
    }

    /// Nothing is said of the step.
    fn is_unrelated(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let hop = self.hop(from, to)?;
        ensure!(matches!(hop, Err(NoHop::NoRule)), "{from} to {to}: {hop:?}");
        Ok(())
    }

    /// The step is blocked, and its reason has this word.
    fn is_blocked(&self, from: &str, to: &str, word: &str) -> anyhow::Result<()> {
        let hop = self.hop(from, to)?;
        ensure!(
            matches!(&hop, Err(NoHop::Blocked { reason, .. }) if reason.contains(word)),
            "{from} to {to}: {hop:?}"
        );
        Ok(())
    }
}

#[test]
fn every_shipped_file_is_one_of_those_tested_here_and_can_be_written_and_read_again()
-> anyhow::Result<()> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut found = BTreeSet::new();
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        let text = fs::read_to_string(&path)?;
        let read = file::parse(&text).with_context(|| path.to_string())?;
        assert_eq!(file::parse(&file::to_toml(&read))?, read, "{path}");
        found.insert(text);
    }
    let tested = [matrix::ETCD, matrix::NATS, matrix::SAMPLE_STORE];
    assert_eq!(found, tested.map(str::to_owned).into());
    Ok(())
}

#[test]
fn etcd_goes_one_minor_version_at_a_time_and_never_back_once_it_is_final() -> anyhow::Result<()> {
    let etcd = Asked::new(matrix::ETCD, systems::etcd::COMPONENT)?;
    let component = etcd.matrix.components().get(&etcd.component);
    assert!(component.is_some_and(|etcd| etcd.finalizes_itself));
    for (a, b) in [
        ("3.3.0", "3.3.27"),
        ("3.4.0", "3.4.37"),
        ("3.5.0", "3.5.26"),
        ("3.6.0", "3.6.6"),
    ] {
        etcd.is_full(a, b)?;
    }
    etcd.is_backward("3.3.25", "3.4.23")?;
    etcd.is_backward("3.4.23", "3.5.3")?;
    etcd.is_backward("3.5.26", "3.6.0")?;
    for (from, to) in [
        ("3.3.25", "3.5.26"),
        ("3.4.23", "3.6.0"),
        ("3.2.0", "3.3.0"),
    ] {
        etcd.is_unrelated(from, to)?;
        etcd.is_unrelated(to, from)?;
    }
    Ok(())
}

#[test]
fn etcd_does_not_enter_the_releases_that_lose_writes_but_leaves_them() -> anyhow::Result<()> {
    let etcd = Asked::new(matrix::ETCD, systems::etcd::COMPONENT)?;
    for bad in ["3.5.0", "3.5.1", "3.5.2"] {
        etcd.is_blocked("3.4.23", bad, "lose committed writes")?;
        etcd.goes(bad, "3.5.26", Level::Full, [Undo::InPlace; 2])?;
    }
    for early in ["3.5.0", "3.5.19", "3.5.25"] {
        etcd.is_blocked(early, "3.6.0", "3.5.26 or newer")?;
    }
    Ok(())
}

#[test]
fn the_etcd_of_the_tests_enters_them_and_nothing_else_is_different() -> anyhow::Result<()> {
    let shipped = matrix::of_toml(matrix::ETCD)?;
    let opened = systems::etcd::open_matrix()?;
    assert_eq!(opened.rules, shipped.rules);
    assert_eq!(opened.components, shipped.components);
    assert_eq!(shipped.blocked.len(), opened.blocked.len() + 1);
    assert!(!opened.blocked.iter().any(|hop| hop.to.contains("3.5")));
    Ok(())
}

#[test]
fn nats_goes_one_minor_version_at_a_time_and_to_2_12_only_from_where_it_can_come_back()
-> anyhow::Result<()> {
    let nats = Asked::new(matrix::NATS, systems::nats::COMPONENT)?;
    for (a, b) in [
        ("2.10.0", "2.10.26"),
        ("2.11.0", "2.11.11"),
        ("2.12.0", "2.12.8"),
    ] {
        nats.is_full(a, b)?;
    }
    nats.is_backward("2.10.26", "2.11.11")?;
    nats.is_backward("2.11.9", "2.12.8")?;
    nats.is_unrelated("2.11.8", "2.12.8")?;
    nats.is_unrelated("2.10.26", "2.12.8")?;
    nats.is_unrelated("2.12.8", "2.14.0")
}

#[test]
fn the_sample_store_goes_from_1_0_0_to_2_0_0_only_through_1_1_0() -> anyhow::Result<()> {
    let store = Asked::new(matrix::SAMPLE_STORE, systems::samplestore::COMPONENT)?;
    for faulty in ["1.1.1", "1.1.2"] {
        store.is_full("1.0.0", faulty)?;
        store.is_full("1.1.0", faulty)?;
        store.is_unrelated(faulty, "2.0.0")?;
    }
    store.is_full("1.0.0", "1.1.0")?;
    store.is_full("1.1.0", "2.0.0")?;
    store.is_unrelated("1.0.0", "2.0.0")?;
    store.is_unrelated("2.0.0", "1.0.0")
}
