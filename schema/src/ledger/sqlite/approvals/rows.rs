//! The rows of approvals, read by place: a list of ten thousand must not look for names.

use super::super::fail::Fail;
use crate::ledger::approval::{Approval, ApprovalId, Fingerprint, Tier};
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension, Row};
use std::str::FromStr;

/// What a row is read from, in the order in which [`approval`] does.
pub(super) const COLUMNS: &str = "seq, id, kind, bottle, session_key, requester, action, rate_key, target, finding, \
    tier, description, details_redacted, fingerprint, policy_rev, rule_id, rule_hash, approvers, status, created_at, \
    decision_expires_at, use_ttl, use_expires_at, decided_at, decided_by, decided_via, claimed_by, reason, attempt, \
    consumed_at, execution_status, execution_detail, dedupe_count, coalesced_into, grant_id, ended_at";

/// A row's values, one after the other.
pub(super) struct Cells<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Cells<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    /// A text of a type that parses.
    pub(super) fn parsed<T>(&mut self) -> rusqlite::Result<T>
    where
        T: FromStr,
        T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.parsed_option()?.ok_or_else(|| self.wrong("it is empty"))
    }

    /// The same where there may be none.
    pub(super) fn parsed_option<T>(&mut self) -> rusqlite::Result<Option<T>>
    where
        T: FromStr,
        T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.next += 1;
        let text = self.row.get_ref(self.next - 1)?.as_str_or_null().map_err(|error| self.wrong(error))?;
        text.map(|text| text.parse().map_err(|error: T::Err| self.wrong(error))).transpose()
    }

    fn wrong(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(self.next - 1, Type::Text, error.into())
    }
}

/// Reads a row of [`COLUMNS`].
pub(super) fn approval(row: &Row<'_>) -> rusqlite::Result<Approval> {
    let mut cells = Cells::of(row);
    Ok(Approval {
        seq: cells.take()?,
        id: cells.parsed()?,
        kind: cells.parsed()?,
        bottle: cells.parsed()?,
        session: cells.take()?,
        requester: cells.take()?,
        action: cells.take()?,
        rate_key: cells.take()?,
        target: cells.take()?,
        finding: cells.take()?,
        // The table allows none that is no tier; what is not known is the worst.
        tier: Tier::of_number(cells.take()?).unwrap_or(Tier::Critical),
        description: cells.take()?,
        details: cells.parsed()?,
        fingerprint: Fingerprint(cells.take()?),
        policy_revision: cells.take()?,
        rule: cells.take()?,
        rule_hash: cells.take()?,
        approvers: cells.take()?,
        status: cells.parsed()?,
        created_at: cells.take()?,
        decision_expires_at: cells.take()?,
        use_ttl: cells.take()?,
        use_expires_at: cells.take()?,
        decided_at: cells.take()?,
        decided_by: cells.take()?,
        decided_via: cells.parsed_option()?,
        claimed_by: cells.take()?,
        reason: cells.take()?,
        attempt: cells.take()?,
        consumed_at: cells.take()?,
        execution: cells.parsed_option()?,
        execution_detail: cells.take()?,
        dedupe_count: cells.take()?,
        coalesced_into: cells.parsed_option()?,
        grant: cells.parsed_option()?,
        ended_at: cells.take()?,
    })
}

/// The approval as it stands in its row.
pub(super) fn stored(connection: &Connection, id: &ApprovalId) -> Result<Option<Approval>, Fail> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"))?;
    Ok(statement.query_row([id.as_str()], approval).optional()?)
}

/// The same where it must be.
pub(super) fn required(connection: &Connection, id: &ApprovalId) -> Result<Approval, Fail> {
    stored(connection, id)?.ok_or_else(|| Fail::Missing("approval", id.to_string()))
}
