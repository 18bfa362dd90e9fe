//! Rows of the audit in words.

use super::format::{clean, exact_tokens};
use hudson_schema::ledger::AuditRecord;
use serde_json::Value;

/// What a row says, in one line. A kind of a later version is told as it stands.
pub(crate) fn sentence(row: &AuditRecord) -> String {
    let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    let tokens = |key: &str| exact_tokens(data.get(key).and_then(Value::as_u64).unwrap_or_default());
    let run = short(text("run"));
    let (scope, provider) = (scope(&data), text("provider"));
    let by = match row.actor.as_str() {
        "hudson" => String::new(),
        actor => format!(" by {actor}"),
    };
    let words = match row.kind.as_str() {
        "run_start" => match text("agent") {
            "" => format!("run {run} starts"),
            agent => format!("run {run} of agent {agent} starts"),
        },
        "run_finish" => match data.get("exit_code").and_then(Value::as_i64) {
            Some(code) => format!("run {run} ends with exit code {code}"),
            None => format!("run {run} ends"),
        },
        "run_rotate" => format!("run {run} got other credentials"),
        "usage_charge" => charge(&data, "charged"),
        "usage_replace" => charge(&data, "charged anew"),
        "usage_withdraw" => format!("{provider}: a charge is taken back"),
        "dlp_finding" => {
            format!(
                "{}: {} in the {} of a request to {}",
                text("action"),
                text("rule"),
                text("place"),
                text("host")
            )
        }
        "block_place" => format!("{} of {scope}{by}: {}", text("policy"), text("cause")),
        "block_lift" => format!("{} of {scope} is lifted{by}", text("policy")),
        "budget_set" => format!("{scope}: {provider} may use {} tokens{by}", tokens("tokens")),
        "budget_clear" => format!("{scope}: the limit set for {provider} is taken back{by}"),
        kind if kind.starts_with("approval_") => approval(kind, &data, &by),
        "grant_insert" => {
            let target = data.get("target").and_then(Value::as_str).unwrap_or("anything");
            format!("{} on {target} is let through by a grant{by}", text("action"))
        }
        "grant_revoke" => format!("{} is taken back{by}", text("grant")),
        "enforcement_plan" if text("policy") == "resume" => {
            format!("run {run} is to be brought back: {}", text("cause"))
        }
        "enforcement_plan" => format!("{} of run {run} is planned: {}", text("policy"), text("cause")),
        "enforcement_advance" => match text("detail") {
            "" => format!("enforcement at run {run}: {}", text("state")),
            detail => format!("enforcement at run {run}: {}: {detail}", text("state")),
        },
        kind => format!("{kind} {}", row.data),
    };
    clean(&words)
}

/// What became of an approval.
fn approval(kind: &str, data: &Value, by: &str) -> String {
    let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    let done = match kind {
        "approval_request" => "is asked for",
        "approval_reuse" => "is asked for again",
        "approval_vote" => "is approved, and others have to approve it",
        "approval_approve" => "is approved",
        "approval_modify" => "is approved as something else",
        "approval_auto_approve" => "is let through",
        "approval_deny" => "is denied",
        "approval_expire" => "has expired",
        "approval_cancel" => "is cancelled",
        "approval_revoke" => "is revoked",
        "approval_consume" => "is used",
        "approval_rollback" => "was not sent, and can be used again",
        "approval_finish" => "has ended",
        "approval_withdraw" => "is taken back while it is used",
        other => other,
    };
    let reason = match text("reason") {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!("{} {} on {} {done}{by}{reason}", text("approval"), text("action"), text("target"))
}

fn charge(data: &Value, done: &str) -> String {
    let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    let charged = exact_tokens(data.get("charged").and_then(Value::as_u64).unwrap_or_default());
    let model = match text("model") {
        "" => String::new(),
        model => format!(", {model}"),
    };
    let quality = match text("quality") {
        "" => String::new(),
        quality => format!(" ({quality})"),
    };
    format!("{}: {charged} tokens {done}{quality}{model}", text("provider"))
}

fn scope(data: &Value) -> String {
    let part = |key: &str| data.get("scope").and_then(|scope| scope.get(key)?.as_str()).unwrap_or_default();
    match (part("kind"), part("key")) {
        ("global", _) => "the host".to_owned(),
        ("run", key) => format!("run {}", short(key)),
        (kind, key) => format!("{kind} {key}"),
    }
}

/// A run's id as far as people tell runs apart: its beginning is a time that runs of one day share.
pub(super) fn short(run: &str) -> String {
    match run.char_indices().nth_back(7) {
        Some((from, _)) if from > 0 => format!("…{}", run.get(from..).unwrap_or_default()),
        _ => run.to_owned(),
    }
}
