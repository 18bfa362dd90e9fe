//! Where Hudson's files are (DESIGN section 3). Only names are made here; nothing is created or read.

use crate::BottleName;
use std::path::{Path, PathBuf};

/// The home directory of Hudson: `--home`, else `$BOT_BOTTLE_HOME`, else `~/.bot-bottle`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home(PathBuf);

impl Home {
    /// A home at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Host settings.
    pub fn settings(&self) -> PathBuf {
        self.0.join("settings.yml")
    }

    /// The folder that holds every bottle.
    pub fn bottles(&self) -> PathBuf {
        self.0.join("bottles")
    }

    /// A bottle's own settings.
    pub fn bottle(&self, name: &BottleName) -> PathBuf {
        self.bottles().join(name.as_str()).join("bottle.yml")
    }

    /// A bottle's routes.
    pub fn routes(&self, name: &BottleName) -> PathBuf {
        self.bottles().join(name.as_str()).join("routes.yaml")
    }

    /// A bottle's manifest in bot-bottle's own form.
    pub fn manifest(&self, name: &BottleName) -> PathBuf {
        self.bottles().join(format!("{name}.md"))
    }

    /// The SQLite ledger.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("bot-bottle.db")
    }

    /// The folder of the interception CA.
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca")
    }

    /// The CA's certificate.
    pub fn ca_certificate(&self) -> PathBuf {
        self.ca().join("ca.pem")
    }

    /// The CA's private key.
    pub fn ca_key(&self) -> PathBuf {
        self.ca().join("ca.key")
    }

    /// System roots and our CA in one file, for clients.
    pub fn ca_bundle(&self) -> PathBuf {
        self.ca().join("bundle.pem")
    }

    /// The key of the hashes by which findings of DLP are told apart.
    pub fn dlp_key(&self) -> PathBuf {
        self.0.join("dlp.key")
    }

    /// The folder of sockets, locks and pid files.
    pub fn runtime(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime().join("hudson.sock")
    }

    /// The folder of the lock files by which holds' owners show that they live.
    pub fn owners(&self) -> PathBuf {
        self.runtime().join("owners")
    }

    /// The event log when it is not standard error.
    pub fn event_log(&self) -> PathBuf {
        self.0.join("log").join("events.jsonl")
    }
}
