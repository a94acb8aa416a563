//! The worked example of docs/COMPATIBILITY.md: metadata-service, data-service, and the client-sdk that talks to both.

use camino::Utf8Path;
use evenkeel_proto::v1::{CompatibilityMatrix, PlanTarget};

use crate::{
    api::{Api, up},
    fleet::Fleet,
    handbook, matrix,
    systems::trivial::{Conduct, Kind, Layout},
};

/// The file of its matrix.
const FILE: &str = "example.toml";

/// The component that goes first.
pub const METADATA: &str = "metadata-service";

/// The component that goes after it.
pub const DATA: &str = "data-service";

/// The component that nobody of ours changes.
pub const CLIENT: &str = "client-sdk";

/// Where both are to be brought.
#[must_use]
pub fn targets() -> [PlanTarget; 2] {
    [up(METADATA, "2.0.0"), up(DATA, "2.0.0")]
}

/// The fleet of the example: two of the one, three of the other.
#[derive(Debug)]
pub struct Example {
    /// It runs.
    pub fleet: Fleet,
    /// As its admin.
    pub api: Api,
}

impl Example {
    /// Starts it, with the releases 1.2.0 and 2.0.0 of both published, and a matrix applied if there is one.
    ///
    /// # Errors
    /// When anything of it does not come up.
    pub async fn start(
        folder: &Utf8Path,
        matrix: Option<CompatibilityMatrix>,
    ) -> anyhow::Result<Self> {
        let kind = |component, version, count| Kind {
            component,
            version,
            count,
        };
        let kinds = [kind(METADATA, "1.0.0", 2), kind(DATA, "1.1.0", 3)];
        let mut layout = Layout::of_kinds(folder, &kinds, matrix)?;
        // On a busy machine the few answers of these processes differ by more than any rule of thumb allows.
        layout.spec.coordinator_extra += "[policy.compare]\noff = true\n";
        let fleet = Fleet::start(folder, &layout.spec).await?;
        let api = fleet.api()?;
        let key = fleet.release_key()?;
        for version in ["1.2.0", "2.0.0"] {
            let program = layout.release(version, Conduct::Good)?;
            for component in [METADATA, DATA] {
                api.publish(component, version, &program, &key).await?;
            }
        }
        Ok(Self { fleet, api })
    }
}

/// The matrix of the page, whose rules do not lead from 1.x to 2.0.0.
///
/// # Errors
/// When the page has none.
pub fn without_bridge() -> anyhow::Result<CompatibilityMatrix> {
    matrix::of_toml(&handbook::file(FILE, 1)?)
}

/// The same with the rule that does.
///
/// # Errors
/// When the page has none.
pub fn with_bridge() -> anyhow::Result<CompatibilityMatrix> {
    matrix::of_toml(&handbook::file(FILE, 2)?)
}
