//! What is counted from a proxy's events.

use hudson_proxy::Event;
use hudson_schema::{Provider, Quality, RefusalCode, Usage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts since the process started.
#[derive(Default)]
pub struct Counters {
    refusals: [AtomicU64; RefusalCode::ALL.len()],
    cuts: AtomicU64,
    // A std mutex: one addition per settled response, behind the ledger's own.
    settled: Mutex<BTreeMap<(Provider, &'static str), Settled>>,
}

/// Responses of one provider and quality.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settled {
    /// How many.
    pub responses: u64,
    /// The tokens of those whose numbers are known.
    pub usage: Usage,
}

impl Counters {
    /// Counts an event.
    pub fn count(&self, event: &Event) {
        match event {
            Event::Refusal { code, .. } | Event::TunnelFailed { code, .. } => self.refused(*code),
            Event::StreamCut { .. } => drop(self.cuts.fetch_add(1, Ordering::Relaxed)),
            Event::UsageSettled { provider, usage, quality, .. } => self.settle(provider, *quality, *usage),
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
