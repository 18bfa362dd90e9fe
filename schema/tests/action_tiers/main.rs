//! What an action is, as the ancestors' own tests have it, with their defects mended: the tier system (002), the
//! confirmation daemon (001) and the confirmation server (000); and the laws that hold whatever an agent writes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod commands;
mod crisis;
mod laws;
mod tiers;

use hudson_schema::Tier;
use hudson_schema::action::{ActionRules, Asked, Judged, judge};
use hudson_schema::config::{ApprovalSettings, parse_settings};
use std::path::Path;

/// Approvals as settings.yml has them.
fn settings(approvals: &str) -> ApprovalSettings {
    let text = format!("approvals: {{{approvals}}}\n");
    let settings = parse_settings(Path::new("settings.yml"), &text).unwrap_or_else(|why| panic!("{why}"));
    settings.approvals
}

fn rules(approvals: &str) -> ActionRules {
    ActionRules::of(&settings(approvals))
}

/// A model that reviews, beside this.
fn reviewed(approvals: &str) -> ActionRules {
    rules(&format!(
        "review: {{url: 'https://models.test', api: anthropic, model: m, key_env: KEY}}, {approvals}"
    ))
}

fn asked<'a>(action: &'a str, command: Option<&'a str>) -> Asked<'a> {
    Asked { action, command, tier: None, context: "" }
}

fn action(action: &str) -> Judged {
    judge(&rules(""), &asked(action, None))
}

fn command(command: &str) -> Judged {
    judge(&rules(""), &asked("terminal", Some(command)))
}

fn tier(text: &str) -> Tier {
    command(text).tier
}
