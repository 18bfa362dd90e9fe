//! A program in the background, what it uses, and its end.
//!
//! Invariant: a child is ended by its own process id, and is gone before the value is.

use crate::cpus::Place;
use anyhow::{Context as _, Result, bail};
use nix::time::ClockId;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a program may take until it is ready.
const READY: Duration = Duration::from_secs(30);
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
    /// Starts it on its processors and waits until it has written its ready file, which is JSON.
    pub(crate) fn start<T: DeserializeOwned>(
        name: &'static str,
        command: &mut Command,
        ready: &Path,
        place: &Place,
    ) -> Result<(Self, T)> {
        // The file appears in one step, whole.
        let process = Self::start_until(name, command, place, || ready.exists())?;
        let text = std::fs::read_to_string(ready).with_context(|| format!("reading {}", ready.display()))?;
        let told = serde_json::from_str(&text)
            .with_context(|| format!("{name}'s ready file is not as expected: {text}"))?;
        Ok((process, told))
    }

    /// Starts it on its processors and waits until it is ready.
    pub(crate) fn start_until(
        name: &'static str,
        command: &mut Command,
        place: &Place,
        mut is_ready: impl FnMut() -> bool,
    ) -> Result<Self> {
        let child = place.spawn(command).with_context(|| format!("starting {name}: {command:?}"))?;
        let mut process = Self { name, child };
        let deadline = Instant::now() + READY;
        while !is_ready() {
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended at once: {status}");
            }
            if Instant::now() > deadline {
                bail!("{name} is not ready after {READY:?}");
            }
            std::thread::sleep(LOOK);
        }
        Ok(process)
    }

    /// CPU time of all its threads so far, those of its own children included, in microseconds.
    ///
    /// It is what /proc/PID/stat tells, from the kernel's clock of the process: nanoseconds, where the file has ticks of
    /// 10 ms.
    pub(crate) fn cpu_micros(&self) -> Result<f64> {
        let mut micros = 0.0;
        for pid in self.family()? {
            let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(pid));
            let time = clock.and_then(ClockId::now).with_context(|| format!("{} has ended", self.name))?;
            micros += time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3;
        }
        Ok(micros)
    }

    /// Resident memory, that of its own children included, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64> {
        let mut kib = 0.0;
        for pid in self.family()? {
            let status = read(pid, "status").with_context(|| format!("{} has ended", self.name))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
            kib += line.context("/proc/PID/status has no VmRSS")?.parse::<f64>()?;
        }
        Ok(kib)
    }

    /// It and its children, and theirs: Squid leaves certificates to a helper.
    fn family(&self) -> Result<Vec<i32>> {
        let mut family = vec![i32::try_from(self.child.id())?];
        let mut seen = 0;
        while let Some(pid) = family.get(seen).copied() {
            seen += 1;
            // What has none, or has just ended, has no such file.
            let children = read(pid, &format!("task/{pid}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        Ok(family)
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

fn read(pid: i32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}
