//! Cohere `/v1` and `/v2`, also behind Bedrock's `InvokeModel`. Sources: cohere-python `v2/client.py`,
//! `base_client.py`, `types/thinking.py`; the Bedrock user guide's pages on Cohere.

use super::{Draft, RequestError, Scalar, choices, count, is_link, text};
use std::ops::Range;

pub(super) fn scalar(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["max_tokens"] => draft.cap("max_tokens", value, span)?,
        ["num_generations"] => choices(draft, "num_generations", value)?,
        ["thinking", "token_budget"] => {
            draft.facts.thinking_budget = count("thinking.token_budget", value, draft.dialect)?;
        }
        // `/v1/chat` keeps the conversation at Cohere.
        ["conversation_id"] if value != Scalar::Null => draft.unseen("conversation_id"),
        ["connectors", "[]", "id"] => {
            if let Some(id) = text("connectors[].id", value)? {
                draft.server_tool(&id);
            }
        }
        ["messages", .., "url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

pub(super) fn open(draft: &mut Draft, path: &[&str]) -> Result<(), RequestError> {
    match path {
        // Each searches at Cohere and puts what it finds into the prompt.
        ["connectors", "[]"] => draft.server_tool("connectors"),
        ["documents", "[]"] => draft.tools = true,
        _ => {}
    }
    Ok(())
}
