//! The least that can be upgraded: a process that listens. Quick to restart, and its bad releases are bad at once, so
//! that many faults can be gone through in little time.

use std::{fs, iter, os::unix::fs::PermissionsExt as _};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_proto::v1::CompatibilityMatrix;

use crate::{
    fleet::{FleetSpec, NodeSpec},
    matrix, places, ports,
};

/// Its component.
pub const COMPONENT: &str = "trivial";

/// The version that its fleets begin with.
pub const FIRST: &str = "1.0.0";

/// What a release does when it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Listens at once.
    Good,
    /// Ends at once.
    Ends,
    /// Runs and never listens.
    Deaf,
    /// Answers HTTP, each time after so many milliseconds.
    Answers {
        /// So many.
        after_ms: u32,
    },
    /// Answers HTTP for so many milliseconds; then it runs on and listens no more.
    Sickens {
        /// So many.
        after_ms: u32,
    },
}

/// A component of a fleet, all of whose instances run the same at the beginning.
#[derive(Debug, Clone, Copy)]
pub struct Kind<'a> {
    /// Its name.
    pub component: &'a str,
    /// What its instances run.
    pub version: &'a str,
    /// How many nodes have one.
    pub count: usize,
}

/// A layout of trivial processes, one to a node and a zone.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The fleet that runs them.
    pub spec: FleetSpec,
    /// Where each listens, in the order of the nodes.
    pub ports: Vec<u16>,
    programs: Utf8PathBuf,
}

impl Layout {
    /// `count` nodes of one component whose versions all go together, their programs below `folder`.
    ///
    /// # Errors
    /// When there is no free port, or the program is not built.
    pub fn new(folder: &Utf8Path, count: usize) -> anyhow::Result<Self> {
        let kind = Kind {
            component: COMPONENT,
            version: FIRST,
            count,
        };
        Self::of_kinds(folder, &[kind], Some(matrix::all_go_together(COMPONENT)))
    }

    /// Nodes of several components, in their order, with a matrix if there is one.
    ///
    /// # Errors
    /// When there is no free port, or the program is not built.
    pub fn of_kinds(
        folder: &Utf8Path,
        kinds: &[Kind<'_>],
        matrix: Option<CompatibilityMatrix>,
    ) -> anyhow::Result<Self> {
        let kinds: Vec<_> = kinds
            .iter()
            .flat_map(|kind| iter::repeat_n(kind, kind.count))
            .collect();
        let mut layout = Self {
            spec: FleetSpec::new(Vec::new()),
            ports: ports::free(kinds.len())?,
            programs: folder.join("programs"),
        };
        layout.spec.matrix = matrix;
        for ((port, kind), number) in layout.ports.iter().zip(kinds).zip(1..) {
            let (component, version) = (kind.component, kind.version);
            let first = layout.release(version, Conduct::Good)?;
            let instance = format!(
                r#"[[instance]]
name = "store"
component = "{component}"
command = ["{{release}}/{component}", "{port}"]
stop_timeout = "5s"
initial = {{ version = "{version}", path = "{first}" }}
[[instance.probe]]
type = "tcp"
address = "127.0.0.1:{port}"
interval = "100ms"
timeout = "1s"
"#
            );
            let node = NodeSpec::new(format!("n{number}"), instance);
            let zone = format!("z{number}");
            layout.spec.nodes.push(node.label("zone", &zone));
        }
        Ok(layout)
    }

    /// The same with processes that answer HTTP, and are probed so.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn answering(mut self) -> anyhow::Result<Self> {
        self.release(FIRST, Conduct::Answers { after_ms: 0 })?;
        for (node, port) in self.spec.nodes.iter_mut().zip(&self.ports) {
            for instance in &mut node.instances {
                *instance = instance.replace(
                    &format!("type = \"tcp\"\naddress = \"127.0.0.1:{port}\""),
                    &format!("type = \"http\"\nurl = \"http://127.0.0.1:{port}/\""),
                );
            }
        }
        Ok(self)
    }

    /// The same with a driver each, as TOML without its heading; `{node}` stands for the node's name.
    #[must_use]
    pub fn with_driver(mut self, driver: &str) -> Self {
        for node in &mut self.spec.nodes {
            let driver = driver.replace("{node}", &node.name);
            for instance in &mut node.instances {
                instance.push_str(&format!("[instance.driver]\n{driver}\n"));
            }
        }
        self
    }

    /// Makes a release's program. Bytes after the end of an executable change nothing but its digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn release(&self, version: &str, conduct: Conduct) -> anyhow::Result<Utf8PathBuf> {
        let program = match conduct {
            Conduct::Good => places::program("evenkeel-bench-process")?,
            // Whatever they are told, and for as many seconds as the port has.
            Conduct::Ends => "/bin/false".into(),
            Conduct::Deaf => "/bin/sleep".into(),
            Conduct::Answers { .. } | Conduct::Sickens { .. } => {
                places::program("evenkeel-trivial")?
            }
        };
        // What `evenkeel-trivial` reads there.
        let told = match conduct {
            Conduct::Good | Conduct::Ends | Conduct::Deaf => String::new(),
            Conduct::Answers { after_ms } => format!(" conduct: answer_after_ms={after_ms}"),
            Conduct::Sickens { after_ms } => format!(" conduct: sicken_after_ms={after_ms}"),
        };
        let bytes = fs::read(&program).with_context(|| format!("cannot read {program}"))?;
        fs::create_dir_all(&self.programs)?;
        let path = self.programs.join(version);
        fs::write(
            &path,
            [&bytes, version.as_bytes(), told.as_bytes()].concat(),
        )?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}
