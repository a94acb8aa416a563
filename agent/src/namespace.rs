//! For tests: file systems of a test's own, which nobody else sees and which end with it.

use std::{env, process::Command};

use camino::Utf8Path;

/// Set for the process that is in a namespace of its own.
const INSIDE: &str = "EVENKEEL_TEST_NAMESPACE";

/// Runs the rest of the test named `test` in a mount namespace of its own: false in the process that was asked, which
/// has nothing left to do.
#[track_caller]
pub(crate) fn entered(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// Mounts a file system in memory of this many KiB and inodes.
#[track_caller]
pub(crate) fn mount(place: &Utf8Path, kib: u32, inodes: u32) {
    let options = format!("size={kib}k,nr_inodes={inodes}");
    run(
        "mount",
        &["-t", "tmpfs", "-o", &options, "tmpfs", place.as_str()],
    );
}

/// Makes a mounted file system one that cannot be written to.
#[track_caller]
pub(crate) fn make_read_only(place: &Utf8Path) {
    run("mount", &["-o", "remount,ro", place.as_str()]);
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}
