//! What settings.yml says about asking people, as a proxy takes it.

use crate::key;
use anyhow::Result;
use hudson_proxy::approval::ApprovalSetup;
use hudson_schema::action::ActionRules;
use hudson_schema::config::{ApprovalSettings, Settings};
use hudson_schema::home::Home;
use hudson_schema::ledger::{ApprovalRules, HIGH_RISK_ACTIONS, Rate};
use std::time::Duration;

/// How people are asked by a proxy of this home. The home's key is made where there is none.
pub fn of(home: &Home, settings: &Settings) -> Result<ApprovalSetup> {
    let approvals = &settings.approvals;
    let distinct = approvals.require_distinct_approvers.iter();
    Ok(ApprovalSetup {
        key: key::fingerprint_key(home)?,
        rules: rules(approvals),
        actions: ActionRules::of(approvals),
        use_ttl: approvals.use_ttl.0,
        hold_timeout: approvals.hold_timeout.0,
        approvers: distinct.map(|(tier, count)| (*tier, u32::from(*count))).collect(),
        unknown_hosts: approvals.unknown_hosts,
        budget_extension: approvals.budget_extension.map(|amount| amount.0),
    })
}

/// What the ledger goes by.
fn rules(approvals: &ApprovalSettings) -> ApprovalRules {
    let rate = approvals.rate_limit;
    let high_risk = HIGH_RISK_ACTIONS.map(str::to_owned).into_iter();
    ApprovalRules {
        dedupe_window: milliseconds(approvals.dedupe_window.0),
        deny_memory: milliseconds(approvals.deny_memory.0),
        max_pending: approvals.max_pending_per_bottle,
        rate: Some(Rate { count: rate.count, window: milliseconds(rate.per) }),
        fatigue: approvals
            .fatigue
            .map(|fatigue| Rate { count: fatigue.threshold, window: milliseconds(fatigue.window.0) }),
        non_bypassable: high_risk.chain(approvals.non_bypassable.iter().cloned()).collect(),
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
