//! What is measured: each way from the client to the upstream.

use crate::client::Way;
use crate::hudson::Hudson;
use crate::origin::Origin;
use crate::process::Process;
use anyhow::Result;

/// One way to the upstream.
#[derive(Debug)]
pub(crate) enum Peer {
    /// No proxy: what the others are compared with.
    Direct(Way),
    /// `hudson up`, metering and holding under a hard budget.
    Hudson(Hudson),
}

impl Peer {
    /// No proxy.
    pub(crate) fn direct(origin: &Origin) -> Result<Self> {
        Ok(Self::Direct(Way::direct(&origin.ca_files)?))
    }

    /// What it is called in the table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Hudson(_) => "hudson",
        }
    }

    /// How connections are made.
    pub(crate) fn way(&self) -> &Way {
        match self {
            Self::Direct(way) => way,
            Self::Hudson(hudson) => &hudson.way,
        }
    }

    /// The proxy's process, where there is one.
    pub(crate) fn process(&self) -> Option<&Process> {
        match self {
            Self::Direct(_) => None,
            Self::Hudson(hudson) => Some(&hudson.process),
        }
    }

    /// An error unless the peer did all of its work: `tokens` went through it.
    pub(crate) fn audit(&self, tokens: u64) -> Result<()> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Hudson(hudson) => hudson.audit(tokens),
        }
    }
}
