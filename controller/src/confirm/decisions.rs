//! Deciding over HTTP, in the words of each of the servers that went before.
//!
//! Invariants: who decides is who has the token; what the body calls them is written down as a claim; an approval is
//! `true`, not something that a program could take for it.

use super::record;
use super::reply::Reply;
use crate::approvals::asked::{Members, Unreadable};
use crate::approvals::desk::Desk;
use crate::instance::now;
use http::StatusCode;
use hudson_schema::ledger::{
    Approval, ApprovalId, ApprovalStatus, Decided, DecidedVia, Decision, DecisionRefusal,
};
use serde_json::{Value, json};

/// The longest claim or reason, in characters.
const LONGEST: usize = 2_000;
/// What bodies call whoever decides.
const CLAIMS: [&str; 5] = ["actor", "approver", "denier", "decided_by", "resolved_by"];

/// What a decision that was made before is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeated {
    /// That it cannot be made again.
    Conflicts,
    /// As the first time.
    Stands,
}

/// A decision as it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) approve: bool,
    claimed_by: Option<String>,
    reason: Option<String>,
}

impl Sent {
    /// What stands in the path decides; the body says why.
    pub(super) fn of_path(id: &str, approve: bool, body: &[u8]) -> Result<Self, Unreadable> {
        let members = Members::read_or_empty(body)?;
        Self::of(id.to_owned(), approve, &members)
    }

    /// `{"request_id": …, "approved": true}`.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Unreadable> {
        let members = Members::read(body)?;
        let id = match members.text("request_id")? {
            Some(id) => id,
            None => members.text("id")?.ok_or(Unreadable::Missing("request_id"))?,
        };
        let approve = match members.value("approved") {
            Some(Value::Bool(approve)) => approve,
            None => return Err(Unreadable::Missing("approved")),
            // "false" is not false, and must not be taken for yes.
            Some(_) => {
                return Err(Unreadable::Type {
                    field: "approved".to_owned(),
                    expected: "true or false, without quotes",
                });
            }
        };
        Self::of(id, approve, &members)
    }

    fn of(id: String, approve: bool, members: &Members) -> Result<Self, Unreadable> {
        let mut claimed_by = None;
        for name in CLAIMS {
            claimed_by = claimed_by.or(members.text(name)?);
        }
        let cut = |text: String| text.chars().take(LONGEST).collect();
        Ok(Self { id, approve, claimed_by: claimed_by.map(cut), reason: members.text("reason")?.map(cut) })
    }
}

/// Decides.
pub(super) async fn decide(desk: &Desk, actor: String, sent: Sent, repeated: Repeated) -> Reply {
    let Sent { id, approve, claimed_by, reason } = sent;
    let Ok(id) = id.parse::<ApprovalId>() else { return Reply::not_found() };
    let decision = Decision { id, actor, via: DecidedVia::Api, claimed_by, reason, now: now() };
    match desk.decide(approve, decision).await {
        Ok(decided) => told(decided, repeated),
        Err(error) => Reply::failed(&error),
    }
}

fn told(decided: Decided, repeated: Repeated) -> Reply {
    match decided {
        Decided::Made(approval) => Reply::ok(record::decided(&approval)),
        Decided::Repeated(approval) if repeated == Repeated::Stands => Reply::ok(record::decided(&approval)),
        Decided::Repeated(approval) | Decided::Conflict(approval) => {
            conflict(&approval, "it is decided already")
        }
        Decided::Expired(approval) => conflict(&approval, "it has expired: nobody decided in time"),
        Decided::Awaiting { approval, missing } => {
            let mut body = record::decided(&approval);
            let message = format!("counted; {missing} more must approve");
            record::merge(&mut body, json!({"missing": missing, "message": message}));
            Reply::new(StatusCode::ACCEPTED, body)
        }
        Decided::Refused(DecisionRefusal::ReasonRequired) => Reply::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "reason_required",
            "a critical action is approved only with a reason: say why in \"reason\"",
        ),
        Decided::Refused(refusal @ (DecisionRefusal::Requester | DecisionRefusal::NotNamed)) => {
            Reply::error(StatusCode::FORBIDDEN, "forbidden", refusal.to_string())
        }
        Decided::Unknown => Reply::not_found(),
    }
}

fn conflict(approval: &Approval, why: &str) -> Reply {
    let code = if approval.status == ApprovalStatus::Expired { "expired" } else { "conflict" };
    let mut body = record::decided(approval);
    record::merge(&mut body, json!({"error": why, "code": code}));
    Reply::new(StatusCode::CONFLICT, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_approves() {
        let read = |approved: &str| {
            Sent::of_body(format!(r#"{{"request_id": "apr_x", "approved": {approved}}}"#).as_bytes())
                .map(|sent| sent.approve)
                .map_err(|error| error.to_string())
        };
        assert_eq!((read("true"), read("false")), (Ok(true), Ok(false)));
        for not in ["\"false\"", "\"true\"", "1", "0", "[]", "{}"] {
            assert!(read(not).unwrap_err().contains("true or false"), "{not}");
        }
        assert!(read("null").unwrap_err().contains("missing required field: approved"));
        assert!(Sent::of_body(br#"{"approved": true}"#).is_err());
        assert!(Sent::of_body(br#"{"request_id": 5, "approved": true}"#).is_err());
        assert!(Sent::of_body(br#"{"request_id": "x", "approved": false, "approved": true}"#).is_err());
    }

    #[test]
    fn who_a_body_says_it_is_is_a_claim() {
        let sent = Sent::of_path("apr_x", true, br#"{"approver": "the boss", "reason": "ok"}"#).unwrap();
        assert_eq!((sent.claimed_by.as_deref(), sent.reason.as_deref()), (Some("the boss"), Some("ok")));
        assert!(Sent::of_path("apr_x", true, b" ").unwrap().claimed_by.is_none());
        assert!(Sent::of_path("apr_x", true, br#"{"reason": 5}"#).is_err());
        assert!(Sent::of_path("apr_x", true, b"[]").is_err());
    }
}
