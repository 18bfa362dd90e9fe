//! Text about approvals that people read before they decide: one fixed template, on the terminal, the dashboard and the
//! phone alike.
//!
//! Invariants: a field is one line, and its label is Hudson's. What an agent may have written stands between « and »,
//! which are in no such text, is cut at a stated length and says so outside of them. So no text can pass for another
//! field, for the end of its own, or for words of Hudson's.

mod clean;

pub use clean::cleaned;

use crate::Tier;
use crate::ledger::{Approval, Fingerprint};
use serde_json::Value;
use std::fmt::Write;

/// Characters of an agent's text.
const TEXT: usize = 300;
/// Characters of what it acts on.
const TARGET: usize = 200;
/// Characters of a name.
pub(crate) const CUT: usize = 80;
/// Characters of a key of the details, and of a value of one.
const KEY: usize = 40;
const VALUE: usize = 60;
/// Keys of the details that are shown.
pub(crate) const SHOWN: usize = 5;
/// What stands for a value with more in it.
pub(crate) const NESTED: &str = "[redacted]";
/// Hex digits of a fingerprint that people compare.
const DIGITS: usize = 8;

/// An agent's text between « and », cut at 300 characters.
pub fn quoted(text: &str) -> String {
    quoted_at(text, TEXT)
}

/// The first eight hex digits of a fingerprint, which every place shows: who reads the same in two places decides about
/// the same action.
pub fn digest(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().chars().take(DIGITS).collect()
}

/// An approval as lines of a label and a value, in their order. A label may come more than once.
pub fn lines(approval: &Approval, now: i64) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("what", format!("{}, {}", approval.kind, quoted_at(&approval.action, CUT))),
        ("tier", tier(approval.tier)),
        ("bottle", approval.bottle.to_string()),
    ];
    if let Some(session) = &approval.session {
        lines.push(("session", quoted_at(session, CUT)));
    }
    lines.push(("target", quoted_at(&approval.target, TARGET)));
    if let Some(finding) = &approval.finding {
        lines.push(("finding", quoted_at(finding, CUT)));
    }
    lines.push(("description", quoted(&approval.description)));
    lines.extend(details(&approval.details).into_iter().map(|value| ("details", value)));
    if let Some(rule) = &approval.rule {
        lines.push(("rule", quoted_at(rule, CUT)));
    }
    lines.extend([
        ("digest", digest(&approval.fingerprint)),
        ("asked at", instant(approval.created_at)),
        ("decide until", until(approval.decision_expires_at, now)),
        ("needs", approvers(approval.approvers)),
        ("id", approval.id.to_string()),
    ]);
    lines
}

/// The same as text: a line each.
pub fn text(approval: &Approval, now: i64) -> String {
    lines(approval, now).into_iter().fold(String::new(), |mut text, (label, value)| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{label}: {value}");
        text
    })
}

fn quoted_at(text: &str, most: usize) -> String {
    let (shown, more) = clean::cut(text, most, clean::unquoted);
    match more {
        0 => format!("«{shown}»"),
        more => format!("«{shown}» (and {more} more)"),
    }
}

fn tier(tier: Tier) -> String {
    let about = match tier {
        Tier::Safe => "no harm is known",
        Tier::Low => "little harm, and it can be undone",
        Tier::Medium => "not known to be harmless",
        Tier::High => "much harm",
        Tier::Critical => "cannot be undone; say why when you approve",
    };
    format!("{tier}, {} of {} ({about})", tier.number(), Tier::Critical.number())
}

/// The first keys of the details; what is nested in them stays out.
fn details(details: &Value) -> Vec<String> {
    let Value::Object(details) = details else {
        return match details {
            Value::Null => Vec::new(),
            other => vec![value(other)],
        };
    };
    let shown = details.iter().take(SHOWN);
    let mut lines: Vec<_> =
        shown.map(|(key, inner)| format!("{}: {}", quoted_at(key, KEY), value(inner))).collect();
    match details.len().saturating_sub(SHOWN) {
        0 => {}
        1 => lines.push("and 1 more key".to_owned()),
        more => lines.push(format!("and {more} more keys")),
    }
    lines
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted_at(text, VALUE),
        Value::Array(_) | Value::Object(_) => NESTED.to_owned(),
        plain => plain.to_string(),
    }
}

fn instant(at: i64) -> String {
    let shown = jiff::Timestamp::from_millisecond(at.div_euclid(1000).saturating_mul(1000));
    shown.map_or_else(|_| format!("{at} ms"), |at| at.to_string())
}

fn until(at: i64, now: i64) -> String {
    let left = at.saturating_sub(now);
    let shown = instant(at);
    match (left, left / 1000) {
        (..=0, _) => format!("{shown} (over)"),
        (_, seconds @ ..120) => format!("{shown} (in {seconds} s)"),
        (_, seconds @ ..7_200) => format!("{shown} (in {} min)", seconds / 60),
        (_, seconds) => format!("{shown} (in {} h)", seconds / 3_600),
    }
}

fn approvers(count: u32) -> String {
    match count {
        0 | 1 => "1 person".to_owned(),
        count => format!("{count} different people"),
    }
}

#[cfg(test)]
mod tests;
