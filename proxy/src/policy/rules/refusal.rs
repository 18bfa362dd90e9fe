//! What rules say, in words: what the proxy answers and what `hudson explain` shows.

use super::Ruled;
use hudson_schema::config::Rule;
use hudson_schema::{Refusal, RefusalCode};

impl Ruled<'_> {
    /// The refusal, where it is one. What a person decides about is none.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Passes { .. } | Self::Approval { .. } => None,
            Self::Denied { rule } => Some(denied(rule, &format!("The rule {} denies it.", named(rule)))),
            Self::Unmatched { rule } => {
                let named = named(rule);
                let why =
                    format!("No rule of the route that allows matches it; the first of those is {named}.");
                Some(denied(rule, &why))
            }
            Self::Unreadable { rule, why } => {
                let message = format!("Whether the rule {} matches cannot be known: {why}.", named(rule));
                Some(Refusal::new(RefusalCode::MalformedRequest, message))
            }
        }
    }
}

/// A rule, so that who wrote it finds it.
pub fn named(rule: &Rule) -> String {
    match rule.line {
        0 => format!("{:?}", rule.name),
        line => format!("{:?} (line {line})", rule.name),
    }
}

/// The operator's own words first.
pub fn in_front(on_deny: Option<&str>, why: &str) -> String {
    match on_deny.map(str::trim).filter(|words| !words.is_empty()) {
        Some(words) if words.ends_with(['.', '!', '?']) => format!("{words} {why}"),
        Some(words) => format!("{words}. {why}"),
        None => why.to_owned(),
    }
}

fn denied(rule: &Rule, why: &str) -> Refusal {
    Refusal::new(RefusalCode::RuleDenied, in_front(rule.on_deny.as_deref(), why))
}
