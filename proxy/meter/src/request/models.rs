//! The most output a model can give, for requests whose cap cannot be set or was not.
//!
//! Owns tables of name prefixes, from the providers' model pages (for Bedrock the user guide's pages on inference
//! parameters, compared with LiteLLM's `model_prices_and_context_window.json`). They only have to lean high, since they
//! size a hold and never a charge; but a cap of that size is put into a request that has none, so a model whose limit is
//! stated in two ways, or is the context's own, stands in no table.
//! Invariant: an unknown model gets the format's largest known value.

use super::dialect::bare_model;
use crate::catalogue::Model;
use hudson_schema::Format;

/// Model name prefix and its most output tokens. The longest matching prefix wins.
const ANTHROPIC: &[(&str, u64)] = &[
    ("claude-3-opus", 4_096),
    ("claude-3-sonnet", 4_096),
    ("claude-3-haiku", 4_096),
    ("claude-3-5", 8_192),
    // 128,000 with the output-128k beta.
    ("claude-3-7", 128_000),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-2025", 32_000),
    ("claude-opus-4-5", 64_000),
    ("claude-sonnet-4-0", 64_000),
    ("claude-sonnet-4-2025", 64_000),
    ("claude-sonnet-4-5", 64_000),
    ("claude-haiku-4-5", 64_000),
];

const OPENAI: &[(&str, u64)] = &[
    ("gpt-3.5-turbo", 4_096),
    ("gpt-4", 8_192),
    ("gpt-4-turbo", 4_096),
    ("gpt-4-1106", 4_096),
    ("gpt-4-0125", 4_096),
    ("gpt-4o", 16_384),
    ("gpt-4o-2024-05-13", 4_096),
    ("chatgpt-4o", 16_384),
    ("gpt-4.1", 32_768),
    ("gpt-4.5", 16_384),
    ("gpt-5", 128_000),
    ("gpt-5-chat", 16_384),
    ("gpt-5-pro", 272_000),
    ("o1", 100_000),
    ("o1-preview", 32_768),
    ("o1-mini", 65_536),
    ("o3", 100_000),
    ("o4-mini", 100_000),
    ("codex-mini", 100_000),
    ("gpt-oss", 131_072),
    ("computer-use-preview", 1_024),
    ("text-embedding", 0),
];

const GEMINI: &[(&str, u64)] = &[
    ("gemini-1.0", 8_192),
    ("gemini-1.5", 8_192),
    ("gemini-2.0", 8_192),
    ("gemini-2.5", 65_536),
    ("gemini-3", 65_536),
    ("gemma-3", 8_192),
];

/// Models of compatible hosts.
const COMPATIBLE: &[(&str, u64)] =
    &[("deepseek-chat", 8_192), ("deepseek-reasoner", 65_536), ("deepseek-v4", 393_216)];

const COHERE: &[(&str, u64)] = &[
    ("command-r", 4_096),
    ("command-light", 4_096),
    ("command-nightly", 8_000),
    ("command-a-03-2025", 8_000),
    ("command-a-vision", 8_000),
    ("command-a-translate", 8_000),
    ("command-a-reasoning", 32_000),
    ("command-a-plus", 64_000),
    ("command-r7b", 4_096),
    ("c4ai-aya", 4_096),
    ("embed", 0),
    ("rerank", 0),
];

/// On Bedrock, under their vendors' prefixes. Anthropic's stand in their own table.
const BEDROCK: &[(&str, u64)] = &[
    ("amazon.nova-micro", 10_000),
    ("amazon.nova-lite", 10_000),
    ("amazon.nova-pro", 10_000),
    ("amazon.nova-premier", 10_000),
    ("amazon.nova-2-lite", 64_000),
    ("amazon.nova-2-pro", 64_000),
    ("amazon.titan-text-lite", 4_096),
    ("amazon.titan-text-express", 8_192),
    ("amazon.titan-text-premier", 3_072),
    ("amazon.titan-embed", 0),
    ("meta.llama2-13b-chat", 2_048),
    ("meta.llama2-70b-chat", 2_048),
    ("meta.llama3-8b", 2_048),
    ("meta.llama3-70b", 2_048),
    ("mistral.mistral-7b", 8_192),
    ("mistral.mixtral-8x7b", 4_096),
    ("mistral.mistral-large-2402", 8_192),
    ("mistral.mistral-small-2402", 8_192),
    ("cohere.command-text", 4_096),
    ("cohere.command-light-text", 4_096),
    ("cohere.command-r", 4_096),
    ("cohere.embed", 0),
    ("cohere.rerank", 0),
    ("ai21.j2", 8_191),
    ("ai21.jamba", 4_096),
    ("deepseek.r1", 32_768),
];

/// OpenAI's Realtime models; of one answer, not of a session. The newest may answer longer than a cap may say.
const REALTIME: &[(&str, u64)] = &[
    ("gpt-realtime-2025", 4_096),
    ("gpt-realtime-1.5", 4_096),
    ("gpt-realtime-mini", 4_096),
    ("gpt-4o-realtime", 4_096),
    ("gpt-4o-mini-realtime", 4_096),
];

/// The contexts of OpenAI's Realtime models, by their whole names, dates aside: an answer never has more input. From the
/// models' pages; that a 32k context is meant, the SDK says at `truncation` (openai-python
/// `types/realtime/realtime_session_create_request.py`).
const REALTIME_CONTEXTS: &[(&str, u64)] = &[
    ("gpt-realtime", 32_768),
    ("gpt-realtime-1.5", 32_768),
    ("gpt-realtime-mini", 32_768),
    ("gpt-realtime-2", 131_072),
    ("gpt-realtime-2.1", 131_072),
    ("gpt-realtime-2.1-mini", 131_072),
    ("gpt-4o-realtime-preview", 131_072),
    ("gpt-4o-mini-realtime-preview", 131_072),
];

/// The most input tokens one answer on a Realtime socket can have: its model's context, by the operator's word in
/// `models` or else by the table; `None` for one that is not known.
pub fn realtime_context(models: &[Model], model: &str) -> Option<u64> {
    if let Some(most) = Model::find(models, model).and_then(|model| model.input_maximum) {
        return Some(most);
    }
    // A date is four digits and what follows them.
    let dated = |rest: &str| {
        rest.strip_prefix('-').is_some_and(|rest| {
            rest.len() == 10 && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        })
    };
    let known = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || dated(rest));
    REALTIME_CONTEXTS.iter().find(|(name, _)| known(name)).map(|(_, context)| *context)
}

/// The most output tokens one answer of `model` can have, thinking included, by the operator's word in `models` or else
/// by the tables. Unknown models and `None` give the
/// largest value of the format: 128,000 for Anthropic and Bedrock, 64,000 for Cohere, 65,536 for Gemini, 32,000 for
/// Realtime, 393,216 for the OpenAI formats. Ollama generates until the context is full where nothing else is asked
/// for; 262,144 is the largest in common use.
pub fn output_maximum(models: &[Model], format: Format, model: Option<&str>) -> u64 {
    let largest = match format {
        Format::Anthropic | Format::BedrockConverse | Format::BedrockInvoke => 128_000,
        Format::Gemini | Format::GeminiInteractions => 65_536,
        Format::Cohere => 64_000,
        Format::Ollama => 262_144,
        Format::OpenaiRealtime => 32_000,
        _ => 393_216,
    };
    model.and_then(|model| known_output_maximum(models, format, model)).unwrap_or(largest)
}

/// The same for a model that the operator or a table names; `None` for one that is not known.
pub fn known_output_maximum(models: &[Model], format: Format, model: &str) -> Option<u64> {
    if let Some(most) = Model::find(models, model).and_then(|model| model.output_maximum) {
        return Some(most);
    }
    let tables: &[&[(&str, u64)]] = match format {
        Format::Anthropic => &[ANTHROPIC],
        Format::Gemini | Format::GeminiInteractions => &[GEMINI],
        Format::BedrockConverse | Format::BedrockInvoke => &[BEDROCK, ANTHROPIC],
        Format::Cohere => &[COHERE],
        Format::Ollama => &[],
        Format::OpenaiRealtime => &[REALTIME],
        _ => &[OPENAI, COMPATIBLE],
    };
    // `openai/gpt-5`, `models/gemini-2.5-pro`, `us.anthropic.claude-…`: where it runs says nothing about output.
    let name = bare_model(model).to_ascii_lowercase();
    let name = name.strip_prefix("anthropic.").unwrap_or(&name);
    let families = tables.iter().flat_map(|table| table.iter()).filter(|(prefix, _)| starts(name, prefix));
    families.max_by_key(|(prefix, _)| prefix.len()).map(|(_, most)| *most)
}

/// Whether `name` is of the family `prefix`: `gpt-4` is `gpt-4-0613` but not `gpt-4.2` or `gpt-40`.
fn starts(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty()
            || rest.starts_with(['-', '@', ':'])
            || prefix.ends_with("2025")
            || rest.starts_with('.') && prefix == "gemini-3"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realtime_context_is_that_of_the_named_model_or_unknown() {
        for (model, context) in [
            ("gpt-realtime", Some(32_768)),
            ("gpt-realtime-2025-08-28", Some(32_768)),
            ("gpt-realtime-mini-2025-12-15", Some(32_768)),
            ("gpt-realtime-2", Some(131_072)),
            ("gpt-realtime-3", None),
            ("gpt-realtime-2.2", None),
            ("gpt-realtime-2025-08-28-large", None),
            ("gpt-4o-realtime-preview-2024-10-01", Some(131_072)),
            ("grok-voice", None),
        ] {
            assert_eq!(realtime_context(&[], model), context, "{model}");
        }
    }

    #[test]
    fn the_longest_prefix_decides_and_the_unknown_is_large() {
        for (format, model, most) in [
            (Format::Anthropic, "claude-opus-4-20250514", 32_000),
            (Format::Anthropic, "claude-sonnet-4-5-20250929", 64_000),
            (Format::Anthropic, "claude-opus-4-6", 128_000),
            (Format::Anthropic, "claude-3-5-haiku-latest", 8_192),
            (Format::OpenaiChat, "gpt-4o-mini", 16_384),
            (Format::OpenaiChat, "gpt-4-turbo-2024-04-09", 4_096),
            (Format::OpenaiChat, "gpt-4.2", 393_216),
            (Format::OpenaiResponses, "openai/gpt-5-codex", 128_000),
            (Format::OpenaiResponses, "gpt-5-pro", 272_000),
            (Format::Gemini, "models/gemini-2.5-flash", 65_536),
            (Format::Gemini, "something", 65_536),
            (Format::GeminiInteractions, "gemini-3-flash-preview", 65_536),
            (Format::BedrockConverse, "us.anthropic.claude-3-haiku-20240307-v1:0", 4_096),
            (
                Format::BedrockConverse,
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0",
                10_000,
            ),
            (Format::BedrockInvoke, "global.amazon.nova-2-lite-v1:0", 64_000),
            (Format::BedrockInvoke, "meta.llama3-70b-instruct-v1:0", 2_048),
            (Format::BedrockInvoke, "future.model", 128_000),
            (Format::Cohere, "command-r-plus-08-2024", 4_096),
            (Format::Cohere, "command-a-03-2025", 8_000),
            (Format::Cohere, "aya-future", 64_000),
            (Format::Ollama, "qwen3:4b", 262_144),
            (Format::OpenaiChat, "deepseek-chat", 8_192),
            (Format::OpenaiRealtime, "gpt-realtime-2025-08-28", 4_096),
            (Format::OpenaiRealtime, "gpt-future", 32_000),
        ] {
            assert_eq!(output_maximum(&[], format, Some(model)), most, "{model}");
        }
        assert_eq!(output_maximum(&[], Format::OpenaiChat, None), 393_216);
    }
}
