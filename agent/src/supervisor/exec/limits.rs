//! What a storage process may use: set by the process itself before it becomes the storage process.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use crate::config::{CoreLimit, Limits};

/// The limits as an argument of the shim.
pub(super) fn written(limits: &Limits) -> String {
    // It is made of numbers and a path that is text.
    serde_json::to_string(limits).unwrap_or_default()
}

/// Sets the limits for this process and all that it becomes.
pub(super) fn set(written: &str) -> Result<(), String> {
    let limits: Limits = serde_json::from_str(written)
        .map_err(|error| format!("cannot read the limits: {error}"))?;
    if let Some(group) = &limits.cgroup {
        // 0: whoever writes it.
        fs::write(group.join("cgroup.procs"), "0")
            .map_err(|error| format!("cannot join the control group {group}: {error}"))?;
    }
    if let Some(nice) = limits.nice {
        setpriority_process(None, nice)
            .map_err(|error| format!("cannot set the niceness to {nice}: {error}"))?;
    }
    if let Some(files) = limits.nofile {
        set_one(Resource::Nofile, Some(files))
            .map_err(|error| format!("cannot set the limit of open files to {files}: {error}"))?;
    }
    if let Some(core) = limits.core {
        let bytes = match core {
            CoreLimit::Bytes(bytes) => Some(bytes),
            CoreLimit::Unlimited => None,
        };
        set_one(Resource::Core, bytes)
            .map_err(|error| format!("cannot set the limit of core files: {error}"))?;
    }
    Ok(())
}

/// Sets a limit; none: no limit. Whoever may not raise what is the most for it gets it up to that.
fn set_one(resource: Resource, limit: Option<u64>) -> io::Result<()> {
    let both = Rlimit {
        current: limit,
        maximum: limit,
    };
    match setrlimit(resource, both) {
        Err(rustix::io::Errno::PERM) if limit.is_none() => {
            let maximum = getrlimit(resource).maximum;
            let as_far = Rlimit {
                current: maximum,
                maximum,
            };
            Ok(setrlimit(resource, as_far)?)
        }
        set => Ok(set?),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn limits_find_their_way_and_one_that_cannot_be_set_is_named() {
        assert_eq!(set(&written(&Limits::default())), Ok(()));
        let limits = Limits {
            cgroup: Some(Utf8PathBuf::from("/nowhere/at/all")),
            ..Limits::default()
        };
        let error = set(&written(&limits)).unwrap_err();
        assert!(error.contains("control group /nowhere/at/all"), "{error}");
        assert!(set("rubbish").is_err());
    }
}
