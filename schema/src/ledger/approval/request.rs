//! Asking for an approval, and what the answer can be.

use super::{Approval, ApprovalKind, Fingerprint, Tier};
use crate::BottleName;
use std::collections::BTreeSet;

/// Actions that no grant lets through, unless the settings name others.
pub const HIGH_RISK_ACTIONS: [&str; 10] = [
    "deploy_production",
    "delete_data",
    "transfer_funds",
    "modify_permissions",
    "shutdown_service",
    "wipe_database",
    "exec_remote",
    "publish_package",
    "rotate_keys",
    "migrate_database",
];

/// An action that needs an approval.
#[derive(Clone, Debug)]
pub struct ApprovalRequest {
    /// What is asked for.
    pub kind: ApprovalKind,
    /// The bottle that asks.
    pub bottle: BottleName,
    /// The session in it, if it said one.
    pub session: Option<String>,
    /// Who asks, named as those who decide are: they must not be the same.
    pub requester: String,
    /// The action, which grants name.
    pub action: String,
    /// What it is counted as: a word of the operator's, so that another name for the same is no new allowance.
    pub rate_key: String,
    /// What it acts on, which grants name; redacted, for it is told outside.
    pub target: String,
    /// The finding it is about, as a digest.
    pub finding: Option<String>,
    /// How much harm it can do.
    pub tier: Tier,
    /// What it is, for people; redacted.
    pub description: String,
    /// More of it; redacted.
    pub details: serde_json::Value,
    /// What it is bound to.
    pub fingerprint: Fingerprint,
    /// The policy in force.
    pub policy_revision: String,
    /// The rule that asks for it.
    pub rule: Option<String>,
    /// That rule's digest.
    pub rule_hash: Option<String>,
    /// Whether its rule lets grants through.
    pub bypassable: bool,
    /// What answers in the place of people, if anything does.
    pub automatic: Option<Automatic>,
    /// How many different people must approve; 0 is 1.
    pub approvers: u32,
    /// Who alone may decide, as the channel knows them; whoever may decide anything where nobody is named.
    pub deciders: Vec<String>,
    /// From when on it cannot be decided.
    pub decision_expires_at: i64,
    /// How long it can be used once approved, in milliseconds.
    pub use_ttl: i64,
    /// What the settings say.
    pub rules: ApprovalRules,
    /// The clock.
    pub now: i64,
}

impl ApprovalRequest {
    /// Whether a grant may let it through.
    pub fn is_bypassable(&self) -> bool {
        // What several people have to agree on, or one of a few, a permission that somebody gave does not answer.
        let anybody = self.approvers <= 1 && self.deciders.is_empty();
        anybody
            && self.bypassable
            && self.tier < Tier::Critical
            && !self.rules.non_bypassable.contains(&self.action)
    }

    /// Whether it may pass without a person: never where much harm can be done, or where not even a grant may.
    pub fn may_pass_by_itself(&self) -> bool {
        self.is_bypassable() && self.tier < Tier::High
    }
}

/// An answer in the place of people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Automatic {
    /// Yes. Heeded only where [`ApprovalRequest::may_pass_by_itself`]; elsewhere people are asked.
    Pass {
        /// Who says so: the policy, a model.
        by: String,
        /// Why, for people.
        reason: String,
    },
    /// No, whatever it is; it counts like a question to people.
    Deny {
        /// Who says so.
        by: String,
        /// Why; told to the agent.
        reason: String,
    },
}

/// So many in so long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In so many milliseconds.
    pub window: i64,
}

/// What the settings say about asking. Times are in milliseconds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApprovalRules {
    /// How old a pending approval may be for the same request to be given it again; after that another takes its place.
    pub dedupe_window: i64,
    /// How long a denial answers the same request.
    pub deny_memory: i64,
    /// How many may be pending for a bottle.
    pub max_pending: u32,
    /// How often a bottle may ask for one action.
    pub rate: Option<Rate>,
    /// How often people may be asked by one bottle, whatever for, before it is to be stopped instead.
    pub fatigue: Option<Rate>,
    /// Actions that no grant lets through.
    pub non_bypassable: BTreeSet<String>,
}

impl Default for ApprovalRules {
    fn default() -> Self {
        const MINUTE: i64 = 60_000;
        Self {
            dedupe_window: 10 * MINUTE,
            deny_memory: 5 * MINUTE,
            max_pending: 20,
            rate: Some(Rate { count: 10, window: 60 * MINUTE }),
            fatigue: Some(Rate { count: 15, window: 60 * MINUTE }),
            non_bypassable: HIGH_RISK_ACTIONS.map(str::to_owned).into(),
        }
    }
}

/// The answer to an [`ApprovalRequest`]. Only what creates an approval counts towards a rate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubmitOutcome {
    /// People are asked.
    Created(Approval),
    /// They have been asked already.
    Reused(Approval),
    /// Go on: an approval, or a grant, has been used up for this. Say how it went.
    Approved(Approval),
    /// A person has said no to the same, lately.
    Denied(Approval),
    /// Asked too often for this action.
    RateLimited {
        /// How often more.
        remaining: u32,
        /// The window that is counted, in milliseconds.
        window: i64,
        /// When there is room again.
        retry_at: i64,
    },
    /// Too many of the bottle are pending.
    TooManyPending {
        /// How many are.
        pending: u32,
    },
    /// People were asked too often by this bottle: it is to be stopped, rather than to ask more.
    Fatigued {
        /// How often they were.
        asked: u32,
        /// The window that is counted, in milliseconds.
        window: i64,
    },
}
