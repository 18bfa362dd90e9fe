//! Hudson's event log: one JSON object a line, in `log/events.jsonl` of its home or on standard error.

use std::path::Path;

use serde_json::Value;

/// Paths that only a provider's billed calls have.
const METERED: [&str; 6] = [
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/backend-api/codex/responses",
    ":streamGenerateContent",
];

/// One answer that Hudson gave instead of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// Method of the refused request; `CONNECT` for a refused tunnel.
    pub method: String,
    /// The host that was asked for.
    pub host: String,
    /// Path, possibly with the query.
    pub path: String,
}

impl Refusal {
    /// Was it a call that a provider would have billed?
    pub fn is_metered_call(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        self.method == "POST" && METERED.iter().any(|metered| path.ends_with(metered))
    }
}

/// The refusals in the event log, or else in what was printed.
pub fn refusals(home: &Path, printed: &str) -> Vec<Refusal> {
    let log = std::fs::read_to_string(home.join("log/events.jsonl")).unwrap_or_default();
    let from_log: Vec<Refusal> = log.lines().filter_map(refusal).collect();
    if from_log.is_empty() { printed.lines().filter_map(refusal).collect() } else { from_log }
}

fn refusal(line: &str) -> Option<Refusal> {
    let event: Value = serde_json::from_str(line.trim()).ok()?;
    // A structured logger may put an event's own fields one level down.
    let fields = event.get("fields").unwrap_or(&event);
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    if text("event")? != "refusal" {
        return None;
    }
    let or_empty = |key: &str| text(key).unwrap_or_default();
    Some(Refusal {
        code: text("code")?,
        method: or_empty("method"),
        host: or_empty("host"),
        path: or_empty("path"),
    })
}
