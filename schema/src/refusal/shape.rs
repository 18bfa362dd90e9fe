//! A refusal in the shape that each provider's SDK reads: Anthropic's, OpenAI's and Gemini's error bodies, and the
//! error event that ends a stream. Sources: anthropic-sdk `types/shared/error_response.py`, openai-python
//! `_exceptions.py`, google-genai `errors.py`, codex-rs `sse/responses.rs`.

use super::Refusal;
use crate::Format;
use serde_json::{Value, json};

/// The body of a refusal that is answered with `status`.
pub(super) fn body(refusal: &Refusal, status: u16, format: Option<Format>) -> String {
    let text = refusal.text();
    let value = match format {
        Some(Format::Anthropic) => {
            json!({"type": "error", "error": anthropic_error(refusal, &text), "hudson": refusal})
        }
        Some(Format::OpenaiChat | Format::OpenaiResponses) => {
            json!({"error": openai_error(refusal, &text), "hudson": refusal})
        }
        Some(Format::Gemini) => json!({
            "error": {"code": status, "message": text, "status": "FAILED_PRECONDITION"}, "hudson": refusal,
        }),
        None => json!({
            "error": {
                "code": refusal.code.name(), "message": refusal.message,
                "agent": refusal.code.agent(), "operator": refusal.code.operator(),
            },
            "hudson": refusal,
        }),
    };
    format!("{value}\n")
}

/// The last event of a stream that is ended by a refusal.
pub(super) fn stream_event(refusal: &Refusal, format: Format) -> String {
    let text = refusal.text();
    match format {
        Format::Anthropic => {
            let data = json!({"type": "error", "error": anthropic_error(refusal, &text)});
            format!("event: error\ndata: {data}\n\n")
        }
        Format::OpenaiChat => format!("data: {}\n\n", json!({"error": openai_error(refusal, &text)})),
        Format::OpenaiResponses => {
            // Codex reads `response.error` and gives up at once only on a few codes, of which `invalid_prompt` shows
            // the message; the SDKs raise on a top-level `error`. One event serves both.
            let data = json!({
                "type": "response.failed",
                "response": {
                    "id": "resp_hudson", "object": "response", "status": "failed",
                    "error": {"code": "invalid_prompt", "message": text}, "output": [],
                },
                "error": openai_error(refusal, &text),
            });
            format!("event: response.failed\ndata: {data}\n\n")
        }
        Format::Gemini => {
            format!(
                "data: {}\n\n",
                json!({"error": {"code": 400, "message": text, "status": "FAILED_PRECONDITION"}})
            )
        }
    }
}

/// `permission_error` is one of the types that neither the SDK nor Claude Code retries.
fn anthropic_error(refusal: &Refusal, text: &str) -> Value {
    json!({"type": "permission_error", "message": text, "code": refusal.code.name()})
}

fn openai_error(refusal: &Refusal, text: &str) -> Value {
    json!({"message": text, "type": "invalid_request_error", "param": null, "code": refusal.code.name()})
}
