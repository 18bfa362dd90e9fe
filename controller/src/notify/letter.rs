//! What people read in a chat: of a notification that is not about an approval its own words, of an approval the fixed
//! template, with one line above it that says how things are.
//!
//! Invariant: the title is Hudson's words alone. What anybody else wrote stands between « and », or was cleaned.

use hudson_schema::ledger::{Approval, ApprovalId, ApprovalStatus, Notification, Tier};
use hudson_schema::prompt;
use serde::Deserialize;

/// Characters of a cause.
const CAUSE: usize = 300;
/// Characters of a name.
const NAME: usize = 80;

/// A text and its title.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Letter {
    /// One line of Hudson's own words.
    pub title: String,
    /// The rest, a line for each thing.
    pub text: String,
}

/// What a notification has a chat do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Errand {
    /// Ask about an approval.
    Ask(ApprovalId),
    /// Change the message that asked.
    Change(ApprovalId),
    /// Say this.
    Say(Letter),
    /// Nothing: it is no news to people.
    Nothing,
}

/// The kind of a notification that asks.
pub const REQUESTED: &str = "approval_requested";

/// Whether a notification tells what became of an approval that was asked for.
pub fn is_follow_up(kind: &str) -> bool {
    matches!(kind, "approval_decided" | "approval_expired" | "approval_cancelled" | "approval_consumed")
}

/// What a notification has a chat do; what is wrong with it otherwise.
pub fn errand(notification: &Notification) -> Result<Errand, String> {
    let what: What = serde_json::from_str(&notification.payload)
        .map_err(|_| "the notification in the ledger cannot be read".to_owned())?;
    let approval = || what.approval.as_ref().map(|of| of.id.clone()).ok_or("it names no approval".to_owned());
    Ok(match notification.kind.as_str() {
        REQUESTED => Errand::Ask(approval()?),
        // That it was used is for whoever keeps a record.
        "approval_consumed" => Errand::Nothing,
        kind if is_follow_up(kind) => Errand::Change(approval()?),
        kind => Errand::Say(what.letter(kind)),
    })
}

/// The approval as people are asked about it. Where there are no buttons, or not the one that approves, it says how it
/// is decided.
pub fn asks(approval: &Approval, buttons: bool, now: i64) -> Letter {
    let id = &approval.id;
    let how = match (approval.tier, buttons) {
        (Tier::Critical, true) => {
            format!(
                "decide: approve with `hudson approvals approve {id} --reason WHY`; the button only denies"
            )
        }
        (Tier::Critical, false) => {
            format!("decide: `hudson approvals approve {id} --reason WHY`, or `hudson approvals deny {id}`")
        }
        (_, true) => "decide: by a button below".to_owned(),
        (_, false) => format!("decide: `hudson approvals approve {id}`, or `hudson approvals deny {id}`"),
    };
    Letter {
        title: format!("Hudson: approval wanted ({})", approval.tier),
        text: prompt::text(approval, now) + &how,
    }
}

/// The approval as it is once there is nothing to decide.
pub fn over(approval: &Approval, now: i64) -> Letter {
    let by = || prompt::cleaned(approval.decided_by.as_deref().unwrap_or("nobody"), NAME);
    let title = match approval.status {
        ApprovalStatus::Pending => "still waits".to_owned(),
        ApprovalStatus::Approved | ApprovalStatus::Consumed => format!("approved by {}", by()),
        ApprovalStatus::Denied => format!("denied by {}", by()),
        ApprovalStatus::Expired if approval.decided_by.is_some() => {
            format!("approved by {}, and not used in time", by())
        }
        ApprovalStatus::Expired => "not approved: nobody answered in time, and nobody has said no".to_owned(),
        ApprovalStatus::Cancelled => "withdrawn: there is nothing to decide any more".to_owned(),
        ApprovalStatus::Revoked => "approved, and taken back before it was used".to_owned(),
        ApprovalStatus::AutoApproved => "let through by a grant".to_owned(),
    };
    let reason = approval.reason.as_deref().map(|reason| format!("reason: {}", prompt::quoted(reason)));
    Letter {
        title: format!("Hudson: {title}"),
        text: prompt::text(approval, now) + &reason.unwrap_or_default(),
    }
}

/// What a payload says, as far as people are told.
#[derive(Deserialize)]
struct What {
    scope: OfScope,
    bottle: Option<String>,
    provider: Option<String>,
    limit: Option<u64>,
    spent: Option<u64>,
    percent: Option<u8>,
    policy: Option<String>,
    cause: Option<String>,
    resets_at: Option<String>,
    waiting: Option<u64>,
    approval: Option<OfApproval>,
}

#[derive(Deserialize)]
struct OfScope {
    kind: String,
    key: String,
}

#[derive(Deserialize)]
struct OfApproval {
    id: ApprovalId,
}

impl What {
    fn letter(&self, kind: &str) -> Letter {
        let whose = match self.scope.kind.as_str() {
            "global" => "this host".to_owned(),
            kind => format!("{kind} {}", prompt::cleaned(&self.scope.key, NAME)),
        };
        let title = match kind {
            "budget_warning" => format!("{} % of a budget is spent", self.percent.unwrap_or_default()),
            "bottle_stopped" => format!("stopped ({})", self.policy.as_deref().unwrap_or("cutoff")),
            "bottle_resumed" => "not stopped by this any more".to_owned(),
            "enforcement_failed" => "could not be stopped: a person has to see to it".to_owned(),
            "approvals_waiting" => "more approvals are asked for than are told one by one".to_owned(),
            other => prompt::cleaned(other, NAME),
        };
        let mut lines = vec![format!("what: {whose}")];
        if let Some(bottle) = self.bottle.as_deref().filter(|_| self.scope.kind != "bottle") {
            lines.push(format!("bottle: {}", prompt::cleaned(bottle, NAME)));
        }
        if let (Some(limit), Some(spent)) = (self.limit, self.spent) {
            let provider = prompt::cleaned(self.provider.as_deref().unwrap_or("any"), NAME);
            lines.push(format!("budget: {spent} of {limit} tokens of {provider}"));
        }
        if let Some(policy) = self.policy.as_deref().filter(|_| kind == "budget_warning") {
            lines.push(format!("once it is spent: {policy}"));
        }
        if let Some(cause) = &self.cause {
            lines.push(format!("cause: {}", prompt::cleaned(cause, CAUSE)));
        }
        if let Some(at) = &self.resets_at {
            lines.push(format!("resets at: {at}"));
        }
        if let Some(waiting) = self.waiting {
            lines.push(format!("waiting: {waiting}; see `hudson approvals list`"));
            lines.push("no more of this bottle are told until the hour is over".to_owned());
        }
        Letter { title: format!("Hudson: {title}"), text: lines.join("\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, payload: &str) -> Result<Errand, String> {
        errand(&Notification {
            id: "01a1".to_owned(),
            channel: "telegram:1".to_owned(),
            kind: kind.to_owned(),
            payload: payload.to_owned(),
            attempt: 1,
        })
    }

    fn said(kind: &str, payload: &str) -> Letter {
        match told(kind, payload) {
            Ok(Errand::Say(letter)) => letter,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn warnings_and_stops_are_said_in_words() {
        let warning = r#"{"schema":"1","event":"budget_warning","id":"1","scope":{"kind":"global","key":""},
            "provider":"claude","limit":10000,"spent":8000,"percent":80,"policy":"cutoff","created_at":"x"}"#;
        assert_eq!(
            said("budget_warning", warning),
            Letter {
                title: "Hudson: 80 % of a budget is spent".to_owned(),
                text: "what: this host\nbudget: 8000 of 10000 tokens of claude\nonce it is spent: cutoff"
                    .to_owned(),
            }
        );
        let stopped = r#"{"scope":{"kind":"bottle","key":"ci"},"bottle":"ci","policy":"freeze",
            "cause":"an operator's order: it digs\nwhat: all is well","resets_at":"2026-06-01T00:00:00Z"}"#;
        assert_eq!(
            said("bottle_stopped", stopped),
            Letter {
                title: "Hudson: stopped (freeze)".to_owned(),
                text: "what: bottle ci\ncause: an operator's order: it digs what: all is well\n\
                       resets at: 2026-06-01T00:00:00Z"
                    .to_owned(),
            }
        );
        let many = said("approvals_waiting", r#"{"scope":{"kind":"bottle","key":"ci"},"waiting":61}"#);
        assert!(many.text.contains("waiting: 61; see `hudson approvals list`"), "{many:?}");
    }

    #[test]
    fn what_is_about_an_approval_is_an_errand() {
        let id = ApprovalId::of_random([3; 16]);
        let payload =
            format!(r#"{{"scope":{{"kind":"bottle","key":"ci"}},"approval":{{"id":"{id}","tier":3}}}}"#);
        assert_eq!(told("approval_requested", &payload), Ok(Errand::Ask(id.clone())));
        for kind in ["approval_decided", "approval_expired", "approval_cancelled"] {
            assert_eq!(told(kind, &payload), Ok(Errand::Change(id.clone())));
        }
        assert_eq!(told("approval_consumed", &payload), Ok(Errand::Nothing));
        assert!(told("approval_requested", r#"{"scope":{"kind":"global","key":""}}"#).is_err());
        assert!(told("approval_requested", "no JSON").is_err());
    }
}
