//! chat/completions with completions and embeddings, Responses over HTTP and as a message of a WebSocket, and the batch
//! of files. Sources: openai-python `types/chat/completion_create_params.py`, `types/completion_create_params.py`,
//! `types/responses/response_create_params.py`, `types/responses/responses_client_event_param.py`,
//! `types/batch_create_params.py`.

use super::{Draft, RequestError, Scalar, Slot, choices, count, is_link, reads, stored_prompt, text, wrong};
use crate::request::estimate::PRO_MODE;
use crate::request::facts::flag;
use std::ops::Range;

/// Tool types that the client runs. A tool search only hands out definitions that the request itself carries.
const CLIENT: &[&str] = &[
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

/// Whether a tool of this type runs on the client.
pub(super) fn runs_on_client(kind: &str) -> bool {
    CLIENT.contains(&kind)
}

pub(super) fn chat(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["max_tokens"] => draft.cap("max_tokens", value, span)?,
        ["max_completion_tokens"] => draft.cap("max_completion_tokens", value, span)?,
        ["max_output_tokens"] => draft.cap("max_output_tokens", value, span)?,
        ["n"] => choices(draft, "n", value)?,
        // All of them are generated and paid for, only `n` are returned.
        ["best_of"] => choices(draft, "best_of", value)?,
        ["stream_options"] => {
            if value != Scalar::Null {
                return wrong("stream_options", "an object");
            }
            draft.places.stream_options = Some(Slot { span, null: true, empty: true });
        }
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
        // OpenRouter's and Anthropic's names for a thinking budget inside the cap.
        ["reasoning", "max_tokens"] | ["thinking", "budget_tokens"] => {
            draft.facts.thinking_budget = count("the thinking budget", value, draft.dialect)?;
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

pub(super) fn open_chat(draft: &mut Draft, path: &[&str]) -> Result<(), RequestError> {
    match path {
        ["messages" | "prompt"] => {
            draft.has_prompt = true;
            draft.has_completion_prompt |= path == ["prompt"];
        }
        // A prompt given as token numbers, one of several.
        ["prompt", "[]"] => draft.prompts = draft.prompts.saturating_add(1),
        ["web_search_options"] => draft.server_tool("web_search_options"),
        ["search_parameters"] => draft.server_tool("search_parameters"),
        _ => {}
    }
    Ok(())
}

pub(super) fn responses(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["max_output_tokens"] => draft.cap("max_output_tokens", value, span)?,
        ["background"] => draft.facts.background = flag("background", value)?.unwrap_or(false),
        ["generate"] => draft.prewarms = flag("generate", value)? == Some(false),
        ["prompt"] if value != Scalar::Null => stored_prompt(draft),
        ["previous_response_id"] if value != Scalar::Null => draft.unseen("previous_response_id"),
        ["conversation"] if value != Scalar::Null => draft.unseen("conversation"),
        ["tools", "[]", "tools", "[]", "type"] => draft.tool.kind = text("tools[].type", value)?,
        ["tools", "[]", "environment", "type"] => draft.tool.local = value == Scalar::Text("local"),
        ["context_management", "[]", "type"] => {
            if let Some(kind) = text("context_management[].type", value)? {
                draft.server_tool(&kind);
            }
        }
        ["reasoning", "mode"] if matches!(value, Scalar::Text(raw) if reads(raw, "pro")) => {
            draft.estimate.extra(PRO_MODE)
        }
        ["input", .., "file_id"] => draft.unseen("file_id"),
        ["input", .., "image_url" | "file_url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

pub(super) fn open_responses(draft: &mut Draft, path: &[&str]) -> Result<(), RequestError> {
    match path {
        ["conversation"] => draft.unseen("conversation"),
        ["prompt"] => stored_prompt(draft),
        _ => {}
    }
    Ok(())
}

/// The requests of this batch stand in a file at the provider, and so do their caps and models.
pub(super) fn batch_file(draft: &mut Draft, path: &[&str], value: Scalar<'_>) -> Result<(), RequestError> {
    if let ["input_file_id"] = path {
        text("input_file_id", value)?;
        draft.unseen("input_file_id");
    }
    Ok(())
}

/// Whether `stream_options` is known behind this query: Azure refuses it before api-version 2024-10-21.
pub(crate) fn takes_stream_options(query: Option<&str>) -> bool {
    let version = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("api-version=")));
    // `preview` and `latest` of the newer Azure path are newer than every date.
    version.is_none_or(|version| {
        let date = version.get(..10).unwrap_or(version);
        !date.starts_with(|first: char| first.is_ascii_digit()) || date >= "2024-10-21"
    })
}
