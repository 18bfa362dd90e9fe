//! How soon a limit that the operator sets is in force in every process, while all of them are busy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use http_body_util::BodyExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::agent::{End, Log, Way, exchange};
use super::books;
use super::fleet::Fleet;
use super::mix::{Mix, Provider};
use super::scene::{Bottle, PROBE, Scene};
use super::tunnel::Tunnel;
use super::watch::wall_clock;
use super::worker::Worker;

/// A host that no budget counts, and a cutoff stops all the same.
const HOST: &str = "files.example.com";
/// Between two looks at one process: so much may a figure be too high.
const PERIOD: Duration = Duration::from_millis(10);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(1500);
/// Long past what is asked for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Milliseconds from the setting of a limit to its effect, one for each round and process that lived through it.
#[derive(Debug, Default)]
pub struct Reach {
    /// A limit below what is spent: the process lets nothing more out.
    pub lowered: Vec<u64>,
    /// One above it: the process lets it out again.
    pub raised: Vec<u64>,
}

struct Prober {
    runtime: Runtime,
    scene: Arc<Scene>,
    fleet: Arc<Fleet>,
}

/// Measures, round by round, until it is ended or the whole host is stopped.
pub(super) fn start(scene: &Arc<Scene>, fleet: &Arc<Fleet>, mix: &Mix, log: &Log) -> Result<Worker<Reach>> {
    // Of its own, so that what is measured is not how busy the agents' is.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let prober = Prober { runtime, scene: scene.clone(), fleet: fleet.clone() };
    prober.spend(mix, log)?;
    Ok(Worker::start(move |stop| {
        let mut reach = Reach::default();
        while !stop.load(Ordering::Relaxed) && prober.round(&mut reach)? {
            std::thread::sleep(PAUSE);
        }
        Ok(reach)
    }))
}

impl Prober {
    /// Something to lower a limit below.
    fn spend(&self, mix: &Mix, log: &Log) -> Result<()> {
        let ask = mix.plain(Provider::Anthropic, 100, 100);
        let way = Way { address: self.fleet.address(0), tls: self.scene.tls.clone() };
        let address = way.address.borrow().context("no process is in place 0")?;
        let end = self.runtime.block_on(async {
            let mut tunnel =
                Tunnel::open(address, &self.scene.probe().authorization, ask.host, &way.tls).await?;
            exchange(&mut tunnel, &ask).await
        })?;
        ensure!(end == End::Complete, "the probe's own request: {end:?}");
        log.note(&ask, self.scene.probe(), end);
        Ok(())
    }

    /// One limit lowered and raised again; false when the whole host is stopped, under which no bottle's own limit shows.
    fn round(&self, reach: &mut Reach) -> Result<bool> {
        let Some(lowered) = self.set("claude=10", false)? else { return Ok(false) };
        let Some(raised) = self.set("claude=1M", true)? else { return Ok(false) };
        reach.lowered.extend(lowered);
        reach.raised.extend(raised);
        Ok(true)
    }

    /// Sets the probe's limit and waits until every process that lives through it goes by it; none when the whole host
    /// is stopped.
    fn set(&self, limit: &str, passes: bool) -> Result<Option<Vec<u64>>> {
        let mut waiting = Vec::new();
        for place in 0..self.fleet.len() {
            let way = Way { address: self.fleet.address(place), tls: self.scene.tls.clone() };
            let Some(address) = *way.address.borrow() else { continue };
            let bottle = self.scene.probe().clone();
            waiting.push(self.runtime.spawn(until(way, address, bottle, passes)));
        }
        let outcome = self.scene.hudson(&["budget", "set", "--bottle", PROBE, limit]);
        ensure!(outcome.code == Some(0), "{outcome}");
        let ledger = books::open(&self.scene.home)?;
        let set = books::set_at(&ledger, PROBE)?;
        while waiting.iter().any(|one| !one.is_finished()) && !books::all_stopped(&ledger)? {
            std::thread::sleep(PERIOD);
        }
        if books::all_stopped(&ledger)? {
            waiting.iter().for_each(JoinHandle::abort);
            return Ok(None);
        }
        let mut took = Vec::new();
        for one in waiting {
            let when = self.runtime.block_on(one)?.with_context(|| format!("{limit} is never in force"))?;
            took.extend(when.map(|when| u64::try_from(when - set).unwrap_or_default()));
        }
        Ok(Some(took))
    }
}

/// When the process at `address` lets the bottle out, or no longer; none when it was killed first.
async fn until(way: Way, address: SocketAddr, bottle: Bottle, passes: bool) -> Result<Option<i64>> {
    let looking = async {
        let mut open = None;
        loop {
            let status = look(&mut open, &way, address, &bottle).await;
            let now = wall_clock();
            match status {
                _ if way.is_gone(address) => return Ok(None),
                Ok(200 | 403) if matches!(status, Ok(200)) == passes => return Ok(Some(now)),
                Ok(200 | 403) => {}
                Ok(other) => return Err(anyhow!("{HOST} is answered with {other}")),
                // The tunnel was ended with the cutoff; the next one tells.
                Err(_) => open = None,
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await?
}

async fn look(open: &mut Option<Tunnel>, way: &Way, address: SocketAddr, bottle: &Bottle) -> Result<u16> {
    let tunnel = match open {
        Some(tunnel) => tunnel,
        None => open.insert(Tunnel::open(address, &bottle.authorization, HOST, &way.tls).await?),
    };
    let response = tunnel.send("GET", "/hello.txt", String::new()).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}
