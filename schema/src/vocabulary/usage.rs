//! Token counts as the provider states them, and how far they can be trusted.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Add;
use std::str::FromStr;

/// Tokens of one response. All fields are counts of tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct Usage {
    /// What the provider calls input: without cache where it reports the two apart (Anthropic), with it elsewhere.
    pub input: u64,
    /// What was generated, reasoning included.
    pub output: u64,
    /// Tokens read from the provider's cache.
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    pub cache_write: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
    /// Every token processed, each counted once.
    pub total: u64,
}

impl Add for Usage {
    type Output = Self;

    /// Saturates: a provider's absurd number must not wrap a budget around.
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            total: self.total.saturating_add(other.total),
        }
    }
}

/// How a usage row came by its numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The provider's own final numbers.
    Exact,
    /// The stream ended early: what was seen, never less than what was reserved.
    Recovered,
    /// Hudson's own count.
    Estimated,
    /// Nothing could be read: the whole hold.
    Held,
}

impl Quality {
    /// The stable name, as in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Recovered => "recovered",
            Self::Estimated => "estimated",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self::Exact),
            "recovered" => Ok(Self::Recovered),
            "estimated" => Ok(Self::Estimated),
            "held" => Ok(Self::Held),
            _ => Err(format!("unknown quality {text:?}")),
        }
    }
}
