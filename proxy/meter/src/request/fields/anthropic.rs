//! Anthropic Messages, also inside Bedrock and Vertex, and its batches. Sources: anthropic-sdk-python
//! `types/message_create_params.py`, `types/beta/message_create_params.py`, `types/messages/batch_create_params.py`;
//! for Bedrock's text completions the user guide's page on Anthropic Claude.

use super::{Draft, RequestError, Scalar, count, text, wrong};
use crate::request::models::output_maximum;
use hudson_schema::Format;
use std::ops::Range;

/// Tool types that the client runs; they carry a date (`bash_20250124`).
const CLIENT: &[&str] = &["custom", "bash_", "text_editor_", "computer_", "memory_"];

/// What is known of a batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The caps of the requests so far; where one has none, its model's maximum.
    pub(crate) total: u64,
    /// The model and the cap of the request that is open.
    pub(crate) model: Option<String>,
    pub(crate) cap: Option<u64>,
}

pub(super) fn scalar(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["max_tokens"] => draft.cap("max_tokens", value, span)?,
        ["max_tokens_to_sample"] => draft.cap("max_tokens_to_sample", value, span)?,
        ["prompt"] => draft.has_completion_prompt = true,
        ["messages" | "system", .., "file_id"] => draft.unseen("file_id"),
        ["messages", .., "citations", "enabled"] if value == Scalar::Bool(true) => draft.estimate.citations(),
        ["messages", .., "source", "url"] => draft.unseen("url"),
        _ => beside(draft, path, value)?,
    }
    Ok(())
}

/// The fields that also count when they stand beside Converse's own.
pub(super) fn beside(draft: &mut Draft, path: &[&str], value: Scalar<'_>) -> Result<(), RequestError> {
    match path {
        // Bedrock knew the second name first.
        ["thinking" | "reasoning_config", "budget_tokens"] => {
            draft.facts.thinking_budget = count("thinking.budget_tokens", value, draft.dialect)?;
        }
        ["context_management", "edits", "[]", "type"] => {
            if let Some(kind) = text("context_management.edits[].type", value)?
                && kind.starts_with("compact")
            {
                draft.server_tool(&kind);
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn open(
    draft: &mut Draft,
    path: &[&str],
    inner: &[&str],
    array: bool,
) -> Result<(), RequestError> {
    match (path, inner) {
        (["requests", "[]"], _) => (draft.batch.model, draft.batch.cap) = (None, None),
        (["requests"], _) if !array => return wrong("requests", "an array"),
        (_, ["mcp_servers", "[]"]) => draft.server_tool("mcp_servers"),
        (_, ["fallbacks", "[]"]) => draft.server_tool("fallbacks"),
        (_, ["prompt"]) => draft.has_completion_prompt = true,
        _ => {}
    }
    Ok(())
}

/// One request of a batch is over.
pub(super) fn end_of_request(draft: &mut Draft) {
    let batch = &mut draft.batch;
    let model = batch.model.take();
    let most = || output_maximum(&[], Format::Anthropic, model.as_deref());
    batch.total = batch.total.saturating_add(batch.cap.take().unwrap_or_else(most));
    // The thinking of one request says nothing about the cap of all.
    draft.facts.thinking_budget = None;
}

/// Whether a tool of this type runs on the client.
pub(super) fn runs_on_client(kind: &str) -> bool {
    CLIENT.iter().any(|known| match known.ends_with('_') {
        true => kind.starts_with(known),
        false => kind == *known,
    })
}
