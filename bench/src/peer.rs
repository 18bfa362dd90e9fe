//! What is measured: each way from the client to the upstream.

pub(crate) mod hudson;
pub(crate) mod hudsucker;
mod mitmdump;
pub(crate) mod program;
pub(crate) mod relay;
mod squid;

use crate::child::{self, Ready, Role};
use crate::client::{Port, Protocol, Way};
use crate::cpus::Cpus;
use crate::origin::Origin;
use crate::process::Process;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::path::Path;

/// The peers, in the order of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// No proxy: what the others are compared with
    Direct,
    /// A byte relay that terminates TLS on both sides and reads nothing: what interception costs at least
    Relay,
    /// hudsucker, passing everything on, with TCP_NODELAY
    Hudsucker,
    /// `hudson up`, metering and holding under a hard budget
    Hudson,
    /// Squid with ssl_bump: $SQUID, else the one that is installed
    Squid,
    /// mitmdump, passing event streams on as they come: $MITMDUMP, else the one that is installed
    Mitmdump,
}

/// What a peer needs in order to start.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    /// A directory that is gone at the end.
    pub(crate) scratch: &'a Path,
    /// The running upstream.
    pub(crate) origin: &'a Origin,
    /// Who runs where.
    pub(crate) cpus: &'a Cpus,
    /// The `hudson` that is measured.
    pub(crate) hudson: Option<&'a Path>,
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Which it is.
    pub(crate) kind: Kind,
    /// How connections are made.
    pub(crate) way: Way,
    /// The same under no budget at all.
    unbudgeted: Option<Way>,
    /// The proxy's process, where there is one.
    pub(crate) process: Option<Process>,
    hudson: Option<hudson::Ledger>,
}

impl Kind {
    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Hudsucker => "hudsucker",
            Self::Hudson => "hudson",
            Self::Squid => "squid",
            Self::Mitmdump => "mitmdump",
        }
    }

    /// Can its clients speak this protocol?
    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        (self, protocol) != (Self::Squid, Protocol::Http2)
    }

    /// Does it take milliseconds where the others take microseconds?
    pub(crate) fn is_slow(self) -> bool {
        self == Self::Mitmdump
    }

    /// Is it a program of this machine, and not of this repository?
    pub(crate) fn is_installed(self) -> bool {
        matches!(self, Self::Squid | Self::Mitmdump)
    }

    /// What to say where it is not installed.
    pub(crate) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Squid if squid::program().is_none() => {
                Some("squid is not measured: install Debian's squid-openssl, or name it with $SQUID.")
            }
            Self::Mitmdump if mitmdump::program().is_none() => {
                Some("mitmdump is not measured: install mitmproxy from PyPI, or name it with $MITMDUMP.")
            }
            _ => None,
        }
    }

    /// Starts one in `scratch/NAME`.
    pub(crate) fn start(self, site: &Site<'_>, name: &str) -> Result<Peer> {
        let scratch = site.scratch.join(name);
        let own = |role| -> Result<(Process, Way)> {
            let upstream = site.origin.upstream();
            let (process, ready): (_, Ready) = child::start(role, &scratch, &upstream, &site.cpus.peer)?;
            Ok((process, Way::open(ready.address, Port::Https, &ready.ca_file)?))
        };
        let (process, way) = match self {
            Self::Direct => {
                let way = Way::direct(&site.origin.ca_files)?;
                return Ok(Peer { kind: self, way, unbudgeted: None, process: None, hudson: None });
            }
            Self::Relay => own(Role::Relay)?,
            Self::Hudsucker => own(Role::Hudsucker)?,
            Self::Hudson => {
                let (process, [way, unbudgeted], ledger) = hudson::start(site, &scratch)?;
                let (process, hudson, unbudgeted) = (Some(process), Some(ledger), Some(unbudgeted));
                return Ok(Peer { kind: self, way, unbudgeted, process, hudson });
            }
            Self::Squid => squid::start(site, &scratch)?,
            Self::Mitmdump => mitmdump::start(site, &scratch)?,
        };
        Ok(Peer { kind: self, way, unbudgeted: None, process: Some(process), hudson: None })
    }
}

impl Peer {
    /// How connections are made under no budget, where there are budgets.
    pub(crate) fn unbudgeted(&self) -> &Way {
        self.unbudgeted.as_ref().unwrap_or(&self.way)
    }

    /// An error unless the peer did all of its work: `tokens` went through it.
    pub(crate) fn audit(&self, tokens: u64) -> Result<()> {
        match &self.hudson {
            Some(ledger) => ledger.audit(tokens),
            None => Ok(()),
        }
    }
}
