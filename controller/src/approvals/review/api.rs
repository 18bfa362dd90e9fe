//! The two APIs: how a question is put, and where in the answer the model's words are.
//!
//! Invariant: words are taken only from an answer that is whole and has nothing beside them; one that was cut off, was
//! refused or wants to call a tool is an error.

use http::{HeaderName, HeaderValue, header};
use hudson_schema::config::ReviewApi;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

/// Tokens that a verdict may take.
const MAX_TOKENS: u32 = 1024;
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Where questions go, below the API's base.
pub(super) fn path(api: ReviewApi) -> &'static str {
    match api {
        ReviewApi::Anthropic => "/v1/messages",
        ReviewApi::Openai => "/v1/chat/completions",
    }
}

/// The headers that this API wants, with the key.
pub(super) fn headers(
    api: ReviewApi,
    key: Option<&SecretString>,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let secret = |value: String| {
        // The value is in no error: it is the key.
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| "its key cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let key = key.map(ExposeSecret::expose_secret);
    Ok(match api {
        ReviewApi::Anthropic => {
            let version =
                (HeaderName::from_static("anthropic-version"), HeaderValue::from_static(ANTHROPIC_VERSION));
            let key = key.map(|key| secret(key.to_owned())).transpose()?;
            [Some(version), key.map(|key| (HeaderName::from_static("x-api-key"), key))]
                .into_iter()
                .flatten()
                .collect()
        }
        ReviewApi::Openai => {
            let key = key.map(|key| secret(format!("Bearer {key}"))).transpose()?;
            key.map(|key| (header::AUTHORIZATION, key)).into_iter().collect()
        }
    })
}

/// The body of a question.
pub(super) fn body(api: ReviewApi, model: &str, system: &str, question: &str) -> String {
    let user = json!({"role": "user", "content": question});
    match api {
        ReviewApi::Anthropic => {
            json!({"model": model, "max_tokens": MAX_TOKENS, "system": system, "messages": [user]})
        }
        // Which name a model takes its output cap under differs; the answer's length is bounded where it is read.
        ReviewApi::Openai => {
            json!({"model": model, "messages": [{"role": "system", "content": system}, user]})
        }
    }
    .to_string()
}

/// The model's words in an answer.
pub(super) fn words(api: ReviewApi, body: &[u8]) -> Result<String, String> {
    match api {
        ReviewApi::Anthropic => anthropic(parsed(body)?),
        ReviewApi::Openai => openai(parsed(body)?),
    }
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
}

fn anthropic(message: Message) -> Result<String, String> {
    ended(message.stop_reason.as_deref(), "end_turn")?;
    let mut words = String::new();
    for block in message.content {
        match (block.r#type.as_str(), block.text) {
            ("text", Some(text)) => words.push_str(&text),
            // What the model thought is not its verdict.
            ("thinking" | "redacted_thinking", _) => {}
            _ => return Err("its answer has more than text in it".to_owned()),
        }
    }
    Ok(words)
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: ChoiceMessage,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChoiceMessage {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
}

fn openai(completion: Completion) -> Result<String, String> {
    let Ok([choice]) = <[Choice; 1]>::try_from(completion.choices) else {
        return Err("its answer is not one choice".to_owned());
    };
    ended(choice.finish_reason.as_deref(), "stop")?;
    let ChoiceMessage { content, refusal, tool_calls } = choice.message;
    match content {
        _ if refusal.is_some() => Err("it refuses to answer".to_owned()),
        _ if tool_calls.is_some_and(|calls| !calls.is_empty()) => {
            Err("its answer has more than text in it".to_owned())
        }
        content => Ok(content.unwrap_or_default()),
    }
}

/// An answer that is not whole is none. The reason is the API's word, and is not repeated.
fn ended(reason: Option<&str>, whole: &str) -> Result<(), String> {
    match reason {
        Some(reason) if reason == whole => Ok(()),
        _ => Err("its answer is not whole".to_owned()),
    }
}

fn parsed<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|_| "its answer is not what the API documents".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_from_a_whole_answer_alone() {
        let whole = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "a"},
                        {"type": "text", "text": "b"}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 2}});
        let read = |value: &serde_json::Value| words(ReviewApi::Anthropic, value.to_string().as_bytes());
        assert_eq!(read(&whole).as_deref(), Ok("ab"));
        for (key, value) in [
            ("stop_reason", json!("max_tokens")),
            ("stop_reason", json!("refusal")),
            ("stop_reason", json!(null)),
            ("content", json!([{"type": "tool_use", "id": "t", "name": "approve", "input": {}}])),
            ("content", json!("approve")),
        ] {
            let mut other = whole.clone();
            other[key] = value;
            assert!(read(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_choice_is_taken_where_there_is_one_and_it_is_whole() {
        let whole = json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [{"index": 0,
            "message": {"role": "assistant", "content": "ab", "refusal": null}, "finish_reason": "stop"}]});
        let read = |value: &serde_json::Value| words(ReviewApi::Openai, value.to_string().as_bytes());
        assert_eq!(read(&whole).as_deref(), Ok("ab"));
        let choice = &whole["choices"][0];
        let with = |key: &str, value: serde_json::Value| {
            let mut choice = choice.clone();
            choice[key] = value;
            json!({"choices": [choice]})
        };
        for other in [
            json!({"choices": []}),
            json!({"choices": [choice, choice]}),
            json!({"error": {"message": "no"}}),
            with("finish_reason", json!("length")),
            with("finish_reason", json!("content_filter")),
            with("message", json!({"content": "ab", "refusal": "I cannot"})),
            with("message", json!({"content": "ab", "tool_calls": [{"id": "t"}]})),
        ] {
            assert!(read(&other).is_err(), "{other}");
        }
        assert_eq!(read(&with("message", json!({"content": null}))).as_deref(), Ok(""));
        assert!(words(ReviewApi::Openai, b"<html>").is_err());
    }
}
