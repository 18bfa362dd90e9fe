//! The fields of each dialect: where its cap, its choices, its tools and its hidden input stand.
//!
//! Sources: the providers' API references and SDK types, named in each file. Invariant: a tool type that is not known
//! to run on the client is listed as a server tool, never the other way round.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod ollama;
mod openai;
mod pictures;
mod realtime;
mod speech;

pub(super) use anthropic::Batch;
pub(super) use gemini::camel;
pub(super) use openai::takes_stream_options;
pub(super) use pictures::{INPUT_IMAGE, Picture};
pub(super) use realtime::Session;
pub(super) use speech::Speech;

use super::cap;
use super::dialect::{self, Dialect};
use super::facts::{Draft, Slot, count, text};
use super::walk::{Scalar, reads, starts_with};
use super::{RequestError, RequestHead};
use hudson_schema::Format;
use std::ops::Range;

/// Models that search or run code on their own, by a part of their name.
const SEARCHING_MODELS: &[&str] =
    &["sonar", "search-preview", "search-api", "compound", ":online", "deep-research"];

/// What is known of the tool whose object is open.
#[derive(Debug, Default)]
pub(super) struct Tool {
    open: bool,
    kind: Option<String>,
    /// `environment.type` of a shell tool.
    local: bool,
}

/// A scalar at a short path.
pub(super) fn scalar(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    let dialect = draft.dialect;
    if let [config] = path
        && let Some(name) = dialect.configs().iter().find(|name| *name == config)
        && dialect != Dialect::Gemini
    {
        return null_config(draft, name, value, span);
    }
    if let ["tools", "[]", "type"] = unwrapped(dialect, path)
        && dialect != Dialect::Gemini
    {
        draft.tool.kind = text("tools[].type", value)?;
        return Ok(());
    }
    match dialect {
        Dialect::Anthropic | Dialect::AnthropicBatch => {
            anthropic::scalar(draft, unwrapped(dialect, path), value, span)
        }
        Dialect::BatchFile => openai::batch_file(draft, path, value),
        Dialect::Chat => openai::chat(draft, path, value, span),
        Dialect::Responses => openai::responses(draft, path, value, span),
        Dialect::Gemini => gemini::scalar(draft, unwrapped(dialect, path), value, span),
        Dialect::Interactions => gemini::interactions(draft, path, value, span),
        Dialect::Converse | Dialect::Nova => bedrock::converse(draft, path, value, span),
        Dialect::Titan | Dialect::Llama | Dialect::Jurassic => bedrock::invoke(draft, path, value, span),
        Dialect::Cohere => cohere::scalar(draft, path, value, span),
        Dialect::Ollama => ollama::scalar(draft, path, value, span),
        Dialect::Images => pictures::scalar(draft, path, value),
        Dialect::Audio => speech::scalar(draft, path, value),
        Dialect::Realtime => realtime::scalar(draft, path, value, span),
        Dialect::Embedding | Dialect::Opaque => Ok(()),
    }
}

/// An object or array begins at a short path.
pub(super) fn open(draft: &mut Draft, path: &[&str], array: bool) -> Result<(), RequestError> {
    let dialect = draft.dialect;
    let inner = unwrapped(dialect, path);
    match inner {
        ["tools", "[]"] | ["tools", "[]", "tools", "[]"] if has_tools(dialect, inner) => {
            // A tool inside a tool: what is known of the outer one so far decides about it.
            judge(draft);
            draft.tool.open = true;
            draft.tools = true;
        }
        ["tools"] if !array => return wrong("tools", "an array"),
        ["tools", "[]"] => draft.tools = true,
        [name] if SINGLE.contains(name) => {
            return wrong("model, stream, a cap, n or background", "a single value");
        }
        ["stream_options"] if array => return wrong("stream_options", "an object"),
        [_, name] if path.len() == 2 && in_config(dialect, path) && SINGLE.contains(name) => {
            return wrong("a cap or a number of choices", "a number");
        }
        [name] if array && dialect.configs().contains(name) => {
            return wrong("the object that holds the cap", "an object");
        }
        _ => {}
    }
    match dialect {
        Dialect::Anthropic | Dialect::AnthropicBatch => anthropic::open(draft, path, inner, array),
        Dialect::Chat => openai::open_chat(draft, path),
        Dialect::Responses => openai::open_responses(draft, path),
        Dialect::Gemini => gemini::open(draft, path, array),
        Dialect::Interactions => gemini::open_interactions(draft, path),
        Dialect::Converse | Dialect::Nova => bedrock::open(draft, path, array),
        Dialect::Cohere => cohere::open(draft, path),
        Dialect::Ollama => ollama::open(draft, path),
        Dialect::Realtime => realtime::open(draft, path, array),
        _ => Ok(()),
    }
}

/// An object or array ended at a short path.
pub(super) fn close(draft: &mut Draft, path: &[&str], slot: Slot) {
    let dialect = draft.dialect;
    let inner = unwrapped(dialect, path);
    match inner {
        ["tools", "[]"] | ["tools", "[]", "tools", "[]"] if has_tools(dialect, inner) => judge(draft),
        ["stream_options"] => draft.places.stream_options = Some(slot.clone()),
        _ => {}
    }
    let config = dialect.configs().iter().find(|name| match dialect {
        Dialect::Gemini => inner == [**name],
        _ => path == [**name],
    });
    if let Some(name) = config {
        draft.places.configs.push((name, slot.clone()));
    }
    match (dialect, path) {
        (Dialect::Gemini, ["request"]) => draft.places.base = slot,
        (Dialect::AnthropicBatch, ["requests", "[]"]) => anthropic::end_of_request(draft),
        (Dialect::Realtime, _) => realtime::close(draft, path),
        _ => {}
    }
}

/// The path inside the object that holds the request proper.
pub(super) fn unwrapped<'p, 'n>(dialect: Dialect, path: &'p [&'n str]) -> &'p [&'n str] {
    match (dialect, path) {
        (Dialect::Gemini, ["request", rest @ ..])
        | (Dialect::AnthropicBatch, ["requests", "[]", "params", rest @ ..])
        | (Dialect::Converse, ["additionalModelRequestFields", rest @ ..])
        | (Dialect::Realtime, ["response" | "session", rest @ ..])
            if !rest.is_empty() =>
        {
            rest
        }
        _ => path,
    }
}

/// The model that a path or a query names: Gemini and Vertex (`…/models/M:verb`), Azure (`…/deployments/D/…`), Bedrock
/// (`/model/M/verb`), Realtime (`?model=M`, on Azure `?deployment=D`).
pub(super) fn model_in_path(head: &RequestHead<'_>) -> Option<String> {
    let mut parts = head.path.split('/');
    let named = match head.format {
        Format::BedrockConverse | Format::BedrockInvoke => {
            let model = dialect::model_in_path(head.path)?;
            return (!model.is_empty()).then(|| model.chars().take(256).collect());
        }
        Format::Gemini | Format::Anthropic => {
            let last = head.path.rsplit('/').next()?;
            let (name, _verb) = last.rsplit_once(':')?;
            (name != "v1internal").then_some(name)
        }
        Format::OpenaiRealtime => head.query.and_then(|query| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix("model=").or_else(|| pair.strip_prefix("deployment=")))
        }),
        _ => parts.by_ref().find(|part| *part == "deployments").and_then(|_| parts.next()),
    }?;
    let name = percent_encoding::percent_decode_str(named).decode_utf8_lossy();
    (!name.is_empty()).then(|| name.chars().take(256).collect())
}

/// Notes the model that the body names.
pub(super) fn model(draft: &mut Draft, path: &[&str], model: Option<String>) {
    match draft.dialect {
        Dialect::AnthropicBatch => {
            draft.batch.model.clone_from(&model);
            draft.facts.model = draft.facts.model.take().or(model);
        }
        // The vendor's fields beside Converse's own name no model.
        Dialect::Converse if path.len() > 1 => {}
        _ => draft.facts.model = model,
    }
}

/// What the request caps its output to, or what bounds it where no cap is taken.
pub(super) fn stated(
    draft: &Draft,
    head: &RequestHead<'_>,
    target: cap::Target<'_>,
    body: usize,
) -> Option<u64> {
    let RequestHead { host, path, socket, .. } = *head;
    let model = target.model;
    match draft.dialect {
        Dialect::AnthropicBatch => Some(draft.batch.total),
        Dialect::Images => Some(draft.picture.bound(model)),
        Dialect::Audio => Some(draft.speech.bound(path, body)),
        // Only OpenAI is known to generate nothing for it; another server may not know the field.
        Dialect::Responses if socket && draft.prewarms && cap::is_openai(host) => Some(0),
        _ => cap::stated(draft, target),
    }
}

/// Whether the answer comes as a stream.
pub(super) fn streams(draft: &Draft, head: &RequestHead<'_>) -> bool {
    let RequestHead { path, socket, .. } = *head;
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match (draft.dialect, last) {
        // Bedrock's path decides, whatever the body says.
        (_, "converse" | "invoke") | (Dialect::AnthropicBatch | Dialect::BatchFile, _) => false,
        (_, "converse-stream" | "invoke-with-response-stream") | (Dialect::Realtime, _) => true,
        (Dialect::Responses, _) if socket => true,
        (Dialect::Ollama, "embed" | "embeddings") => false,
        (Dialect::Ollama, _) => draft.stream.unwrap_or(true),
        (Dialect::Audio, "speech") => draft.speech.events,
        _ => {
            draft.stream.unwrap_or(false)
                || last.ends_with(":streamGenerateContent")
                || last.ends_with(":streamRawPredict")
        }
    }
}

/// Whether a model searches or runs code without being asked to.
pub(super) fn works_by_itself(format: Format, model: &str) -> bool {
    matches!(format, Format::OpenaiChat | Format::OpenaiResponses)
        && SEARCHING_MODELS.iter().any(|part| model.contains(part))
}

/// The tokens that a cap's value states. Realtime writes `inf` for none; below 1 Ollama generates without an end.
pub(super) fn cap_of(
    dialect: Dialect,
    field: &'static str,
    value: Scalar<'_>,
) -> Result<Option<u64>, RequestError> {
    match value {
        Scalar::Text(raw) if dialect == Dialect::Realtime && reads(raw, "inf") => Ok(None),
        Scalar::Number(digits) if dialect == Dialect::Ollama && digits.starts_with('-') => Ok(None),
        _ => count(field, value, dialect),
    }
}

/// Fields that an object or array cannot stand for.
const SINGLE: &[&str] = &[
    "model",
    "stream",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_response_output_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "max_new_tokens",
    "maxTokens",
    "maxTokenCount",
    "maxOutputTokens",
    "candidateCount",
    "num_predict",
    "num_generations",
    "numResults",
    "n",
    "best_of",
    "background",
    "agent",
    "generate",
    "partial_images",
];

/// Whether a path stands right in an object that holds the cap.
fn in_config(dialect: Dialect, path: &[&str]) -> bool {
    let (Some(first), configs) = (path.first(), dialect.configs()) else { return false };
    configs.contains(first)
}

/// Whether tools stand here, each in an object with its `type`.
fn has_tools(dialect: Dialect, path: &[&str]) -> bool {
    match dialect {
        Dialect::Responses => true,
        Dialect::Anthropic
        | Dialect::AnthropicBatch
        | Dialect::Chat
        | Dialect::Converse
        | Dialect::Interactions
        | Dialect::Cohere
        | Dialect::Ollama
        | Dialect::Realtime => path.len() == 2,
        _ => false,
    }
}

fn choices(draft: &mut Draft, field: &'static str, value: Scalar<'_>) -> Result<(), RequestError> {
    let choices = count(field, value, draft.dialect)?;
    draft.choices = draft.choices.max(choices.unwrap_or(1));
    Ok(())
}

/// A scalar where the object with the cap belongs: only `null`, which a rewrite replaces.
fn null_config(
    draft: &mut Draft,
    name: &'static str,
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    if value != Scalar::Null {
        return wrong(name, "an object");
    }
    draft.places.configs.push((name, Slot { span, null: true, empty: true }));
    Ok(())
}

/// Decides about the tool whose object ended.
fn judge(draft: &mut Draft) {
    let tool = std::mem::take(&mut draft.tool);
    let kind = match (tool.kind, draft.dialect) {
        (Some(kind), _) => kind,
        // Elsewhere a tool without a type is the client's.
        (None, Dialect::Interactions) if tool.open => "tool".to_owned(),
        (None, _) => return,
    };
    let client = match draft.dialect {
        Dialect::Anthropic | Dialect::AnthropicBatch | Dialect::Converse => anthropic::runs_on_client(&kind),
        Dialect::Interactions => matches!(kind.as_str(), "function" | "computer_use"),
        _ => openai::runs_on_client(&kind) || (kind == "shell" && tool.local),
    };
    if !client {
        draft.server_tool(&kind);
    }
}

/// A prompt stored at the provider brings its own text, model and tools.
fn stored_prompt(draft: &mut Draft) {
    draft.unseen("prompt");
    draft.server_tool("prompt");
}

/// Whether a value points at something outside the body.
fn is_link(value: Scalar<'_>) -> bool {
    matches!(value, Scalar::Text(raw) if !starts_with(raw, "data:"))
}

fn wrong<T>(field: &'static str, expected: &'static str) -> Result<T, RequestError> {
    Err(RequestError::WrongType { field, expected })
}
