//! The provider's own count of a request's input: where it is asked for, with which body, and how its answer is read.
//!
//! Owns the counting endpoints of Anthropic Messages, OpenAI Responses and Gemini (on its own host and on Vertex), which
//! count the whole of a request and charge nothing. Not among them: chat/completions, which has none; Code Assist's, which
//! leaves system text and tools out; compatible hosts, whose counts nobody vouches for.
//!
//! Invariant: a question holds each value of the request that can be input, byte for byte, and the reader of requests
//! found it under the name it has there. Where a request has a member whose part in the input is not known, or where the
//! endpoint takes no such member, there is no question: a count that leaves something out would be too low.

use super::dialect::Dialect;
use super::walk::{self, Scalar, Visitor, reads};
use super::{RequestError, RequestHead, cap, fields};
use hudson_schema::Format;
use std::borrow::Cow;
use std::ops::Range;

/// The largest answer that is believed, in tokens: above any model's context.
const MOST: u64 = 1_000_000_000;

/// Serve Anthropic's own API.
const ANTHROPIC: &[&str] = &["api.anthropic.com"];
/// Serve OpenAI's own API.
const OPENAI: &[&str] = &["api.openai.com", "*.api.openai.com"];
/// Serve the Gemini API.
const GEMINI: &[&str] = &["generativelanguage.googleapis.com", "generativelanguage.mtls.googleapis.com"];
/// Serve Vertex.
const VERTEX: &[&str] = &[
    "aiplatform.googleapis.com",
    "*-aiplatform.googleapis.com",
    "aiplatform.mtls.googleapis.com",
    "*-aiplatform.mtls.googleapis.com",
    "*.rep.googleapis.com",
];

/// What is asked of a counting endpoint, on the host of the request and with its credentials: a POST of JSON.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// The path.
    pub path: String,
    /// The text behind `?`.
    pub query: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// An endpoint and the members of a request that it knows. What is in neither list may be input that it does not count.
struct Endpoint {
    path: String,
    /// The model for Gemini, whose request stands in a member of its own and names the model a second time.
    wrapped: Option<String>,
    /// What is sent: all that is input or decides about it.
    counted: &'static [&'static str],
    /// What is left out, since it adds no input.
    idle: &'static [&'static str],
}

/// Source: anthropic-sdk-python `types/beta/message_count_tokens_params.py`.
const ANTHROPIC_COUNTED: &[&str] = &[
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "cache_control",
    "context_management",
    "mcp_servers",
    "output_config",
    "output_format",
    "speed",
];
const ANTHROPIC_IDLE: &[&str] = &[
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "inference_geo",
];

/// Source: openai-python `types/responses/input_token_count_params.py`.
const RESPONSES_COUNTED: &[&str] = &[
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "truncation",
    "previous_response_id",
    "conversation",
    "parallel_tool_calls",
];
const RESPONSES_IDLE: &[&str] = &[
    "stream",
    "stream_options",
    "store",
    "background",
    "metadata",
    "client_metadata",
    "max_output_tokens",
    "max_tool_calls",
    "temperature",
    "top_p",
    "top_logprobs",
    "include",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    // Of a message on a WebSocket.
    "type",
    "generate",
    "stream_id",
];

/// The whole of a `GenerateContentRequest` (Gemini API reference, "Counting tokens") but for the model.
const GEMINI_COUNTED: &[&str] =
    &["contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "cachedContent"];
const GEMINI_IDLE: &[&str] = &["model", "safetySettings", "labels", "serviceTier", "store"];

/// `CountTokensRequest` of Vertex; it takes no cached content.
const VERTEX_COUNTED: &[&str] = &["contents", "systemInstruction", "tools", "generationConfig"];
const VERTEX_IDLE: &[&str] = &["model", "toolConfig", "safetySettings", "labels"];

/// What to ask for the exact input of a request that [`read`](super::read) has accepted; `None` where nobody answers it
/// for the whole of the request.
pub fn question(head: &RequestHead<'_>, body: &[u8]) -> Option<Question> {
    let endpoint = endpoint(head)?;
    let mut members =
        Members { dialect: Dialect::of(head), endpoint: &endpoint, found: Vec::new(), known: true };
    walk::walk(body, &mut members).ok()?;
    let Members { found, known, .. } = members;
    if !known {
        return None;
    }
    let mut joined = Vec::with_capacity(body.len() + 64);
    let mut separator = "";
    if let Some(model) = &endpoint.wrapped {
        joined.extend_from_slice(format!("{{\"generateContentRequest\":{{\"model\":\"{model}\"").as_bytes());
        separator = ",";
    } else {
        joined.push(b'{');
    }
    for (name, span) in found {
        joined.extend_from_slice(format!("{separator}\"{name}\":").as_bytes());
        joined.extend_from_slice(body.get(span)?);
        separator = ",";
    }
    joined.extend_from_slice(if endpoint.wrapped.is_some() { b"}}" } else { b"}" });
    let query = head.query.and_then(|query| without_form(head.format, query));
    Some(Question { path: endpoint.path, query, body: joined })
}

/// The tokens that a counting endpoint's answer states; `None` where it states none that can be believed.
pub fn answer(format: Format, body: &[u8]) -> Option<u64> {
    let name = if format == Format::Gemini { "totalTokens" } else { "input_tokens" };
    let mut told = Told { name, tokens: None };
    walk::walk(body, &mut told).ok()?;
    told.tokens.filter(|tokens| (1..=MOST).contains(tokens))
}

fn endpoint(head: &RequestHead<'_>) -> Option<Endpoint> {
    let at = |hosts| cap::among(head.host, hosts);
    let path = head.path.trim_end_matches('/');
    match (head.format, path) {
        (Format::Anthropic, "/v1/messages") if at(ANTHROPIC) => Some(Endpoint {
            path: "/v1/messages/count_tokens".to_owned(),
            wrapped: None,
            counted: ANTHROPIC_COUNTED,
            idle: ANTHROPIC_IDLE,
        }),
        (Format::OpenaiResponses, "/v1/responses") if at(OPENAI) => Some(Endpoint {
            path: "/v1/responses/input_tokens".to_owned(),
            wrapped: None,
            counted: RESPONSES_COUNTED,
            idle: RESPONSES_IDLE,
        }),
        (Format::Gemini, path) => {
            let (named, verb) = path.rsplit_once(':')?;
            let generates = matches!(verb, "generateContent" | "streamGenerateContent");
            let (_version, resource) = named.trim_start_matches('/').split_once('/')?;
            let (place, model) = resource.rsplit_once("models/")?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte);
            if !generates || model.is_empty() || !model.bytes().all(plain) {
                return None;
            }
            let path = format!("{named}:countTokens");
            match place {
                "" if at(GEMINI) => Some(Endpoint {
                    path,
                    wrapped: Some(resource.to_owned()),
                    counted: GEMINI_COUNTED,
                    idle: GEMINI_IDLE,
                }),
                _ if at(VERTEX) && place.ends_with("publishers/google/") => {
                    Some(Endpoint { path, wrapped: None, counted: VERTEX_COUNTED, idle: VERTEX_IDLE })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The query without what says how an answer of Gemini comes: a count is no stream.
fn without_form(format: Format, query: &str) -> Option<String> {
    let form = |pair: &&str| format == Format::Gemini && pair.starts_with("alt=");
    let kept: Vec<&str> = query.split('&').filter(|pair| !form(pair)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// The members of the request itself, with the places of their values.
struct Members<'e> {
    dialect: Dialect,
    endpoint: &'e Endpoint,
    found: Vec<(&'static str, Range<usize>)>,
    /// Whether the endpoint knows all that may be input.
    known: bool,
}

impl Members<'_> {
    fn value(&mut self, path: &[Cow<'_, str>], span: Range<usize>) {
        let [name] = path else { return };
        match self.endpoint.counted.iter().find(|counted| **counted == name.as_ref()) {
            Some(counted) => self.found.push((counted, span)),
            None => self.known &= self.endpoint.idle.contains(&name.as_ref()),
        }
    }
}

impl Visitor for Members<'_> {
    fn canonical<'k>(&self, path: &[Cow<'_, str>], key: Cow<'k, str>) -> Cow<'k, str> {
        match self.dialect.is_proto() {
            true => fields::camel(path, key),
            false => key,
        }
    }

    fn scalar(
        &mut self,
        path: &[Cow<'_, str>],
        value: Scalar<'_>,
        span: Range<usize>,
    ) -> Result<(), RequestError> {
        if path.is_empty() {
            return Err(RequestError::NotObject);
        }
        // It works in several passes, each with input of its own.
        if let ([reasoning, mode], Scalar::Text(raw)) = (path, value)
            && reasoning == "reasoning"
            && mode == "mode"
            && reads(raw, "pro")
        {
            self.known = false;
        }
        self.value(path, span);
        Ok(())
    }

    fn open(&mut self, path: &[Cow<'_, str>], array: bool) -> Result<(), RequestError> {
        match path.is_empty() && array {
            true => Err(RequestError::NotObject),
            false => Ok(()),
        }
    }

    fn close(&mut self, path: &[Cow<'_, str>], span: Range<usize>, _empty: bool) -> Result<(), RequestError> {
        self.value(path, span);
        Ok(())
    }
}

/// The number that an answer states.
struct Told {
    name: &'static str,
    tokens: Option<u64>,
}

impl Visitor for Told {
    fn scalar(
        &mut self,
        path: &[Cow<'_, str>],
        value: Scalar<'_>,
        _span: Range<usize>,
    ) -> Result<(), RequestError> {
        if let ([name], Scalar::Number(digits)) = (path, value)
            && name == self.name
        {
            self.tokens = digits.parse().ok();
        }
        Ok(())
    }

    fn open(&mut self, _path: &[Cow<'_, str>], _array: bool) -> Result<(), RequestError> {
        Ok(())
    }

    fn close(&mut self, _path: &[Cow<'_, str>], _span: Range<usize>, _: bool) -> Result<(), RequestError> {
        Ok(())
    }
}
