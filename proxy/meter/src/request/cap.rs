//! Which of a request's output caps the host heeds, and under which name it takes one.
//!
//! chat/completions has two names for the cap. A host that does not know one of them passes over it in silence, so a
//! cap under that name holds nobody back. Invariant: [`stated`] is never below what the host may hold the answer to.

use super::dialect::{Dialect, bare_model};
use super::facts::{Cap, Draft};
use crate::catalogue::{self, Model};
use hudson_schema::OutputField;

/// Serve OpenAI's own API: the cap of chat is `max_completion_tokens`, and `max_tokens` still counts.
const OPENAI: &[&str] = &[
    "api.openai.com",
    "*.api.openai.com",
    "*.openai.azure.com",
    "*.openai.azure.us",
    "*.cognitiveservices.azure.com",
];
/// Know both names: Google refuses a request that carries the two, as [`OPENAI`] does for some models, and Groq's
/// reference calls the older one deprecated.
const EITHER: &[&str] =
    &["generativelanguage.googleapis.com", "generativelanguage.mtls.googleapis.com", "api.groq.com"];

/// Where a host takes the cap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    /// The object it stands in, as the walk names it; `None` is the body itself.
    pub(super) parent: Option<&'static str>,
    /// The names under which it counts; it is put in under the first.
    pub(super) names: &'static [&'static str],
    /// How the object and the name are spelled when they are put in.
    pub(super) spelled: (&'static str, &'static str),
}

impl Home {
    const fn root(names: &'static [&'static str], name: &'static str) -> Self {
        Self { parent: None, names, spelled: ("", name) }
    }

    const fn inside(parent: &'static str, names: &'static [&'static str], name: &'static str) -> Self {
        Self { parent: Some(parent), names, spelled: (parent, name) }
    }

    /// Whether this is where a cap stands.
    pub(super) fn holds(&self, cap: &Cap) -> bool {
        cap.parent == self.parent && self.names.contains(&cap.name)
    }
}

/// Who a request is for: what decides where a cap counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) host: &'a str,
    /// What the operator says of models.
    pub(super) models: &'a [Model],
}

impl Target<'_> {
    /// The operator's word on the cap's name.
    fn field(&self) -> Option<OutputField> {
        Model::find(self.models, self.model?)?.output_field
    }
}

/// The largest cap that the host may heed; `None` when it may heed none. An unknown host heeds its own name only.
pub(super) fn stated(draft: &Draft, target: Target<'_>) -> Option<u64> {
    let home = home(draft, target)?;
    let caps = &draft.places.caps;
    let heeded = caps.iter().any(|cap| home.holds(cap) && cap.tokens.is_some());
    // Where two caps stand, which one counts is the host's secret.
    caps.iter().filter(|_| heeded).filter_map(|cap| cap.tokens).max()
}

/// Where this host takes this model's cap; `None` when it takes none.
pub(super) fn home(draft: &Draft, target: Target<'_>) -> Option<Home> {
    let Target { model, host, .. } = target;
    Some(match draft.dialect {
        Dialect::Anthropic if draft.has_completion_prompt => {
            Home::root(&["max_tokens_to_sample"], "max_tokens_to_sample")
        }
        Dialect::Anthropic | Dialect::Cohere => Home::root(&["max_tokens"], "max_tokens"),
        Dialect::Responses => Home::root(&["max_output_tokens"], "max_output_tokens"),
        Dialect::Gemini => Home::inside("generationConfig", &["maxOutputTokens"], "maxOutputTokens"),
        Dialect::Interactions => Home {
            spelled: ("generation_config", "max_output_tokens"),
            ..Home::inside("generationConfig", &["maxOutputTokens"], "maxOutputTokens")
        },
        Dialect::Converse => Home::inside("inferenceConfig", &["maxTokens"], "maxTokens"),
        // Documented is the first; the second was, and recordings show that it still holds.
        Dialect::Nova => Home::inside("inferenceConfig", &["maxTokens", "max_new_tokens"], "maxTokens"),
        Dialect::Titan => Home::inside("textGenerationConfig", &["maxTokenCount"], "maxTokenCount"),
        Dialect::Llama => Home::root(&["max_gen_len"], "max_gen_len"),
        Dialect::Jurassic => Home::root(&["maxTokens"], "maxTokens"),
        Dialect::Ollama => Home::inside("options", &["num_predict"], "num_predict"),
        Dialect::Realtime => {
            const NAMES: &[&str] = &["max_output_tokens", "max_response_output_tokens"];
            let parent = draft.realtime.capped_object()?;
            Home::inside(parent, NAMES, "max_output_tokens")
        }
        Dialect::Chat => match target.field().map_or_else(|| own_name(draft, model, host), OutputField::name)
        {
            "max_output_tokens" => Home::root(&["max_output_tokens"], "max_output_tokens"),
            name if takes_either(draft, host) => Home::root(&["max_tokens", "max_completion_tokens"], name),
            "max_tokens" => Home::root(&["max_tokens"], "max_tokens"),
            _ => Home::root(&["max_completion_tokens"], "max_completion_tokens"),
        },
        Dialect::AnthropicBatch
        | Dialect::BatchFile
        | Dialect::Images
        | Dialect::Audio
        | Dialect::Embedding
        | Dialect::Opaque => return None,
    })
}

/// The name under which this host takes the cap of chat. `max_tokens` is refused by OpenAI's reasoning models and
/// deprecated by OpenAI and Azure for chat, and Bedrock documents the newer name for OpenAI's open models; compatible
/// servers and the older completions endpoint know no other.
fn own_name(draft: &Draft, model: Option<&str>, host: &str) -> &'static str {
    let model = model.unwrap_or_default();
    let name = model.rsplit('/').next().unwrap_or(model);
    let newer = ["o1", "o3", "o4", "gpt-5", "gpt-6", "codex-"].iter().any(|prefix| name.starts_with(prefix))
        || bare_model(model).starts_with("openai.");
    match (newer || among(host, OPENAI)) && !draft.has_completion_prompt {
        true => "max_completion_tokens",
        false => "max_tokens",
    }
}

/// Whether the host heeds each of chat's two names, so that one is enough; it may refuse both at once.
fn takes_either(draft: &Draft, host: &str) -> bool {
    !draft.has_completion_prompt && (among(host, OPENAI) || among(host, EITHER))
}

/// Whether this is OpenAI's own server, also behind ChatGPT.
pub(super) fn is_openai(host: &str) -> bool {
    among(host, OPENAI) || among(host, &["chatgpt.com"])
}

/// Whether a host is one of these, each an exact name or `*` and the end of one.
pub(super) fn among(host: &str, known: &[&str]) -> bool {
    let host = catalogue::bare(host);
    known.iter().any(|name| match name.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == *name,
    })
}
