//! What Amazon Bedrock states in the headers of an answer to `InvokeModel`, whatever the vendor's body is.
//!
//! Source: recordings. Cached tokens stand beside the input.

use super::sum;
use hudson_schema::{Format, Usage};

/// The usage that a response's headers state. `header` gives a header's value by its name in lower case; only
/// [`Format::BedrockInvoke`] has any.
pub fn header_usage<'h>(format: Format, header: impl Fn(&str) -> Option<&'h str>) -> Option<Usage> {
    if format != Format::BedrockInvoke {
        return None;
    }
    let count = |name: &str| header(name).and_then(|value| value.trim().parse::<u64>().ok());
    let input = count("x-amzn-bedrock-input-token-count");
    let output = count("x-amzn-bedrock-output-token-count");
    input.or(output)?;
    let usage = Usage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        cache_read: count("x-amzn-bedrock-cache-read-input-token-count").unwrap_or(0),
        cache_write: count("x-amzn-bedrock-cache-write-input-token-count").unwrap_or(0),
        ..Usage::default()
    };
    let total = sum(&[usage.input, usage.output, usage.cache_read, usage.cache_write]);
    Some(Usage { total, ..usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_headers_are_usage_and_nothing_else_is() {
        let header = |name: &str| match name {
            "x-amzn-bedrock-input-token-count" => Some("11"),
            "x-amzn-bedrock-output-token-count" => Some(" 236"),
            "x-amzn-bedrock-cache-write-input-token-count" => Some("1028"),
            "x-amzn-bedrock-cache-read-input-token-count" => Some("many"),
            _ => None,
        };
        let usage = header_usage(Format::BedrockInvoke, header).unwrap();
        assert_eq!((usage.input, usage.output, usage.cache_write, usage.total), (11, 236, 1_028, 1_275));
        assert_eq!(header_usage(Format::Anthropic, header), None);
        assert_eq!(header_usage(Format::BedrockInvoke, |_| None), None);
    }
}
