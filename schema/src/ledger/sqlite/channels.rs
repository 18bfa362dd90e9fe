//! What the ledger keeps of channels: which message shows which approval, how far a service was heard, and which answers
//! were.

use super::fail::Fail;
use super::{ChannelFault, NotifyCursor};
use crate::ledger::approval::ApprovalId;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// See [`super::Ledger::notify_message_set`].
pub(super) fn message_set(
    connection: &Connection,
    approval: &ApprovalId,
    channel: &str,
    message: &str,
    now: i64,
) -> Result<(), Fail> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO notify_messages (approval_id, channel, message, sent_at)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![approval.as_str(), channel, message, now])?;
    Ok(())
}

/// See [`super::Ledger::notify_message_fetch`].
pub(super) fn message_fetch(
    connection: &Connection,
    approval: &ApprovalId,
    channel: &str,
) -> Result<Option<String>, Fail> {
    let mut statement = connection
        .prepare_cached("SELECT message FROM notify_messages WHERE approval_id = ?1 AND channel = ?2")?;
    Ok(statement.query_row([approval.as_str(), channel], |row| row.get(0)).optional()?)
}

/// See [`super::Ledger::notify_cursor_fetch`].
pub(super) fn cursor_fetch(connection: &Connection, source: &str) -> Result<NotifyCursor, Fail> {
    let mut statement =
        connection.prepare_cached("SELECT position, moved_at FROM notify_cursors WHERE source = ?1")?;
    let cursor = |row: &Row<'_>| Ok(NotifyCursor { position: row.get(0)?, moved_at: row.get(1)? });
    Ok(statement.query_row([source], cursor).optional()?.unwrap_or_default())
}

/// See [`super::Ledger::notify_cursor_set`].
pub(super) fn cursor_set(connection: &Connection, source: &str, position: i64, now: i64) -> Result<(), Fail> {
    connection
        .prepare_cached(
            "INSERT INTO notify_cursors (source, position, moved_at, since) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (source) DO UPDATE SET position = excluded.position, moved_at = excluded.moved_at",
        )?
        .execute(params![source, position, now])?;
    Ok(())
}

/// See [`super::Ledger::notify_fault_set`].
pub(super) fn fault_set(connection: &Connection, source: &str, fault: &str, now: i64) -> Result<(), Fail> {
    connection
        .prepare_cached(
            "INSERT INTO notify_cursors (source, fault, since) VALUES (?1, ?2, ?3)
             ON CONFLICT (source) DO UPDATE SET fault = excluded.fault, since = excluded.since
             WHERE fault <> excluded.fault",
        )?
        .execute(params![source, fault, now])?;
    Ok(())
}

/// Why services are not heard. A ledger that an older version wrote knows of none.
pub(super) fn faults(connection: &Connection) -> Result<Vec<ChannelFault>, Fail> {
    let known = "SELECT 1 FROM sqlite_schema WHERE name = 'notify_cursors'";
    if !connection.prepare_cached(known)?.exists(())? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT source, fault, since FROM notify_cursors WHERE fault <> '' ORDER BY since, source",
    )?;
    let faults = statement.query_map((), |row| {
        Ok(ChannelFault { source: row.get(0)?, fault: row.get(1)?, since: row.get(2)? })
    })?;
    Ok(faults.collect::<rusqlite::Result<_>>()?)
}

/// Whether an answer was heard before.
pub(super) fn is_heard(connection: &Connection, nonce: &str) -> Result<bool, Fail> {
    Ok(connection.prepare_cached("SELECT 1 FROM notify_nonces WHERE nonce = ?1")?.exists([nonce])?)
}

/// Remembers an answer until it would be too old; forgets those that are.
pub(super) fn hear(connection: &Connection, nonce: &str, until: i64, now: i64) -> Result<(), Fail> {
    connection.prepare_cached("DELETE FROM notify_nonces WHERE until <= ?1")?.execute([now])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO notify_nonces (nonce, until) VALUES (?1, ?2)")?
        .execute(params![nonce, until])?;
    Ok(())
}

/// Forgets what has long been over.
pub(super) fn tidy(connection: &Connection, before: i64) -> Result<(), Fail> {
    connection.prepare_cached("DELETE FROM notify_messages WHERE sent_at < ?1")?.execute([before])?;
    connection.prepare_cached("DELETE FROM notify_withheld WHERE at < ?1")?.execute([before])?;
    connection.prepare_cached("DELETE FROM notify_quotas WHERE since < ?1")?.execute([before])?;
    Ok(())
}
