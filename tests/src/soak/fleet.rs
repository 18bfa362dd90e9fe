//! The proxies: started, killed and started again, each in its place, where the agents find the one that serves now.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::sync::watch;

use super::scene::{self, Scene};
use crate::hudson;
use crate::process::Background;

/// How long a process may take to end when it is told to.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Every place, and what became of those who were in it.
pub(super) struct Fleet {
    places: Vec<Place>,
    /// When each process that was killed died, by its id.
    deaths: Mutex<HashMap<u32, Instant>>,
    /// How long each start took.
    starts: Mutex<Vec<Duration>>,
    log: PathBuf,
}

struct Place {
    process: Mutex<Option<Background>>,
    /// Nowhere from just before a kill until the successor listens.
    address: watch::Sender<Option<SocketAddr>>,
}

impl Fleet {
    /// As many processes as that, all of them listening.
    pub(super) fn start(scene: &Scene, processes: usize) -> Result<Self> {
        let place = |_| Place { process: Mutex::default(), address: watch::Sender::new(None) };
        let log = scene.world.scratch().join("proxies.log");
        let places = (0..processes).map(place).collect();
        let fleet = Self { places, deaths: Mutex::default(), starts: Mutex::default(), log };
        for place in 0..processes {
            fleet.start_in(scene, place)?;
        }
        Ok(fleet)
    }

    /// Starts a process in an empty place, and waits until it listens.
    pub(super) fn start_in(&self, scene: &Scene, place: usize) -> Result<()> {
        let began = Instant::now();
        let file = scene.world.scratch().join(format!("ready-{place}.json"));
        std::fs::remove_file(&file).ok();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = scene::program(&scene.world);
        command.args(["proxy", "--listen", "127.0.0.1:0"]).args(hudson::redirection(&scene.world.simulator));
        command.arg("--home").arg(&scene.home).arg("--ready-file").arg(&file);
        let mut process = Background::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log));
        let address = scene::ready(&file, &mut process)
            .with_context(|| format!("`hudson proxy` in place {place}:\n{}", last_lines(&self.log)))?;
        let place = &self.places[place];
        *place.process.lock().expect("no holder panics") = Some(process);
        place.address.send_replace(Some(address));
        self.starts.lock().expect("no holder panics").push(began.elapsed());
        Ok(())
    }

    /// `kill -9`. Agents learn first that nobody is there, so that what breaks is known to break for that.
    pub(super) fn kill(&self, place: usize) {
        let place = &self.places[place];
        let Some(mut process) = place.process.lock().expect("no holder panics").take() else { return };
        place.address.send_replace(None);
        process.kill_now();
        self.deaths.lock().expect("no holder panics").insert(process.id(), Instant::now());
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Where the process in a place listens, now and from now on.
    pub(super) fn address(&self, place: usize) -> watch::Receiver<Option<SocketAddr>> {
        self.places[place].address.subscribe()
    }

    /// How many were killed.
    pub(super) fn kills(&self) -> usize {
        self.deaths.lock().expect("no holder panics").len()
    }

    /// How long a process that was killed has been dead.
    pub(super) fn dead_for(&self, process: u32) -> Option<Duration> {
        self.deaths.lock().expect("no holder panics").get(&process).map(Instant::elapsed)
    }

    /// How long each start took.
    pub(super) fn starts(&self) -> Vec<Duration> {
        self.starts.lock().expect("no holder panics").clone()
    }

    /// Ends everybody as a supervisor does; how each one ended that did not do so well.
    pub(super) fn stop(&self) -> Vec<String> {
        let taken = self.places.iter().map(|place| place.process.lock().expect("no holder panics").take());
        let mut processes: Vec<Background> = taken.flatten().collect();
        for process in &processes {
            process.signal(Signal::TERM);
        }
        let ended = |process: &mut Background| match process.wait(ENDS_WITHIN) {
            false => Some(format!("process {} does not end", process.id())),
            true => process
                .code()
                .filter(|code| *code != 0)
                .map(|code| format!("process {} ended with exit code {code}", process.id())),
        };
        processes.iter_mut().filter_map(ended).collect()
    }

    /// What the processes have written of a ledger that did not answer, and of their own panics.
    pub(super) fn complaints(&self) -> Result<Vec<String>> {
        let log = std::fs::read_to_string(&self.log).context("the proxies' log")?;
        let worrying = |line: &&str| {
            ["ledger_failed", "ledger_unavailable", "panicked", "SQLITE_BUSY", "database is locked"]
                .iter()
                .any(|word| line.contains(word))
        };
        Ok(log.lines().filter(worrying).map(str::to_owned).collect())
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
