//! What was read of a home at one moment. Times are unix milliseconds, amounts are tokens. As JSON it goes from a
//! controller to a dashboard of the same version, and nowhere else.

use hudson_schema::ledger::{ApprovalId, Block, Enforcement};
use hudson_schema::{AgentName, BottleName, RunId, Scope, Tier};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Everything that is shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Snapshot {
    /// When it was read.
    pub(crate) now: i64,
    /// Who has read it.
    pub(crate) origin: Origin,
    /// What is wrong with the files; limits are not known then.
    pub(crate) faults: Vec<String>,
    /// The lowest percentage at which a warning is given; `None` when none is.
    pub(crate) warn_at: Option<u8>,
    /// Every bottle with files or on record, by name.
    pub(crate) bottles: Vec<Bottle>,
    /// Limits past `warn_at`, the host's first.
    pub(crate) warnings: Vec<Limit>,
    /// What was used.
    pub(crate) spent: Spent,
    /// Tokens a minute.
    pub(crate) rate: u64,
    /// Tokens reserved by requests in flight.
    pub(crate) held: u64,
    /// What waits for a decision, the first that was asked for first.
    pub(crate) approvals: Vec<Waiting>,
    /// How many there are, where not all are listed.
    pub(crate) waiting: u64,
    /// The last rows of the audit, oldest first.
    pub(crate) events: Vec<EventRow>,
}

/// An approval that waits for a decision.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Waiting {
    /// Its id.
    pub(crate) id: ApprovalId,
    /// What it is bound to: what is decided must be what was shown.
    pub(crate) fingerprint: String,
    /// The bottle that asks.
    pub(crate) bottle: BottleName,
    /// How much harm it can do.
    pub(crate) tier: Tier,
    /// The kind and the action.
    pub(crate) what: String,
    /// What it acts on.
    pub(crate) target: String,
    /// Until when it can be decided.
    pub(crate) expires_at: i64,
    /// The lines of the fixed template.
    pub(crate) lines: Vec<(Cow<'static, str>, String)>,
}

/// Who has read a snapshot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Origin {
    /// The running controller.
    Controller {
        /// Which command it is.
        role: String,
        /// Its process.
        pid: u32,
    },
    /// The dashboard itself, from the ledger, for this is so.
    Ledger(Away),
}

impl Default for Origin {
    fn default() -> Self {
        Self::Ledger(Away::NotRunning)
    }
}

/// Why no controller is asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Away {
    /// None runs.
    NotRunning,
    /// It does not answer.
    Silent,
    /// It is of this version, and this is not.
    OtherVersion(String),
    /// It answers this instead.
    Failed(String),
}

/// Usage summed up.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Spent {
    /// What it is of: a provider or a host.
    pub(crate) of: String,
    /// Tokens processed.
    pub(crate) tokens: u64,
    /// Responses.
    pub(crate) requests: u64,
    /// Those of them whose count is not exact.
    pub(crate) inexact: u64,
}

impl Spent {
    /// Takes more usage in.
    pub(crate) fn add(&mut self, tokens: u64, requests: u64, inexact: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
        self.requests = self.requests.saturating_add(requests);
        self.inexact = self.inexact.saturating_add(inexact);
    }

    /// The part of exact counts, in per cent, rounded down; `None` without a response.
    pub(crate) fn exact(&self) -> Option<u64> {
        (self.requests.saturating_sub(self.inexact).saturating_mul(100)).checked_div(self.requests)
    }
}

/// What a bottle is doing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum BottleState {
    /// It has live runs, and nothing stops them.
    Running,
    /// The routes of some provider are dropped.
    Partly,
    /// Nothing gets out.
    CutOff,
    /// What runs in it is stopped where it was, and can be brought back.
    Frozen,
    /// What ran last in it was killed.
    Killed,
    /// Nothing runs in it.
    Idle,
}

/// One bottle.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Bottle {
    /// Its name.
    pub(crate) name: BottleName,
    /// What it is doing.
    pub(crate) state: BottleState,
    /// What was used, by provider, most first.
    pub(crate) providers: Vec<Spent>,
    /// What was used lately, by host, most first.
    pub(crate) hosts: Vec<Spent>,
    /// Tokens a minute.
    pub(crate) rate: u64,
    /// Tokens reserved by its requests in flight.
    pub(crate) held: u64,
    /// When it last did something; for long ago the day is known, not the time.
    pub(crate) active_at: Option<i64>,
    /// Every limit of its scopes.
    pub(crate) limits: Vec<Limit>,
    /// Its live runs, and the last one that has ended.
    pub(crate) runs: Vec<Run>,
    /// What stops it.
    pub(crate) blocks: Vec<Block>,
    /// The last things that were done about it, latest first.
    pub(crate) enforcements: Vec<Enforcement>,
    /// The last answers that it got instead of the upstream's, latest first.
    pub(crate) refusals: Vec<Refusal>,
}

/// An answer that a bottle got instead of the upstream's, as often as it got it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Refusal {
    /// When it got it last.
    pub(crate) at: i64,
    /// The refusal's code.
    pub(crate) code: String,
    /// Method, host and path.
    pub(crate) asked: String,
    /// What was wrong with it.
    pub(crate) reason: String,
    /// How often.
    pub(crate) times: u64,
}

impl Refusal {
    /// Whether another one says the same.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.code == other.code && self.asked == other.asked
    }
}

impl Bottle {
    /// All that it used.
    pub(crate) fn spent(&self) -> Spent {
        self.providers.iter().fold(Spent::default(), |mut sum, provider| {
            sum.add(provider.tokens, provider.requests, provider.inexact);
            sum
        })
    }

    /// The governing limit of which the largest part is spent.
    pub(crate) fn tightest(&self) -> Option<&Limit> {
        self.limits.iter().filter(|limit| limit.governs).max_by_key(|limit| limit.percent())
    }

    /// How long until a governing limit is spent at the present rate, in milliseconds. What is stopped spends nothing.
    pub(crate) fn empty_in(&self, now: i64) -> Option<i64> {
        let governing = self.limits.iter().filter(|limit| limit.governs);
        let soonest = governing.filter_map(|limit| limit.empty_in(now)).min()?;
        let stopped = matches!(self.state, BottleState::CutOff | BottleState::Frozen | BottleState::Killed);
        (soonest == 0 || !stopped).then_some(soonest)
    }

    /// Its runs that live.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.finished_at.is_none())
    }

    /// How many of its runs are frozen.
    pub(crate) fn frozen(&self) -> usize {
        self.live().filter(|run| run.frozen).count()
    }

    /// What an operator has ordered, which an operator can lift.
    pub(crate) fn ordered(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.budget.is_none())
    }
}

/// A run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    /// Its id.
    pub(crate) id: RunId,
    /// The agent, if named.
    pub(crate) agent: Option<AgentName>,
    /// When it began.
    pub(crate) started_at: i64,
    /// When it ended; `None` while it lives.
    pub(crate) finished_at: Option<i64>,
    /// The exit code of its command, where it had one.
    pub(crate) exit_code: Option<i32>,
    /// Whether it is frozen.
    pub(crate) frozen: bool,
    /// Tokens reserved by its requests in flight.
    pub(crate) held: u64,
}

/// A limit and what stands under it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Limit {
    /// Where it stands.
    pub(crate) scope: Scope,
    /// The provider counted, or `any`.
    pub(crate) provider: String,
    /// The tokens allowed.
    pub(crate) limit: u64,
    /// What is committed.
    pub(crate) spent: u64,
    /// What is reserved.
    pub(crate) held: u64,
    /// When it counts from nothing again; `None` for never.
    pub(crate) resets_at: Option<i64>,
    /// Where it comes from.
    pub(crate) source: Cow<'static, str>,
    /// Whether the bottle's requests have to fit under it.
    pub(crate) governs: bool,
    /// What is charged to it a minute.
    pub(crate) rate: u64,
}

impl Limit {
    /// What is left.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.spent).saturating_sub(self.held)
    }

    /// How much is spent, in per cent, rounded down. Nothing is left of nothing.
    pub(crate) fn percent(&self) -> u64 {
        let percent = (u128::from(self.spent) * 100).checked_div(u128::from(self.limit)).unwrap_or(100);
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// How long it lasts at the present rate, in milliseconds; `None` when nothing is spent, or its window ends first.
    pub(crate) fn empty_in(&self, now: i64) -> Option<i64> {
        if self.left() == 0 {
            return Some(0);
        }
        let lasts = u128::from(self.left()).saturating_mul(60_000).checked_div(u128::from(self.rate))?;
        let lasts = i64::try_from(lasts).ok()?;
        let resets_first = self.resets_at.is_some_and(|at| at.saturating_sub(now) <= lasts);
        (!resets_first).then_some(lasts)
    }
}

/// A row of the audit, for people.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct EventRow {
    /// Its place in the audit.
    pub(crate) seq: i64,
    /// When, as the operator's clock shows it.
    pub(crate) at: String,
    /// The bottle it concerns, if one.
    pub(crate) bottle: String,
    /// What happened.
    pub(crate) text: String,
}
