//! Where a run is: what has to be acted on when it is frozen, killed or brought back.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The place of a run. It is decided before the run is recorded, and stands in its launch.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    /// Somewhere that Hudson does not hold: only its egress can be stopped, and what a command of the settings does.
    #[default]
    Elsewhere,
    /// A process that `hudson run` has started.
    Process {
        /// The cgroup that holds it and every descendant; `None` where the host lets nobody make one.
        #[serde(default)]
        cgroup: Option<PathBuf>,
    },
    /// A container.
    Container {
        /// The socket of its engine.
        socket: PathBuf,
        /// Its name or id.
        id: String,
        /// The network that was made for it.
        #[serde(default)]
        network: Option<String>,
        /// Whether it was started by somebody else, and is only tied to the run.
        #[serde(default)]
        tied: bool,
    },
}
