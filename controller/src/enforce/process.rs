//! A process bottle: frozen, thawed and killed by its cgroup, or by what can be found of it where there is none.
//!
//! Invariant: a kill reaches every descendant that can be found, those that left the group too; a freeze ends when nothing
//! that it found runs any more, and nothing new was found.

use super::back_end::{BackEnd, CUT_OFF};
use crate::cgroup::Cgroup;
use anyhow::{Result, bail};
use async_trait::async_trait;
use hudson_schema::ledger::{Action, Enforcement};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How often a process that forks may be met again before it is given up.
const ROUNDS: usize = 50;
const ROUND: Duration = Duration::from_millis(2);

/// What was done to the processes last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Life {
    /// They run.
    #[default]
    Running,
    /// They are stopped where they were.
    Frozen,
    /// They were killed.
    Killed,
}

/// The processes of one run.
pub struct ProcessBackEnd {
    group: Pid,
    cgroup: Option<Cgroup>,
    /// A process outside of the bottle that would be found as one of it.
    spared: Option<i32>,
    life: watch::Sender<Life>,
    ended: AtomicBool,
}

impl ProcessBackEnd {
    /// The processes of a group below this process, all of them in a cgroup if there is one.
    pub fn new(group: Pid, cgroup: Option<Cgroup>, spared: Option<u32>) -> Self {
        let spared = spared.and_then(|pid| i32::try_from(pid).ok());
        Self { group, cgroup, spared, life: watch::Sender::default(), ended: AtomicBool::new(false) }
    }

    /// What was done last, and what is done from here on.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// The command has ended: there is nothing left that could be frozen.
    pub fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Stops everything; how many processes that were.
    async fn freeze(&self) -> Result<usize> {
        if let Some(cgroup) = &self.cgroup {
            return cgroup.freeze().await;
        }
        let mut known = Vec::new();
        for _ in 0..ROUNDS {
            let found = self.found();
            let running: Vec<i32> = found.iter().copied().filter(|pid| !is_stopped(*pid)).collect();
            if running.is_empty() && found == known {
                return Ok(found.len());
            }
            for pid in running {
                let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
            }
            known = found;
            tokio::time::sleep(ROUND).await;
        }
        bail!("there is no cgroup to freeze it by, and new processes were found as fast as they were stopped")
    }

    /// Has everything go on.
    pub fn thaw(&self) -> Result<usize> {
        if let Some(cgroup) = &self.cgroup {
            cgroup.thaw()?;
            return Ok(cgroup.members().len());
        }
        let found = self.found();
        for pid in &found {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGCONT);
        }
        Ok(found.len())
    }

    /// Kills everything; how many processes that were.
    pub async fn kill(&self) -> Result<usize> {
        self.life.send_replace(Life::Killed);
        let of_cgroup = match &self.cgroup {
            Some(cgroup) => cgroup.kill().await?,
            None => 0,
        };
        // What stands around the command, too.
        let found = kill_descendants(self.group).await;
        Ok(found.max(of_cgroup))
    }

    fn found(&self) -> Vec<i32> {
        let mut found = descendants(std::process::id());
        found.retain(|pid| Some(*pid) != self.spared);
        found.sort_unstable();
        found
    }
}

#[async_trait]
impl BackEnd for ProcessBackEnd {
    async fn carry_out(&self, row: &Enforcement) -> Result<String> {
        let ended = self.ended.load(Ordering::Relaxed);
        let by = if self.cgroup.is_some() { "its cgroup" } else { "signals, as there is no cgroup" };
        Ok(match row.action {
            Action::Cutoff => CUT_OFF.to_owned(),
            Action::Freeze if ended => "egress is cut off; the command had ended".to_owned(),
            Action::Resume if ended => "the command had ended".to_owned(),
            Action::Freeze => {
                let count = self.freeze().await?;
                self.life.send_replace(Life::Frozen);
                format!("egress is cut off; frozen: {count} of its processes, by {by}")
            }
            Action::Resume => {
                let count = self.thaw()?;
                self.life.send_replace(Life::Running);
                format!("{count} processes go on")
            }
            Action::Kill => {
                let count = self.kill().await?;
                format!("egress is cut off; {count} processes were killed")
            }
        })
    }
}

/// Kills the group and every descendant of this process; how many processes that were.
async fn kill_descendants(group: Pid) -> usize {
    let mut count = 0;
    // A process can fork while the list is read, so it is read until nobody is left; bounded, should one be unkillable.
    for _ in 0..ROUNDS {
        let _ = killpg(group, Signal::SIGKILL);
        let found = descendants(std::process::id());
        if found.is_empty() {
            break;
        }
        for pid in &found {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        count = count.max(found.len());
        tokio::time::sleep(ROUND).await;
    }
    count
}

/// Living descendants of a process, from /proc.
pub fn descendants(root: u32) -> Vec<i32> {
    let Ok(root) = i32::try_from(root) else { return Vec::new() };
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some((state, parent)) = state_and_parent(pid)
            && !matches!(state, 'Z' | 'X')
        {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// A process's state letter and its parent, from /proc.
pub fn state_and_parent(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in brackets and may hold anything: what follows the last one is fixed.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_stopped(pid: i32) -> bool {
    state_and_parent(pid).is_none_or(|(state, _)| matches!(state, 'T' | 't' | 'Z' | 'X'))
}
