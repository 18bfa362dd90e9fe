//! Grants. A use is counted in the transaction that lets something through, and a grant that is used up lets nothing more.

use super::super::audit;
use super::super::fail::Fail;
use super::list::is_known;
use super::random;
use super::rows::Cells;
use crate::BottleName;
use crate::ledger::approval::{
    ApprovalRequest, Grant, GrantId, GrantOutcome, GrantQuery, GrantScope, GrantScopeKind, NewGrant,
};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use serde_json::json;

const COLUMNS: &str = "scope, bottle, session_key, id, kind, action, target, finding, max_uses, uses, created_at, \
    expires_at, created_by, created_via, reason, revoked_at, revoked_by";

/// See [`crate::ledger::Ledger::grant_insert`].
pub(crate) fn insert(connection: &Connection, new: &NewGrant) -> Result<GrantOutcome, Fail> {
    if let Some(refusal) = new.refusal() {
        return Ok(GrantOutcome::Refused(refusal));
    }
    let grant = Grant {
        id: GrantId::of_random(random()?),
        scope: new.scope.clone(),
        kind: new.kind,
        action: new.action.clone(),
        target: new.target.clone(),
        finding: new.finding.clone(),
        max_uses: new.max_uses,
        uses: 0,
        created_at: new.now,
        expires_at: new.expires_at,
        created_by: new.actor.clone(),
        created_via: new.via,
        reason: new.reason.clone(),
        revoked_at: None,
        revoked_by: None,
    };
    let (bottle, session) = key(&grant.scope);
    connection
        .prepare_cached(
            "INSERT INTO grants (id, scope, bottle, session_key, kind, action, target, finding, max_uses, created_at,
               expires_at, created_by, created_via, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            grant.id.as_str(),
            grant.scope.kind().name(),
            bottle,
            session,
            grant.kind.name(),
            grant.action,
            grant.target,
            grant.finding,
            grant.max_uses,
            grant.created_at,
            grant.expires_at,
            grant.created_by,
            grant.created_via.name(),
            grant.reason
        ])?;
    let of = Some(bottle).filter(|bottle| !bottle.is_empty());
    audit::append(connection, new.now, "grant_insert", &new.actor, of, &grant)?;
    Ok(GrantOutcome::Made(Box::new(grant)))
}

/// See [`crate::ledger::Ledger::grant_list`].
pub(crate) fn list(connection: &Connection, query: &GrantQuery) -> Result<Vec<Grant>, Fail> {
    if !is_known(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM grants WHERE ?1 IS NULL OR bottle IN ('', ?1) ORDER BY seq DESC"
    ))?;
    let rows = statement.query_map([query.bottle.as_ref().map(BottleName::as_str)], grant)?;
    let mut grants: Vec<Grant> = rows.collect::<rusqlite::Result<_>>()?;
    grants.retain(|grant| query.ended || grant.stands(query.now));
    Ok(grants)
}

/// See [`crate::ledger::Ledger::grant_revoke`].
pub(crate) fn revoke(connection: &Connection, id: &GrantId, actor: &str, now: i64) -> Result<bool, Fail> {
    let mut statement = connection.prepare_cached(
        "UPDATE grants SET revoked_at = ?2, revoked_by = ?3 WHERE id = ?1 AND revoked_at IS NULL RETURNING bottle",
    )?;
    let revoked: Option<String> =
        statement.query_row(params![id.as_str(), now, actor], |row| row.get(0)).optional()?;
    if let Some(bottle) = &revoked {
        let of = Some(bottle.as_str()).filter(|bottle| !bottle.is_empty());
        audit::append(connection, now, "grant_revoke", actor, of, &json!({"grant": id}))?;
    }
    Ok(revoked.is_some())
}

/// Counts a use of the grant that lets this request through, if one does: of several the narrowest, and of those the one
/// that ends first. Only one that was made after `since` speaks against a denial of that time.
pub(super) fn use_up(
    connection: &Connection,
    request: &ApprovalRequest,
    since: Option<i64>,
) -> Result<Option<Grant>, Fail> {
    let mut statement = connection.prepare_cached(&format!(
        "UPDATE grants SET uses = uses + 1 WHERE seq =
           (SELECT seq FROM grants
            WHERE kind = :kind AND action = :action AND revoked_at IS NULL
              AND (expires_at IS NULL OR expires_at > :now)
              AND (max_uses IS NULL OR uses < max_uses)
              AND (target IS NULL OR target = :target)
              AND finding IS :finding
              AND (scope = 'global'
                OR scope = 'bottle' AND bottle = :bottle
                OR scope = 'session' AND bottle = :bottle AND session_key = :session)
              AND (:since IS NULL OR created_at > :since)
            ORDER BY CASE scope WHEN 'session' THEN 0 WHEN 'bottle' THEN 1 ELSE 2 END,
              ifnull(expires_at, {}), seq
            LIMIT 1)
         RETURNING {COLUMNS}",
        i64::MAX
    ))?;
    let asked = named_params! {
        ":kind": request.kind.name(),
        ":action": request.action,
        ":target": request.target,
        ":finding": request.finding,
        ":bottle": request.bottle.as_str(),
        ":session": request.session,
        ":now": request.now,
        ":since": since,
    };
    Ok(statement.query_row(asked, grant).optional()?)
}

/// Gives a use back that was not sent.
pub(super) fn give_back(connection: &Connection, id: &GrantId) -> Result<(), Fail> {
    connection
        .prepare_cached("UPDATE grants SET uses = uses - 1 WHERE id = ?1 AND uses > 0")?
        .execute([id.as_str()])?;
    Ok(())
}

/// A scope's columns.
fn key(scope: &GrantScope) -> (&str, &str) {
    match scope {
        GrantScope::Global => ("", ""),
        GrantScope::Bottle { bottle } => (bottle.as_str(), ""),
        GrantScope::Session { bottle, session } => (bottle.as_str(), session),
    }
}

fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let mut cells = Cells::of(row);
    let scope = match cells.parsed::<GrantScopeKind>()? {
        GrantScopeKind::Global => {
            let (_, _): (String, String) = (cells.take()?, cells.take()?);
            GrantScope::Global
        }
        GrantScopeKind::Bottle => {
            let (bottle, _): (_, String) = (cells.parsed()?, cells.take()?);
            GrantScope::Bottle { bottle }
        }
        GrantScopeKind::Session => GrantScope::Session { bottle: cells.parsed()?, session: cells.take()? },
    };
    Ok(Grant {
        scope,
        id: cells.parsed()?,
        kind: cells.parsed()?,
        action: cells.take()?,
        target: cells.take()?,
        finding: cells.take()?,
        max_uses: cells.take()?,
        uses: cells.take()?,
        created_at: cells.take()?,
        expires_at: cells.take()?,
        created_by: cells.take()?,
        created_via: cells.parsed()?,
        reason: cells.take()?,
        revoked_at: cells.take()?,
        revoked_by: cells.take()?,
    })
}
