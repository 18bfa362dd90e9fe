//! What settings.yml says about asking people, as a proxy takes it.

use crate::key;
use anyhow::Result;
use hudson_proxy::approval::ApprovalSetup;
use hudson_schema::action::ActionRules;
use hudson_schema::config::Settings;
use hudson_schema::home::Home;

/// How people are asked by a proxy of this home. The home's key is made where there is none.
pub fn of(home: &Home, settings: &Settings) -> Result<ApprovalSetup> {
    let approvals = &settings.approvals;
    let distinct = approvals.require_distinct_approvers.iter();
    Ok(ApprovalSetup {
        key: key::fingerprint_key(home)?,
        rules: super::rules::of(approvals, None),
        actions: ActionRules::of(approvals),
        use_ttl: approvals.use_ttl.0,
        hold_timeout: approvals.hold_timeout.0,
        approvers: distinct.map(|(tier, count)| (*tier, u32::from(*count))).collect(),
        unknown_hosts: approvals.unknown_hosts,
        budget_extension: approvals.budget_extension.map(|amount| amount.0),
    })
}
