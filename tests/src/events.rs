//! Hudson's event log: one JSON object a line, in `log/events.jsonl` of its home or on standard error.

use std::path::Path;

use serde_json::Value;

/// Paths that only a provider's billed calls have.
const METERED: [&str; 13] = [
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/backend-api/codex/responses",
    ":streamGenerateContent",
    ":generateContent",
    "/interactions",
    "/v2/chat",
    "/api/chat",
    "/api/generate",
    "/converse-stream",
    "/invoke-with-response-stream",
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
        // A WebSocket is opened with GET, and retrieval has an id behind the path.
        let called = self.method == "POST" || (self.method == "GET" && path.ends_with("/responses"));
        called && METERED.iter().any(|metered| path.ends_with(metered))
    }
}

/// The refusals in the event log, or else in what was printed.
pub fn refusals(home: &Path, printed: &str) -> Vec<Refusal> {
    let log = std::fs::read_to_string(home.join("log/events.jsonl")).unwrap_or_default();
    let from_log: Vec<Refusal> = log.lines().flat_map(refusal).collect();
    if from_log.is_empty() { printed.lines().flat_map(refusal).collect() } else { from_log }
}

/// The refusals that a line tells of: one, or as many as were counted instead of written.
fn refusal(line: &str) -> Vec<Refusal> {
    let counted = |event: Value| -> Option<(Refusal, u64)> {
        let told = if event["event"] == "repeated" { &event["of"] } else { &event["event"] };
        let count = if event["event"] == "repeated" { event["count"].as_u64()? } else { 1 };
        if told != "refusal" {
            return None;
        }
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        let or_empty = |key: &str| text(key).unwrap_or_default();
        let refusal = Refusal {
            code: text("code")?,
            method: or_empty("method"),
            host: or_empty("host"),
            path: or_empty("path"),
        };
        Some((refusal, count))
    };
    let counted = serde_json::from_str(line.trim()).ok().and_then(counted);
    counted.into_iter().flat_map(|(refusal, count)| (0..count).map(move |_| refusal.clone())).collect()
}
