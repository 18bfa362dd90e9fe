//! The first process of the pid namespace: builds and locks what the command will see, starts it, reaps.
//!
//! Invariants: the command is started after the last lock is in place; its end is the end of everything inside.

use super::message::{self, Start, Word};
use super::plan::Plan;
use super::{lock, mounts, namespaces};
use crate::exit::Exit;
use anyhow::{Context, Result};
use nix::sched::CloneFlags;
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The init's whole life; its exit code is the command's.
pub(super) fn run(control: UnixStream) -> u8 {
    match start(&control) {
        Ok(command) => {
            // Nothing inside may find it, should this process be looked into.
            drop(control);
            reap(command)
        }
        Err(error) => message::fail(&control, &error),
    }
}

fn start(control: &UnixStream) -> Result<Pid> {
    namespaces::die_with_parent()?;
    let (plan, _): (Plan, _) = message::receive(control)?;
    if let Some(cgroup) = &plan.cgroup {
        crate::cgroup::enter(cgroup)?;
    }
    mounts::build(&plan)?;
    // What is mounted by now belongs to the outer user namespace: from within this one nothing of it can be taken off.
    namespaces::new_user(CloneFlags::CLONE_NEWNS).context("locking the mounts")?;
    mounts::close(&plan)?;
    std::env::set_current_dir(&plan.directory)
        .with_context(|| format!("entering {}", plan.directory.display()))?;
    lock::drop_capabilities()?;
    namespaces::die_with_parent()?;
    message::send(control, &Word::Ready, None)?;
    let (start, input): (Start, _) = message::receive(control)?;
    let input = input.context("standard input did not come along")?;
    rustix::stdio::dup2_stdin(&input).context("taking over standard input")?;
    lock::filter_calls()?;
    let command = spawn(&start)?;
    let handle = pidfd_open(command, PidfdFlags::empty()).context("a handle of the command")?;
    message::send(control, &Word::Started, Some(handle.as_fd()))?;
    // Until it was looked up the command may not be reaped: its handle would stand for nobody.
    message::receive::<()>(control)?;
    Ok(command)
}

fn spawn(start: &Start) -> Result<Pid> {
    let (name, arguments) = start.argv.split_first().context("there is no command to run")?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear().envs(start.environment.iter().cloned()).process_group(0);
    let child = command.spawn().map_err(|error| Exit::not_started(name, &error))?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the command has no pid")
}

/// Reaps whatever ends inside, until the command does.
fn reap(command: Pid) -> u8 {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => return code(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return crate::exit::FAILED,
        }
    }
}

/// 128 and the signal, as shells do.
fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1) & 0xff).unwrap_or(1)
}
