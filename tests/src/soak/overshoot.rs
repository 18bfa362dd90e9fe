//! By how much a hard limit was passed, and how much that may be: what the input of the requests that were in flight
//! together was more than its estimate.
//!
//! After the last hold under a limit was placed, what was committed and what was held came to no more than the limit.
//! So only what was in flight from then on can have passed it.

use super::books::Charge;
use super::scene::Limit;

/// Clocks are read before the ledger is: an order that two processes' times tell is good to so many milliseconds.
const BLUR: i64 = 1000;

/// One limit at the end.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) limit: Limit,
    /// What is committed under it.
    pub(super) spent: u64,
    /// The stated bound.
    pub(super) bound: u64,
}

impl Outcome {
    pub(super) fn of(limit: &Limit, charges: &[Charge], estimate: impl Fn(&Charge) -> u64) -> Self {
        let under: Vec<&Charge> =
            charges.iter().filter(|charge| limit.covers(&charge.bottle, &charge.provider)).collect();
        let last = under.iter().map(|charge| charge.started_at).max().unwrap_or_default() - BLUR;
        let in_flight = under.iter().filter(|charge| charge.finished_at >= last);
        let bound =
            in_flight.map(|charge| (charge.total - charge.output).saturating_sub(estimate(charge))).sum();
        Self { limit: limit.clone(), spent: under.iter().map(|charge| charge.charged).sum(), bound }
    }

    /// By how much the limit was passed.
    pub(super) fn overshoot(&self) -> u64 {
        self.spent.saturating_sub(self.limit.tokens)
    }
}
