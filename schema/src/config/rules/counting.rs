//! What rules count: how often something passed, or how much of something, in a window of the calendar.

use super::subject::Subject;
use crate::ScopeKind;
use crate::config::values::RateLimit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A counter that a rule adds to when it lets a request through (`state:`).
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateRule {
    /// Its name, by which conditions ask for it: `state.bottle.daily_spend`. Rules that name the same add to the same.
    pub counter: String,
    /// When it begins at 0 again; the windows are those of the calendar in UTC.
    pub window: CounterWindow,
    /// Whose counter it is: `bottle` (default), `run`, `agent` or `global`.
    #[serde(default)]
    pub scope: CounterScope,
    /// What each request adds; 1 where neither this nor `increment_from` is given.
    pub increment: Option<u32>,
    /// Where in the request the number stands that is added, such as `body.amount`; what is missing adds `increment`, or
    /// nothing.
    pub increment_from: Option<Subject>,
    /// The most that it may come to in a window; what would go beyond is refused.
    #[schemars(range(min = 1))]
    pub limit: Option<u32>,
}

/// How long a counter counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CounterWindow {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl CounterWindow {
    /// Its length.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Whose counter it is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CounterScope {
    /// The bottle's.
    #[default]
    Bottle,
    /// The run's.
    Run,
    /// The agent's, on the whole host. Those without a name count together.
    Agent,
    /// The host's.
    Global,
}

impl CounterScope {
    /// Its name in a condition's path.
    pub fn name(self) -> &'static str {
        self.kind().name()
    }

    /// The scope of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Bottle, Self::Run, Self::Agent, Self::Global].into_iter().find(|scope| scope.name() == name)
    }

    /// The ledger's word for it.
    pub fn kind(self) -> ScopeKind {
        match self {
            Self::Bottle => ScopeKind::Bottle,
            Self::Run => ScopeKind::Run,
            Self::Agent => ScopeKind::Agent,
            Self::Global => ScopeKind::Global,
        }
    }
}

/// Whether a rate's window is one of the calendar's that rules know.
pub(super) fn window_of(rate: &RateLimit) -> Option<CounterWindow> {
    [CounterWindow::Minute, CounterWindow::Hour, CounterWindow::Day]
        .into_iter()
        .find(|window| window.length() == rate.per)
}
