//! The most output a model can give, for requests whose cap cannot be set or was not.
//!
//! Owns a table of name prefixes, from the providers' model pages; it only has to lean high, since it sizes a hold and
//! never a charge. Invariant: an unknown model gets the format's largest known value.

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

/// The most output tokens one answer of `model` can have, thinking included. Unknown models and `None` give the
/// largest value of the format: 128,000 for Anthropic, 272,000 for the OpenAI formats, 65,536 for Gemini.
pub fn output_maximum(format: Format, model: Option<&str>) -> u64 {
    let largest = match format {
        Format::Anthropic => 128_000,
        Format::Gemini => 65_536,
        _ => 272_000,
    };
    model.and_then(|model| known_output_maximum(format, model)).unwrap_or(largest)
}

/// The same for a model of the table; `None` for one that is not known.
pub fn known_output_maximum(format: Format, model: &str) -> Option<u64> {
    let table = match format {
        Format::Anthropic => ANTHROPIC,
        Format::Gemini => GEMINI,
        _ => OPENAI,
    };
    // `openai/gpt-5`, `models/gemini-2.5-pro`, `anthropic.claude-…`: the vendor's prefix says nothing about output.
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let name = name.strip_prefix("anthropic.").unwrap_or(&name);
    let families = table.iter().filter(|(prefix, _)| starts(name, prefix));
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
    fn the_longest_prefix_decides_and_the_unknown_is_large() {
        for (format, model, most) in [
            (Format::Anthropic, "claude-opus-4-20250514", 32_000),
            (Format::Anthropic, "claude-sonnet-4-5-20250929", 64_000),
            (Format::Anthropic, "claude-opus-4-6", 128_000),
            (Format::Anthropic, "claude-3-5-haiku-latest", 8_192),
            (Format::OpenaiChat, "gpt-4o-mini", 16_384),
            (Format::OpenaiChat, "gpt-4-turbo-2024-04-09", 4_096),
            (Format::OpenaiChat, "gpt-4.2", 272_000),
            (Format::OpenaiResponses, "openai/gpt-5-codex", 128_000),
            (Format::OpenaiResponses, "gpt-5-pro", 272_000),
            (Format::Gemini, "models/gemini-2.5-flash", 65_536),
            (Format::Gemini, "something", 65_536),
        ] {
            assert_eq!(output_maximum(format, Some(model)), most, "{model}");
        }
        assert_eq!(output_maximum(Format::OpenaiChat, None), 272_000);
    }
}
