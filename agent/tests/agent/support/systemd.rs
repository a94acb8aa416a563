//! A systemd of one test's own, with a bus of its own: a real one, in a mount namespace and a control group.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

use super::{Place, wait_for};

/// The unit of the tests' instance.
pub(crate) const UNIT: &str = "store-s1.service";

/// The units of the bus: systemd comes to one that begins under these names.
pub(crate) const BUS: &str = "dbus.service";
const BUS_SOCKET: &str = "dbus.socket";

/// The unit as it is shipped.
const TEMPLATE: &str = include_str!("../../../../deploy/systemd/evenkeel-storage.service");

/// Where systemd looks for itself, and for the hierarchies of control groups that there may be.
const PROGRAM: &str = "/usr/lib/systemd/systemd";
const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup",
];

/// What the manager is begun with: a `/run` that says that there is a systemd, and a control group of its own.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
for group; do echo $$ > "$group/cgroup.procs"; done
exec "$PROGRAM" --user --log-target=console
"#;

/// A systemd that runs the units of one place, and all of it ends with this.
pub(crate) struct Systemd {
    root: Utf8PathBuf,
    manager: Child,
    groups: Vec<Utf8PathBuf>,
}

impl Systemd {
    /// Starts one. A machine that cannot have it fails the test.
    pub(crate) fn start(place: &Place) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "these tests need systemd and dbus: `apt-get install systemd dbus`"
        );
        let root = place.root.join("systemd");
        for folder in ["run", "units", "config", "data"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (name, text) in units_of_the_bus(&root) {
            fs::write(root.join("units").join(name), text).unwrap();
        }
        let groups = own_groups(&root);
        let log = File::create(root.join("log")).unwrap();
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                SCRIPT,
                "sh",
            ])
            .args(&groups)
            .env("PROGRAM", PROGRAM)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        let mut systemd = Self {
            manager: of_root(&mut command, &root).spawn().unwrap(),
            root,
            groups,
        };
        wait_for("systemd and its bus", || {
            let ended = systemd.manager.try_wait().unwrap();
            assert!(ended.is_none(), "systemd ended: {}", systemd.log());
            let asked = systemd.try_systemctl(&["is-active", BUS]);
            (asked.trim() == "active").then_some(())
        });
        systemd
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Writes the instance's unit: as it is shipped, but for what this changes.
    pub(crate) fn write_unit(&self, place: &Place, change: impl FnOnce(String) -> String) {
        let text = TEMPLATE
            .replace(
                "/var/lib/evenkeel-agent/instances/INSTANCE",
                place.of_instance("").as_str().trim_end_matches('/'),
            )
            .replace("INSTANCE", "s1")
            .replace("BINARY", "store")
            .replace("ARGUMENTS", &place.address.to_string())
            // The tests' systemd has no targets.
            .replace("After=network-online.target\n", "DefaultDependencies=no\n")
            .replace("Wants=network-online.target\n", "");
        fs::write(self.root.join("units").join(UNIT), change(text)).unwrap();
        self.systemctl(&["daemon-reload"]);
    }

    /// Has an operator call `systemctl`, which does not need the bus.
    #[track_caller]
    pub(crate) fn systemctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(arguments);
        let output = of_root(&mut command, &self.root).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same where it may well say no.
    pub(crate) fn try_systemctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(arguments);
        let output = of_root(&mut command, &self.root).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A property of the instance's unit.
    pub(crate) fn property(&self, name: &str) -> String {
        let told = self.systemctl(&["show", "--value", "-p", name, UNIT]);
        told.trim().to_owned()
    }

    /// The bus is killed, and nobody starts it again.
    pub(crate) fn kill_bus(&self) {
        self.systemctl(&["stop", BUS_SOCKET]);
        self.systemctl(&["kill", "--signal=KILL", BUS]);
        wait_for("the end of the bus", || {
            let asked = self.try_systemctl(&["is-active", BUS]);
            (asked.trim() != "active").then_some(())
        });
    }

    pub(crate) fn start_bus(&self) {
        self.systemctl(&["reset-failed", BUS]);
        self.systemctl(&["start", BUS_SOCKET, BUS]);
    }

    /// All processes that systemd and its units have.
    fn processes(&self) -> Vec<Pid> {
        let mut folders = self.groups.clone();
        let mut processes = Vec::new();
        while let Some(folder) = folders.pop() {
            let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            processes.extend(
                listed
                    .lines()
                    .filter_map(|pid| Pid::from_raw(pid.parse().ok()?)),
            );
            folders.extend(children(&folder));
        }
        processes
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = self.manager.kill();
        let _ = self.manager.wait();
        wait_for("the end of all that systemd had", || {
            let left = self.processes();
            for process in &left {
                let _ = kill_process(*process, Signal::KILL);
            }
            left.is_empty().then_some(())
        });
        for group in &self.groups {
            remove(group);
        }
    }
}

/// What the programs of this systemd find it by.
fn of_root<'a>(command: &'a mut Command, root: &Utf8Path) -> &'a mut Command {
    command
        .env("HOME", root)
        .env("XDG_RUNTIME_DIR", root.join("run"))
        .env("XDG_CONFIG_HOME", root.join("config"))
        .env("XDG_DATA_HOME", root.join("data"))
        .env("SYSTEMD_UNIT_PATH", root.join("units"))
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={root}/run/bus"),
        )
}

fn units_of_the_bus(root: &Utf8Path) -> [(&'static str, String); 3] {
    let apart = "[Unit]\nDefaultDependencies=no\n";
    [
        (
            BUS_SOCKET,
            format!("{apart}[Socket]\nListenStream={root}/run/bus\n"),
        ),
        (
            BUS,
            format!(
                "{apart}[Service]\nType=notify\n\
                 ExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --syslog-only\n"
            ),
        ),
        (
            "default.target",
            format!("{apart}Wants={BUS_SOCKET} {BUS}\nAfter={BUS_SOCKET} {BUS}\n"),
        ),
    ]
}

/// Control groups of this test's own, one in each hierarchy that systemd uses.
fn own_groups(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let name = format!("evenkeel-{}", root.parent().unwrap().file_name().unwrap());
    let hierarchies = HIERARCHIES.map(Utf8Path::new);
    let groups = hierarchies
        .into_iter()
        .filter(|h| h.join("cgroup.procs").exists());
    groups
        .map(|hierarchy| {
            let group = hierarchy.join(&name);
            fs::create_dir(&group).unwrap();
            group
        })
        .collect()
}

fn children(group: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = group.read_dir_utf8().into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path().to_owned()).collect()
}

fn remove(group: &Utf8Path) {
    for child in children(group) {
        remove(&child);
    }
    let _ = fs::remove_dir(group);
}
