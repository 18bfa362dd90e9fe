//! The ledger against the provider, request by request.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::agent::{Attempt, End};
use super::books::{Charge, Totals};
use super::mix::TOKENS_PER_EVENT;
use super::overshoot::Outcome;
use super::scene::Limit;
use super::watch::Seen;
use crate::simulator::Entry;

/// The refusals of a budget that is reached.
pub(super) const BUDGET_REFUSALS: [&str; 2] = ["budget_exhausted", "bottle_cut_off"];

/// Everything that was left behind.
pub(super) struct Evidence {
    pub(super) entries: Vec<Entry>,
    pub(super) charges: Vec<Charge>,
    pub(super) totals: Totals,
    pub(super) attempts: Vec<Attempt>,
    pub(super) limits: Vec<Limit>,
    /// Whether a budget is reached on the way.
    pub(super) refusing: bool,
    pub(super) seen: Seen,
}

/// Tokens of several requests: what the provider spent on them, and what was charged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) requests: u64,
    pub(super) spent: u64,
    pub(super) charged: u64,
}

/// What the evidence comes to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// What must not be; empty where the promise is kept.
    pub(super) faults: Vec<String>,
    /// Requests that the provider served.
    pub(super) served: u64,
    pub(super) by_bottle: BTreeMap<String, Sum>,
    pub(super) by_quality: BTreeMap<String, Sum>,
    /// Charged holds of which nothing reached the provider, or nothing that it charges for.
    pub(super) unserved: Sum,
    /// Tokens that rows of killed requests are short of, because no estimate could see their input.
    pub(super) unseen: u64,
    pub(super) ends: BTreeMap<String, u64>,
    pub(super) outcomes: Vec<Outcome>,
}

impl Verdict {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut verdict = Self::default();
        let estimates = Estimates::among(evidence);
        let entries = served(evidence, &mut verdict);
        let charges = charged(evidence, &mut verdict);
        for attempt in &evidence.attempts {
            *verdict.ends.entry(kind(&attempt.end)).or_default() += 1;
            if let Some(fault) = unwanted(&attempt.end, evidence.refusing) {
                verdict.faults.push(format!("{}: {fault}", attempt.model));
            }
            let model = attempt.model.as_str();
            verdict.judge(attempt, entries.get(model).copied(), charges.get(model).copied(), &estimates);
        }
        verdict.ids(&evidence.charges);
        for limit in &evidence.limits {
            verdict.limit(limit, evidence, &estimates);
        }
        verdict
    }

    /// One request on all three sides.
    fn judge(
        &mut self,
        attempt: &Attempt,
        entry: Option<&Entry>,
        charge: Option<&Charge>,
        estimates: &Estimates<'_>,
    ) {
        let Attempt { model, end, .. } = attempt;
        let mut fault = |what: String| self.faults.push(format!("{model} ({end:?}): {what}"));
        match (entry, charge) {
            (None, None) if *end == End::Complete => {
                fault("complete, and the provider knows nothing of it".into())
            }
            (None, None) => {}
            (Some(entry), None) => fault(format!("LOST: the provider spent {} tokens", spent(entry))),
            (None, Some(charge)) => {
                if charge.quality != "held" || !matches!(end, End::Killed | End::HungUp) {
                    fault(format!("charged, and the provider served nothing: {charge:?}"));
                }
                self.unserved.requests += 1;
                self.unserved.charged += charge.charged;
            }
            (Some(entry), Some(charge)) => {
                let usage = entry.usage.unwrap_or_default();
                let exact = charge.quality == "exact";
                if charge.bottle != attempt.bottle {
                    fault(format!("charged to {}", charge.bottle));
                }
                if exact
                    && (charge.total, charge.output, charge.charged)
                        != (usage.total(), usage.output, usage.total())
                {
                    fault(format!("{charge:?}, and the provider said {usage:?}"));
                }
                let id = entry.answer_id.as_deref().unwrap_or("-");
                if charge.response_id.as_deref().map_or(exact, |told| !told.ends_with(id)) {
                    fault(format!("charged as the answer {:?}, and it was {id}", charge.response_id));
                }
                if *end == End::Complete && !exact {
                    fault(format!("its agent saw the end, and it is not settled by it: {charge:?}"));
                }
                let short = spent(entry).saturating_sub(charge.charged);
                // What no estimate saw was not held, and so is not charged where the answer's end was never read.
                let unseen = match exact {
                    true => 0,
                    false => usage.all_input().saturating_sub(estimates.of(model)),
                };
                if short > unseen {
                    fault(format!("LOST: {short} of {} tokens ({charge:?})", spent(entry)));
                }
                self.unseen += short;
                for sum in [
                    self.by_bottle.entry(charge.bottle.clone()).or_default(),
                    self.by_quality.entry(charge.quality.clone()).or_default(),
                ] {
                    sum.requests += 1;
                    sum.spent += spent(entry);
                    sum.charged += charge.charged;
                }
            }
        }
    }

    /// No answer is charged twice.
    fn ids(&mut self, charges: &[Charge]) {
        let mut known = HashSet::new();
        for id in charges.iter().filter_map(|charge| charge.response_id.as_deref()) {
            if !known.insert(id) {
                self.faults.push(format!("DOUBLE: the answer {id} is charged more than once"));
            }
        }
    }

    /// The committed total of a limit: it is the sum of its rows, and past the limit by no more than the stated bound.
    fn limit(&mut self, limit: &Limit, evidence: &Evidence, estimates: &Estimates<'_>) {
        let outcome = Outcome::of(limit, &evidence.charges, |charge| estimates.of(&charge.model));
        let key = (limit.scope.to_owned(), limit.key.clone(), limit.provider.to_owned());
        let kept = evidence.totals.get(&key).copied();
        if kept != Some(outcome.spent) {
            self.faults.push(format!(
                "the kept total of {limit:?} is {kept:?}, and its rows come to {}",
                outcome.spent
            ));
        }
        if outcome.overshoot() > outcome.bound {
            self.faults.push(format!("OVERSHOOT {} past the bound: {outcome:?}", outcome.overshoot()));
        }
        self.outcomes.push(outcome);
    }
}

/// The requests that the provider served and charges for, by their models.
fn served<'e>(evidence: &'e Evidence, verdict: &mut Verdict) -> HashMap<&'e str, &'e Entry> {
    let mut entries = HashMap::new();
    for entry in evidence.entries.iter().filter(|entry| entry.is_metered_call()) {
        verdict.served += 1;
        if entries.insert(entry.model.as_deref().unwrap_or_default(), entry).is_some() {
            verdict.faults.push(format!("DOUBLE: {:?} reached the provider more than once", entry.model));
        }
    }
    entries
}

/// The usage rows by their models.
fn charged<'e>(evidence: &'e Evidence, verdict: &mut Verdict) -> HashMap<&'e str, &'e Charge> {
    let asked: HashSet<&str> = evidence.attempts.iter().map(|attempt| attempt.model.as_str()).collect();
    let mut charges = HashMap::new();
    for charge in &evidence.charges {
        if !asked.contains(charge.model.as_str()) {
            verdict.faults.push(format!("a charge for what nobody asked: {charge:?}"));
        }
        if charges.insert(charge.model.as_str(), charge).is_some() {
            verdict.faults.push(format!("DOUBLE: {} is charged more than once", charge.model));
        }
    }
    charges
}

/// What the provider spent on a request: all of its input, and what it had generated when its answer broke off. An
/// event of a stream is counted as output even where it is only a frame, so this is rather too much.
fn spent(entry: &Entry) -> u64 {
    let usage = entry.usage.unwrap_or_default();
    let generated = (entry.sent_events * TOKENS_PER_EVENT) as u64;
    match entry.complete {
        true => usage.total(),
        false => usage.all_input() + usage.output.min(generated),
    }
}

/// Why an end must not be. Hudson refuses only what a budget does not cover, and only where one can be reached.
fn unwanted(end: &End, refusing: bool) -> Option<String> {
    match end {
        End::Unexplained(said) => Some(format!("an end that nothing explains: {said}")),
        End::Refused(code) if !refusing || !BUDGET_REFUSALS.contains(&code.as_str()) => {
            Some(format!("refused with {code}"))
        }
        End::Cut => Some("cut, and no answer is longer than its cap".to_owned()),
        _ => None,
    }
}

fn kind(end: &End) -> String {
    match end {
        End::Complete => "complete".into(),
        End::HungUp => "hung up".into(),
        End::Killed => "broken by a kill".into(),
        End::ProviderFailed => "broken by the provider".into(),
        End::ProviderRefused(_) => "refused by the provider".into(),
        End::Refused(code) => code.clone(),
        End::Cut => "cut".into(),
        End::Unexplained(_) => "unexplained".into(),
    }
}

/// What each request's input was estimated at.
struct Estimates<'e> {
    seen: &'e HashMap<String, u64>,
    by_length: BTreeMap<(&'static str, usize), u64>,
    lengths: HashMap<&'e str, (&'static str, usize)>,
}

impl<'e> Estimates<'e> {
    fn among(evidence: &'e Evidence) -> Self {
        let seen = &evidence.seen.estimates;
        let (mut by_length, mut lengths) = (BTreeMap::new(), HashMap::new());
        for attempt in &evidence.attempts {
            let key = (attempt.host, attempt.length);
            lengths.insert(attempt.model.as_str(), key);
            if let Some(estimate) = seen.get(&attempt.model) {
                by_length.insert(key, *estimate);
            }
        }
        Self { seen, by_length, lengths }
    }

    /// Where nobody saw the hold, at least what a shorter body at that host was estimated at, and never less than one.
    fn of(&self, model: &str) -> u64 {
        let shorter = || {
            let &(host, length) = self.lengths.get(model)?;
            self.by_length.range((host, 0)..=(host, length)).next_back().map(|(_, estimate)| *estimate)
        };
        self.seen.get(model).copied().or_else(shorter).unwrap_or(1)
    }
}
