//! A run's process: started in a group of its own, given the terminal, watched, and ended when a budget says so.
//!
//! Invariant: every enforcement against the run is carried out once, by steps in the ledger that only one process can
//! take; a kill reaches every descendant that can be found, those that left the group too.

use crate::instance::now;
use anyhow::{Context, Result};
use hudson_proxy::RunPolicy;
use hudson_schema::ledger::{Enforcement, EnforcementState, SharedLedger};
use hudson_schema::{Policy, RunId};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How a run's process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or 128 and the signal that ended it.
    pub code: u8,
    /// Whether it was killed by a spent budget.
    pub killed: bool,
}

/// What to start.
pub struct Program<'a> {
    /// The command and its arguments.
    pub argv: &'a [OsString],
    /// Variables that are taken away.
    pub withheld: &'a [OsString],
    /// Variables that are set.
    pub variables: &'a BTreeMap<String, OsString>,
}

/// Runs a program to its end. `policy` is what the run may do at the moment it is asked.
pub async fn run(
    program: Program<'_>,
    run: &RunId,
    ledger: &SharedLedger,
    policy: &(dyn Fn() -> Arc<RunPolicy> + Send + Sync),
) -> Result<Ended> {
    // Daemons that leave their group become children of this process, where a kill finds them.
    nix::sys::prctl::set_child_subreaper(true).context("becoming the reaper of the bottle's processes")?;
    let mut child = spawn(&program)?;
    let group = Pid::from_raw(i32::try_from(child.id().unwrap_or_default()).unwrap_or_default());
    let terminal = Terminal::give(group);
    let mut changes = ledger.changes();
    let mut forwarded = Forwarded::new()?;
    let mut killed = false;
    let status = loop {
        killed |= enforce(run, ledger, policy, group).await;
        tokio::select! {
            status = child.wait() => break status.context("waiting for the command")?,
            changed = changes.changed() => {
                if changed.is_err() {
                    // The ledger is gone, and with it any word of a budget: fail closed.
                    kill(group);
                    killed = true;
                }
            }
            signal = forwarded.next() => { let _ = killpg(group, signal); }
        }
    };
    drop(terminal);
    // A crossing by the very last request is acted on as well.
    killed |= enforce(run, ledger, policy, group).await;
    Ok(Ended { code: code(status), killed })
}

fn spawn(program: &Program<'_>) -> Result<Child> {
    let (name, arguments) = program.argv.split_first().context("there is no command to run")?;
    let mut command = Command::new(name);
    command.args(arguments).process_group(0);
    for variable in program.withheld {
        command.env_remove(variable);
    }
    command.envs(program.variables);
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::Error::new(crate::exit::Exit {
            code: 127,
            message: format!("{}: command not found", name.to_string_lossy()),
        }),
        _ => anyhow::Error::new(crate::exit::Exit {
            code: 126,
            message: format!("{}: {error}", name.to_string_lossy()),
        }),
    })
}

/// Carries out what the ledger plans against the run; whether that killed it.
async fn enforce(
    run: &RunId,
    ledger: &SharedLedger,
    policy: &(dyn Fn() -> Arc<RunPolicy> + Send + Sync),
    group: Pid,
) -> bool {
    // A budget that another run spent stops this one too, where it governs it.
    let governing = policy().governing(now());
    if let Ok(Some(_)) = ledger.block_fetch(run, &governing, now()).await {
        let _ = ledger.block_plan(run, &governing, now()).await;
    }
    let Ok(planned) = ledger.enforcement_list(Some(run)).await else { return false };
    let mut killed = false;
    for row in planned {
        // One that was started by a process that died is taken up again: killing twice is killing once.
        let mine = match row.state {
            EnforcementState::Planned => advance(ledger, &row, EnforcementState::Started, "").await,
            EnforcementState::Started => true,
            EnforcementState::Done | EnforcementState::Failed => false,
        };
        if !mine {
            continue;
        }
        let row = Enforcement { state: EnforcementState::Started, ..row };
        eprintln!("hudson: {}: {}", row.policy, row.cause);
        match row.policy {
            Policy::Cutoff => {
                advance(ledger, &row, EnforcementState::Done, "egress is cut off; the process runs on").await;
            }
            Policy::Kill => {
                let count = kill(group);
                killed = true;
                let detail = format!("egress is cut off; {count} processes were killed");
                advance(ledger, &row, EnforcementState::Done, &detail).await;
            }
            Policy::Freeze => {
                let detail = "process bottles cannot be frozen in this version; egress is cut off";
                eprintln!("hudson: {detail}");
                advance(ledger, &row, EnforcementState::Failed, detail).await;
            }
        }
    }
    killed
}

async fn advance(ledger: &SharedLedger, row: &Enforcement, to: EnforcementState, detail: &str) -> bool {
    ledger.enforcement_advance(row.id, row.state, to, detail, now()).await.unwrap_or(false)
}

/// Kills the group and every descendant; how many processes that were.
fn kill(group: Pid) -> usize {
    let mut count = 0;
    // A process can fork while the list is read, so it is read until nobody is left; bounded, should one be unkillable.
    for _ in 0..50 {
        let _ = killpg(group, Signal::SIGKILL);
        let found = descendants(std::process::id());
        if found.is_empty() {
            break;
        }
        for pid in &found {
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        count = count.max(found.len());
        std::thread::sleep(Duration::from_millis(2));
    }
    count
}

/// Living descendants of a process, from /proc.
fn descendants(root: u32) -> Vec<i32> {
    let Ok(root) = i32::try_from(root) else { return Vec::new() };
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The command's name stands in brackets and may hold anything: what follows the last one is fixed.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next().unwrap_or("Z");
        let parent = fields.next().and_then(|field| field.parse().ok());
        if let (Some(parent), false) = (parent, matches!(state, "Z" | "X")) {
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

/// 128 and the signal, as shells do.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

/// Signals to this process that belong to the command. SIGHUP is not among them: a terminal that hangs up tells its
/// foreground group itself, and anyone else means the configuration.
struct Forwarded {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Forwarded {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
        }
    }
}

/// The terminal, lent to the command's group so that interactive agents can read from it, and taken back at the end.
struct Terminal;

impl Terminal {
    fn give(group: Pid) -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || nix::unistd::tcgetpgrp(&stdin) != Ok(nix::unistd::getpgrp()) {
            return None;
        }
        nix::unistd::tcsetpgrp(&stdin, group).ok()?;
        // It may have read before the terminal was its own, and been stopped for that.
        let _ = killpg(group, Signal::SIGCONT);
        Some(Self)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Taking the terminal back from the background raises SIGTTOU, which would stop this process.
        let mut set = SigSet::empty();
        set.add(Signal::SIGTTOU);
        if set.thread_block().is_ok() {
            let _ = nix::unistd::tcsetpgrp(io::stdin(), nix::unistd::getpgrp());
            let _ = set.thread_unblock();
        }
    }
}
