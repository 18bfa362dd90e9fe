//! The words of approvals. Their names are stable: in the ledger, in JSON and on the command line.

use crate::vocabulary::word::words;

words! {
    /// What is asked for.
    ApprovalKind, "kind of approval":
    /// An action that an agent itself asks about.
    Confirm = "confirm",
    /// A request that a rule of its route holds.
    Http = "http",
    /// A request in which a finding was made.
    Dlp = "dlp",
    /// A host that is on no route.
    Route = "route",
    /// More of a budget.
    Budget = "budget",
    /// A tool of an MCP server.
    Mcp = "mcp",
}

words! {
    /// How far an approval has got.
    ApprovalStatus, "status of an approval":
    /// Nobody has decided.
    Pending = "pending",
    /// Decided, and to be used once.
    Approved = "approved",
    /// Used.
    Consumed = "consumed",
    /// A person has said no.
    Denied = "denied",
    /// The time to decide, or to use it, ran out. Nobody has said no.
    Expired = "expired",
    /// Taken back before anybody decided: its bottle is gone, its policy has changed, or another took its place.
    Cancelled = "cancelled",
    /// Approved, and taken back before it was used.
    Revoked = "revoked",
    /// Let through by a grant or by the policy; used from the start.
    AutoApproved = "auto_approved",
}

words! {
    /// What became of the action itself.
    Execution, "execution":
    /// Begun; nobody has said how it ended, and after a crash nobody will.
    Started = "started",
    /// Done.
    Executed = "executed",
    /// The other side has refused it.
    Failed = "failed",
    /// It may have happened.
    Unknown = "unknown",
    /// It provably did not leave.
    NotSent = "not_sent",
}

words! {
    /// How the action ended, where it was sent.
    ExecutionEnd, "end of an execution":
    /// Done.
    Executed = "executed",
    /// The other side has refused it.
    Failed = "failed",
    /// It may have happened.
    Unknown = "unknown",
}

words! {
    /// What a person says.
    Verdict, "verdict":
    /// Yes.
    Approve = "approve",
    /// No.
    Deny = "deny",
}

words! {
    /// The way a decision came.
    DecidedVia, "way of a decision":
    /// The command line.
    Cli = "cli",
    /// The dashboard.
    Dashboard = "dashboard",
    /// The admin API.
    Api = "api",
    /// A button in Telegram.
    Telegram = "telegram",
    /// A button in Slack.
    Slack = "slack",
    /// A button in Discord.
    Discord = "discord",
    /// A button in ntfy.
    Ntfy = "ntfy",
    /// A signed webhook.
    Webhook = "webhook",
    /// The host's files.
    Config = "config",
    /// A grant.
    Grant = "grant",
    /// Hudson itself: time ran out, a policy changed.
    System = "system",
}

words! {
    /// The kinds of [`super::GrantScope`].
    GrantScopeKind, "scope of a grant":
    /// Every bottle.
    Global = "global",
    /// One bottle.
    Bottle = "bottle",
    /// One session in a bottle.
    Session = "session",
}

impl ApprovalStatus {
    /// Whether it can still be decided or used.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }
}

impl From<ExecutionEnd> for Execution {
    fn from(end: ExecutionEnd) -> Self {
        match end {
            ExecutionEnd::Executed => Self::Executed,
            ExecutionEnd::Failed => Self::Failed,
            ExecutionEnd::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_as_its_word() {
        for status in ApprovalStatus::ALL {
            assert_eq!(status.name().parse(), Ok(*status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
        assert_eq!(
            "fax".parse::<GrantScopeKind>().unwrap_err(),
            r#"unknown scope of a grant "fax"; expected one of global, bottle, session"#
        );
    }
}
