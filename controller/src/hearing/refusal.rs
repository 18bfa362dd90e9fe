//! Why an answer changes nothing: a stable word for the audit, a sentence for whoever gave it, and a status for programs.

use http::StatusCode;
use hudson_schema::ledger::{Approval, DecisionRefusal};

/// Why an answer was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody can tell whose it is.
    #[error(
        "the signature does not fit: it is keyed with another secret, or what was signed has changed on the way"
    )]
    Signature,
    /// It was signed too long ago, or in the future.
    #[error("the timestamp is more than 300 s off: it was sent again, or a clock is wrong")]
    Stale,
    /// It is not one of those who may decide.
    #[error("you are not one of those who may decide here; the settings name them (`approvers`)")]
    NotApprover,
    /// It came from a place where nothing was asked.
    #[error("nothing was asked in this chat")]
    OtherPlace,
    /// What was pressed is no button of Hudson's.
    #[error("this is no button that Hudson has made")]
    NoButton,
    /// It was made by somebody else, or for something else.
    #[error("this button was not made for what is asked for now; see `hudson approvals list`")]
    NotMade,
    /// It stands on a message that is not the one that asks.
    #[error("this message is not the one that asks; answer the newest one")]
    OtherMessage,
    /// There is no such approval.
    #[error("there is no such approval any more")]
    Unknown,
    /// It was heard before.
    #[error("this answer was heard before; it is {} by now", .0.status)]
    Heard(Box<Approval>),
    /// It was decided before.
    #[error("there is nothing to decide any more: it is {}", over(.0))]
    Over(Box<Approval>),
    /// Its time ran out.
    #[error("too late: its time to be decided ran out. It is not approved, and nobody has said no")]
    Expired(Box<Approval>),
    /// The ledger does not take it.
    #[error("{0}")]
    Decision(DecisionRefusal),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(&'static str),
    /// The ledger cannot be reached.
    #[error("the ledger cannot be reached, so that nothing is decided; try again")]
    Ledger(String),
}

impl Refusal {
    /// The stable word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Stale => "timestamp",
            Self::NotApprover => "not_an_approver",
            Self::OtherPlace => "other_place",
            Self::NoButton => "no_button",
            Self::NotMade => "not_made_for_this",
            Self::OtherMessage => "other_message",
            Self::Unknown => "unknown",
            Self::Heard(_) => "replayed",
            Self::Over(_) => "decided_already",
            Self::Expired(_) => "expired",
            Self::Decision(DecisionRefusal::Requester) => "requester",
            Self::Decision(DecisionRefusal::NotNamed) => "not_named",
            Self::Decision(DecisionRefusal::ReasonRequired) => "reason_required",
            Self::Malformed(_) => "malformed",
            Self::Ledger(_) => "ledger_unavailable",
        }
    }

    /// Whether it was known who it was: others can be anybody.
    pub fn is_proved(&self) -> bool {
        !matches!(self, Self::Signature | Self::Stale | Self::Malformed(_) | Self::NoButton)
    }

    /// The status that tells a program.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Signature | Self::Stale => StatusCode::UNAUTHORIZED,
            Self::NotApprover
            | Self::OtherPlace
            | Self::NoButton
            | Self::NotMade
            | Self::OtherMessage
            | Self::Decision(DecisionRefusal::Requester | DecisionRefusal::NotNamed) => StatusCode::FORBIDDEN,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Heard(_) | Self::Over(_) | Self::Expired(_) => StatusCode::CONFLICT,
            Self::Decision(DecisionRefusal::ReasonRequired) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn over(approval: &Approval) -> String {
    match &approval.decided_by {
        Some(by) => format!("{} (by {})", approval.status, hudson_schema::prompt::cleaned(by, 80)),
        None => approval.status.to_string(),
    }
}
