//! What is counted from a proxy's events.

use hudson_proxy::Event;
use hudson_schema::{BottleName, Provider, Quality, RefusalCode, Usage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bottles, each with a kind of finding, that are told apart.
const COUNTED: usize = 1000;

/// What is counted of each bottle; of those past the first [`COUNTED`] under no name.
type OfBottles<K> = Mutex<BTreeMap<(Option<BottleName>, K), u64>>;

/// Counts since the process started.
pub struct Counters {
    refusals: [AtomicU64; RefusalCode::ALL.len()],
    cuts: AtomicU64,
    // A std mutex: one addition per settled response, behind the ledger's own.
    settled: Mutex<BTreeMap<(Provider, &'static str), Settled>>,
    // Likewise: one addition per event that is written, or counted with others of its kind.
    dlp: OfBottles<Dlp>,
}

/// What DLP has found.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dlp {
    /// Something in what would leave, and what was done.
    Finding(&'static str),
    /// A canary in what would leave.
    Canary,
    /// Signs of instructions in an answer, and what was done.
    Injection(&'static str),
}

/// Responses of one provider and quality.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settled {
    /// How many.
    pub responses: u64,
    /// The tokens of those whose numbers are known.
    pub usage: Usage,
}

impl Default for Counters {
    fn default() -> Self {
        // By hand: the standard library knows no default of more than 32 elements.
        Self {
            refusals: std::array::from_fn(|_| AtomicU64::new(0)),
            cuts: AtomicU64::default(),
            settled: Mutex::default(),
            dlp: OfBottles::default(),
        }
    }
}

impl Counters {
    /// Counts an event.
    pub fn count(&self, event: &Event) {
        match event {
            Event::Refusal { code, .. } | Event::TunnelFailed { code, .. } => self.refused(*code),
            Event::StreamCut { .. } => drop(self.cuts.fetch_add(1, Ordering::Relaxed)),
            Event::UsageSettled { provider, usage, quality, .. } => self.settle(provider, *quality, *usage),
            Event::DlpFinding { bottle, action, .. } => self.found(bottle, Dlp::Finding(action)),
            Event::CanaryTripped { bottle, .. } => self.found(bottle, Dlp::Canary),
            Event::InjectionFound { bottle, action, .. } => self.found(bottle, Dlp::Injection(action)),
            _ => {}
        }
    }

    /// Each code that was given, and how often.
    pub fn refusals(&self) -> Vec<(RefusalCode, u64)> {
        let counts = self.refusals.iter().map(|count| count.load(Ordering::Relaxed));
        RefusalCode::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Streams that were cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// What was settled, by provider and quality.
    pub fn settled(&self) -> Vec<(Provider, &'static str, Settled)> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.iter().map(|((provider, quality), sum)| (provider.clone(), *quality, *sum)).collect()
    }

    /// What DLP has found, by bottle.
    pub fn dlp(&self) -> Vec<(Option<BottleName>, Dlp, u64)> {
        let found = self.dlp.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().map(|((bottle, what), count)| (bottle.clone(), *what, *count)).collect()
    }

    fn found(&self, bottle: &BottleName, what: Dlp) {
        let mut found = self.dlp.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named = (Some(bottle.clone()), what);
        // A bottle that has a count of one kind may still be one too many for another.
        if found.len() >= COUNTED && !found.contains_key(&named) {
            named.0 = None;
        }
        *found.entry(named).or_default() += 1;
    }

    fn refused(&self, code: RefusalCode) {
        let place = RefusalCode::ALL.iter().position(|known| *known == code);
        if let Some(count) = place.and_then(|place| self.refusals.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn settle(&self, provider: &Provider, quality: Quality, usage: Option<Usage>) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = settled.entry((provider.clone(), quality.name())).or_default();
        sum.responses += 1;
        sum.usage = sum.usage + usage.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::Policy;

    #[test]
    fn bottles_that_are_too_many_are_counted_together_and_none_is_lost() {
        let counters = Counters::default();
        for number in 0..2 * COUNTED {
            counters.count(&Event::CanaryTripped {
                run: "r1".parse().unwrap(),
                bottle: format!("bottle-{number}").parse().unwrap(),
                host: "a.example.com".to_owned(),
                policy: Policy::Cutoff,
            });
        }
        let counted = counters.dlp();
        assert_eq!(counted.len(), COUNTED + 1);
        assert_eq!(counted.iter().map(|(_, _, count)| count).sum::<u64>(), 2 * COUNTED as u64);
        assert!(counted.contains(&(None, Dlp::Canary, COUNTED as u64)), "{:?}", counted.first());
    }
}
