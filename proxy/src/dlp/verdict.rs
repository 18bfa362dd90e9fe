//! From what was found to what is done: a route's detectors, homes, thresholds and suppressions.
//!
//! Invariant: a canary is blocked on every route, and nothing the operator has suppressed makes a known value pass.

use super::{Loaded, RunValues};
use hudson_dlp::{Action, Class, Finding, Lowered};
use hudson_schema::config::{Detectors, Host, OnMatch, OutboundDetector};
use std::collections::{HashMap, HashSet};

/// The rule of words that look random.
const ENTROPY: &str = "generic-random-word";

/// By what findings in one request are judged.
pub(crate) struct Judge<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) values: &'a RunValues,
    /// The detectors of the route.
    pub(crate) chosen: &'a Detectors<OutboundDetector>,
    pub(crate) on_match: OnMatch,
    pub(crate) host: &'a Host,
    /// The clock, in unix milliseconds.
    pub(crate) now: i64,
}

/// A finding, and what is done about it.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) finding: Finding,
    pub(crate) action: Action,
    /// The operator's reason, where it is suppressed.
    pub(crate) suppressed: Option<String>,
    /// Whether the route looks for it.
    pub(crate) wanted: bool,
}

impl Judge<'_> {
    /// What is done about each of these.
    pub(crate) fn judge(&self, findings: Vec<Finding>) -> Vec<Judged> {
        let counts = self.counts(&findings);
        findings.into_iter().map(|finding| self.judged(finding, &counts)).collect()
    }

    fn judged(&self, mut finding: Finding, counts: &HashMap<String, usize>) -> Judged {
        if !self.wants(&finding) {
            finding.class = Class::Note;
            return Judged { finding, action: Action::Allow, suppressed: None, wanted: false };
        }
        let setup = &self.loaded.setup;
        if finding.is_known() && finding.class == Class::Act && self.values.is_home(&finding.hash, self.host)
        {
            (finding.class, finding.lowered) = (Class::Note, Some(Lowered::HomeHost));
        }
        // One is everywhere, many are somebody's data: what the operator has counted acts from there on.
        if let (Some(least), Some(count)) = (setup.thresholds.get(&*finding.rule), counts.get(&*finding.rule))
        {
            finding.class = match (*count < least.get() as usize, finding.class) {
                (true, Class::Warn | Class::Act) => Class::Note,
                (false, Class::Warn) => Class::Act,
                (_, class) => class,
            };
        }
        let suppressed = setup.suppressions.iter().find(|one| one.covers(&finding, self.host, self.now));
        let suppressed = suppressed.map(|one| one.reason.clone());
        if suppressed.is_some() {
            finding.class = Class::Note;
        }
        Judged { action: finding.action(on_match(self.on_match)), finding, suppressed, wanted: true }
    }

    /// How many values each rule with a threshold has found.
    fn counts(&self, findings: &[Finding]) -> HashMap<String, usize> {
        let mut values: HashMap<String, HashSet<&str>> = HashMap::new();
        for finding in findings.iter().filter(|one| self.loaded.setup.thresholds.contains_key(&*one.rule)) {
            values.entry(finding.rule.to_string()).or_default().insert(&finding.hash);
        }
        values.into_iter().map(|(rule, values)| (rule, values.len())).collect()
    }

    fn wants(&self, finding: &Finding) -> bool {
        let detector = match &*finding.rule {
            _ if finding.class == Class::Trip => return true,
            _ if finding.is_known() => OutboundDetector::KnownSecrets,
            ENTROPY => OutboundDetector::Entropy,
            _ => OutboundDetector::TokenPatterns,
        };
        match self.chosen {
            Detectors::Off => false,
            Detectors::Default => detector != OutboundDetector::Entropy,
            Detectors::Only(chosen) => chosen.contains(&detector),
        }
    }
}

fn on_match(route: OnMatch) -> hudson_dlp::OnMatch {
    match route {
        OnMatch::Block => hudson_dlp::OnMatch::Block,
        OnMatch::Redact => hudson_dlp::OnMatch::Redact,
        OnMatch::Supervise => hudson_dlp::OnMatch::Supervise,
        OnMatch::Warn => hudson_dlp::OnMatch::Warn,
    }
}
