//! What an operator sees: what is pending, and what there was.

use super::record;
use super::reply::Reply;
use crate::approvals::desk::Desk;
use crate::instance::now;
use http::StatusCode;
use hudson_schema::ledger::{Approval, ApprovalId, ApprovalQuery, ApprovalStatus, LedgerError};
use serde_json::{Value, json};

/// The most pending approvals that are listed.
const PENDING: usize = 1_000;
/// The entries of an audit, where nothing is said, and the most.
const ENTRIES: (usize, usize) = (50, 500);

/// `GET /pending`.
pub(super) async fn pending(desk: &Desk) -> Reply {
    let query = ApprovalQuery {
        status: Some(ApprovalStatus::Pending),
        most: PENDING,
        now: now(),
        ..ApprovalQuery::default()
    };
    match desk.ledger().approval_list(query).await {
        Ok(found) => {
            let listed: Vec<Value> = found.iter().map(record::full).collect();
            Reply::ok(json!({"count": listed.len(), "pending": listed}))
        }
        Err(error) => Reply::failed(&error),
    }
}

/// `GET /api/pending/{id}`.
pub(super) async fn one(desk: &Desk, id: &str) -> Reply {
    let Ok(id) = id.parse::<ApprovalId>() else { return Reply::not_found() };
    match desk.fetch(&id, None).await {
        Ok(Some(found)) => Reply::ok(record::full(&found)),
        Ok(None) => Reply::not_found(),
        Err(error) => Reply::failed(&error),
    }
}

/// `GET /audit?limit=`: each approval as it is now, newest first; with `events=1` each step that was taken.
pub(super) async fn audit(desk: &Desk, query: &str) -> Reply {
    let (most, events) = match asked(query) {
        Ok(asked) => asked,
        Err(why) => return Reply::error(StatusCode::BAD_REQUEST, "invalid", why),
    };
    let listed = desk.ledger().approval_list(ApprovalQuery { most, now: now(), ..ApprovalQuery::default() });
    let entries = match (listed.await, events) {
        (Ok(found), false) => Ok(found.iter().map(record::full).collect()),
        (Ok(found), true) => steps(desk, &found, most).await,
        (Err(error), _) => Err(error),
    };
    match entries {
        Ok(entries) => Reply::ok(json!({"count": entries.len(), "entries": entries})),
        Err(error) => Reply::failed(&error),
    }
}

async fn steps(desk: &Desk, of: &[Approval], most: usize) -> Result<Vec<Value>, LedgerError> {
    let mut steps = Vec::new();
    for approval in of {
        steps.extend(desk.ledger().approval_events(&approval.id).await?);
    }
    steps.sort_by_key(|step| std::cmp::Reverse(step.seq));
    steps.truncate(most);
    Ok(steps
        .into_iter()
        .map(|step| {
            json!({
                "seq": step.seq,
                "id": step.approval,
                "request_id": step.approval,
                "type": step.kind,
                "actor": step.actor,
                "via": step.via,
                "timestamp": record::seconds(step.ts),
                "timestamp_iso": record::iso(step.ts),
                "data": serde_json::from_str::<Value>(&step.data).unwrap_or_default(),
            })
        })
        .collect())
}

/// How many, and whether each step is asked for.
fn asked(query: &str) -> Result<(usize, bool), String> {
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|error| format!("the query: {error}"))?;
    let of = |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    let most = match of("limit") {
        None => ENTRIES.0,
        Some(limit) => {
            let limit: i64 =
                limit.parse().map_err(|_| format!("limit={limit}: expected a number from 1 to 500"))?;
            usize::try_from(limit.max(1)).unwrap_or(ENTRIES.1).min(ENTRIES.1)
        }
    };
    Ok((most, matches!(of("events"), Some("1" | "true"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_clamped_and_nonsense_is_refused() {
        assert_eq!(asked(""), Ok((50, false)));
        assert_eq!(asked("limit=0"), Ok((1, false)));
        assert_eq!(asked("limit=-5&events=1"), Ok((1, true)));
        assert_eq!(asked("limit=9999"), Ok((500, false)));
        assert!(asked("limit=many").is_err());
    }
}
