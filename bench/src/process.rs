//! A program in the background, what it uses, and its end.
//!
//! Invariant: a child is ended by its own process id, and is gone before the value is.

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a program may take until it is ready.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to end by itself.
const END: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts it and waits until it has written its ready file, which is JSON.
    pub(crate) fn start(name: &'static str, command: &mut Command, ready: &Path) -> Result<(Self, Value)> {
        let child = command.spawn().with_context(|| format!("starting {name}: {command:?}"))?;
        let mut process = Self { name, child };
        let deadline = Instant::now() + READY;
        // The file appears in one step, whole.
        while !ready.exists() {
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended at once: {status}");
            }
            if Instant::now() > deadline {
                bail!("{name} is not ready after {READY:?}");
            }
            std::thread::sleep(LOOK);
        }
        let text = std::fs::read_to_string(ready).with_context(|| format!("reading {}", ready.display()))?;
        let told =
            serde_json::from_str(&text).with_context(|| format!("{name}'s ready file is no JSON: {text}"))?;
        Ok((process, told))
    }

    /// CPU time of all its threads so far, in microseconds; the kernel counts in ticks, usually of 10 ms.
    pub(crate) fn cpu_micros(&self) -> Result<f64> {
        let stat = self.read("stat")?;
        // The name, in parentheses, may hold anything; user and system time are the 12th and 13th fields behind it.
        let behind = stat.rsplit_once(')').map(|(_, behind)| behind).unwrap_or_default();
        let ticks = behind.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>().context("/proc/PID/stat is not as documented")?;
        Ok(ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let status = self.read("status")?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let kib: f64 = kib.context("/proc/PID/status has no VmRSS")?.parse()?;
        Ok(kib / 1024.0)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).with_context(|| format!("{} has ended: {path}", self.name))
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return true,
                Ok(None) if Instant::now() > deadline => return false,
                Ok(None) => std::thread::sleep(LOOK),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ends_within(Duration::ZERO) {
            return;
        }
        // Not waited for yet, so the number is still this child's.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
        if !self.ends_within(END) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
