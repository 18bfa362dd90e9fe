//! The soak: many proxies on one ledger, each with many streams open, one of them killed again and again; at the end
//! the ledger is held against what the provider says that it served.
//!
//! Invariant: everything that is started here ends here, also where it fails or is interrupted, and nothing waits without
//! a limit.

mod agent;
mod books;
mod fleet;
mod mix;
mod overshoot;
mod reach;
mod report;
mod scene;
mod tunnel;
mod verdict;
mod watch;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::simulator::Options;
use agent::{Crew, Log};
use fleet::Fleet;
use mix::{Dice, Mix};
use report::Course;
use scene::Scene;
use verdict::Evidence;

pub use reach::Reach;
pub use report::Report;

/// A stream's last event comes at most so many gaps after its request.
const MOST_EVENTS: u32 = 18;
/// How long the last requests may take beyond their streams.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How long the hold of a process that was killed may stand: longer than the ten seconds between two looks for them.
const DEAD_FOR: Duration = Duration::from_secs(20);
/// How long a hold may stand beyond its stream while its process lives.
const ALIVE_FOR: Duration = Duration::from_secs(15);

/// How much is done, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `hudson proxy` processes on the ledger.
    pub processes: usize,
    /// Streams that each of them keeps open.
    pub streams: usize,
    /// For how long requests are made.
    pub lasts: Duration,
    /// Between two kills.
    pub kill_every: Duration,
    /// Between two events of a stream, each of 16 tokens; a stream has up to 18 of them.
    pub gap: Duration,
    /// Whether the budgets are reached on the way.
    pub budget: Budget,
    /// Who turns the holds of those that were killed last into usage.
    pub reaper: Reaper,
    /// Everything that looks random follows from this.
    pub seed: u64,
}

/// How much may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// More than is asked for; every request's input is estimated high enough, so that nothing at all may be missing.
    Roomy,
    /// Two bottles' limits and the host's are reached; of some requests, of every other bottle, the input is more than
    /// any estimate sees.
    Tight,
}

/// Who finds the holds that the last kill left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaper {
    /// The one process that was not killed, which looks every ten seconds.
    Survivor,
    /// A new process, which looks when it starts.
    Successor,
}

/// Does it all, and ends early when told to; an error where the scene could not be set up. What the proof found stands
/// in the report.
pub fn run(plan: &Plan, stop: &AtomicBool) -> Result<Report> {
    let simulator = Options {
        seed: plan.seed,
        gap: plan.gap,
        gzip: false,
        tokens_per_event: mix::TOKENS_PER_EVENT,
        keep_bodies: false,
        workers: 1,
        ..Options::default()
    };
    let scene = Arc::new(Scene::set(simulator, plan)?);
    let fleet = Arc::new(Fleet::start(&scene, plan.processes)?);
    let (mix, log) = (Arc::new(Mix::default()), Arc::new(Log::default()));
    let watch = watch::start(&scene, &fleet);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let measuring = reach::start(&scene, &fleet, &mix, &log)?;
    let started = Instant::now();
    let crew = Crew::start(runtime.handle(), &scene, &fleet, plan, &mix, &log);
    kill_in_turn(plan, &scene, &fleet, started, stop)?;
    let lasted = started.elapsed();
    let reach = measuring.end()?;

    // The last kill takes all but one at once, in the midst of their streams.
    let spared = usize::from(plan.reaper == Reaper::Survivor);
    crew.stop();
    for place in spared..plan.processes {
        fleet.kill(place);
    }
    let mut faults = Vec::new();
    runtime.block_on(crew.end(plan.gap * MOST_EVENTS + ENDS_WITHIN))?;
    if plan.reaper == Reaper::Successor {
        fleet.start_in(&scene, 0)?;
    }
    let left = until_no_hold(&scene)?;
    faults.extend(left.iter().map(|hold| format!("LEAK: this hold is left: {hold:?}")));
    let seen = watch.end()?;
    faults.extend(fleet.stop());
    faults.extend(fleet.complaints()?);
    runtime.shutdown_timeout(Duration::from_secs(5));
    if seen.longest_dead > DEAD_FOR {
        faults.push(format!("LEAK: a hold stood for {:?} after its process was killed", seen.longest_dead));
    }
    if seen.longest_alive > plan.gap * MOST_EVENTS + ALIVE_FOR {
        faults.push(format!("LEAK: a living process held for {:?}", seen.longest_alive));
    }
    let audit = scene.hudson(&["audit", "verify"]);
    if audit.code != Some(0) {
        faults.push(format!("the audit is not sound: {audit}"));
    }
    let ledger = books::open(&scene.home)?;
    let evidence = Evidence {
        entries: scene.world.simulator.journal().entries(),
        charges: books::charges(&ledger)?,
        totals: books::totals(&ledger)?,
        attempts: log.take(),
        limits: scene.limits.clone(),
        refusing: plan.budget == Budget::Tight,
        seen,
    };
    let course = Course { lasted, starts: fleet.starts(), left: left.len(), audit: audit.text() };
    Ok(Report::of(plan, evidence, faults, fleet.kills(), reach, course))
}

/// Waits until no hold stands; those that do not go.
fn until_no_hold(scene: &Scene) -> Result<Vec<books::Hold>> {
    let began = Instant::now();
    let ledger = books::open(&scene.home)?;
    loop {
        let holds = books::holds(&ledger)?;
        if holds.is_empty() || began.elapsed() > DEAD_FOR {
            return Ok(holds);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills one process after the other, and starts its successor at once.
fn kill_in_turn(
    plan: &Plan,
    scene: &Scene,
    fleet: &Fleet,
    started: Instant,
    stop: &AtomicBool,
) -> Result<()> {
    let mut dice = Dice::new(plan.seed);
    let end = started + plan.lasts;
    let mut next = started + plan.kill_every;
    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
        if Instant::now() < next {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let place = usize::try_from(dice.below(plan.processes as u64))?;
        fleet.kill(place);
        fleet.start_in(scene, place)?;
        // A start that took longer than the pause delays the next kill.
        next = (next + plan.kill_every).max(Instant::now());
    }
    Ok(())
}
