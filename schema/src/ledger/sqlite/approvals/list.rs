//! Reading approvals, as they are at the caller's time.

use super::super::fail::Fail;
use super::rows::{COLUMNS, Cells, approval, stored};
use crate::BottleName;
use crate::ledger::approval::{
    Approval, ApprovalCount, ApprovalEvent, ApprovalId, ApprovalQuery, ApprovalStatus,
};
use rusqlite::{Connection, params};

/// See [`crate::ledger::Ledger::approval_fetch`].
pub(crate) fn fetch(connection: &Connection, id: &ApprovalId, now: i64) -> Result<Option<Approval>, Fail> {
    if !is_known(connection)? {
        return Ok(None);
    }
    Ok(stored(connection, id)?.map(|approval| approval.at(now)))
}

/// See [`crate::ledger::Ledger::approval_list`].
pub(crate) fn list(connection: &Connection, query: &ApprovalQuery) -> Result<Vec<Approval>, Fail> {
    if !is_known(connection)? {
        return Ok(Vec::new());
    }
    // A plus keeps what is still open to its own index: it is little, whatever has ended.
    let (of_status, seq) = match query.status {
        None => ("TRUE", "seq"),
        Some(ApprovalStatus::Pending) => ("status = 'pending' AND decision_expires_at > ?2", "+seq"),
        Some(ApprovalStatus::Approved) => ("status = 'approved' AND use_expires_at > ?2", "+seq"),
        // Whether that is written down yet or not.
        Some(ApprovalStatus::Expired) => (
            "status = ?1 OR status = 'pending' AND decision_expires_at <= ?2
             OR status = 'approved' AND use_expires_at <= ?2",
            "seq",
        ),
        Some(_) => ("status = ?1", "seq"),
    };
    // Places are sorted, not rows: ten thousand of those do not fit into what SQLite sorts in memory.
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM
           (SELECT seq AS place FROM approvals
            WHERE ({of_status}) AND (?3 IS NULL OR bottle = ?3) AND {seq} < ?4 ORDER BY {seq} DESC LIMIT ?5)
           CROSS JOIN approvals ON seq = place"
    ))?;
    let asked = params![
        query.status.map(ApprovalStatus::name),
        query.now,
        query.bottle.as_ref().map(BottleName::as_str),
        query.before.unwrap_or(i64::MAX),
        i64::try_from(query.most).unwrap_or(i64::MAX)
    ];
    let rows = statement.query_map(asked, approval)?;
    let mut listed: Vec<Approval> =
        rows.map(|row| row.map(|row| row.at(query.now))).collect::<rusqlite::Result<_>>()?;
    listed.sort_by_key(|approval| std::cmp::Reverse(approval.seq));
    Ok(listed)
}

/// See [`crate::ledger::Ledger::approval_count`].
pub(crate) fn count(connection: &Connection, now: i64) -> Result<Vec<ApprovalCount>, Fail> {
    if !is_known(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT kind,
           CASE WHEN status = 'pending' AND decision_expires_at <= ?1
                  OR status = 'approved' AND use_expires_at <= ?1 THEN 'expired' ELSE status END AS standing,
           count(*)
         FROM approvals GROUP BY kind, standing ORDER BY kind, standing",
    )?;
    let rows = statement.query_map([now], |row| {
        let mut cells = Cells::of(row);
        let (kind, status) = (cells.parsed()?, cells.parsed()?);
        Ok(ApprovalCount { kind, status, count: cells.take::<i64>()?.unsigned_abs() })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// See [`crate::ledger::Ledger::approval_due`].
pub(crate) fn due(connection: &Connection) -> Result<Option<i64>, Fail> {
    if !is_known(connection)? {
        return Ok(None);
    }
    // Each is the first entry of an index of what is open.
    let mut earliest = None;
    for first in [
        "SELECT min(decision_expires_at) FROM approvals WHERE status = 'pending'",
        "SELECT min(use_expires_at) FROM approvals WHERE status = 'approved'",
    ] {
        let due: Option<i64> = connection.prepare_cached(first)?.query_row((), |row| row.get(0))?;
        earliest = [earliest, due].into_iter().flatten().min();
    }
    Ok(earliest)
}

/// See [`crate::ledger::Ledger::approval_events`].
pub(crate) fn events(connection: &Connection, id: &ApprovalId) -> Result<Vec<ApprovalEvent>, Fail> {
    if !is_known(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT seq, ts, approval_id, type, actor, via, data, audit_seq FROM approval_events
         WHERE approval_id = ?1 ORDER BY seq",
    )?;
    let rows = statement.query_map([id.as_str()], |row| {
        let mut cells = Cells::of(row);
        Ok(ApprovalEvent {
            seq: cells.take()?,
            ts: cells.take()?,
            approval: cells.parsed()?,
            kind: cells.take()?,
            actor: cells.take()?,
            via: cells.parsed()?,
            data: cells.take()?,
            audit_seq: cells.take()?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Whether the ledger has approvals at all: one that an older version wrote, opened for reading only, has none.
pub(super) fn is_known(connection: &Connection) -> Result<bool, Fail> {
    let known = "SELECT 1 FROM sqlite_schema WHERE name = 'approvals'";
    Ok(connection.prepare_cached(known)?.exists(())?)
}
