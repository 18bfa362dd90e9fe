//! A run's process: started in a group of its own, given the terminal, watched, and acted on as the journal says.
//!
//! Invariant: nothing that was started outlives a kill; while the bottle is frozen, a signal to this process ends it.

use crate::cgroup::Cgroup;
use crate::enforce::{self, BackEnd, Enforcer, Life, ProcessBackEnd, Witness};
use crate::exit::Exit;
use crate::instance::now;
use crate::isolate::Isolated;
use anyhow::{Context, Result};
use hudson_proxy::RunPolicy;
use hudson_schema::RunId;
use hudson_schema::ledger::{Enforcement, SharedLedger};
use nix::errno::Errno;
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
use tokio::time::MissedTickBehavior;

/// How often it is looked whether the command was stopped or its terminal changed hands.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A group that is not stopped by then will not be.
const STOPS_WITHIN: Duration = Duration::from_millis(500);

/// What a run may do, at the moment it is asked.
pub type CurrentPolicy = dyn Fn() -> Arc<RunPolicy> + Send + Sync;

/// How a run's process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or 128 and the signal that ended it.
    pub code: u8,
    /// Whether it was killed: by what was decided about it, or by a signal while it was frozen.
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
    /// What it is started in; `None` where nothing isolates it.
    pub isolated: Option<Isolated>,
    /// The cgroup that everything of it is in, where there is one.
    pub cgroup: Option<Cgroup>,
    /// Whether SIGHUP is for the command. Where this process has a proxy of its own, it means the configuration.
    pub hangup: bool,
}

/// Runs a program to its end.
pub async fn run(
    mut program: Program<'_>,
    run: &RunId,
    ledger: &SharedLedger,
    policy: &CurrentPolicy,
) -> Result<Ended> {
    // Daemons that leave their group become children of this process, where a kill finds them.
    nix::sys::prctl::set_child_subreaper(true).context("becoming the reaper of the bottle's processes")?;
    // Before the command lives, so that no signal can end this process and leave the command behind.
    let mut forwarded = Forwarded::new(program.hangup)?;
    let Started { group, mut process } = spawn(&mut program)?;
    // After the command was started, which so has the limit that it would have without Hudson.
    crate::limits::raise_open_files();
    let mut terminal = Terminal::lend(group);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let bottle = Arc::new(ProcessBackEnd::new(group, program.cgroup.clone(), process.spared()));
    let enforcer = Enforcer::new(ledger.clone(), Box::new(Told));
    let mut changes = ledger.changes();
    let mut life = bottle.life();
    take_up(&enforcer, &bottle, run, ledger, policy).await;
    let mut known = Life::default();
    let status = loop {
        let before = std::mem::replace(&mut known, *life.borrow_and_update());
        live_on(before, known, terminal.as_ref());
        let frozen = known == Life::Frozen;
        tokio::select! {
            status = process.wait() => break status.context("waiting for the command")?,
            changed = changes.changed() => match changed {
                Ok(_) => take_up(&enforcer, &bottle, run, ledger, policy).await,
                // The ledger is gone, and with it any word of a budget: fail closed.
                Err(_) => end(&bottle).await,
            },
            () = enforcer.freed() => take_up(&enforcer, &bottle, run, ledger, policy).await,
            // It is looked at above; its sender lives as long as the bottle.
            _ = life.changed() => {}
            signal = forwarded.next() => match frozen {
                true => end(&bottle).await,
                false => drop(killpg(group, signal)),
            },
            _ = look.tick(), if terminal.is_some() && !frozen => {
                if let Some(terminal) = &mut terminal {
                    terminal.look().await;
                }
            }
        }
    };
    drop(terminal);
    bottle.ended();
    // A crossing by the very last request is acted on as well.
    plan(run, ledger, policy).await;
    let last = enforcer.finish(run, &*bottle).await;
    let killed = *life.borrow() == Life::Killed;
    last.context("carrying out what was decided about the run")?;
    Ok(Ended { code: code(status), killed })
}

/// Starts the command; its process group. What is waited for is the command, or the helper that ends as it did.
fn spawn(program: &mut Program<'_>) -> Result<Started> {
    let (name, arguments) = program.argv.split_first().context("there is no command to run")?;
    if let Some(isolated) = program.isolated.take() {
        let kept = std::env::vars_os().filter(|(name, _)| !program.withheld.contains(name));
        let mut environment: BTreeMap<OsString, OsString> = kept.collect();
        environment.extend(program.variables.iter().map(|(name, value)| (name.into(), value.clone())));
        let group = isolated.start(program.argv, environment.into_iter().collect())?;
        return Ok(Started { group, process: Process::Isolated(isolated) });
    }
    let mut command = match &program.cgroup {
        Some(cgroup) => Command::from(cgroup.command(program.argv)),
        None => {
            let mut command = Command::new(name);
            command.args(arguments);
            command
        }
    };
    command.process_group(0);
    for variable in program.withheld {
        command.env_remove(variable);
    }
    command.envs(program.variables);
    let child = command.spawn().map_err(|error| Exit::not_started(name, &error))?;
    let group = Pid::from_raw(i32::try_from(child.id().unwrap_or_default()).unwrap_or_default());
    Ok(Started { group, process: Process::Direct(child) })
}

struct Started {
    group: Pid,
    process: Process,
}

enum Process {
    Direct(Child),
    Isolated(Isolated),
}

impl Process {
    /// A process that stands outside of the bottle, though it is a descendant of this one.
    fn spared(&self) -> Option<u32> {
        match self {
            Self::Direct(_) => None,
            Self::Isolated(isolated) => isolated.helper.id(),
        }
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Direct(child) => child.wait().await,
            Self::Isolated(isolated) => isolated.helper.wait().await,
        }
    }
}

/// Has what is planned against a run carried out for as long as the ledger is there.
pub async fn attend<B: BackEnd>(
    enforcer: &Arc<Enforcer>,
    bottle: &Arc<B>,
    run: &RunId,
    ledger: &SharedLedger,
    policy: &CurrentPolicy,
) {
    let mut changes = ledger.changes();
    loop {
        take_up(enforcer, bottle, run, ledger, policy).await;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = enforcer.freed() => {}
        }
    }
}

/// Has what is planned against the run carried out, after making sure that it is planned.
async fn take_up<B: BackEnd>(
    enforcer: &Arc<Enforcer>,
    bottle: &Arc<B>,
    run: &RunId,
    ledger: &SharedLedger,
    policy: &CurrentPolicy,
) {
    plan(run, ledger, policy).await;
    if ledger.enforcement_list(Some(run)).await.is_ok_and(|rows| rows.iter().any(Enforcement::is_open)) {
        enforcer.take_up(run, bottle.clone() as Arc<dyn BackEnd>);
    }
}

/// A budget that another run spent stops this one too, where it governs it.
pub async fn plan(run: &RunId, ledger: &SharedLedger, policy: &CurrentPolicy) {
    let governing = policy().governing(now());
    if ledger.block_fetch(run, &governing, now()).await.is_ok_and(|blocks| !blocks.is_empty()) {
        let _ = ledger.block_plan(run, &governing, now()).await;
    }
}

async fn end(bottle: &ProcessBackEnd) {
    if let Err(error) = bottle.kill().await {
        eprintln!("hudson: {error:#}");
    }
}

/// Tells of a freeze and its end. The terminal is this process's while there is nobody else to type for.
fn live_on(before: Life, now: Life, terminal: Option<&Terminal>) {
    match (before, now) {
        (Life::Running, Life::Frozen) => {
            if let (Some(terminal), Ok(foreground)) = (terminal, foreground()) {
                terminal.take(foreground);
            }
            eprintln!("hudson: frozen, and waiting: `hudson bottle resume` brings it back; Ctrl-C ends it");
        }
        (Life::Frozen, Life::Running) => {
            eprintln!("hudson: resumed");
            if let Some(terminal) = terminal {
                terminal.give();
            }
        }
        _ => {}
    }
}

/// Tells who looks at this process.
pub struct Told;

impl Witness for Told {
    fn begins(&self, row: &Enforcement) {
        eprintln!("hudson: {}: {}", row.action, row.cause);
    }

    fn fails(&self, row: &Enforcement, why: &str) {
        eprintln!(
            "hudson: the {} of bottle {} failed, its egress stays cut off: {why}",
            row.action, row.bottle
        );
    }
}

/// 128 and the signal, as shells do.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

/// Signals to this process that belong to the command.
struct Forwarded {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Forwarded {
    fn new(hangup: bool) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) -> Signal {
        let Self { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => Signal::SIGINT,
            _ = terminate.recv() => Signal::SIGTERM,
            _ = hung_up => Signal::SIGHUP,
        }
    }
}

/// The terminal, lent to the command's group so that interactive agents can read from it, and taken back at the end.
///
/// The shell knows of this process's group only, so what it does with its job is passed on: a command that was stopped
/// stops this group too, and where the shell puts this group in the foreground, the command's goes there.
struct Terminal {
    group: Pid,
    hung_up: bool,
}

impl Terminal {
    /// `None` where standard input is not the terminal of this session.
    fn lend(group: Pid) -> Option<Self> {
        let foreground = io::stdin().is_terminal().then(foreground)?.ok()?;
        let terminal = Self { group, hung_up: false };
        if foreground == nix::unistd::getpgrp() {
            terminal.give();
        }
        Some(terminal)
    }

    /// Passes on what became of the two groups since the last look.
    async fn look(&mut self) {
        match foreground() {
            // Also where the command is stopped: it wanted the terminal before the shell put this group there.
            Ok(now) if now == nix::unistd::getpgrp() => self.give(),
            Ok(now)
                if enforce::state_and_parent(self.group.as_raw()).is_some_and(|(state, _)| state == 'T') =>
            {
                self.suspend(now).await;
            }
            Ok(_) => {}
            // The kernel tells the foreground group only, which a command in the background is not.
            Err(_) if !self.hung_up => {
                self.hung_up = true;
                let _ = killpg(self.group, Signal::SIGHUP);
            }
            Err(_) => {}
        }
    }

    /// Stops this process's group, as the terminal would have done with the command in it, until the shell continues it.
    async fn suspend(&self, now: Pid) {
        self.take(now);
        let Ok(mut continued) = signal(SignalKind::from_raw(Signal::SIGCONT as i32)) else { return };
        // Not SIGSTOP: the kernel ignores this one where no shell is there to continue the group again.
        let _ = killpg(nix::unistd::getpgrp(), Signal::SIGTSTP);
        tokio::select! {
            _ = continued.recv() => {}
            () = tokio::time::sleep(STOPS_WITHIN) => {}
        }
        match foreground() {
            Ok(now) if now == nix::unistd::getpgrp() => self.give(),
            // Continued in the background. Should it want to read, it is stopped again.
            _ => drop(killpg(self.group, Signal::SIGCONT)),
        }
    }

    fn give(&self) {
        if nix::unistd::tcsetpgrp(io::stdin(), self.group).is_ok() {
            // It may have read before the terminal was its own, and been stopped for that.
            let _ = killpg(self.group, Signal::SIGCONT);
        }
    }

    /// Takes the terminal back from the command, or from a group that the command made and left; from nobody else.
    fn take(&self, now: Pid) {
        let lent = now == self.group
            || killpg(now, None) == Err(Errno::ESRCH)
            || enforce::descendants(std::process::id()).contains(&now.as_raw());
        // Doing it from the background raises SIGTTOU, which would stop this process.
        let mut set = SigSet::empty();
        set.add(Signal::SIGTTOU);
        if lent && set.thread_block().is_ok() {
            let _ = nix::unistd::tcsetpgrp(io::stdin(), nix::unistd::getpgrp());
            let _ = set.thread_unblock();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(now) = foreground() {
            self.take(now);
        }
    }
}

/// The group that has the terminal.
fn foreground() -> nix::Result<Pid> {
    nix::unistd::tcgetpgrp(io::stdin())
}
