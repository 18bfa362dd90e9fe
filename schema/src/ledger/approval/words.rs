//! The words of approvals. Their names are stable: in the ledger, in JSON and on the command line.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! words {
    ($(#[$doc:meta])* $type:ident, $what:literal: $($(#[$about:meta])* $word:ident = $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum $type {
            $($(#[$about])* #[serde(rename = $name)] $word,)*
        }

        impl $type {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$word),*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|word| word.name() == text).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|word| word.name()).collect();
                    format!("unknown {} {text:?}; expected one of {}", $what, names.join(", "))
                })
            }
        }
    };
}

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
    /// Let through by a grant; used from the start.
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
    /// How much harm an action can do, from the least.
    Tier, "tier":
    /// None.
    Safe = "safe",
    /// Little, and it can be undone.
    Low = "low",
    /// What is not known to be less.
    Medium = "medium",
    /// Much.
    High = "high",
    /// What cannot be undone: no grant lets it through, and who approves it says why.
    Critical = "critical",
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

impl Tier {
    /// Its number, 0 to 4.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The tier of that number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
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
            "secret".parse::<Tier>().unwrap_err(),
            r#"unknown tier "secret"; expected one of safe, low, medium, high, critical"#
        );
    }

    #[test]
    fn a_tier_is_its_number() {
        for (number, tier) in (0..).zip(Tier::ALL) {
            assert_eq!((tier.number(), Tier::of_number(number)), (number, Some(*tier)));
        }
        assert_eq!(Tier::of_number(5), None);
        assert!(Tier::Low < Tier::Critical);
    }
}
