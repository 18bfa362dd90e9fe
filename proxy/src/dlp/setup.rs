//! What the operator's files say of what must not leave, as the proxy is given it.

use hudson_dlp::Finding;
use hudson_schema::Policy;
use hudson_schema::config::{Host, HostPattern, OnUnscannable};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// What the operator's files say of what must not leave.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Rules, sets of rules, and known values that are no run's own.
    pub policy: hudson_dlp::Policy,
    /// Findings that the operator has looked at.
    pub suppressions: Vec<Suppressed>,
    /// From how many values of a rule on, by its id, they act; fewer are only told of.
    pub thresholds: BTreeMap<String, NonZeroU32>,
    /// What a canary does to the bottle that sent it.
    pub on_canary: Policy,
    /// What becomes of a body that cannot be read.
    pub on_unscannable: OnUnscannable,
    /// The largest body that is held back whole, in bytes.
    pub buffer_limit: usize,
}

/// A finding that the operator has looked at.
#[derive(Clone, Debug)]
pub struct Suppressed {
    /// Which.
    pub what: SuppressedFinding,
    /// Why, in the operator's words.
    pub reason: String,
    /// From when on it does not count any more, in unix milliseconds.
    pub ends: i64,
}

/// How a suppressed finding is known again.
#[derive(Clone, Debug)]
pub enum SuppressedFinding {
    /// By its hash: this value, wherever it goes.
    Hash(String),
    /// By what found it where.
    Place {
        /// The rule's id.
        rule: String,
        /// Where it goes.
        host: HostPattern,
        /// Where in the request; everywhere where it is not set.
        location: Option<String>,
    },
}

impl Suppressed {
    /// Whether it is about this finding in a request to this host, at this moment in unix milliseconds. Known values and
    /// canaries cannot be suppressed.
    pub fn covers(&self, finding: &Finding, host: &Host, now: i64) -> bool {
        if now >= self.ends || finding.is_known() {
            return false;
        }
        match &self.what {
            SuppressedFinding::Hash(hash) => *hash == finding.hash,
            SuppressedFinding::Place { rule, host: hosts, location } => {
                rule == &*finding.rule
                    && hosts.matches(host)
                    && location.as_ref().is_none_or(|location| *location == finding.place())
            }
        }
    }
}
