//! Which processor does whose work: with the peer alone on one, and the client and the upstream on the others, none of
//! them waits for another's turn, and figures repeat.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use std::fmt;
use std::process::{Child, Command};

/// The division of the processors.
#[derive(Debug)]
pub(crate) struct Cpus {
    /// For the peer that is measured.
    pub(crate) peer: Place,
    /// For the client and the upstream.
    pub(crate) rest: Place,
}

/// Processors that a program may run on; none where there are too few to divide.
#[derive(Debug)]
pub(crate) struct Place(Option<CpuSet>);

/// How the processors were divided, for the report.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Pinned {
    /// Processors of the peer.
    peer: usize,
    /// Processors of the client and the upstream.
    rest: usize,
}

impl Cpus {
    /// The last processor that this process may use for the peer, all others for the rest.
    pub(crate) fn divide() -> Self {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let (mut peer, mut rest) = (CpuSet::new(), allowed);
        let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
        match last {
            Some(cpu) if allowed.count() > 1 => {
                peer.set(cpu);
                rest.unset(cpu);
                Self { peer: Place(Some(peer)), rest: Place(Some(rest)) }
            }
            _ => Self { peer: Place(None), rest: Place(None) },
        }
    }

    /// What was divided.
    pub(crate) fn pinned(&self) -> Option<Pinned> {
        let count = |place: &Place| place.0.map(|set| set.count() as usize);
        Some(Pinned { peer: count(&self.peer)?, rest: count(&self.rest)? })
    }
}

impl Place {
    /// Moves this thread there for good.
    pub(crate) fn enter(&self) -> Result<()> {
        match &self.0 {
            Some(set) => sched_setaffinity(None, set).context("choosing the processors"),
            None => Ok(()),
        }
    }

    /// Starts a program there; this thread stays where it is.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let before = Self(self.0.and(sched_getaffinity(None).ok()));
        // A child runs where the thread that starts it may run.
        self.enter()?;
        let child = command.spawn();
        before.enter()?;
        Ok(child?)
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, rest } = self;
        write!(f, "Peers are pinned to {peer} CPU, the client and the upstream to the other {rest}.")
    }
}
