//! What the operator's settings say about asking people, as the data plane goes by it.

use super::FingerprintKey;
use hudson_schema::Tier;
use hudson_schema::action::ActionRules;
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
    /// What actions are, and how long a decision about one is waited for.
    pub actions: ActionRules,
    /// How long an approval can be used.
    pub use_ttl: Duration,
    /// How long a request is held for a decision at most.
    pub hold_timeout: Duration,
    /// How many different people must approve, by tier; one where nothing is said.
    pub approvers: BTreeMap<Tier, u32>,
    /// What becomes of a request to a host that is on no route.
    pub unknown_hosts: UnknownHosts,
    /// The most tokens that one approval adds to a spent budget.
    pub budget_extension: Option<u64>,
}
