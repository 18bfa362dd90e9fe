//! The fields of each format: where its cap, its choices, its tools and its hidden input stand.
//!
//! Sources: the providers' API references and SDK types. Invariant: a tool type that is not known to run on the client
//! is listed as a server tool, never the other way round.

use super::RequestError;
use super::facts::{Draft, Slot, count, flag, text};
use super::walk::{Scalar, reads, starts_with};
use hudson_schema::Format;
use std::borrow::Cow;
use std::ops::Range;

/// Anthropic tool types that the client runs; they carry a date (`bash_20250124`).
const ANTHROPIC_CLIENT: &[&str] = &["custom", "bash_", "text_editor_", "computer_", "memory_"];
/// OpenAI tool types that the client runs. A tool search only hands out definitions that the request itself carries.
const OPENAI_CLIENT: &[&str] = &[
    "function",
    "custom",
    "local_shell",
    "apply_patch",
    "computer",
    "computer_use_preview",
    "computer-preview",
    "tool_search",
    // A group of tools; each is looked at by itself.
    "namespace",
];
/// Gemini tools that the client runs.
const GEMINI_CLIENT: &[&str] = &["functionDeclarations", "computerUse"];
/// Chat models that search or run code on their own, by a part of their name.
const SEARCHING_MODELS: &[&str] =
    &["sonar", "search-preview", "search-api", "compound", ":online", "deep-research"];

/// What is known of the tool whose object is open.
#[derive(Debug, Default)]
pub(super) struct Tool {
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
    match draft.format {
        Format::Anthropic => anthropic(draft, path, value, span),
        Format::Gemini => gemini(draft, unwrapped(path), value, span),
        Format::OpenaiResponses => responses(draft, path, value, span),
        _ => chat(draft, path, value, span),
    }
}

/// An object or array begins at a short path.
pub(super) fn open(draft: &mut Draft, path: &[&str], array: bool) -> Result<(), RequestError> {
    let wrong = |field, expected| Err(RequestError::WrongType { field, expected });
    match (draft.format, path) {
        (_, ["tools", "[]"]) | (Format::OpenaiResponses, ["tools", "[]", "tools", "[]"]) => {
            // A tool inside a tool: what is known of the outer one so far decides about it.
            judge(draft);
            draft.tools = true;
        }
        (_, ["tools"]) if !array => return wrong("tools", "an array"),
        (
            _,
            [
                "model"
                | "stream"
                | "max_tokens"
                | "max_completion_tokens"
                | "max_output_tokens"
                | "n"
                | "best_of",
            ],
        )
        | (_, ["background"]) => {
            return wrong("model, stream, max_tokens, n or background", "a single value");
        }
        (_, ["stream_options"]) if array => return wrong("stream_options", "an object"),
        (Format::Anthropic, ["mcp_servers", "[]"]) => draft.server_tool("mcp_servers"),
        (Format::Anthropic, ["fallbacks", "[]"]) => draft.server_tool("fallbacks"),
        (Format::OpenaiChat, ["messages" | "prompt"]) => {
            draft.has_prompt = true;
            draft.has_completion_prompt |= path == ["prompt"];
        }
        // A prompt given as token numbers, one of several.
        (Format::OpenaiChat, ["prompt", "[]"]) => draft.prompts = draft.prompts.saturating_add(1),
        (Format::OpenaiChat, ["web_search_options"]) => draft.server_tool("web_search_options"),
        (Format::OpenaiChat, ["search_parameters"]) => draft.server_tool("search_parameters"),
        (Format::OpenaiResponses, ["conversation"]) => draft.unseen("conversation"),
        (Format::OpenaiResponses, ["prompt"]) => stored_prompt(draft),
        (Format::Gemini, ["request"]) if array => return wrong("request", "an object"),
        (Format::Gemini, ["request"]) => draft.wrapped = true,
        (Format::Gemini, path) => {
            draft.bare |= matches!(path, ["contents" | "generationConfig"]);
            gemini_open(draft, unwrapped(path), array)?;
        }
        _ => {}
    }
    Ok(())
}

/// An object or array ended at a short path.
pub(super) fn close(draft: &mut Draft, path: &[&str], slot: Slot) {
    match (draft.format, path) {
        (Format::Anthropic | Format::OpenaiChat, ["tools", "[]"])
        | (Format::OpenaiResponses, ["tools", "[]"] | ["tools", "[]", "tools", "[]"]) => judge(draft),
        (_, ["stream_options"]) => draft.places.stream_options = Some(slot),
        // Code Assist wraps the request.
        (Format::Gemini, ["request"]) => draft.places.base = slot,
        (Format::Gemini, path) if unwrapped(path) == ["generationConfig"] => draft.places.config = Some(slot),
        _ => {}
    }
}

/// The key under which Gemini knows a field: proto3 JSON takes `snake_case` for `lowerCamel`. Only in the
/// objects that hold facts: elsewhere (labels, arguments, schemas) names are the caller's own.
pub(super) fn camel<'k>(path: &[Cow<'_, str>], key: Cow<'k, str>) -> Cow<'k, str> {
    const OWN: &[&str] = &["request", "generationConfig", "thinkingConfig", "tools", "[]"];
    if !key.contains('_') || !path.iter().all(|name| OWN.contains(&name.as_ref())) {
        return key;
    }
    let mut name = String::with_capacity(key.len());
    let mut upper = false;
    for letter in key.chars() {
        match letter {
            '_' => upper = true,
            letter if std::mem::take(&mut upper) => name.push(letter.to_ascii_uppercase()),
            letter => name.push(letter),
        }
    }
    Cow::Owned(name)
}

/// The model that a path names: Gemini and Vertex (`…/models/M:verb`), Azure (`…/deployments/D/…`).
pub(super) fn model_in_path(format: Format, path: &str) -> Option<String> {
    let mut parts = path.split('/');
    let named = match format {
        Format::Gemini | Format::Anthropic => {
            let last = path.rsplit('/').next()?;
            let (name, _verb) = last.rsplit_once(':')?;
            (name != "v1internal").then_some(name)
        }
        _ => parts.by_ref().find(|part| *part == "deployments").and_then(|_| parts.next()),
    }?;
    let name = percent_encoding::percent_decode_str(named).decode_utf8_lossy();
    (!name.is_empty()).then(|| name.chars().take(256).collect())
}

/// Whether `stream_options` is known behind this query: Azure refuses it before api-version 2024-10-21.
pub(super) fn takes_stream_options(query: Option<&str>) -> bool {
    let version = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("api-version=")));
    // `preview` and `latest` of the newer Azure path are newer than every date.
    version.is_none_or(|version| {
        let date = version.get(..10).unwrap_or(version);
        !date.starts_with(|first: char| first.is_ascii_digit()) || date >= "2024-10-21"
    })
}

fn anthropic(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["max_tokens"] => draft.cap("max_tokens", value, span)?,
        ["thinking", "budget_tokens"] => {
            draft.facts.thinking_budget = count("thinking.budget_tokens", value, draft.format)?;
        }
        ["tools", "[]", "type"] => draft.tool.kind = text("tools[].type", value)?,
        ["context_management", "edits", "[]", "type"] => {
            if let Some(kind) = text("context_management.edits[].type", value)?
                && kind.starts_with("compact")
            {
                draft.server_tool(&kind);
            }
        }
        ["messages" | "system", .., "file_id"] => draft.unseen("file_id"),
        ["messages", .., "citations", "enabled"] if value == Scalar::Bool(true) => draft.estimate.citations(),
        ["messages", .., "source", "url"] => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

fn chat(draft: &mut Draft, path: &[&str], value: Scalar<'_>, span: Range<usize>) -> Result<(), RequestError> {
    match path {
        ["max_tokens"] => draft.cap("max_tokens", value, span)?,
        ["max_completion_tokens"] => draft.cap("max_completion_tokens", value, span)?,
        ["n"] => choices(draft, "n", value)?,
        // All of them are generated and paid for, only `n` are returned.
        ["best_of"] => choices(draft, "best_of", value)?,
        ["stream_options"] => null_slot(draft, "stream_options", value, span)?,
        ["stream_options", "include_usage"] => {
            draft.facts.include_usage = flag("stream_options.include_usage", value)?;
            draft.places.include_usage = Some(span);
        }
        ["prompt"] => {
            draft.has_prompt = true;
            draft.has_completion_prompt = true;
        }
        ["prompt", "[]"] if matches!(value, Scalar::Text(_)) => {
            draft.prompts = draft.prompts.saturating_add(1)
        }
        ["tools", "[]", "type"] => draft.tool.kind = text("tools[].type", value)?,
        // OpenRouter's and Anthropic's names for a thinking budget inside the cap.
        ["reasoning", "max_tokens"] | ["thinking", "budget_tokens"] => {
            draft.facts.thinking_budget = count("the thinking budget", value, draft.format)?;
        }
        ["plugins", "[]", "id"] => {
            if let Some(id) = text("plugins[].id", value)? {
                draft.server_tool(&id);
            }
        }
        ["messages", .., "file_id"] => draft.unseen("file_id"),
        ["messages", .., "image_url" | "url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

fn responses(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["max_output_tokens"] => draft.cap("max_output_tokens", value, span)?,
        ["background"] => draft.facts.background = flag("background", value)?.unwrap_or(false),
        ["prompt"] if value != Scalar::Null => stored_prompt(draft),
        ["previous_response_id"] if value != Scalar::Null => draft.unseen("previous_response_id"),
        ["conversation"] if value != Scalar::Null => draft.unseen("conversation"),
        ["tools", "[]", "type"] | ["tools", "[]", "tools", "[]", "type"] => {
            draft.tool.kind = text("tools[].type", value)?;
        }
        ["tools", "[]", "environment", "type"] => draft.tool.local = value == Scalar::Text("local"),
        ["context_management", "[]", "type"] => {
            if let Some(kind) = text("context_management[].type", value)? {
                draft.server_tool(&kind);
            }
        }
        ["reasoning", "mode"] if matches!(value, Scalar::Text(raw) if reads(raw, "pro")) => {
            draft.estimate.extra(super::estimate::PRO_MODE)
        }
        ["input", .., "file_id"] => draft.unseen("file_id"),
        ["input", .., "image_url" | "file_url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

/// A prompt stored at the provider brings its own text, model and tools.
fn stored_prompt(draft: &mut Draft) {
    draft.unseen("prompt");
    draft.server_tool("prompt");
}

fn gemini(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["generationConfig"] => null_slot(draft, "generationConfig", value, span)?,
        ["generationConfig", "maxOutputTokens"] => {
            draft.cap("generationConfig.maxOutputTokens", value, span)?
        }
        ["generationConfig", "candidateCount"] => choices(draft, "generationConfig.candidateCount", value)?,
        ["generationConfig", "thinkingConfig", "thinkingBudget"] => {
            let dynamic =
                matches!(value, Scalar::Number(digits) | Scalar::Text(digits) if digits.starts_with('-'));
            draft.facts.thinking_budget = match dynamic {
                true => None,
                false => count("generationConfig.thinkingConfig.thinkingBudget", value, draft.format)?,
            };
        }
        ["cachedContent"] if matches!(value, Scalar::Text(_)) => draft.unseen("cachedContent"),
        ["contents", .., "fileUri" | "file_uri"] => draft.unseen("fileUri"),
        ["tools", "[]", name] if value != Scalar::Null && !GEMINI_CLIENT.contains(name) => {
            draft.server_tool(name)
        }
        _ => {}
    }
    Ok(())
}

fn gemini_open(draft: &mut Draft, path: &[&str], array: bool) -> Result<(), RequestError> {
    let wrong = |field| Err(RequestError::WrongType { field, expected: "an object" });
    match path {
        ["generationConfig"] if array => return wrong("generationConfig"),
        ["generationConfig", "maxOutputTokens" | "candidateCount"] => {
            return Err(RequestError::WrongType {
                field: "generationConfig.maxOutputTokens or candidateCount",
                expected: "a number",
            });
        }
        ["tools", "[]", name] if !GEMINI_CLIENT.contains(name) => draft.server_tool(name),
        _ => {}
    }
    Ok(())
}

/// A Code Assist body holds the Gemini request under `request`.
fn unwrapped<'p, 'n>(path: &'p [&'n str]) -> &'p [&'n str] {
    match path {
        ["request", rest @ ..] => rest,
        _ => path,
    }
}

fn choices(draft: &mut Draft, field: &'static str, value: Scalar<'_>) -> Result<(), RequestError> {
    let choices = count(field, value, draft.format)?;
    draft.choices = draft.choices.max(choices.unwrap_or(1));
    Ok(())
}

/// A scalar where an object belongs: only `null`, which a rewrite replaces.
fn null_slot(
    draft: &mut Draft,
    field: &'static str,
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    if value != Scalar::Null {
        return Err(RequestError::WrongType { field, expected: "an object" });
    }
    let slot = Some(Slot { span, null: true, empty: true });
    match field {
        "stream_options" => draft.places.stream_options = slot,
        _ => draft.places.config = slot,
    }
    Ok(())
}

/// Decides about the tool whose object ended.
fn judge(draft: &mut Draft) {
    let tool = std::mem::take(&mut draft.tool);
    let Some(kind) = tool.kind else { return };
    let client = match draft.format {
        Format::Anthropic => ANTHROPIC_CLIENT.iter().any(|known| match known.ends_with('_') {
            true => kind.starts_with(known),
            false => kind == *known,
        }),
        _ => OPENAI_CLIENT.contains(&kind.as_str()) || (kind == "shell" && tool.local),
    };
    if !client {
        draft.server_tool(&kind);
    }
}

/// Whether a model searches or runs code without being asked to.
pub(super) fn works_by_itself(format: Format, model: &str) -> bool {
    matches!(format, Format::OpenaiChat | Format::OpenaiResponses)
        && SEARCHING_MODELS.iter().any(|part| model.contains(part))
}

/// Whether a value points at something outside the body.
fn is_link(value: Scalar<'_>) -> bool {
    matches!(value, Scalar::Text(raw) if !starts_with(raw, "data:"))
}
