//! Every answer Hudson gives instead of the upstream's. One registry: the response, its status for each provider's
//! clients, the metric label, docs/refusals.md and the CLI's explanation all come from it.
//!
//! Invariant: a code's name is stable, and a refusal's text never holds a secret: it is made from names, limits and
//! counts only.

mod code;
mod eventstream;
mod rpc;
mod shape;

use crate::Format;
pub use code::{RefusalCode, reference};
pub use rpc::{RpcCall, RpcCalls};
use serde::Serialize;

/// One refusal: the code, what happened in this case, and the facts a client may show.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// Which refusal.
    pub code: RefusalCode,
    /// What happened here, naming the host, limit or header at fault.
    pub message: String,
    /// The budget behind it, for budget refusals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<BudgetFacts>>,
    /// The approval behind it, for refusals of approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Box<ApprovalFacts>>,
    /// Seconds after which a retry helps; `None` where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The calls of MCP that it answers.
    #[serde(skip)]
    calls: Option<Box<RpcCalls>>,
    /// A status in place of the registry's, where the protocol has one of its own.
    #[serde(skip)]
    status: Option<u16>,
}

/// The spent budget that a refusal names.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct BudgetFacts {
    /// The scope, such as `run 0198…` or `global`.
    pub scope: String,
    /// The provider counted, or `any`.
    pub provider: String,
    /// The limit in charged tokens.
    pub limit: u64,
    /// Charged tokens committed.
    pub spent: u64,
    /// When the window ends, RFC 3339; `None` for a lifetime budget.
    pub reset: Option<String>,
}

/// The approval that a refusal names.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ApprovalFacts {
    /// Its id, by which it is decided.
    pub approval_id: String,
    /// The action that is asked about.
    pub action: String,
    /// How much harm that can do, 0 to 4.
    pub tier: u8,
    /// The rule that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The first eight hex digits of what it is bound to, as whoever decides sees them too.
    pub digest: String,
    /// Until when it can be decided, RFC 3339.
    pub expires_at: String,
    /// Whether the same request may pass later.
    pub retryable: bool,
    /// What a person does, in words.
    pub human_instructions: String,
}

/// A refusal as HTTP: what an answer is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusalResponse {
    /// The HTTP status.
    pub status: u16,
    /// Headers, lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Refusal {
    /// A refusal that says what happened.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            budget: None,
            approval: None,
            retry_after: None,
            calls: None,
            status: None,
        }
    }

    /// With the budget that was spent.
    pub fn with_budget(mut self, budget: BudgetFacts) -> Self {
        self.budget = Some(Box::new(budget));
        self
    }

    /// With the approval it is about.
    pub fn with_approval(mut self, approval: ApprovalFacts) -> Self {
        self.approval = Some(Box::new(approval));
        self
    }

    /// With the seconds after which a retry helps.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// With a status in place of the registry's.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// As the answer to these calls of MCP.
    pub fn with_calls(mut self, calls: RpcCalls) -> Self {
        self.calls = Some(Box::new(calls));
        self
    }

    /// Whether it is the answer to calls of MCP.
    pub fn answers_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// The whole text: what happened, then what the agent and the operator may do.
    pub fn text(&self) -> String {
        format!("{} {} Operator: {}", self.message, self.code.agent(), self.code.operator())
    }

    /// The HTTP answer in the shape that `format`'s clients read; plain JSON without one.
    pub fn response(&self, format: Option<Format>) -> RefusalResponse {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-hudson-refusal", self.code.name().to_owned()),
            ("cache-control", "no-store".to_owned()),
        ];
        headers.extend(self.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        // Who has to be approved first is not helped by the retries of an SDK, which come at once.
        if self.retry_after.is_none() || self.approval.is_some() {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        if let Some(approval) = &self.approval {
            headers.push(("x-hudson-approval-id", approval.approval_id.clone()));
        }
        if let Some(calls) = &self.calls {
            let status = calls.status().or(self.status).unwrap_or_else(|| self.code.status(None));
            return RefusalResponse { status, headers, body: calls.body(self) };
        }
        headers.extend(shape::headers(format));
        let status = self.status.unwrap_or_else(|| self.code.status(format));
        RefusalResponse { status, headers, body: shape::body(self, status, format) }
    }

    /// The refusal as the last event of a stream that was already answered 200: the format's own error event, of a
    /// kind its clients neither retry nor take for an end. `None` where the format has no such event; then only a body
    /// that breaks off tells its clients.
    pub fn stream_event(&self, format: Format) -> Option<Vec<u8>> {
        shape::stream_event(self, format)
    }

    /// The refusal as a text message on a WebSocket of this format, in the lane `stream_id` where there is one; `None`
    /// where the format has no WebSocket.
    pub fn message(&self, format: Format, stream_id: Option<&str>) -> Option<String> {
        shape::message(self, self.code.status(Some(format)), format, stream_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_gets_the_status_on_which_its_clients_stop() {
        let refusal = Refusal::new(RefusalCode::BudgetExhausted, "spent");
        assert_eq!(refusal.response(Some(Format::Anthropic)).status, 403);
        assert_eq!(refusal.response(Some(Format::OpenaiChat)).status, 400);
        assert_eq!(refusal.response(Some(Format::OpenaiResponses)).status, 400);
        assert_eq!(refusal.response(Some(Format::Gemini)).status, 400);
        assert_eq!(refusal.response(None).status, 403);
    }

    #[test]
    fn a_refusal_says_whether_a_retry_helps() {
        let refusal = Refusal::new(RefusalCode::HostNotAllowed, "no");
        assert!(refusal.response(None).headers.contains(&("x-should-retry", "false".to_owned())));
        let later = Refusal::new(RefusalCode::TooManyTunnels, "busy").with_retry_after(1).response(None);
        assert!(later.headers.contains(&("retry-after", "1".to_owned())));
        assert!(!later.headers.iter().any(|(name, _)| *name == "x-should-retry"));
    }

    #[test]
    fn every_body_and_event_is_json_with_the_message_where_the_sdk_reads_it() {
        for code in RefusalCode::ALL {
            let refusal = Refusal::new(code, "why \"quoted\"\nhere");
            for format in Format::ALL {
                let body: serde_json::Value =
                    serde_json::from_str(&refusal.response(Some(format)).body).unwrap();
                let places = [&body["error"]["message"], &body["error"], &body["message"]];
                let told = places.into_iter().find_map(serde_json::Value::as_str).unwrap();
                assert!(told.starts_with("why \"quoted\""), "{format}");
                let Some(event) = refusal.stream_event(format) else { continue };
                let event = match format {
                    Format::BedrockConverse | Format::BedrockInvoke => payload(&event).to_vec(),
                    _ => event,
                };
                let event = String::from_utf8(event).unwrap();
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&event);
                assert!(serde_json::from_str::<serde_json::Value>(data).is_ok(), "{format}");
            }
            let plain: serde_json::Value = serde_json::from_str(&refusal.response(None).body).unwrap();
            assert_eq!(plain["error"]["code"], code.name());
        }
    }

    /// What stands in Bedrock's frame behind the prelude and the headers, whose length is its second word.
    fn payload(frame: &[u8]) -> &[u8] {
        let headers = u32::from_be_bytes(frame[4..8].try_into().unwrap()) as usize;
        &frame[12 + headers..frame.len() - 4]
    }

    #[test]
    fn a_message_on_a_websocket_says_which_answer_it_stands_for() {
        let refusal = Refusal::new(RefusalCode::BudgetExhausted, "spent");
        let message = refusal.message(Format::OpenaiResponses, Some("lane")).unwrap();
        let message: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!(message["type"], "error");
        assert_eq!(message["status"], 400);
        assert_eq!(message["error"]["code"], "budget_exhausted");
        assert!(message["error"]["message"].as_str().unwrap().starts_with("spent"));
        assert_eq!(message["stream_id"], "lane");
        let without = refusal.message(Format::OpenaiResponses, None).unwrap();
        assert!(!without.contains("stream_id"));
        assert_eq!(refusal.message(Format::Anthropic, None), None);
    }

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/refusals.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), reference(), "UPDATE=1 cargo test regenerates it");
    }
}
