//! Grants: permissions that stand for a time, for a number of uses, or both.

use super::{ApprovalKind, DecidedVia, GrantId, GrantScopeKind};
use crate::BottleName;
use serde::Serialize;

/// Whose requests a grant lets through.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum GrantScope {
    /// Every bottle's.
    Global,
    /// One bottle's.
    Bottle {
        /// The bottle.
        bottle: BottleName,
    },
    /// Those of one session in a bottle.
    Session {
        /// The bottle.
        bottle: BottleName,
        /// The session.
        session: String,
    },
}

impl GrantScope {
    /// Which kind of scope.
    pub fn kind(&self) -> GrantScopeKind {
        match self {
            Self::Global => GrantScopeKind::Global,
            Self::Bottle { .. } => GrantScopeKind::Bottle,
            Self::Session { .. } => GrantScopeKind::Session,
        }
    }
}

/// A grant to be made.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Whose requests.
    pub scope: GrantScope,
    /// What is asked for.
    pub kind: ApprovalKind,
    /// The action.
    pub action: String,
    /// What it acts on; anything when `None`.
    pub target: Option<String>,
    /// The finding that may leave, to that target alone. Without one, nothing in which a finding was made is let through.
    pub finding: Option<String>,
    /// How often.
    pub max_uses: Option<u32>,
    /// Until when. Only the host's files may leave it open.
    pub expires_at: Option<i64>,
    /// Who makes it, as the channel knows them.
    pub actor: String,
    /// How it came.
    pub via: DecidedVia,
    /// Why.
    pub reason: Option<String>,
    /// The clock.
    pub now: i64,
}

impl NewGrant {
    /// The shortest time one can stand, in milliseconds.
    pub const SHORTEST: i64 = 60_000;
    /// The longest, except by the host's files.
    pub const LONGEST: i64 = 24 * 3_600_000;

    /// Why it cannot be made, if so.
    pub fn refusal(&self) -> Option<GrantRefusal> {
        let from_files = self.via == DecidedVia::Config;
        match self.expires_at.map(|until| until.saturating_sub(self.now)) {
            None if !from_files => return Some(GrantRefusal::Unbounded),
            Some(time) if time < Self::SHORTEST || (time > Self::LONGEST && !from_files) => {
                return Some(GrantRefusal::Time);
            }
            _ => {}
        }
        if self.max_uses == Some(0) {
            return Some(GrantRefusal::NoUse);
        }
        (self.finding.is_some() && self.target.is_none()).then_some(GrantRefusal::AnyTarget)
    }
}

/// Why a grant cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GrantRefusal {
    /// It would stand for ever.
    #[error("a grant must end; say for how long with --for, at most 24h")]
    Unbounded,
    /// It would stand for too short or too long.
    #[error("a grant stands for one minute to 24 hours; say another time with --for")]
    Time,
    /// It would let nothing through.
    #[error("a grant must let at least one use through; say another number with --uses")]
    NoUse,
    /// A secret would be let out to anybody.
    #[error("a grant for a finding must name the one target it may go to")]
    AnyTarget,
}

/// The answer to a [`NewGrant`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GrantOutcome {
    /// It stands.
    Made(Box<Grant>),
    /// It does not.
    Refused(GrantRefusal),
}

/// A grant on record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Whose requests it lets through.
    pub scope: GrantScope,
    /// What is asked for.
    pub kind: ApprovalKind,
    /// The action.
    pub action: String,
    /// What it acts on; anything when `None`.
    pub target: Option<String>,
    /// The finding that may leave.
    pub finding: Option<String>,
    /// How often.
    pub max_uses: Option<u32>,
    /// How often it was used.
    pub uses: u32,
    /// When it was made.
    pub created_at: i64,
    /// Until when it stands.
    pub expires_at: Option<i64>,
    /// Who made it.
    pub created_by: String,
    /// How that came.
    pub created_via: DecidedVia,
    /// Why.
    pub reason: Option<String>,
    /// When it was taken back.
    pub revoked_at: Option<i64>,
    /// By whom.
    pub revoked_by: Option<String>,
}

impl Grant {
    /// Whether it still lets anything through.
    pub fn stands(&self, now: i64) -> bool {
        self.revoked_at.is_none()
            && self.expires_at.is_none_or(|until| until > now)
            && self.max_uses.is_none_or(|most| self.uses < most)
    }
}

/// Which grants to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct GrantQuery {
    /// Those of this bottle and its sessions, and the global ones; every one when `None`.
    pub bottle: Option<BottleName>,
    /// Also those that let nothing through any more.
    pub ended: bool,
    /// The clock.
    pub now: i64,
}
