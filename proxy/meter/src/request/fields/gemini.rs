//! Gemini `generateContent`, also inside Code Assist's wrapper, and Interactions. Sources: the Gemini API reference;
//! python-genai `_interactions/types/interaction_create_params.py`, `tool_param.py`, `generation_config_param.py`.

use super::{Draft, RequestError, Scalar, choices, count, is_link, null_config, text, unwrapped, wrong};
use crate::request::facts::flag;
use std::borrow::Cow;
use std::ops::Range;

/// Tools that the client runs.
const CLIENT: &[&str] = &["functionDeclarations", "computerUse"];

/// The key under which Gemini knows a field: proto3 JSON takes `snake_case` for `lowerCamel`. Only in the
/// objects that hold facts: elsewhere (labels, arguments, schemas) names are the caller's own.
pub(crate) fn camel<'k>(path: &[Cow<'_, str>], key: Cow<'k, str>) -> Cow<'k, str> {
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

pub(super) fn scalar(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["generationConfig"] => null_config(draft, "generationConfig", value, span)?,
        ["generationConfig", "maxOutputTokens"] => {
            draft.cap("generationConfig.maxOutputTokens", value, span)?
        }
        ["generationConfig", "candidateCount"] => choices(draft, "generationConfig.candidateCount", value)?,
        ["generationConfig", "thinkingConfig", "thinkingBudget"] => {
            let dynamic =
                matches!(value, Scalar::Number(digits) | Scalar::Text(digits) if digits.starts_with('-'));
            draft.facts.thinking_budget = match dynamic {
                true => None,
                false => count("generationConfig.thinkingConfig.thinkingBudget", value, draft.dialect)?,
            };
        }
        ["cachedContent"] if matches!(value, Scalar::Text(_)) => draft.unseen("cachedContent"),
        ["contents", .., "fileUri" | "file_uri"] => draft.unseen("fileUri"),
        ["tools", "[]", name] if value != Scalar::Null && !CLIENT.contains(name) => draft.server_tool(name),
        _ => {}
    }
    Ok(())
}

pub(super) fn open(draft: &mut Draft, path: &[&str], array: bool) -> Result<(), RequestError> {
    match path {
        ["request"] if array => return wrong("request", "an object"),
        ["request"] => draft.wrapped = true,
        _ => draft.bare |= matches!(path, ["contents" | "generationConfig"]),
    }
    match unwrapped(draft.dialect, path) {
        ["generationConfig"] if array => return wrong("generationConfig", "an object"),
        ["generationConfig", "maxOutputTokens" | "candidateCount"] => {
            return wrong("generationConfig.maxOutputTokens or candidateCount", "a number");
        }
        ["tools", "[]", name] if !CLIENT.contains(name) => draft.server_tool(name),
        _ => {}
    }
    Ok(())
}

pub(super) fn interactions(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["generationConfig", "maxOutputTokens"] => {
            draft.cap("generationConfig.maxOutputTokens", value, span)?
        }
        ["background"] => draft.facts.background = flag("background", value)?.unwrap_or(false),
        // An agent plans, searches and reads for minutes by itself.
        ["agent"] => {
            if let Some(agent) = text("agent", value)? {
                draft.server_tool(&agent);
            }
        }
        ["previousInteractionId"] if value != Scalar::Null => draft.unseen("previous_interaction_id"),
        ["cachedContent"] if value != Scalar::Null => draft.unseen("cachedContent"),
        ["input", .., "uri"] if is_link(value) => draft.unseen("uri"),
        _ => {}
    }
    Ok(())
}

pub(super) fn open_interactions(draft: &mut Draft, path: &[&str]) -> Result<(), RequestError> {
    // An environment is a machine of the provider's.
    if let ["agentConfig" | "environment"] = path {
        draft.server_tool("agent_config");
    }
    Ok(())
}
