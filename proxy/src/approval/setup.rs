//! What the operator's settings say about asking people, as the data plane goes by it.

use super::FingerprintKey;
use hudson_schema::Tier;
use hudson_schema::config::UnknownHosts;
use hudson_schema::ledger::ApprovalRules;
use std::collections::BTreeMap;
use std::time::Duration;

/// How people are asked. Without one of these nobody can be, and what would need them is refused.
pub struct ApprovalSetup {
    /// The key of what approvals are bound to; the same in every process of the home.
    pub key: FingerprintKey,
    /// What the ledger goes by.
    pub rules: ApprovalRules,
    /// How long each tier waits for a decision.
    pub decision_ttl: BTreeMap<Tier, Duration>,
    /// How long an approval can be used.
    pub use_ttl: Duration,
    /// How long a request is held for a decision at most.
    pub hold_timeout: Duration,
    /// How many different people must approve, by tier.
    pub approvers: BTreeMap<Tier, u32>,
    /// The tier of an action by its name.
    pub tier: Box<dyn Fn(&str) -> Tier + Send + Sync>,
    /// What becomes of a request to a host that is on no route.
    pub unknown_hosts: UnknownHosts,
    /// The most tokens that one approval adds to a spent budget.
    pub budget_extension: Option<u64>,
}

impl ApprovalSetup {
    /// How long a decision on something of this tier is waited for. What nothing is said of waits the shortest.
    pub(crate) fn decision_ttl(&self, tier: Tier) -> Duration {
        let said = self.decision_ttl.get(&tier).or_else(|| self.decision_ttl.values().min());
        said.copied().unwrap_or(Duration::from_secs(300))
    }

    /// How many must approve something of this tier.
    pub(crate) fn approvers(&self, tier: Tier) -> u32 {
        self.approvers.get(&tier).copied().unwrap_or(1)
    }
}
