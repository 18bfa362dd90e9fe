//! `hudson report` without its edge: what was read of a ledger in, one HTML page out.
//!
//! Invariants: the page needs nothing but itself and runs no script, which its Content-Security-Policy has the browser
//! enforce; every text is escaped where it is written, by [`maud`], after what a terminal or a reader could be misled by
//! is taken out; what a colour or a length says, a number in a table says too.

mod bars;
mod days;
mod page;

pub(crate) use page::html;

/// Everything that the page tells. Times are unix milliseconds, amounts are tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Whose it is.
    pub(crate) home: String,
    /// The one bottle that it is about, if it is not about all.
    pub(crate) bottle: Option<String>,
    /// From when on.
    pub(crate) since: i64,
    /// Until when.
    pub(crate) until: i64,
    /// When it was made.
    pub(crate) made_at: i64,
    /// Every day (UTC) of the chart of days, in order; the days of `usage` are among them.
    pub(crate) days: Vec<String>,
    /// What was used, by bottle, provider and day.
    pub(crate) usage: Vec<Usage>,
    /// What was used, by how the numbers were come by.
    pub(crate) qualities: Vec<Part>,
    /// What was used, by model.
    pub(crate) models: Vec<Part>,
    /// What was used, by host.
    pub(crate) hosts: Vec<Part>,
    /// From how many per cent on a limit is nearly spent; `None` where no warning is given.
    pub(crate) warn_at: Option<u8>,
    /// Limits as they are when it was made.
    pub(crate) budgets: Vec<Budget>,
    /// What was stopped, and what was done about it, oldest first.
    pub(crate) stops: Vec<Stop>,
    /// Why the limits are not known, if they are not.
    pub(crate) fault: Option<String>,
}

/// Usage summed up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sum {
    /// Tokens processed.
    pub(crate) tokens: u64,
    /// Tokens charged to budgets.
    pub(crate) charged: u64,
    /// Responses.
    pub(crate) requests: u64,
    /// Those of them whose count is not exact.
    pub(crate) inexact: u64,
}

/// What a bottle used of a provider on a day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// The bottle.
    pub(crate) bottle: String,
    /// The provider.
    pub(crate) provider: String,
    /// The day, such as 2026-11-01.
    pub(crate) day: String,
    /// How much.
    pub(crate) sum: Sum,
}

/// A part of the usage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// What it is of.
    pub(crate) name: String,
    /// How much.
    pub(crate) sum: Sum,
}

/// A limit and what stands under it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    /// Where it stands.
    pub(crate) scope: String,
    /// The provider counted, or `any`.
    pub(crate) provider: String,
    /// The tokens allowed.
    pub(crate) limit: u64,
    /// What is committed.
    pub(crate) spent: u64,
    /// What is reserved.
    pub(crate) held: u64,
    /// Its window.
    pub(crate) window: String,
    /// When it counts from nothing again, for people.
    pub(crate) resets_at: String,
}

/// Something that was stopped, goes on again, or was done about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// When.
    pub(crate) at: i64,
    /// What it is about.
    pub(crate) bottle: String,
    /// What happened, in a sentence.
    pub(crate) text: String,
}

impl Sum {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            charged: self.charged.saturating_add(other.charged),
            requests: self.requests.saturating_add(other.requests),
            inexact: self.inexact.saturating_add(other.inexact),
        }
    }
}

impl Report {
    /// All that was used.
    fn total(&self) -> Sum {
        self.usage.iter().map(|usage| usage.sum).fold(Sum::default(), Sum::and)
    }

    /// The providers, most used first, each with the colour that it has everywhere.
    fn providers(&self) -> Vec<Part> {
        ranked(self.usage.iter().map(|usage| (usage.provider.as_str(), usage.sum)))
    }
}

/// Sums by name, most first; equal ones by name.
fn ranked<'a>(parts: impl Iterator<Item = (&'a str, Sum)>) -> Vec<Part> {
    let mut sums = std::collections::BTreeMap::<&str, Sum>::new();
    for (name, sum) in parts {
        let known = sums.entry(name).or_default();
        *known = known.and(sum);
    }
    let mut parts: Vec<Part> =
        sums.into_iter().map(|(name, sum)| Part { name: name.to_owned(), sum }).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.sum.tokens));
    parts
}

/// How many colours there are; what comes after shares the last one.
const COLOURS: usize = 7;

/// The class of the colour of the provider at this rank.
fn colour(rank: usize) -> String {
    format!("c{}", rank.min(COLOURS))
}

/// A part of a whole, in per cent, rounded down; 0 of nothing.
fn percent(part: u64, whole: u64) -> u64 {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or_default();
    u64::try_from(percent).unwrap_or(u64::MAX)
}

/// A share for drawing, from 0 to 1.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

#[cfg(test)]
mod tests;
