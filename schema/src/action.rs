//! What an action is: how much harm it can do, and so who must say yes to it, how long that is waited for and whether
//! anything may answer in a person's place.
//!
//! Invariants: what is known only raises. The tier is the highest of the table's, of every pattern's in the command, of
//! the operator's and of the caller's own wish; an action that nobody knows is medium, and a person's. The key that is
//! counted is a word of the table's or the operator's, so that another name for the same is no new allowance.

mod command;
mod crisis;
mod fold;
mod name;
mod pattern;
mod table;

use crate::Tier;
use crate::config::{ApprovalProfile, ApprovalSettings, CrisisBypass};
use crate::ledger::HIGH_RISK_ACTIONS;
use crate::vocabulary::word::words;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What an action is counted as that is in no table.
const UNKNOWN: &str = "unknown";

words! {
    /// Who must say yes.
    Approver, "approver":
    /// Nobody: it goes on, and is written down.
    Nobody = "nobody",
    /// A model, which may also have a person asked.
    Model = "model",
    /// A person.
    Person = "person",
}

/// What the operator says about actions.
#[derive(Clone, Debug)]
pub struct ActionRules {
    tiers: BTreeMap<String, Tier>,
    non_bypassable: BTreeSet<String>,
    profile: ApprovalProfile,
    decision_ttl: Duration,
    crisis: CrisisBypass,
    reviewer: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The action's name.
    pub action: &'a str,
    /// The command that it is to run, where it is one.
    pub command: Option<&'a str>,
    /// What the caller takes it for. It may only raise.
    pub tier: Option<Tier>,
    /// What it is about; looked at for words of a crisis alone, and only where the operator has it so.
    pub context: &'a str,
}

/// What that is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// How much harm it can do.
    pub tier: Tier,
    /// Whether the table or the operator knows the action.
    pub known: bool,
    /// The patterns that its command matches, each once.
    pub patterns: Vec<&'static str>,
    /// Who must say yes.
    pub approver: Approver,
    /// Whether a model looks first. It may deny, or have a person asked.
    pub reviewed: bool,
    /// How long a decision is waited for.
    pub decision_ttl: Duration,
    /// Whether a grant may let it through.
    pub bypassable: bool,
    /// Whether it is approved only with a reason.
    pub reason_required: bool,
    /// Whether it goes on because a person may be in need.
    pub crisis: bool,
    /// What it is counted as.
    pub rate_key: String,
}

impl ActionRules {
    /// Those of the settings.
    pub fn of(settings: &ApprovalSettings) -> Self {
        let mut tiers = BTreeMap::new();
        for (action, tier) in &settings.tiers {
            // Two spellings of one action: the higher.
            let entry = tiers.entry(name::canonical(action)).or_insert(*tier);
            *entry = (*entry).max(*tier);
        }
        let named = settings.non_bypassable.iter().map(|action| name::canonical(action));
        Self {
            tiers,
            non_bypassable: named.chain(HIGH_RISK_ACTIONS.map(str::to_owned)).collect(),
            profile: settings.profile,
            decision_ttl: settings.decision_ttl.0,
            crisis: settings.crisis_bypass,
            reviewer: settings.review.is_some(),
        }
    }

    /// How long a decision about an action of this tier is waited for.
    fn decision_ttl(&self, tier: Tier) -> Duration {
        match (self.profile, tier) {
            (ApprovalProfile::Standard, _) | (_, Tier::Safe | Tier::Low) => self.decision_ttl,
            (ApprovalProfile::RealtimeTiers, Tier::Medium) => Duration::from_secs(60),
            (ApprovalProfile::RealtimeTiers, Tier::High) => Duration::from_secs(30),
            (ApprovalProfile::RealtimeTiers, Tier::Critical) => Duration::from_secs(10),
        }
    }
}

/// Judges an action.
pub fn judge(rules: &ActionRules, asked: &Asked<'_>) -> Judged {
    let name = name::canonical(asked.action);
    let listed = table::tier(&name).max(rules.tiers.get(&name).copied());
    let found = found(asked);
    let tier = found
        .iter()
        .map(|pattern| pattern.tier)
        .chain(asked.tier)
        .fold(listed.unwrap_or(Tier::Medium), Tier::max);
    let bypassable = tier < Tier::Critical && !rules.non_bypassable.contains(&name);
    // No message to somebody in need runs a command.
    let crisis = bypassable && found.is_empty() && crisis::is_one(rules.crisis, &name, asked.context);
    let approver = match tier {
        _ if crisis => Approver::Nobody,
        _ if !bypassable => Approver::Person,
        Tier::Safe => Approver::Nobody,
        Tier::Low if rules.reviewer => Approver::Model,
        _ => Approver::Person,
    };
    Judged {
        tier,
        known: listed.is_some(),
        patterns: found.into_iter().map(|pattern| pattern.name).collect(),
        approver,
        reviewed: rules.reviewer && approver != Approver::Nobody,
        decision_ttl: rules.decision_ttl(tier),
        bypassable,
        reason_required: tier == Tier::Critical,
        crisis,
        rate_key: if listed.is_some() { name } else { UNKNOWN.to_owned() },
    }
}

/// The tier that a caller means by a level of risk, in the words of any ancestor: `low`, `HIGH`, `safe`, `3`.
pub fn tier_of_risk_level(level: &str) -> Option<Tier> {
    let level = level.trim().to_ascii_lowercase();
    let level = level
        .strip_prefix("tier")
        .map_or(level.as_str(), |number| number.trim_start_matches(['_', '-', ' ']));
    level.parse().ok().or_else(|| level.parse().ok().and_then(Tier::of_number))
}

/// The patterns in the command, and in the action's name: it is the agent's, and a command can stand in it as well.
fn found(asked: &Asked<'_>) -> Vec<&'static pattern::Pattern> {
    let texts = [Some(asked.action), asked.command].map(|text| text.map(command::Command::read));
    let matches = |pattern: &&pattern::Pattern| texts.iter().flatten().any(|text| text.matches(pattern));
    pattern::PATTERNS.iter().filter(matches).collect()
}

#[cfg(test)]
mod tests;
