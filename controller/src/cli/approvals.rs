//! `hudson approvals …`

use clap::{Args, Subcommand};
use hudson_schema::config::Period;
use hudson_schema::ledger::{ApprovalKind, ApprovalStatus, GrantId, GrantScopeKind, Tier};
use hudson_schema::{BottleName, ledger::ApprovalId};
use std::path::PathBuf;
use std::str::FromStr;

/// The fewest characters of an id that name an approval: a shorter beginning may be another one's tomorrow.
const SHORTEST: usize = 4;

/// `hudson approvals …`
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List what waits for a decision, and what is approved and not used yet
    ///
    /// With --json: an array of objects as `show` has them, without `events`.
    List {
        /// Only those that are this: pending, approved, consumed, denied, expired, cancelled, revoked, auto_approved
        #[arg(long, value_name = "STATUS")]
        status: Option<ApprovalStatus>,
        /// Only what this bottle asks for
        #[arg(long, value_name = "NAME")]
        bottle: Option<BottleName>,
        /// Also what has ended
        #[arg(long, conflicts_with = "status")]
        all: bool,
        /// The most that are listed, the newest first
        #[arg(short = 'n', long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        lines: u32,
    },
    /// Show one approval with every step of it
    ///
    /// With --json: an object of the approval's fields (`id`, `kind`, `status`, `tier`, `bottle`, `session`, `action`,
    /// `target`, `description`, `details`, `fingerprint`, `digest`, `decided_by`, …; times in unix milliseconds) and
    /// `events`, an array of `{seq, ts, type, actor, via, data, audit_seq}`.
    Show {
        /// Its id, or a beginning of it that no other one has
        id: ApprovalRef,
    },
    /// Approve what is pending; it can then be used once
    ///
    /// What is approved is shown. On a terminal it is asked once, unless --yes or --reason is given. The exit code is 4 when
    /// it is decided already or its time is over. With --json: the approval's object, with `missing` where more people have to
    /// approve, and `grant` where one was made.
    Approve(ApproveArgs),
    /// Deny what is pending
    Deny {
        /// Its id, or a beginning of it that no other one has
        id: ApprovalRef,
        /// Why: it is told to the agent, and stands in the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take back what was approved and is not used yet, or a grant
    Revoke {
        /// The id of an approval (apr_…) or of a grant (grt_…), or a beginning of it that no other one has
        id: RevokeRef,
        /// Why: it stands in the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End what nobody has decided: one, or all whose time is over
    ///
    /// Nobody has to do this: what is over can be neither decided nor used, whether that is written down or not. With an id an
    /// approval is ended before its time, as cancelled: that is not a denial.
    #[command(group(clap::ArgGroup::new("which").required(true)))]
    Expire {
        /// The id of one that is pending, or a beginning of it that no other one has
        #[arg(group = "which")]
        id: Option<ApprovalRef>,
        /// Write down every one whose time is over
        #[arg(long, group = "which")]
        all_stale: bool,
    },
    /// Print what waits for a decision, as it comes, and how it ends
    ///
    /// One line each; with --json an object as `list` has it. Ctrl-C ends it.
    Watch {
        /// Only what this bottle asks for
        #[arg(long, value_name = "NAME")]
        bottle: Option<BottleName>,
    },
    /// Say how an action would be judged: its tier, why, who must approve it, and for how long it waits
    ///
    /// Nothing is asked for. With --json: `{action, tier, tier_name, known, patterns, approver, reviewed, decision_seconds,
    /// bypassable, reason_required, crisis, rate_key, approvers}`.
    Classify {
        /// The action, such as `send_email`
        action: String,
        /// The command that it runs
        #[arg(long, value_name = "TEXT")]
        command: Option<String>,
        /// The tier that the caller asks for, by name or number; it can only raise
        #[arg(long, value_name = "TIER", value_parser = tier)]
        tier: Option<Tier>,
        /// Words of the caller's about it
        #[arg(long, value_name = "TEXT")]
        context: Option<String>,
    },
    /// Print what was decided, as it stands in the audit
    ///
    /// With --json: the audit's rows as `hudson audit tail --json` has them, those of approvals and grants.
    Audit {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
        lines: u32,
        /// Follow the whole audit's chain of hashes instead, as `hudson audit verify` does
        #[arg(long)]
        verify: bool,
    },
    /// List grants: permissions that stand for a time, a number of uses, or both
    ///
    /// With --json: an array of `{id, scope, kind, action, target, finding, max_uses, uses, created_at, expires_at, created_by,
    /// created_via, reason, revoked_at, revoked_by}`; times in unix milliseconds.
    Grants {
        /// Only those that hold for this bottle
        #[arg(long, value_name = "NAME")]
        bottle: Option<BottleName>,
        /// Also those that let nothing through any more
        #[arg(long)]
        all: bool,
    },
    /// Let an action through without asking, for a time
    ///
    /// Nothing critical and nothing of `approvals.non_bypassable` is let through by a grant.
    Grant(GrantArgs),
}

/// Arguments of `hudson approvals approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Its id, or a beginning of it that no other one has
    pub id: ApprovalRef,
    /// Why: it stands in the audit. What is critical is not approved without
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Approve this in its place: a JSON object of `description`, `details` (or `payload`), or both
    ///
    /// Only what an agent asks about itself (kind confirm). The agent is told what it may do instead; what it asked for is not
    /// approved.
    #[arg(long, value_name = "FILE", conflicts_with = "for_time")]
    pub edit: Option<PathBuf>,
    /// Also let the same action on the same target through without asking, for this long: 1m to 24h
    #[arg(long = "for", id = "for_time", value_name = "TIME")]
    pub for_time: Option<Period>,
    /// At most so often
    #[arg(long, value_name = "N", requires = "for_time", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// For whom: session, bottle or global
    #[arg(long, value_name = "SCOPE", requires = "for_time", default_value = "bottle")]
    pub scope: GrantScopeKind,
}

/// Arguments of `hudson approvals grant`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["bottle", "global"])))]
#[command(group(clap::ArgGroup::new("what").required(true).args(["target", "any_target"])))]
pub struct GrantArgs {
    /// The action, as approvals name it
    pub action: String,
    /// What it may act on
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// It may act on anything
    #[arg(long)]
    pub any_target: bool,
    /// What is asked for: confirm, http, dlp, route, budget, mcp
    #[arg(long, value_name = "KIND", default_value = "confirm")]
    pub kind: ApprovalKind,
    /// The finding that may leave, as approvals name it
    #[arg(long, value_name = "DIGEST")]
    pub finding: Option<String>,
    /// For how long: 1m to 24h
    #[arg(long = "for", id = "for_time", value_name = "TIME")]
    pub for_time: Period,
    /// How often at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// What this bottle asks for
    #[arg(long, value_name = "NAME")]
    pub bottle: Option<BottleName>,
    /// Only in this session of it
    #[arg(long, value_name = "SESSION", requires = "bottle")]
    pub session: Option<String>,
    /// What any bottle asks for
    #[arg(long, conflicts_with = "session")]
    pub global: bool,
    /// Why: it stands in the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// An approval's id as it is written: whole, or the beginning of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApprovalRef {
    /// The id.
    Whole(ApprovalId),
    /// A beginning of it, with its prefix.
    Beginning(String),
}

/// The same for an approval or a grant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RevokeRef {
    /// An approval.
    Approval(ApprovalRef),
    /// A grant by its id.
    Grant(GrantId),
    /// A grant by a beginning of its id, with its prefix.
    GrantBeginning(String),
}

impl FromStr for ApprovalRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Whole(id));
        }
        beginning("apr_", text).map(Self::Beginning)
    }
}

impl FromStr for RevokeRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Grant(id));
        }
        if text.starts_with("grt_") {
            return beginning("grt_", text).map(Self::GrantBeginning);
        }
        if !text.starts_with("apr_") {
            return Err("write the id from its beginning: apr_ for an approval, grt_ for a grant".to_owned());
        }
        text.parse().map(Self::Approval)
    }
}

/// What an id begins with, checked as far as it goes; its prefix may be left out.
fn beginning(prefix: &str, text: &str) -> Result<String, String> {
    let digits = text.strip_prefix(prefix).unwrap_or(text);
    let known = digits.bytes().all(|digit| matches!(digit, b'a'..=b'z' | b'2'..=b'7'));
    match known && (SHORTEST..=26).contains(&digits.len()) {
        true => Ok(format!("{prefix}{digits}")),
        false => {
            Err(format!("expected {prefix} and 26 of a-z and 2-7, or the first {SHORTEST} of them or more"))
        }
    }
}

/// A tier by its name or number.
fn tier(text: &str) -> Result<Tier, String> {
    match text.parse::<u8>() {
        Ok(number) => Tier::of_number(number).ok_or_else(|| "expected 0 to 4".to_owned()),
        Err(_) => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_whole_or_a_beginning_that_is_long_enough() {
        let whole = "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(whole.parse(), Ok(ApprovalRef::Whole(whole.parse().unwrap())));
        for text in ["apr_ab2c", "ab2c"] {
            assert_eq!(text.parse(), Ok(ApprovalRef::Beginning("apr_ab2c".to_owned())));
        }
        for wrong in ["", "apr_", "apr_abc", "AB2C", "apr_ab1c", "grt_abcd", "ab%_", &format!("{whole}a")] {
            assert!(wrong.parse::<ApprovalRef>().is_err(), "{wrong}");
        }
        assert_eq!("grt_ab2c".parse(), Ok(RevokeRef::GrantBeginning("grt_ab2c".to_owned())));
        assert!(matches!("apr_ab2c".parse(), Ok(RevokeRef::Approval(_))));
        assert!("ab2c".parse::<RevokeRef>().unwrap_err().contains("apr_ for an approval"));
    }

    #[test]
    fn a_tier_is_a_name_or_a_number() {
        assert_eq!((tier("3"), tier("high")), (Ok(Tier::High), Ok(Tier::High)));
        assert!(tier("5").is_err() && tier("-1").is_err() && tier("hight").is_err());
    }
}
