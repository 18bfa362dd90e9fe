//! A question to people: what they are asked, and everything that their answer is bound to.
//!
//! Invariant: what is bound is the action itself, and what is told of it is redacted.

use super::ApprovalSetup;
use hudson_schema::action::{self, Asked};
use hudson_schema::ledger::{ApprovalKind, ApprovalRequest, Fingerprint};
use hudson_schema::{BottleName, Tier};
use serde_json::Value;
use std::time::Duration;

/// What people are asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// What kind of thing it is.
    pub kind: ApprovalKind,
    /// The action, which grants name.
    pub action: String,
    /// What it is counted as: a word of the operator's or of Hudson's, never the agent's.
    pub rate_key: String,
    /// What it acts on, which grants name; redacted.
    pub target: String,
    /// The finding it is about, as a digest.
    pub finding: Option<String>,
    /// At least so much harm it can do, in the operator's judgement; its action may be known as worse.
    pub tier: Option<Tier>,
    /// What it is, for people; redacted.
    pub description: String,
    /// More of it; redacted.
    pub details: Value,
    /// Everything that makes it what it is, by name. The bottle and the rule's name are bound besides.
    pub bound: Vec<(&'static str, Vec<u8>)>,
    /// The rule that asks: its name and its digest.
    pub rule: Option<(String, String)>,
    /// The digest of the policy under which it is asked: under another one, no answer to it counts.
    pub policy_revision: String,
    /// Whether a grant may answer.
    pub bypassable: bool,
    /// Who alone may decide, where the rule names them.
    pub deciders: Vec<String>,
    /// How long a decision is waited for, where that is not as the settings say.
    pub decision_ttl: Option<Duration>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The bottle.
    pub bottle: BottleName,
    /// The run in it, as whose session it is recorded.
    pub session: Option<String>,
}

impl Question {
    /// What the answer is bound to; `None` where that cannot be told, so that nothing can be approved.
    pub fn fingerprint(&self, setup: &ApprovalSetup, asker: &Asker) -> Option<Fingerprint> {
        let rule = self.rule.as_ref().map_or("", |(name, _)| name);
        let who = [("bottle", asker.bottle.as_str().as_bytes()), ("rule", rule.as_bytes())];
        let bound = self.bound.iter().map(|(name, value)| (*name, value.as_slice()));
        setup.key.bind(self.kind, who.into_iter().chain(bound))
    }

    /// The question as the ledger takes it.
    pub fn request(&self, setup: &ApprovalSetup, asker: &Asker, now: i64) -> Option<ApprovalRequest> {
        let asked = Asked { action: &self.action, command: None, tier: self.tier, context: "" };
        let judged = action::judge(&setup.actions, &asked);
        let tier = judged.tier;
        let ttl = self.decision_ttl.unwrap_or(judged.decision_ttl);
        let (rule, rule_hash) = self.rule.clone().unzip();
        Some(ApprovalRequest {
            kind: self.kind,
            bottle: asker.bottle.clone(),
            session: asker.session.clone(),
            requester: format!("bottle:{}", asker.bottle),
            action: self.action.clone(),
            rate_key: self.rate_key.clone(),
            target: self.target.clone(),
            finding: self.finding.clone(),
            tier,
            description: self.description.clone(),
            details: self.details.clone(),
            fingerprint: self.fingerprint(setup, asker)?,
            policy_revision: self.policy_revision.clone(),
            rule,
            rule_hash,
            bypassable: self.bypassable && judged.bypassable,
            // What an operator's rule has a person decide is not decided by a table.
            automatic: None,
            approvers: setup.approvers.get(&tier).copied().unwrap_or(1),
            deciders: self.deciders.clone(),
            decision_expires_at: now.saturating_add(milliseconds(ttl)),
            use_ttl: milliseconds(setup.use_ttl),
            rules: setup.rules.clone(),
            now,
        })
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
