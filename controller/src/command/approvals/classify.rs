//! `hudson approvals classify`: how an action would be judged, by the same function that judges those that are asked for.

use super::super::output;
use super::Context;
use super::words::span;
use crate::exit;
use anyhow::Result;
use hudson_schema::action::{ActionRules, Approver, Asked, Judged, judge};
use hudson_schema::prompt::quoted;
use serde_json::json;

/// Judges one, and says why.
pub(super) fn execute(context: &Context, asked: &Asked<'_>) -> Result<u8> {
    let settings = crate::settings::read(&context.home)?.approvals;
    let judged = judge(&ActionRules::of(&settings), asked);
    let people = match judged.approver {
        Approver::Nobody | Approver::Model => 0,
        Approver::Person => {
            settings.require_distinct_approvers.get(&judged.tier).copied().unwrap_or(1).max(1)
        }
    };
    if context.json {
        output::json(&json!({
            "action": asked.action,
            "tier": judged.tier.number(),
            "tier_name": judged.tier,
            "known": judged.known,
            "patterns": judged.patterns,
            "approver": judged.approver,
            "approvers": people,
            "reviewed": judged.reviewed,
            "decision_seconds": judged.decision_ttl.as_secs(),
            "bypassable": judged.bypassable,
            "reason_required": judged.reason_required,
            "crisis": judged.crisis,
            "rate_key": judged.rate_key,
        }))?;
    } else {
        output::text(&page(asked, &judged, people))?;
    }
    Ok(exit::OK)
}

fn page(asked: &Asked<'_>, judged: &Judged, people: u8) -> String {
    let grant = match judged.bypassable {
        true => "may let it through",
        false => "never lets it through",
    };
    let waits = i64::try_from(judged.decision_ttl.as_millis()).unwrap_or(i64::MAX);
    let mut lines = vec![
        ("action", quoted(asked.action)),
        ("tier", format!("{}, {} of 4", judged.tier, judged.tier.number())),
        ("because", because(asked, judged)),
        ("approved by", approver(judged, people)),
        ("waits", format!("{}, and is then not approved", span(waits))),
        ("a grant", grant.to_owned()),
        ("counted as", judged.rate_key.clone()),
    ];
    if judged.reason_required {
        lines.push(("needs", "a reason from whoever approves it".to_owned()));
    }
    lines.iter().map(|(label, value)| output::field(&format!("{label:<14}"), value)).collect()
}

fn because(asked: &Asked<'_>, judged: &Judged) -> String {
    let mut why = vec![match judged.known {
        true => "the action is known".to_owned(),
        false => "the action is in no table, and counts as medium at least".to_owned(),
    }];
    if !judged.patterns.is_empty() {
        why.push(format!("the command matches {}", judged.patterns.join(", ")));
    }
    if let Some(tier) = asked.tier {
        why.push(match tier == judged.tier {
            true => format!("the caller asks for {tier}"),
            false => format!("that the caller asks for {tier} lowers nothing"),
        });
    }
    why.join("; ")
}

fn approver(judged: &Judged, people: u8) -> String {
    if judged.crisis {
        return "nobody: a person may be in need; it is written down and told".to_owned();
    }
    let who = match (judged.approver, people) {
        (Approver::Nobody, _) => "nobody: it goes on, and is written down".to_owned(),
        (Approver::Model, _) => {
            "the model of approvals.review, or a person where that is not sure".to_owned()
        }
        (Approver::Person, 0 | 1) => "a person".to_owned(),
        (Approver::Person, people) => format!("{people} different people"),
    };
    match judged.reviewed && judged.approver == Approver::Person {
        true => format!("{who}, unless the model of approvals.review denies it first"),
        false => who,
    }
}
