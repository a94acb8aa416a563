//! An instance's data folder, and the driver that speaks for its store.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use camino::Utf8PathBuf;

use super::Place;

/// A data folder with something in it that must not get lost, and a driver that answers what a test tells it to.
pub(crate) struct Data {
    root: Utf8PathBuf,
}

/// The mode of the data folder.
const MODE: u32 = 0o750;

impl Data {
    pub(crate) fn new(place: &Place) -> Self {
        let data = Self {
            root: place.root.clone(),
        };
        fs::create_dir(data.folder()).unwrap();
        fs::set_permissions(data.folder(), fs::Permissions::from_mode(MODE)).unwrap();
        fs::write(data.folder().join("blob"), "precious").unwrap();
        data.answer("version", "exit 64");
        let driver = format!(
            "#!/bin/sh\ncat > {root}/told-$1.json\necho $1 >> {root}/verbs\n\
             test -f {root}/answer-$1 && . {root}/answer-$1\nexit 0\n",
            root = data.root
        );
        let path = data.root.join("driver");
        fs::write(&path, driver).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        data
    }

    /// What goes into the instance's table so that it is used.
    pub(crate) fn extra(&self, keep_for: &str) -> String {
        format!(
            "{}\nrebuild = {{ empty = [\"{}\"], keep_for = \"{keep_for}\" }}",
            self.extra_without_leave(),
            self.folder()
        )
    }

    /// What goes into the table of one whose unit says the environment.
    pub(crate) fn extra_of_unit(&self) -> String {
        let extra = self.extra("1h");
        let (_environment, rest) = extra.split_once('\n').unwrap();
        rest.to_owned()
    }

    /// The same without leave to rebuild it.
    pub(crate) fn extra_without_leave(&self) -> String {
        format!(
            "env = {{ STORE_DATA = \"{folder}\" }}\ndata_dirs = [\"{folder}\"]\n\
             driver = {{ command = [\"driver\"], interval = \"50ms\", ok_to_stop_interval = \"50ms\", settings = {{ endpoint = \"here\" }} }}",
            folder = self.folder()
        )
    }

    pub(crate) fn folder(&self) -> Utf8PathBuf {
        self.root.join("data")
    }

    /// The driver's answer to this verb from now on: a piece of shell.
    pub(crate) fn answer(&self, verb: &str, script: &str) {
        let new = self.root.join("answer.new");
        fs::write(&new, script).unwrap();
        fs::rename(new, self.root.join(format!("answer-{verb}"))).unwrap();
    }

    /// All that the driver was asked for the sake of the data, each verb once however often in a row.
    pub(crate) fn verbs(&self) -> Vec<String> {
        let of_data = ["drain", "drain-status", "cancel-drain", "join"];
        let mut verbs = self.all_verbs();
        verbs.retain(|verb| of_data.contains(&verb.as_str()));
        verbs.dedup();
        verbs
    }

    /// All that the driver was asked, each verb once however often in a row.
    pub(crate) fn all_verbs(&self) -> Vec<String> {
        let mut verbs = self.every_call();
        verbs.dedup();
        verbs
    }

    /// All that the driver was asked, but what it measures.
    pub(crate) fn every_call(&self) -> Vec<String> {
        let verbs = fs::read_to_string(self.root.join("verbs")).unwrap_or_default();
        let verbs = verbs.lines().filter(|verb| *verb != "health");
        verbs.map(str::to_owned).collect()
    }

    /// What the driver was told last with this verb.
    pub(crate) fn told(&self, verb: &str) -> serde_json::Value {
        let told = fs::read(self.root.join(format!("told-{verb}.json"))).unwrap();
        serde_json::from_slice(&told).unwrap()
    }

    /// What is in a folder beside the data folder, or in that itself; none if it is not there.
    pub(crate) fn names(&self, suffix: &str) -> Option<Vec<String>> {
        let entries = fs::read_dir(format!("{}{suffix}", self.folder())).ok()?;
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        Some(names)
    }

    /// Where the data is that must not get lost: the suffix of its folder.
    pub(crate) fn whereabouts(&self) -> &'static str {
        let is_there = |suffix: &&str| {
            let blob = fs::read_to_string(format!("{}{suffix}/blob", self.folder()));
            blob.is_ok_and(|text| text == "precious")
        };
        let found: Vec<_> = ["", ".before-1"].into_iter().filter(is_there).collect();
        assert_eq!(found.len(), 1, "the data is at {found:?}");
        found[0]
    }

    /// The data folder is there, and is whose and what it was.
    pub(crate) fn assert_mode(&self) {
        let metadata = fs::symlink_metadata(self.folder()).unwrap();
        assert!(metadata.is_dir());
        assert_eq!(metadata.mode() & 0o7777, MODE);
        assert_eq!(metadata.uid(), fs::metadata(&self.root).unwrap().uid());
    }
}
