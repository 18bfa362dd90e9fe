//! What a cutoff drops, and what becomes of the work that is under way: as the settings say it. What that means for a
//! block is with the ledger's blocks.

use serde::Deserialize;

/// How a cutoff is done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Cutoff {
    /// What happens to requests in flight.
    pub in_flight: InFlight,
    /// Which routes drop.
    pub scope: CutoffScope,
}

/// What a cutoff does to requests in flight.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum InFlight {
    /// They finish.
    #[default]
    Finish,
    /// They are ended.
    End,
}

/// Which routes a cutoff drops.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CutoffScope {
    /// Every route.
    #[default]
    All,
    /// Only those of the provider whose budget is spent; of every provider where that is `any`.
    Provider,
}
