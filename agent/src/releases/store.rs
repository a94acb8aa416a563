//! The releases on this host.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_agent_core::Release;
use evenkeel_common::{
    archive::{ArchiveError, Expected},
    digest::{Digest, Hasher},
    failpoint,
    files::{create_private_folder, sync_folder, write_atomically},
    limits::ARTIFACT_BYTES_MAX,
    manifest::{ManifestError, ReleaseManifest, SignedManifest, Tree, TrustedKeys},
    names::{ComponentName, InstanceName},
    platform::{self, EXECUTABLE_HEADER_BYTES, PlatformError},
    tree_path::{TreePath, TreePathError},
};
use rustix::{
    fs::{Mode, OFlags},
    process::geteuid,
};

use super::{
    description::{self, Description},
    unpack::{fingerprint, unpack},
};
use crate::{failpoints, report::sentence};

/// How many releases of a component stay that nobody needs, so that there is something to go back to.
const OLD_RELEASES_KEPT: usize = 2;

/// A folder that is not a release yet begins with this.
const NEW_PREFIX: &str = ".new-";

/// The folder of the copy of a local program, on its way to being a release; cleared away like any that is new.
const COPY_FOLDER: &str = ".new-copy";

/// A folder that is not a release any more begins with this.
const OLD_PREFIX: &str = ".old-";

/// Why a release could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// The bytes are no program for this host.
    #[error("the artifact cannot run here")]
    Platform(#[from] PlatformError),
    /// The bytes are not those that were promised.
    #[error("the artifact has the SHA-256 {found}, not {expected}")]
    Digest {
        /// What they are.
        found: Digest,
        /// What they ought to be.
        expected: Digest,
    },
    /// Larger than any artifact may be.
    #[error("the artifact has {0} bytes, at most {ARTIFACT_BYTES_MAX} are allowed")]
    TooLarge(u64),
    /// Somebody else could change what is in it.
    #[error("{path} {problem}")]
    Folder {
        /// The folder.
        path: Utf8PathBuf,
        /// Why it is not to be used.
        problem: &'static str,
    },
    /// What is signed is no manifest.
    #[error("the release's manifest cannot be understood")]
    Manifest(#[from] ManifestError),
    /// The program's name is none.
    #[error("the program cannot be put into the release's folder")]
    Name(#[from] TreePathError),
    /// The archive is not what it should be, or cannot be unpacked here.
    #[error("the release cannot be unpacked")]
    Unpack(#[from] ArchiveError),
    /// The description could not be written.
    #[error("cannot describe a release")]
    Describe(#[from] serde_json::Error),
    /// Something else stands where the artifact was when it was looked at.
    #[error("{path} is another file than the one that was verified")]
    Exchanged {
        /// Where.
        path: Utf8PathBuf,
    },
}

impl StoreError {
    /// Whether the artifact itself will not do, however often it is tried.
    pub(super) fn is_for_good(&self) -> bool {
        match self {
            Self::Platform(_) | Self::TooLarge(_) | Self::Manifest(_) | Self::Name(_) => true,
            Self::Unpack(error) => !matches!(error, ArchiveError::Sink(_)),
            Self::Io { .. }
            | Self::Digest { .. }
            | Self::Folder { .. }
            | Self::Describe(_)
            | Self::Exchanged { .. } => false,
        }
    }
}

/// On whose word a release is one.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// A manifest that was verified.
    Signed(&'a SignedManifest),
    /// The agent's configuration, which names it as the one that was there before.
    Configured,
}

/// Whose word counts on this host.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Whose manifests do.
    pub keys: TrustedKeys,
    /// The releases that the configuration names as those that were there before.
    pub initial: BTreeSet<(ComponentName, semver::Version)>,
}

/// The releases on this host, and who needs which.
#[derive(Debug)]
pub struct Store {
    root: Utf8PathBuf,
    shared: Mutex<Shared>,
    /// Held by whoever puts a release in place: one at a time.
    installing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// By component and the name of the folder.
    releases: BTreeMap<(ComponentName, String), Known>,
    /// What each instance needs of its component; none while that is not known.
    needed: BTreeMap<InstanceName, (ComponentName, Option<Vec<Release>>)>,
}

/// A release that is complete.
#[derive(Debug)]
struct Known {
    release: Release,
    /// Whether it may be made current.
    usable: bool,
    /// Where its executable is; unset if it is the one file there.
    executable: Option<TreePath>,
}

impl Store {
    /// Opens the store in this folder, and clears away what a crash left half done. What nobody who is trusted
    /// now says to be a release stays, but is not to be used.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(root: Utf8PathBuf, trust: &Trust) -> Result<Self, StoreError> {
        create_private_folder(&root).map_err(io_at(&root))?;
        check_ours(&root)?;
        let root = root.canonicalize_utf8().map_err(io_at(&root))?;
        let mut shared = Shared::default();
        for (component, folder) in folders(&root)? {
            let Ok(component) = component.parse::<ComponentName>() else {
                continue;
            };
            check_ours(&folder)?;
            for (name, path) in folders(&folder)? {
                if name.starts_with(NEW_PREFIX) || name.starts_with(OLD_PREFIX) {
                    fs::remove_dir_all(&path).map_err(io_at(&path))?;
                    continue;
                }
                match Description::read(&path) {
                    Ok(description) => {
                        let verified = description.verify(&component, trust);
                        let (release, executable) = description.into_parts();
                        if release.to_string() != name {
                            continue;
                        }
                        let usable = verified.is_ok();
                        if let Err(distrust) = verified {
                            tracing::warn!(%component, %release, reason = sentence(&distrust), "a release that is not trusted any more");
                        }
                        let known = Known {
                            release,
                            usable,
                            executable,
                        };
                        shared.releases.insert((component.clone(), name), known);
                    }
                    Err(error) => {
                        tracing::warn!(%path, error = &error as &dyn std::error::Error, "not a release");
                    }
                }
            }
        }
        Ok(Self {
            root,
            shared: Mutex::new(shared),
            installing: Mutex::new(()),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the store is.
    #[must_use]
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Where the downloads of a component lie; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn component_folder(&self, component: &ComponentName) -> Result<Utf8PathBuf, StoreError> {
        let folder = self.root.join(component.as_str());
        create_private_folder(&folder).map_err(io_at(&folder))?;
        Ok(folder)
    }

    /// Where a release is, if it is there.
    #[must_use]
    pub fn folder_of(&self, component: &ComponentName, release: &Release) -> Utf8PathBuf {
        self.root.join(component.as_str()).join(release.to_string())
    }

    /// Whether a release is complete on this host, and may be used.
    #[must_use]
    pub fn has(&self, component: &ComponentName, release: &Release) -> bool {
        let key = (component.clone(), release.to_string());
        self.shared()
            .releases
            .get(&key)
            .is_some_and(|known| known.usable && known.release == *release)
    }

    /// Lets a release be used, whoever signed it: an instance depends on it already.
    pub fn keep_usable(&self, component: &ComponentName, release: &Release) {
        let key = (component.clone(), release.to_string());
        if let Some(known) = self.shared().releases.get_mut(&key)
            && known.release == *release
            && !known.usable
        {
            known.usable = true;
            tracing::warn!(%component, %release, "an instance depends on a release that is not trusted any more; it stays in use");
        }
    }

    /// The release whose folder has this name.
    #[must_use]
    pub fn named(&self, component: &ComponentName, folder: &str) -> Option<Release> {
        self.shared()
            .releases
            .get(&(component.clone(), folder.to_owned()))
            .map(|known| known.release.clone())
    }

    /// The release that an executable with this path belongs to.
    #[must_use]
    pub fn release_of_executable(&self, path: &Utf8Path) -> Option<Release> {
        let path = path.strip_prefix(&self.root).ok()?.as_str();
        let (component, path) = path.split_once('/')?;
        let (folder, path) = path.split_once('/')?;
        let key = (component.parse().ok()?, folder.to_owned());
        let shared = self.shared();
        let known = shared.releases.get(&key)?;
        let is_it = match &known.executable {
            Some(executable) => executable.as_str() == path,
            None => !path.contains('/'),
        };
        is_it.then(|| known.release.clone())
    }

    /// Makes a file a release, if its bytes are those of the release and a program for this host, or what its manifest
    /// says to be an archive with one. The file is gone afterwards. Blocks.
    ///
    /// # Errors
    /// When it is not, or the file system refuses. Nothing is in place then.
    pub fn install(
        &self,
        component: &ComponentName,
        binary: &str,
        release: &Release,
        file: &Utf8Path,
        origin: Origin<'_>,
    ) -> Result<(), StoreError> {
        let _alone = self.install_alone();
        self.put_in_place(component, binary, release, file, origin)
    }

    fn install_alone(&self) -> MutexGuard<'_, ()> {
        self.installing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn put_in_place(
        &self,
        component: &ComponentName,
        binary: &str,
        release: &Release,
        file: &Utf8Path,
        origin: Origin<'_>,
    ) -> Result<(), StoreError> {
        if self.has(component, release) {
            return fs::remove_file(file).map_err(io_at(file));
        }
        let (signed, tree) = match origin {
            Origin::Signed(signed) => (
                Some(signed),
                ReleaseManifest::decode(&signed.manifest)?.tree,
            ),
            Origin::Configured => (None, None),
        };
        // Opened once: what is looked at is what is put in place, whatever comes to stand at its path meanwhile.
        let open = open_artifact(file).map_err(io_at(file))?;
        let (digest, size_bytes) = match &tree {
            Some(_) => digest_of(&open).map_err(io_at(file))?,
            None => examine_open(&open, file)?,
        };
        if digest != release.digest {
            return Err(StoreError::Digest {
                found: digest,
                expected: release.digest,
            });
        }
        let executable = match &tree {
            Some(tree) => Some(tree.executable.clone()),
            None => Some(binary.parse::<TreePath>()?).filter(|path| path.parent().is_some()),
        };
        let description = Description::new(release, size_bytes, executable.clone(), signed);
        let description = description.encode()?;
        let parent = self.component_folder(component)?;
        let name = release.to_string();
        let new = parent.join(format!("{NEW_PREFIX}{name}"));
        let place = parent.join(&name);
        remove_folder(&new).map_err(io_at(&new))?;
        let is_there = match &tree {
            Some(tree) => {
                unpack_new(tree, &open, size_bytes, &new)?;
                let unpacked = fingerprint(&new).map_err(io_at(&new))?;
                place.is_dir() && fingerprint(&place).is_ok_and(|there| there == unpacked)
            }
            None => examine(&place.join(binary)).is_ok_and(|(there, _)| there == digest),
        };
        if is_there {
            // The very same, on the word of somebody else: an instance may depend on it at any moment.
            remove_folder(&new).map_err(io_at(&new))?;
            write_atomically(&place.join(description::FILE_NAME), &description, 0o600)
                .map_err(io_at(&place))?;
            fs::remove_file(file).map_err(io_at(file))?;
            self.now_there(component, name, release, executable);
            return Ok(());
        }
        // Whatever stands there is no release, or it would be known.
        remove_folder(&place).map_err(io_at(&place))?;
        if tree.is_none() {
            put_program(&new, binary, file, &open)?;
        }
        write_atomically(&new.join(description::FILE_NAME), &description, 0o600)
            .map_err(io_at(&new))?;
        failpoint::hit(failpoints::INSTALL[0]);
        fs::rename(&new, &place).map_err(io_at(&place))?;
        sync_folder(&parent).map_err(io_at(&parent))?;
        sync_folder(&self.root).map_err(io_at(&self.root))?;
        failpoint::hit(failpoints::INSTALL[1]);
        self.now_there(component, name, release, executable);
        if tree.is_some() {
            fs::remove_file(file).map_err(io_at(file))?;
        }
        Ok(())
    }

    fn now_there(
        &self,
        component: &ComponentName,
        name: String,
        release: &Release,
        executable: Option<TreePath>,
    ) {
        let known = Known {
            release: release.clone(),
            usable: true,
            executable,
        };
        self.shared()
            .releases
            .insert((component.clone(), name), known);
    }

    /// Makes a copy of a local program a release: the one that was there before the agent. Blocks.
    ///
    /// # Errors
    /// When it is no program for this host, or the file system refuses.
    pub fn adopt(
        &self,
        component: &ComponentName,
        binary: &str,
        version: &semver::Version,
        program: &Utf8Path,
    ) -> Result<Release, StoreError> {
        let (digest, _) = examine(program)?;
        let release = Release {
            version: version.clone(),
            digest,
        };
        let _alone = self.install_alone();
        if !self.has(component, &release) {
            // Not where downloads lie: those that nobody wants are deleted at any time.
            let folder = self.component_folder(component)?.join(COPY_FOLDER);
            remove_folder(&folder).map_err(io_at(&folder))?;
            create_private_folder(&folder).map_err(io_at(&folder))?;
            let copy = folder.join(".program");
            fs::copy(program, &copy).map_err(io_at(program))?;
            self.put_in_place(component, binary, &release, &copy, Origin::Configured)?;
            remove_folder(&folder).map_err(io_at(&folder))?;
        }
        Ok(release)
    }

    /// As [`Store::collect`]; what goes wrong is logged, since nobody depends on it.
    pub fn collect_or_warn(&self, component: &ComponentName) {
        if let Err(error) = self.collect(component) {
            tracing::warn!(%component, error = sentence(&error), "cannot delete old releases");
        }
    }

    /// An instance will say which releases of its component it needs; until then it may be any.
    pub fn expect(&self, instance: &InstanceName, component: &ComponentName) {
        self.shared()
            .needed
            .insert(instance.clone(), (component.clone(), None));
    }

    /// From now on an instance needs these releases of its component, and no others.
    pub fn need(&self, instance: &InstanceName, component: &ComponentName, releases: Vec<Release>) {
        self.shared()
            .needed
            .insert(instance.clone(), (component.clone(), Some(releases)));
    }

    /// Deletes releases of a component that nobody needs, but for the newest ones of them; none while an
    /// instance has not said what it needs. Blocks.
    ///
    /// # Errors
    /// When the file system refuses; the rest stays for the next time.
    pub fn collect(&self, component: &ComponentName) -> Result<(), StoreError> {
        let unneeded: Vec<(String, Release)> = {
            let shared = self.shared();
            let mut needed = BTreeSet::new();
            for (_, releases) in shared.needed.values().filter(|(of, _)| of == component) {
                let Some(releases) = releases else {
                    return Ok(());
                };
                needed.extend(releases.iter().map(ToString::to_string));
            }
            let of_component = shared
                .releases
                .iter()
                .filter(|((of, _), _)| of == component);
            of_component
                .map(|((_, name), known)| (name.clone(), known.release.clone()))
                .filter(|(name, _)| !needed.contains(name))
                .collect()
        };
        let installed_at = |release: &Release| {
            let file = self
                .folder_of(component, release)
                .join(description::FILE_NAME);
            fs::metadata(file)
                .and_then(|metadata| metadata.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let mut by_age: Vec<_> = unneeded
            .into_iter()
            .map(|(name, release)| (installed_at(&release), name, release))
            .collect();
        by_age.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        for (_, name, release) in by_age.into_iter().skip(OLD_RELEASES_KEPT) {
            self.shared()
                .releases
                .remove(&(component.clone(), name.clone()));
            let place = self.folder_of(component, &release);
            let old = place.with_file_name(format!("{OLD_PREFIX}{name}"));
            fs::rename(&place, &old).map_err(io_at(&place))?;
            fs::remove_dir_all(&old).map_err(io_at(&old))?;
            tracing::info!(%component, %release, "deleted a release that nobody needs");
        }
        Ok(())
    }
}

pub(super) fn io_at(path: &Utf8Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Opens an artifact for reading.
fn open_artifact(path: &Utf8Path) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    // A link may lead to the program that was there before; a download is never one.
    let is_ours = path.file_name().is_some_and(|name| name.starts_with('.'));
    let flags = if is_ours { no_follow } else { 0 };
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The digest and the size of a file, if it is a program for this host.
fn examine(path: &Utf8Path) -> Result<(Digest, u64), StoreError> {
    let file = open_artifact(path).map_err(io_at(path))?;
    examine_open(&file, path)
}

/// As [`examine`], of what is open already.
fn examine_open(mut file: &File, path: &Utf8Path) -> Result<(Digest, u64), StoreError> {
    let io = io_at(path);
    let size_bytes = file.metadata().map_err(&io)?.len();
    if size_bytes > ARTIFACT_BYTES_MAX {
        return Err(StoreError::TooLarge(size_bytes));
    }
    let mut header = Vec::with_capacity(EXECUTABLE_HEADER_BYTES);
    file.by_ref()
        .take(EXECUTABLE_HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .map_err(&io)?;
    platform::check_executable(&header, platform::current())?;
    file.rewind().map_err(&io)?;
    digest_of(file).map_err(&io)
}

/// The digest and the size of what is in a file from here on.
fn digest_of(mut file: &File) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((hasher.finish(), size_bytes));
        }
        size_bytes += length as u64;
        hasher.update(buffer.get(..length).unwrap_or_default());
    }
}

/// Unpacks an archive into a folder that is not there; it is not there afterwards if that fails.
fn unpack_new(
    tree: &Tree,
    archive: &File,
    size_bytes: u64,
    new: &Utf8Path,
) -> Result<(), StoreError> {
    let expected = Expected {
        format: tree.format,
        size_bytes,
        executable: &tree.executable,
        platform: platform::current(),
        unpacked_bytes: Some(tree.unpacked_bytes),
    };
    if let Err(error) = unpack(archive, &expected, new) {
        // A disk that is full has to be less so afterwards; what cannot be removed is when it is tried again.
        let _ = remove_folder(new);
        return Err(error.into());
    }
    Ok(())
}

/// Makes the folder of a release that is one program, which goes to its place in it: the very file that is open.
fn put_program(
    new: &Utf8Path,
    binary: &str,
    program: &Utf8Path,
    open: &File,
) -> Result<(), StoreError> {
    let place = new.join(binary);
    let folder = place.parent().unwrap_or(new);
    let put = || -> io::Result<bool> {
        create_private_folder(folder)?;
        fs::rename(program, &place)?;
        let (put, verified) = (fs::symlink_metadata(&place)?, open.metadata()?);
        if (put.dev(), put.ino()) != (verified.dev(), verified.ino()) {
            return Ok(false);
        }
        open.set_permissions(Permissions::from_mode(0o700))?;
        open.sync_all()?;
        let made = folder.ancestors().take_while(|above| *above != new);
        for folder in made {
            sync_folder(folder)?;
        }
        Ok(true)
    };
    match put().map_err(io_at(new))? {
        true => Ok(()),
        false => Err(StoreError::Exchanged {
            path: program.to_owned(),
        }),
    }
}

/// Checks that a folder is one, and that nobody but the agent's user can change what is in it.
fn check_ours(folder: &Utf8Path) -> Result<(), StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let io = |error: rustix::io::Errno| io_at(folder)(error.into());
    let opened = rustix::fs::open(folder.as_std_path(), flags, Mode::empty()).map_err(io)?;
    let stat = rustix::fs::fstat(&opened).map_err(io)?;
    let problem = |problem| StoreError::Folder {
        path: folder.to_owned(),
        problem,
    };
    if stat.st_uid != geteuid().as_raw() {
        return Err(problem(
            "belongs to another user than the one the agent runs as",
        ));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return Err(problem("can be written to by others than its owner"));
    }
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        tracing::warn!(%folder, "others could read the releases; they cannot any more");
        rustix::fs::fchmod(&opened, Mode::RWXU).map_err(io)?;
    }
    Ok(())
}

/// The folders in a folder, by name.
fn folders(folder: &Utf8Path) -> Result<Vec<(String, Utf8PathBuf)>, StoreError> {
    let io = io_at(folder);
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().map_err(&io)? {
        let entry = entry.map_err(&io)?;
        if entry.file_type().map_err(&io)?.is_dir() {
            found.push((entry.file_name().to_owned(), entry.path().to_owned()));
        }
    }
    Ok(found)
}

fn remove_folder(folder: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
