//! Process bottles in namespaces of their own: user, mount, pid, network, ipc, uts and cgroup.
//!
//! Three processes stand around the command. `hudson run` stays outside. It starts this program again as the *outer*
//! helper ([`namespaces`]), which makes the namespaces and hands out a socket that listens inside; that starts this
//! program once more as the *init* ([`init`]) of the pid namespace, which builds the bottle's view of the file system
//! ([`mounts`]), locks it ([`lock`]) and starts the command. When the init ends, the kernel ends everything inside.
//!
//! Invariants: the command is started when every step has succeeded, else not at all; nothing is configured by
//! arguments or environment, but by one socket that nothing inside can reach.

mod init;
mod lock;
mod message;
mod mounts;
mod namespaces;
mod outside;
mod plan;
mod relay;

pub use outside::Isolated;
pub use plan::{Plan, Wish};
pub use relay::relay;

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

/// The hidden subcommands by which this program finds that it is a helper.
const OUTER: &str = "__bottle-outer";
const INIT: &str = "__bottle-init";

/// What holds a run back that ignores its proxy variables.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Nothing that Hudson does.
    #[default]
    Unenforced,
    /// Namespaces of its own, made by `hudson run`.
    Isolated,
}

impl Isolation {
    /// Its name, in reports and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unenforced => "unenforced",
            Self::Isolated => "isolated",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The helper's part, where this process is one. Has to be asked while the process has a single thread: only such a one
/// may enter a user namespace.
pub fn inside(arguments: &[OsString]) -> Option<ExitCode> {
    let helper = match arguments.get(1)?.to_str()? {
        OUTER => namespaces::run,
        INIT => init::run,
        _ => return None,
    };
    Some(ExitCode::from(message::control().map_or(crate::exit::FAILED, helper)))
}
