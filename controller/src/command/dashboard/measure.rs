//! What the usage of the last minutes says: rates and hosts.

use crate::dashboard::Spent;
use hudson_schema::ledger::UsageRecord;
use hudson_schema::{Provider, Quality, Scope, ScopeKind};
use std::collections::BTreeMap;

/// What rates are the mean of, in minutes.
const MINUTES: u64 = 5;
/// How far back usage is read, in milliseconds. A response that began before is in no rate.
pub(super) const RECENT: i64 = 15 * 60_000;

/// The usage of the last minutes.
pub(super) struct Recent {
    /// Rows that began within [`RECENT`].
    pub(super) rows: Vec<UsageRecord>,
    /// When they were read, in unix milliseconds.
    pub(super) now: i64,
}

impl Recent {
    /// Tokens a minute, of one bottle or of all.
    pub(super) fn rate(&self, bottle: Option<&str>) -> u64 {
        let of = |row: &&UsageRecord| bottle.is_none_or(|bottle| row.bottle.as_str() == bottle);
        self.lately().filter(of).map(|row| row.usage.total).fold(0, u64::saturating_add) / MINUTES
    }

    /// What is charged a minute to a limit of this scope and provider.
    pub(super) fn charge_rate(&self, scope: &Scope, provider: &Provider) -> u64 {
        let counted =
            |row: &&UsageRecord| (provider.is_any() || row.provider == *provider) && belongs(row, scope);
        self.lately().filter(counted).map(|row| row.charged).fold(0, u64::saturating_add) / MINUTES
    }

    /// What a bottle used, by host, most first.
    pub(super) fn hosts(&self, bottle: &str) -> Vec<Spent> {
        let mut hosts: BTreeMap<&str, Spent> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.bottle.as_str() == bottle) {
            let spent = hosts.entry(&row.host).or_default();
            spent.add(row.usage.total, 1, u64::from(row.quality != Quality::Exact));
        }
        let named = hosts.into_iter().map(|(host, spent)| Spent { of: host.to_owned(), ..spent });
        most_first(named.collect())
    }

    /// When a bottle's last response ended.
    pub(super) fn last(&self, bottle: &str) -> Option<i64> {
        let of = self.rows.iter().filter(|row| row.bottle.as_str() == bottle);
        of.map(|row| row.finished_at).max()
    }

    fn lately(&self) -> impl Iterator<Item = &UsageRecord> {
        let since = self.now - i64::try_from(MINUTES).unwrap_or_default() * 60_000;
        self.rows.iter().filter(move |row| row.finished_at >= since)
    }
}

/// Whether a row is charged to a scope.
fn belongs(row: &UsageRecord, scope: &Scope) -> bool {
    let key = scope.key.as_str();
    match scope.kind {
        ScopeKind::Run => row.run_id.as_str() == key,
        ScopeKind::Agent => row.agent.as_ref().is_some_and(|agent| agent.as_str() == key),
        ScopeKind::Bottle => row.bottle.as_str() == key,
        // A parent's limit holds for its own runs, too.
        ScopeKind::Parent => {
            let parents = row.parent.as_deref().unwrap_or_default();
            row.bottle.as_str() == key || parents.split('/').any(|parent| parent == key)
        }
        ScopeKind::Global => true,
    }
}

/// In the order in which it is shown.
pub(super) fn most_first(mut spent: Vec<Spent>) -> Vec<Spent> {
    spent.sort_by_key(|spent| std::cmp::Reverse(spent.tokens));
    spent
}
