//! What the ledger's tests share: short ways to say runs, limits, requests and settlements.

#![allow(dead_code, unused_macros, reason = "each test binary uses some")]

use hudson_schema::budget::{Cutoff, Limit, Mode, Weights, Window};
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::*;
use hudson_schema::{Policy, Provider, Quality, RunId, Scope, ScopeKind, Usage};
use std::path::Path;
use std::sync::Arc;

pub(crate) const NOW: i64 = 1_780_000_000_000;
pub(crate) const DAY: i64 = 24 * 3600 * 1000;

pub(crate) fn open(dir: &Path) -> SharedLedger {
    Arc::new(SqliteLedger::open(&dir.join("bot-bottle.db"), &dir.join("owners")).unwrap())
}

pub(crate) fn id(text: &str) -> RunId {
    text.parse().unwrap()
}

pub(crate) fn provider(text: &str) -> Provider {
    text.parse().unwrap()
}

pub(crate) fn run(name: &str, bottle: &str, agent: Option<&str>, parents: &[&str]) -> NewRun {
    NewRun {
        id: id(name),
        bottle: bottle.parse().unwrap(),
        agent: agent.map(|agent| agent.parse().unwrap()),
        parents: parents.iter().map(|parent| parent.parse().unwrap()).collect(),
        credential_hash: [7; 32],
        supervised: false,
        launch: serde_json::json!({"command": ["true"]}),
        started_at: NOW,
    }
}

pub(crate) fn limit(kind: ScopeKind, key: &str, counted: &str, tokens: u64) -> AskedLimit {
    AskedLimit {
        limit: Limit {
            scope: Scope::new(kind, key),
            provider: provider(counted),
            tokens,
            window: Window::Lifetime,
            policy: Policy::Cutoff,
        },
        window_start: 0,
        window_end: None,
    }
}

pub(crate) fn in_force(asked: &AskedLimit) -> LimitInForce {
    let Limit { scope, provider, tokens, .. } = asked.limit.clone();
    LimitInForce { scope, provider, tokens: Some(tokens) }
}

pub(crate) fn daily(mut asked: AskedLimit, now: i64) -> AskedLimit {
    asked.limit.window = Window::Day;
    asked.window_start = now - now.rem_euclid(DAY);
    asked.window_end = Some(asked.window_start + DAY);
    asked
}

/// Opens the same store once more, as another process would.
pub(crate) type Open<'a> = &'a dyn Fn() -> SharedLedger;

/// Parts of the story as tests of one back end.
macro_rules! story {
    ($back_end:ident, $tell:path: $($part:ident)*) => {
        mod $back_end {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $part() {
                $tell(super::$part).await;
            })*
        }
    };
}

pub(crate) async fn on_sqlite(part: impl AsyncFn(Open<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    part(&|| open(dir.path())).await;
    assert_totals(dir.path());
}

/// Asks for `input` and `output` tokens of claude, at least one of output. No limit governs beyond those asked.
pub(crate) fn ask(run: &str, input: u64, output: u64, limits: &[AskedLimit]) -> HoldRequest {
    HoldRequest {
        run: id(run),
        provider: provider("claude"),
        host: "api.anthropic.com".to_owned(),
        model: Some("opus".to_owned()),
        stream: true,
        input,
        output,
        min_output: 1,
        weights: Weights::default(),
        mode: Mode::Hard,
        limits: limits.to_vec(),
        cutoff: Cutoff::default(),
        governing: limits.to_vec(),
        now: NOW,
    }
}

pub(crate) fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, total: input + output, ..Usage::default() }
}

pub(crate) fn settlement(hold: &HoldId, used: Option<Usage>, limits: &[AskedLimit]) -> Settlement {
    Settlement {
        hold: hold.clone(),
        usage: used,
        weights: Weights::default(),
        quality: if used.is_some() { Quality::Exact } else { Quality::Held },
        model: Some("opus-4".to_owned()),
        response_id: Some("msg_1".to_owned()),
        status: 200,
        stream: true,
        limits: limits.to_vec(),
        warn_at: Vec::new(),
        now: NOW + 5,
    }
}

pub(crate) fn placed(outcome: HoldOutcome) -> Hold {
    match outcome {
        HoldOutcome::Placed(hold) => hold,
        other => panic!("not placed: {other:?}"),
    }
}

pub(crate) fn exhausted(outcome: HoldOutcome) -> Exhausted {
    match outcome {
        HoldOutcome::Exhausted(exhausted) => exhausted,
        other => panic!("not exhausted: {other:?}"),
    }
}

pub(crate) fn blocked(outcome: HoldOutcome) -> Block {
    match outcome {
        HoldOutcome::Blocked(block) => block,
        other => panic!("not blocked: {other:?}"),
    }
}

/// Places a hold and settles it with exactly these tokens, whatever governs.
pub(crate) async fn spend(
    ledger: &dyn Ledger,
    run: &str,
    input: u64,
    output: u64,
    limits: &[AskedLimit],
) -> Vec<Crossing> {
    let hold = placed(ledger.hold_place(ask(run, input, output, &[])).await.unwrap());
    ledger.usage_settle(settlement(&hold.id, Some(usage(input, output)), limits)).await.unwrap().crossings
}

pub(crate) async fn balance(ledger: &dyn Ledger, kind: ScopeKind, key: &str, counted: &str) -> (u64, u64) {
    let balance = ledger.budget_fetch(&Scope::new(kind, key), &provider(counted), 0).await.unwrap();
    (balance.spent, balance.held)
}

/// Every kept total must be the sum of the usage it stands for.
pub(crate) fn assert_totals(dir: &Path) {
    let connection = rusqlite::Connection::open(dir.join("bot-bottle.db")).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT scope, scope_key, provider, window_start, charged,
               (SELECT ifnull(sum(charged), 0) FROM usage
                WHERE started_at >= window_start AND (totals.provider = 'any' OR usage.provider = totals.provider)
                  AND run_id IN (SELECT run_id FROM run_scopes
                                 WHERE scope = totals.scope AND scope_key = totals.scope_key)) AS summed
             FROM totals WHERE charged <> summed",
        )
        .unwrap();
    let wrong: Vec<(String, String, String, i64, i64, i64)> = statement
        .query_map((), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(wrong, [], "totals that differ from their usage");
}

/// So many cases of a property, unless `PROPTEST_CASES` says how many.
pub(crate) fn cases(usual: u32) -> proptest::prelude::ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(usual);
    proptest::prelude::ProptestConfig { cases, failure_persistence: None, ..<_>::default() }
}
