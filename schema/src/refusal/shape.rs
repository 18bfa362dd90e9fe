//! A refusal in the shape that each provider's SDK reads: the provider's own error body, and the error event that ends
//! a stream. Sources: anthropic-sdk `types/shared/error_response.py`, openai-python `_exceptions.py`, google-genai
//! `errors.py`, codex-rs `sse/responses.rs`, botocore `parsers.py` and `eventstream.py`, cohere-python
//! `core/api_error.py`, ollama-python `_client.py`, mistralai `utils/eventstreaming.py`. What each of them raises is what the
//! end-to-end suite `sdks` sees.

use super::{Refusal, eventstream};
use crate::Format;
use serde_json::{Value, json};

/// The body of a refusal that is answered with `status`.
pub(super) fn body(refusal: &Refusal, status: u16, format: Option<Format>) -> String {
    let text = refusal.text();
    let value = match format {
        Some(Format::Anthropic) => {
            json!({"type": "error", "error": anthropic_error(refusal, &text), "hudson": refusal})
        }
        Some(
            Format::OpenaiAudio
            | Format::OpenaiChat
            | Format::OpenaiImages
            | Format::OpenaiRealtime
            | Format::OpenaiResponses,
        ) => json!({"error": openai_error(refusal, &text), "hudson": refusal}),
        Some(Format::Gemini | Format::GeminiInteractions) => json!({
            "error": {"code": status, "message": text, "status": "FAILED_PRECONDITION"}, "hudson": refusal,
        }),
        Some(Format::BedrockConverse | Format::BedrockInvoke | Format::Cohere) => {
            json!({"message": text, "hudson": refusal})
        }
        Some(Format::Ollama) => json!({"error": text, "hudson": refusal}),
        None => json!({"error": plain_error(refusal), "hudson": refusal}),
    };
    format!("{value}\n")
}

/// For clients of no provider: everything there is to say, in one place.
fn plain_error(refusal: &Refusal) -> Value {
    let mut error = json!({
        "code": refusal.code.name(), "message": refusal.message,
        "agent": refusal.code.agent(), "operator": refusal.code.operator(),
    });
    if let (Some(approval), Some(error)) = (&refusal.approval, error.as_object_mut())
        && let Ok(Value::Object(facts)) = serde_json::to_value(approval)
    {
        error.extend(facts);
        error.extend(refusal.retry_after.map(|seconds| ("retry_after".to_owned(), json!(seconds))));
    }
    error
}

/// The headers that go with [`body`].
pub(super) fn headers(format: Option<Format>) -> Vec<(&'static str, String)> {
    match format {
        // Without it botocore makes a code of the status.
        Some(Format::BedrockConverse | Format::BedrockInvoke) => {
            vec![("x-amzn-errortype", BEDROCK_ERROR.to_owned())]
        }
        _ => Vec::new(),
    }
}

/// The last event of a stream that is ended by a refusal; `None` where the format has no error its clients raise.
pub(super) fn stream_event(refusal: &Refusal, format: Format) -> Option<Vec<u8>> {
    let text = refusal.text();
    let event = match format {
        Format::Anthropic => {
            let data = json!({"type": "error", "error": anthropic_error(refusal, &text)});
            format!("event: error\ndata: {data}\n\n")
        }
        Format::OpenaiChat | Format::OpenaiImages | Format::OpenaiAudio => {
            format!("data: {}\n\n", json!({"error": openai_error(refusal, &text)}))
        }
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
        Format::GeminiInteractions => {
            // The SDK raises nothing in mid-stream: it hands this event on, and does not go on with another request, as
            // it might where a body breaks off.
            let data =
                json!({"event_type": "error", "error": {"code": "failed_precondition", "message": text}});
            format!("event: error\ndata: {data}\n\n")
        }
        Format::Ollama => format!("{}\n", json!({"error": text})),
        // A message of its own, without framing: a WebSocket has its own.
        Format::OpenaiRealtime => json!({"type": "error", "error": openai_error(refusal, &text)}).to_string(),
        Format::BedrockConverse | Format::BedrockInvoke => {
            return Some(eventstream::exception(BEDROCK_EVENT, &json!({"message": text}).to_string()));
        }
        // Its SDK passes over events it does not know; only a body that breaks off is an error to it.
        Format::Cohere => return None,
    };
    Some(event.into_bytes())
}

/// A refusal as a text message on a WebSocket, which ends what it answers and not the connection; `None` where the
/// format has no WebSocket. `stream_id` is the lane of the message it answers.
///
/// OpenAI Responses (openai-python `responses_server_event.py`, codex-rs `endpoint/responses_websocket.rs`): Codex makes
/// of `status` the HTTP answer it stands for, and the SDKs raise on `type`.
pub(super) fn message(
    refusal: &Refusal,
    status: u16,
    format: Format,
    stream_id: Option<&str>,
) -> Option<String> {
    let text = refusal.text();
    let mut message = match format {
        Format::OpenaiResponses => {
            json!({"type": "error", "status": status, "error": openai_error(refusal, &text), "hudson": refusal})
        }
        Format::OpenaiRealtime => json!({"type": "error", "error": openai_error(refusal, &text)}),
        _ => return None,
    };
    if let (Some(lane), Some(fields)) = (stream_id, message.as_object_mut()) {
        fields.insert("stream_id".to_owned(), json!(lane));
    }
    Some(message.to_string())
}

/// A client's mistake, which no SDK retries.
const BEDROCK_ERROR: &str = "AccessDeniedException";

/// The same in mid-stream, where the SDKs show the message of an exception only if the stream's own shape names it.
const BEDROCK_EVENT: &str = "validationException";

/// `permission_error` is one of the types that neither the SDK nor Claude Code retries.
fn anthropic_error(refusal: &Refusal, text: &str) -> Value {
    json!({"type": "permission_error", "message": text, "code": refusal.code.name()})
}

fn openai_error(refusal: &Refusal, text: &str) -> Value {
    json!({"message": text, "type": "invalid_request_error", "param": null, "code": refusal.code.name()})
}
