//! Looks at the ledger while everything runs: how long holds stand, whose they are, and what their input was estimated
//! at.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::books;
use super::fleet::Fleet;
use super::scene::Scene;
use super::worker::Worker;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Estimated input by the request's model.
    pub(super) estimates: HashMap<String, u64>,
    /// How many holds stood at each look.
    pub(super) in_flight: Vec<usize>,
    /// The longest that a hold stood whose process had been killed.
    pub(super) longest_dead: Duration,
    /// The longest that one stood whose process lived.
    pub(super) longest_alive: Duration,
}

/// Looks until it is ended.
pub(super) fn start(scene: &Scene, fleet: &Arc<Fleet>) -> Worker<Seen> {
    let (home, fleet) = (scene.home.clone(), fleet.clone());
    Worker::start(move |stop| {
        let ledger = books::open(&home)?;
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) {
            look(&books::holds(&ledger)?, &fleet, &mut seen);
            std::thread::sleep(PERIOD);
        }
        Ok(seen)
    })
}

fn look(holds: &[books::Hold], fleet: &Fleet, seen: &mut Seen) {
    seen.in_flight.push(holds.len());
    let now = wall_clock();
    for hold in holds {
        seen.estimates.insert(hold.model.clone(), hold.input);
        match hold.process.and_then(|process| fleet.dead_for(process)) {
            Some(dead) => seen.longest_dead = seen.longest_dead.max(dead),
            None => {
                let stood = u64::try_from(now - hold.placed_at).unwrap_or_default();
                seen.longest_alive = seen.longest_alive.max(Duration::from_millis(stood));
            }
        }
    }
}

/// Unix milliseconds, as the ledger has them.
pub(super) fn wall_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
