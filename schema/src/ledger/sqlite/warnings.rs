//! Warnings before a limit is reached. Each is a row, written in the transaction that found it passed: however many
//! processes settle at once, one of them is told to give it, and one notification is in the outbox.

use super::fail::Fail;
use super::rows::{limit, tokens};
use super::{AskedLimit, Warning, outbox, totals};
use rusqlite::{Connection, params};

/// The thresholds that these limits have passed and that nobody has warned of yet; of one limit only the highest.
pub(super) fn give(
    connection: &Connection,
    limits: &[AskedLimit],
    warn_at: &[u8],
    now: i64,
) -> Result<Vec<Warning>, Fail> {
    let mut warnings = Vec::new();
    for asked in limits {
        let spent = totals::spent(connection, asked)?;
        let mut highest = None;
        for percent in warn_at.iter().copied() {
            if is_passed(asked, spent, percent) && record(connection, asked, spent, percent, now)? {
                highest = highest.max(Some(percent));
            }
        }
        if let Some(percent) = highest {
            outbox::warning(connection, asked, spent, percent, now)?;
            warnings.push(Warning { limit: asked.clone(), spent, percent });
        }
    }
    Ok(warnings)
}

/// A limit of nothing is passed by nothing: there is no share of it to warn of.
fn is_passed(asked: &AskedLimit, spent: u64, percent: u8) -> bool {
    let allowed = asked.limit.tokens;
    allowed > 0 && u128::from(spent) * 100 >= u128::from(allowed) * u128::from(percent)
}

/// Whether it is the first of its kind.
fn record(
    connection: &Connection,
    asked: &AskedLimit,
    spent: u64,
    percent: u8,
    now: i64,
) -> Result<bool, Fail> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO budget_warnings
           (scope, scope_key, provider, window_start, limit_tokens, percent, spent, warned_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let inserted = statement.execute(params![
        asked.limit.scope.kind.name(),
        asked.limit.scope.key,
        asked.limit.provider.as_str(),
        asked.window_start,
        limit(asked.limit.tokens),
        percent,
        tokens(spent),
        now,
    ])?;
    Ok(inserted > 0)
}
