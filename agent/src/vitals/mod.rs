//! Vitals: how the host and the disks under the data are, as far as the kernel shows it.
//!
//! Looked at now and then, kept in memory and said with a heartbeat when they have changed. A disk that hangs holds a
//! thread up and nothing else: all that may hang is done off the runtime's own thread, a folder at a time, and a folder
//! whose turn before has not come to an end gets no other. `host` is the machine, `disk` what the kernel says of a
//! folder's file system and disk, `check` whether something written there can be read again. Nothing is written to a
//! folder that nobody uses just now: one that is empty has to stay so for who begins with it.

mod check;
mod disk;
mod host;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::Utf8PathBuf;
use evenkeel_common::{
    limits::{REASON_BYTES_MAX, cut},
    names::InstanceName,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout},
};

pub use host::Host;

use crate::{config::VitalsSettings, report::sentence};

/// How long one look at a folder may take before it is said that its disk does not answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// As many folders may hang before no others are looked at: each holds one of few threads.
const HUNG_MAX: usize = 2;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vitals {
    /// The machine; unset where the kernel does not show it.
    pub host: Option<Host>,
    /// The data folders.
    pub folders: Vec<DataFolder>,
}

/// A data folder of an instance, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder {
    /// Whose it is.
    pub instance: InstanceName,
    /// Which of its `data_dirs` it is, from 0. Its path is nobody else's business.
    pub index: u32,
    /// What was seen; what was seen last, where it cannot be looked at now.
    pub seen: disk::Disk,
    /// What is wrong; empty if nothing is.
    pub trouble: String,
}

/// The newest vitals.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Option<Vitals>>);

impl Latest {
    /// The newest vitals; none before the first look.
    #[must_use]
    pub fn get(&self) -> Option<Vitals> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, vitals: Vitals) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(vitals);
    }
}

/// A look at a folder that goes on, or may begin.
struct Watched {
    path: Utf8PathBuf,
    folder: DataFolder,
    /// A look that did not end in its time.
    hung: Option<JoinHandle<Result<disk::Disk, String>>>,
    check_at: Instant,
}

/// Looks at the host and these folders until the program ends. Those of an instance are written to only while it is
/// `at_work`.
pub async fn watch(
    settings: VitalsSettings,
    folders: Vec<(InstanceName, u32, Utf8PathBuf)>,
    at_work: impl Fn(&InstanceName) -> bool,
    latest: Arc<Latest>,
) {
    let first_check = Instant::now() + settings.interval;
    let mut watched: Vec<Watched> = folders
        .into_iter()
        .map(|(instance, index, path)| Watched {
            path,
            folder: DataFolder {
                instance,
                index,
                seen: disk::Disk::default(),
                trouble: String::new(),
            },
            hung: None,
            // What begins is busy enough.
            check_at: first_check,
        })
        .collect();
    let mut before = None;
    loop {
        let (host, now) = host::look(before);
        before = now;
        for index in 0..watched.len() {
            let hung = watched.iter().filter(|one| one.hangs()).count();
            if let Some(one) = watched.get_mut(index) {
                let may_check = settings.check && at_work(&one.folder.instance);
                one.look(
                    may_check.then_some(settings.check_interval),
                    hung,
                    LOOK_TIMEOUT,
                )
                .await;
            }
        }
        latest.set(Vitals {
            host,
            folders: watched.iter().map(|one| one.folder.clone()).collect(),
        });
        sleep(settings.interval).await;
    }
}

impl Watched {
    fn hangs(&self) -> bool {
        self.hung.as_ref().is_some_and(|hung| !hung.is_finished())
    }

    /// Looks at the folder, for at most `time`, unless as many others hang as may. It is written to, if at all, this often.
    async fn look(&mut self, check_interval: Option<Duration>, hung: usize, time: Duration) {
        let mut looking = match self.hung.take() {
            Some(before) => before,
            None if hung >= HUNG_MAX => {
                "it is not looked at while other disks do not answer"
                    .clone_into(&mut self.folder.trouble);
                return;
            }
            None => {
                let path = self.path.clone();
                let now = Instant::now();
                let due = check_interval.filter(|_| now >= self.check_at);
                if let Some(interval) = due {
                    self.check_at = now + interval;
                }
                let is_due = due.is_some();
                let (last, failed) = (self.folder.seen.clone(), self.folder.trouble.clone());
                spawn_blocking(move || look(&path, is_due, &last, &failed))
            }
        };
        let looked = match looking.is_finished() {
            true => Ok((&mut looking).await),
            false => timeout(time, &mut looking).await,
        };
        match looked {
            Err(_) => {
                self.folder.trouble = format!("the disk did not answer for {time:?}");
                self.hung = Some(looking);
            }
            Ok(Ok(Ok(seen))) => {
                self.folder.trouble = seen.trouble.clone();
                self.folder.seen = seen;
            }
            Ok(Ok(Err(trouble))) => self.folder.trouble = cut(trouble, REASON_BYTES_MAX),
            Ok(Err(error)) => self.folder.trouble = sentence(&error),
        }
    }
}

/// Looks at a folder, and writes to it if it is time to. Blocks, perhaps for ever.
fn look(
    path: &camino::Utf8Path,
    is_due: bool,
    last: &disk::Disk,
    failed: &str,
) -> Result<disk::Disk, String> {
    let mut seen = disk::look(path).map_err(|error| format!("cannot look at it: {error}"))?;
    seen.check_us = last.check_us;
    if seen.read_only {
        "its file system can only be read".clone_into(&mut seen.trouble);
    } else if is_due {
        match check::check(path) {
            Ok(took) => seen.check_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            Err(error) => seen.trouble = cut(sentence(&error), REASON_BYTES_MAX),
        }
    } else if !last.trouble.is_empty() && !last.read_only && failed == last.trouble {
        // Until the next check finds it well.
        seen.trouble.clone_from(&last.trouble);
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;
