//! Approvals in words: how far one has got, and how long there is.

use crate::approvals::operator::known;
use hudson_schema::ledger::{Approval, ApprovalStatus};
use hudson_schema::prompt::quoted;

/// Digits of an id that are shown where a person reads, and enough to name it by.
const SHORT: usize = 12;

/// An id as people type it.
pub(super) fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

/// How long there is, or when it was.
pub(super) fn times(approval: &Approval, now: i64) -> String {
    let open = match approval.status {
        ApprovalStatus::Pending => Some(approval.decision_expires_at),
        ApprovalStatus::Approved => approval.use_expires_at,
        _ => None,
    };
    match (open, approval.ended_at.or(approval.decided_at)) {
        (Some(until), _) => format!("expires in {}", span(until - now)),
        (None, Some(at)) => format!("{} ago", span(now - at)),
        (None, None) => String::new(),
    }
}

/// How far it has got, who brought it there, and why.
pub(super) fn state(approval: &Approval, now: i64) -> String {
    let by = approval.decided_by.as_deref().map(known).unwrap_or_default();
    let via = approval.decided_via.map_or_else(String::new, |via| format!(" via {via}"));
    let mut text = match approval.status {
        ApprovalStatus::Pending => "pending: nobody has decided".to_owned(),
        ApprovalStatus::Approved => format!("approved by {by}{via}, and not used yet"),
        ApprovalStatus::Consumed => format!("used; approved by {by}{via}"),
        ApprovalStatus::Denied => format!("denied by {by}{via}"),
        ApprovalStatus::Expired if approval.decided_by.is_some() => {
            format!("expired: it was approved by {by}{via}, and not used in time")
        }
        ApprovalStatus::Expired => "expired: nobody decided in time, which is not a denial".to_owned(),
        ApprovalStatus::Cancelled => "cancelled: it was taken back before it was used".to_owned(),
        ApprovalStatus::Revoked => format!("revoked: it was approved by {by}{via}, and taken back"),
        ApprovalStatus::AutoApproved => match &approval.grant {
            Some(grant) => format!("let through by the grant {grant}"),
            None => {
                format!("let through without a person, by {}", if by.is_empty() { "Hudson" } else { &by })
            }
        },
    };
    let times = times(approval, now);
    if !times.is_empty() {
        text += &format!(" ({times})");
    }
    if let Some(reason) = &approval.reason {
        text += &format!(": {}", quoted(reason));
    }
    text
}

/// A span of milliseconds, rounded down.
pub(in super::super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_short_and_never_below_nothing() {
        let spans = [(-5_000, "0 s"), (119_999, "119 s"), (240_000, "4 min"), (7_200_000, "2 h")];
        for (milliseconds, text) in spans {
            assert_eq!(span(milliseconds), text);
        }
        assert_eq!(span(i64::MAX), "106751991167 days");
    }
}
