//! The rows of the ledger and the requests that make them. Times are unix milliseconds, amounts are tokens.

use super::Block;
use crate::budget::{Cutoff, Limit, Mode, Weights};
use crate::{AgentName, BottleName, Policy, Provider, Quality, RunId, Scope, Usage};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A launch to be recorded.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id; the user name in the proxy URL.
    pub id: RunId,
    /// The bottle it runs in.
    pub bottle: BottleName,
    /// The named agent, if any.
    pub agent: Option<AgentName>,
    /// The bottle's ancestors, nearest first.
    pub parents: Vec<BottleName>,
    /// SHA-256 of the proxy password. The password itself is never stored.
    pub credential_hash: [u8; 32],
    /// What else a proxy needs to serve the run after a restart: JSON without secrets.
    pub launch: serde_json::Value,
    /// Whether the process that records it stands by it: started it, acts on it, and ends it.
    pub supervised: bool,
    /// When it began.
    pub started_at: i64,
}

/// A launch on record.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// The bottle it runs in.
    pub bottle: BottleName,
    /// The named agent, if any.
    pub agent: Option<AgentName>,
    /// The bottle's ancestors, nearest first.
    pub parents: Vec<BottleName>,
    /// SHA-256 of the proxy password.
    pub credential_hash: [u8; 32],
    /// See [`NewRun::launch`].
    pub launch: serde_json::Value,
    /// When it began.
    pub started_at: i64,
    /// When it ended; `None` while it lives.
    pub finished_at: Option<i64>,
    /// The exit code of its command, where it had one.
    pub exit_code: Option<i32>,
}

/// The id of a hold.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct HoldId(pub String);

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A limit with the window that is current when it is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AskedLimit {
    /// The limit.
    pub limit: Limit,
    /// When its window began; 0 for lifetime.
    pub window_start: i64,
    /// When its window ends; `None` for lifetime.
    pub window_end: Option<i64>,
}

/// A request for tokens, before it is sent.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    /// Who asks.
    pub run: RunId,
    /// The provider that will be paid.
    pub provider: Provider,
    /// The host asked, for the usage row that a crash would leave.
    pub host: String,
    /// The model asked for, if the request names one.
    pub model: Option<String>,
    /// Whether the response is to be streamed.
    pub stream: bool,
    /// Estimated input, in raw tokens.
    pub input: u64,
    /// The output cap wanted, in raw tokens.
    pub output: u64,
    /// The least output worth sending for; equal to `output` where the cap cannot be lowered.
    pub min_output: u64,
    /// How the hold is weighed.
    pub weights: Weights,
    /// Hard: all limits must have room for the hold. Soft: none may be crossed already.
    pub mode: Mode,
    /// The limits to be asked.
    pub limits: Vec<AskedLimit>,
    /// Every limit that governs the run now, for any provider: those asked and more. Blocks are judged by them.
    pub governing: Vec<AskedLimit>,
    /// Which blocks stop a request to this provider.
    pub cutoff: Cutoff,
    /// The clock.
    pub now: i64,
}

/// The answer to a [`HoldRequest`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HoldOutcome {
    /// A scope of the run is blocked already.
    Blocked(Block),
    /// Not even the least output fits. Nothing was reserved.
    Exhausted(Exhausted),
    /// Reserved: the request may leave, with at most this much output.
    Placed(Hold),
}

/// A reservation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// Its id, for settling.
    pub id: HoldId,
    /// The output that was granted, in raw tokens; below what was asked when it was lowered to fit.
    pub output: u64,
    /// What was reserved, in charged tokens.
    pub tokens: u64,
    /// What the asked limits leave beyond this hold, in charged tokens; `None` without a limit.
    pub left: Option<u64>,
}

/// Why a request does not fit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exhausted {
    /// The limit that has no room.
    pub limit: AskedLimit,
    /// What is committed in its window.
    pub spent: u64,
    /// What is reserved by requests in flight.
    pub held: u64,
    /// Whether this is a crossing, which stops the limit's scope, and not only a refusal of this request.
    ///
    /// Never for what is in flight: the committed usage alone must leave no room. Soft: nothing is left. Hard, at the
    /// run's own scope: less than this request needs. Hard, at any wider scope: less than the weighed `min_output` (at
    /// least one token), or less than 1 % of the limit; short of that the request was too large for what is left,
    /// and others may still fit.
    pub crossed: bool,
}

/// The end of a request: what its hold is replaced by.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The hold.
    pub hold: HoldId,
    /// What was used; `None` leaves the hold's own tokens standing as the charge, whatever the quality.
    pub usage: Option<Usage>,
    /// How the usage is weighed; fixed from here on.
    pub weights: Weights,
    /// How the numbers were come by. Unless `exact`, they charge no less than the hold; the row keeps them as seen.
    pub quality: Quality,
    /// The model that answered, if known.
    pub model: Option<String>,
    /// The response's id, if it has one.
    pub response_id: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// Whether the response was streamed.
    pub stream: bool,
    /// The limits a crossing is judged by.
    pub limits: Vec<AskedLimit>,
    /// At which percentages of a limit a warning is given.
    pub warn_at: Vec<u8>,
    /// The clock.
    pub now: i64,
}

/// Final usage of work that was read by its id: a background response, a batch.
#[derive(Clone, Debug)]
pub struct Retrieval {
    /// Who read it.
    pub run: RunId,
    /// The provider that is paid.
    pub provider: Provider,
    /// The host it was read from.
    pub host: String,
    /// The id by which it was read.
    pub response_id: String,
    /// The provider's final numbers.
    pub usage: Usage,
    /// How the usage is weighed; fixed from here on.
    pub weights: Weights,
    /// The model that answered, if known.
    pub model: Option<String>,
    /// The HTTP status of the read.
    pub status: u16,
    /// The limits of the run that read it.
    pub limits: Vec<AskedLimit>,
    /// At which percentages of a limit a warning is given.
    pub warn_at: Vec<u8>,
    /// The clock.
    pub now: i64,
}

/// What a [`Retrieval`] changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Retrieved {
    /// Nothing: it was charged before.
    Known,
    /// It is charged now.
    Charged(Settled),
}

/// A limit that committed usage has reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Crossing {
    /// The limit.
    pub limit: AskedLimit,
    /// What is committed in its window.
    pub spent: u64,
}

/// A threshold of a limit that committed usage has passed, for the first time in its window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The limit.
    pub limit: AskedLimit,
    /// What is committed in its window.
    pub spent: u64,
    /// The threshold, in per cent of the limit.
    pub percent: u8,
}

/// What a settlement came to, beyond its row.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settled {
    /// Limits that are reached by it.
    pub crossings: Vec<Crossing>,
    /// Thresholds that are passed by it.
    pub warnings: Vec<Warning>,
}

/// What is allowed at a scope for a provider at this moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitInForce {
    /// The scope.
    pub scope: Scope,
    /// The provider counted, or `any`.
    pub provider: Provider,
    /// The limit; `None` where there is none.
    pub tokens: Option<u64>,
}

/// Limits that have changed, as they are for one run now.
#[derive(Clone, Debug)]
pub struct LimitReview {
    /// Every limit that governs the run, for any provider.
    pub governing: Vec<AskedLimit>,
    /// At which percentages of a limit a warning is given.
    pub warn_at: Vec<u8>,
}

/// What a [`LimitReview`] found.
pub type Reviewed = Settled;

/// Usage on record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct UsageRecord {
    /// Row id.
    pub id: i64,
    /// The run.
    pub run_id: RunId,
    /// The bottle.
    pub bottle: BottleName,
    /// The agent, if named.
    pub agent: Option<AgentName>,
    /// The bottle's ancestors, nearest first, joined by `/`; `None` without any.
    pub parent: Option<String>,
    /// The provider.
    pub provider: Provider,
    /// The host that answered.
    pub host: String,
    /// The model, if known.
    pub model: Option<String>,
    /// The response's id, if it has one.
    pub response_id: Option<String>,
    /// The provider's numbers.
    #[serde(flatten)]
    pub usage: Usage,
    /// What the budgets were charged.
    pub charged: u64,
    /// How the numbers were come by.
    pub quality: Quality,
    /// The HTTP status; 0 when none was seen.
    pub status: u16,
    /// Whether the response was streamed.
    pub stream: bool,
    /// When its hold was placed.
    pub started_at: i64,
    /// When it was settled.
    pub finished_at: i64,
}

/// Which usage to read.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// Only this run.
    pub run: Option<RunId>,
    /// Only this bottle.
    pub bottle: Option<BottleName>,
    /// Only rows that began at or after this time.
    pub since: Option<i64>,
    /// Only rows that began before this time.
    pub until: Option<i64>,
    /// The columns to sum by, in order.
    pub by: Vec<UsageColumn>,
}

/// A column that usage can be summed by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UsageColumn {
    /// The agent.
    Agent,
    /// The bottle.
    Bottle,
    /// The UTC day it began.
    Day,
    /// The host that answered.
    Host,
    /// The model.
    Model,
    /// The provider.
    Provider,
    /// How the numbers were come by.
    Quality,
    /// The run.
    Run,
}

/// Usage summed over one group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UsageSum {
    /// The group's values, in the order of [`UsageQuery::by`]; empty where the column is null.
    pub group: Vec<String>,
    /// How many responses.
    pub requests: u64,
    /// How many of them are not `exact`.
    pub inexact: u64,
    /// The provider's numbers.
    pub usage: Usage,
    /// What the budgets were charged.
    pub charged: u64,
}

/// What stands against one scope and provider.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Balance {
    /// Charged tokens that are committed.
    pub spent: u64,
    /// Charged tokens that are reserved by requests in flight.
    pub held: u64,
}

/// How far an enforcement has got.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EnforcementState {
    /// Decided, in the transaction that found the crossing.
    Planned,
    /// Being carried out.
    Started,
    /// Carried out.
    Done,
    /// Given up; `detail` says why.
    Failed,
}

impl EnforcementState {
    /// The stable name, as in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What is done about a run: what a policy asks for, or the end of a freeze.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing gets out; what runs goes on.
    Cutoff,
    /// Its state is saved and it is stopped.
    Freeze,
    /// It is torn down.
    Kill,
    /// What was frozen is brought back.
    Resume,
}

impl Action {
    /// The stable name, as in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cutoff => "cutoff",
            Self::Freeze => "freeze",
            Self::Kill => "kill",
            Self::Resume => "resume",
        }
    }
}

impl From<Policy> for Action {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Cutoff => Self::Cutoff,
            Policy::Freeze => Self::Freeze,
            Policy::Kill => Self::Kill,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of the wish to bring a frozen run back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Resumption {
    /// It is not frozen.
    NotFrozen,
    /// This still stops it.
    Blocked(Block),
    /// It is planned, now or before.
    Planned,
}

/// Whether a run is frozen by what its rows, oldest first, say.
pub fn is_frozen(rows: &[Enforcement]) -> bool {
    let changed = |row: &&Enforcement| row.state == EnforcementState::Done && row.action != Action::Cutoff;
    rows.iter().rfind(changed).is_some_and(|row| row.action == Action::Freeze)
}

/// One action on one run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Enforcement {
    /// Row id.
    pub id: i64,
    /// The run acted on.
    pub run_id: RunId,
    /// Its bottle.
    pub bottle: BottleName,
    /// What is done.
    #[serde(rename = "policy")]
    pub action: Action,
    /// The scope that caused it.
    pub scope: Scope,
    /// Why, for people.
    pub cause: String,
    /// Whether an operator ordered it; else a spent budget did.
    pub ordered: bool,
    /// How far it has got.
    pub state: EnforcementState,
    /// What happened, for people.
    pub detail: String,
    /// When it was planned.
    pub created_at: i64,
    /// When it was done or failed.
    pub finished_at: Option<i64>,
}

impl Enforcement {
    /// Whether it is still to be carried out.
    pub fn is_open(&self) -> bool {
        matches!(self.state, EnforcementState::Planned | EnforcementState::Started)
    }
}
