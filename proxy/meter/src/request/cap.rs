//! Which of a request's output caps the host heeds, and under which name it takes one.
//!
//! chat/completions has two names for the cap. A host that does not know one of them passes over it in silence, so a
//! cap under that name holds nobody back. Invariant: [`stated`] is never below what the host may hold the answer to.

use super::facts::Draft;
use crate::catalogue;
use hudson_schema::Format;

/// Serve OpenAI's own API: the cap of chat is `max_completion_tokens`, and `max_tokens` still counts.
const OPENAI: &[&str] = &[
    "api.openai.com",
    "*.api.openai.com",
    "*.openai.azure.com",
    "*.openai.azure.us",
    "*.cognitiveservices.azure.com",
];
/// Refuse a request that carries both names, as [`OPENAI`] does for some models; so they know both.
const EITHER: &[&str] = &["generativelanguage.googleapis.com", "generativelanguage.mtls.googleapis.com"];

/// The largest cap that the host may heed; `None` when it may heed none. An unknown host heeds its own name only.
pub(super) fn stated(draft: &Draft, model: Option<&str>, host: &str) -> Option<u64> {
    let caps = &draft.places.caps;
    let own = own_name(draft, model, host);
    let heeded = takes_either(draft, host) || caps.iter().any(|cap| cap.name == own && cap.tokens.is_some());
    // Where two caps stand, which one counts is the host's secret.
    caps.iter().filter(|_| heeded).filter_map(|cap| cap.tokens).max()
}

/// The name under which this host takes this model's cap. `max_tokens` is refused by OpenAI's reasoning models and
/// deprecated by OpenAI and Azure for chat; compatible servers and the older completions endpoint know no other.
pub(super) fn own_name(draft: &Draft, model: Option<&str>, host: &str) -> &'static str {
    match draft.format {
        Format::Anthropic => return "max_tokens",
        Format::Gemini => return "maxOutputTokens",
        Format::OpenaiResponses => return "max_output_tokens",
        _ => {}
    }
    let model = model.unwrap_or_default();
    let name = model.rsplit('/').next().unwrap_or(model);
    let reasoning =
        ["o1", "o3", "o4", "gpt-5", "gpt-6", "codex-"].iter().any(|prefix| name.starts_with(prefix));
    match (reasoning || among(host, OPENAI)) && !draft.has_completion_prompt {
        true => "max_completion_tokens",
        false => "max_tokens",
    }
}

/// Whether the host heeds each of chat's two names, so that one is enough; it may refuse both at once.
pub(super) fn takes_either(draft: &Draft, host: &str) -> bool {
    draft.format == Format::OpenaiChat
        && !draft.has_completion_prompt
        && (among(host, OPENAI) || among(host, EITHER))
}

fn among(host: &str, known: &[&str]) -> bool {
    let host = catalogue::bare(host);
    known.iter().any(|name| match name.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == *name,
    })
}
