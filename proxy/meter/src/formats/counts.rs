//! The numbers of one usage object, whatever a provider calls them, and the three ways providers add them up.
//!
//! Invariant: a number that is absent stays absent; whether it is a zero is each format's own decision.

use super::{count, sum};
use crate::scan::json::{Take, Value};
use hudson_schema::Usage;

/// A number's meaning. Providers have many names for each.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    Reasoning,
    /// What the provider's own tools put into the prompt (Google).
    ToolUse,
}

/// The numbers of one usage object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) reasoning: Option<u64>,
    pub(super) tool_use: Option<u64>,
}

impl Counts {
    /// Takes a number. Where an object states one under two names, they are equal or one of them is zero.
    pub(super) fn set(&mut self, number: Number, value: Value<'_>) {
        let slot = match number {
            Number::Input => &mut self.input,
            Number::Output => &mut self.output,
            Number::Total => &mut self.total,
            Number::CacheRead => &mut self.cache_read,
            Number::CacheWrite => &mut self.cache_write,
            Number::Reasoning => &mut self.reasoning,
            Number::ToolUse => &mut self.tool_use,
        };
        *slot = (*slot).max(count(value));
    }

    /// Takes the larger of each number.
    pub(super) fn raise(&mut self, other: &Self) {
        self.input = self.input.max(other.input);
        self.output = self.output.max(other.output);
        self.total = self.total.max(other.total);
        self.cache_read = self.cache_read.max(other.cache_read);
        self.cache_write = self.cache_write.max(other.cache_write);
        self.reasoning = self.reasoning.max(other.reasoning);
        self.tool_use = self.tool_use.max(other.tool_use);
    }

    /// The usage where cached tokens are a part of the input, and reasoning of the output; `None` without numbers.
    pub(super) fn inclusive(&self) -> Option<Usage> {
        let usage = self.parts()?;
        Some(Usage { total: self.stated().max(sum(&[usage.input, usage.output])), ..usage })
    }

    /// The usage where cached tokens stand beside the input.
    pub(super) fn additive(&self) -> Option<Usage> {
        let usage = self.parts()?;
        let total = sum(&[usage.input, usage.output, usage.cache_read, usage.cache_write]);
        Some(Usage { total, ..usage })
    }

    /// Google's: cached tokens are a part of the input, thoughts and the tools' prompts stand beside.
    pub(super) fn with_thoughts_beside(&self) -> Option<Usage> {
        let usage = self.parts()?;
        let output = sum(&[usage.output, usage.reasoning]);
        let total = sum(&[usage.input, output, self.tool_use.unwrap_or(0)]);
        Some(Usage { output, total: self.stated().max(total), ..usage })
    }

    /// Input or output is stated.
    pub(super) fn has_side(&self) -> bool {
        self.input.or(self.output).is_some()
    }

    /// The total as stated.
    pub(super) fn stated(&self) -> u64 {
        self.total.unwrap_or(0)
    }

    fn parts(&self) -> Option<Usage> {
        let stated = [self.input, self.output, self.total, self.cache_read, self.cache_write, self.reasoning];
        stated.into_iter().flatten().next()?;
        Some(Usage {
            input: self.input.unwrap_or(0),
            output: self.output.unwrap_or(0),
            cache_read: self.cache_read.unwrap_or(0),
            cache_write: self.cache_write.unwrap_or(0),
            reasoning: self.reasoning.unwrap_or(0),
            total: 0,
        })
    }
}

/// The paths of the members of the usage object at `place`.
pub(super) fn usage_at<F>(
    place: &str,
    names: &[(&str, Number)],
    field: impl Fn(Number) -> F,
) -> Vec<(&'static str, F, Take)> {
    // A selector is compiled once and lives as long as the process, and so may its paths.
    let path = |name: &str| -> &'static str { format!("{place}.{name}").leak() };
    names.iter().map(|(name, number)| (path(name), field(*number), Take::Value)).collect()
}

/// The names of OpenAI's newer formats.
pub(super) const OPENAI: &[(&str, Number)] = &[
    ("input_tokens", Number::Input),
    ("output_tokens", Number::Output),
    ("total_tokens", Number::Total),
    ("input_tokens_details.cached_tokens", Number::CacheRead),
    ("input_tokens_details.cache_write_tokens", Number::CacheWrite),
    ("output_tokens_details.reasoning_tokens", Number::Reasoning),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(numbers: &[(Number, u64)]) -> Counts {
        let mut counts = Counts::default();
        for (number, value) in numbers {
            counts.set(*number, Value::Number(*value));
        }
        counts
    }

    #[test]
    fn what_is_beside_is_added_and_what_is_inside_is_not() {
        use Number::{CacheRead, CacheWrite, Input, Output, Reasoning, ToolUse, Total};
        let counts = counts(&[
            (Input, 100),
            (Output, 10),
            (CacheRead, 7),
            (CacheWrite, 5),
            (Reasoning, 3),
            (ToolUse, 2),
        ]);
        assert_eq!(counts.inclusive().unwrap().total, 110);
        assert_eq!(counts.additive().unwrap().total, 122);
        let google = counts.with_thoughts_beside().unwrap();
        assert_eq!((google.output, google.total), (13, 115));
        let stated = Counts { total: Some(400), ..counts };
        assert_eq!(stated.inclusive().unwrap().total, 400);
        assert_eq!(stated.with_thoughts_beside().unwrap().total, 400);
        assert_eq!(Counts::default().inclusive(), None);
        assert!(self::counts(&[(Total, 0)]).inclusive().is_some(), "a zero is stated");
    }

    #[test]
    fn null_changes_nothing_and_of_two_names_the_larger_counts() {
        let mut counts = counts(&[(Number::Input, 4), (Number::Input, 0)]);
        counts.set(Number::Input, Value::Null);
        counts.set(Number::Output, Value::Text("9"));
        assert_eq!((counts.input, counts.output), (Some(4), None));
    }
}
