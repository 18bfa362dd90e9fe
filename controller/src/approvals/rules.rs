//! What settings.yml says about asking, as the ledger takes it.

use hudson_schema::config::{ApprovalSettings, RateLimit};
use hudson_schema::ledger::{ApprovalRules, HIGH_RISK_ACTIONS, Rate};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The rules of the ledger; `rate` takes the place of the settings' own.
pub fn of(settings: &ApprovalSettings, rate: Option<RateLimit>) -> ApprovalRules {
    let rate = rate.unwrap_or(settings.rate_limit);
    ApprovalRules {
        dedupe_window: milliseconds(settings.dedupe_window.0),
        deny_memory: milliseconds(settings.deny_memory.0),
        max_pending: settings.max_pending_per_bottle,
        rate: Some(Rate { count: rate.count, window: milliseconds(rate.per) }),
        fatigue: settings
            .fatigue
            .map(|fatigue| Rate { count: fatigue.threshold, window: milliseconds(fatigue.window.0) }),
        non_bypassable: HIGH_RISK_ACTIONS
            .map(str::to_owned)
            .into_iter()
            .chain(settings.non_bypassable.iter().cloned())
            .collect(),
    }
}

/// What an approval of an action is given under: where the settings that decide who must approve what change, what was
/// approved before is asked anew.
pub fn revision(settings: &ApprovalSettings) -> String {
    let tiers: Vec<_> = settings.tiers.iter().map(|(action, tier)| (action, tier.number())).collect();
    let distinct: Vec<_> =
        settings.require_distinct_approvers.iter().map(|(tier, count)| (tier.number(), count)).collect();
    let policy = json!({"tiers": tiers, "non_bypassable": settings.non_bypassable, "distinct": distinct});
    let digest = Sha256::digest(policy.to_string().as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("confirm-{digits}")
}

/// A time as the ledger has it.
pub fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::Tier;

    #[test]
    fn what_decides_who_approves_makes_another_revision() {
        let plain = ApprovalSettings::default();
        let mut tiers = plain.clone();
        tiers.tiers.insert("send_email".to_owned(), Tier::High);
        let mut distinct = plain.clone();
        distinct.require_distinct_approvers.insert(Tier::High, 2);
        let mut listed = plain.clone();
        listed.non_bypassable.push("send_email".to_owned());
        let revisions = [&plain, &tiers, &distinct, &listed].map(revision);
        assert_eq!(revisions.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        let other_times = ApprovalSettings { hold_max: hudson_schema::config::Period::seconds(5), ..plain };
        assert_eq!(revision(&other_times), revisions[0]);
    }

    #[test]
    fn the_actions_of_high_risk_stay_so_whatever_the_settings_name() {
        let settings =
            ApprovalSettings { non_bypassable: vec!["send_email".to_owned()], ..Default::default() };
        let rules = of(&settings, Some("3/hour".parse().unwrap()));
        assert_eq!(rules.non_bypassable.len(), HIGH_RISK_ACTIONS.len() + 1);
        assert_eq!(rules.rate, Some(Rate { count: 3, window: 3_600_000 }));
    }
}
