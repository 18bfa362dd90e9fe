//! Budget arithmetic: how many tokens a usage is charged, which limits a request must have room under, and in which
//! window. Pure: a limit, a usage and a clock value in, a number out.

mod amount;
mod cutoff;
mod limit;
mod overrides;
mod weights;
#[cfg(feature = "config")]
mod window;

pub use amount::{Amount, InvalidAmount};
pub use cutoff::{Cutoff, CutoffScope, InFlight};
pub use limit::{BudgetMap, Limit, Mode, Precedence, ScopeBudget, asked};
pub use overrides::{BudgetOverride, with_overrides};
use serde::{Deserialize, Serialize};
pub use weights::Weights;
#[cfg(feature = "config")]
pub use window::{InvalidTimeZone, WindowClock};

/// The span of the calendar over which usage counts against a limit.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Everything since the ledger began.
    #[default]
    Lifetime,
    /// One calendar day.
    Day,
    /// One ISO week, from Monday.
    Week,
    /// One calendar month.
    Month,
}

impl Window {
    /// The stable name, as in the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}
