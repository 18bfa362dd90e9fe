//! Bedrock Converse, and the vendors' own bodies behind `InvokeModel` that no other file reads: Nova, Titan, Llama,
//! Jurassic. Sources: botocore `bedrock-runtime/2023-09-30/service-2.json`; the user guide's pages on each vendor's
//! inference parameters; "Complete request schema" of the Nova user guide.

use super::{Dialect, Draft, RequestError, Scalar, anthropic, choices, text, wrong};
use std::ops::Range;

/// The vendors' names for a cap, and where they stand beside Converse's own.
const BESIDE: &[(&[&str], &str)] = &[
    (&["max_tokens"], "additionalModelRequestFields.max_tokens"),
    (&["max_completion_tokens"], "additionalModelRequestFields.max_completion_tokens"),
    (&["max_output_tokens"], "additionalModelRequestFields.max_output_tokens"),
    (&["max_tokens_to_sample"], "additionalModelRequestFields.max_tokens_to_sample"),
    (&["max_gen_len"], "additionalModelRequestFields.max_gen_len"),
    (&["max_new_tokens"], "additionalModelRequestFields.max_new_tokens"),
    (&["maxTokens"], "additionalModelRequestFields.maxTokens"),
    (&["inferenceConfig", "maxTokens"], "additionalModelRequestFields.inferenceConfig.maxTokens"),
    (&["inferenceConfig", "max_new_tokens"], "additionalModelRequestFields.inferenceConfig.max_new_tokens"),
    (&["textGenerationConfig", "maxTokenCount"], "additionalModelRequestFields.maxTokenCount"),
];

pub(super) fn converse(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["inferenceConfig", "maxTokens"] => draft.cap("inferenceConfig.maxTokens", value, span)?,
        ["inferenceConfig", "max_new_tokens"] if draft.dialect == Dialect::Nova => {
            draft.cap("inferenceConfig.max_new_tokens", value, span)?
        }
        // The vendor's fields go to the model as they are. A cap among them may hold or not; it is lowered with the
        // other, and never enough alone.
        ["additionalModelRequestFields", rest @ ..] => {
            match BESIDE.iter().find(|(known, _)| *known == rest) {
                Some((_, field)) => draft.cap(field, value, span)?,
                None => match rest {
                    ["n" | "best_of" | "num_generations" | "numResults"] => choices(draft, "n", value)?,
                    _ => anthropic::beside(draft, rest, value)?,
                },
            }
        }
        ["toolConfig", "tools", "[]", "systemTool", "name"] => {
            if let Some(name) = text("toolConfig.tools[].systemTool.name", value)? {
                draft.server_tool(&name);
            }
        }
        ["toolConfig", "tools", "[]", name] if value != Scalar::Null && !is_clients(name) => {
            draft.server_tool(name)
        }
        ["messages", .., "s3Location", "uri"] => draft.unseen("s3Location"),
        ["messages", .., "citations", "enabled"] if value == Scalar::Bool(true) => draft.estimate.citations(),
        _ => {}
    }
    Ok(())
}

pub(super) fn open(draft: &mut Draft, path: &[&str], array: bool) -> Result<(), RequestError> {
    match path {
        ["toolConfig", "tools", "[]"] => draft.tools = true,
        ["toolConfig", "tools"] if !array => return wrong("toolConfig.tools", "an array"),
        ["toolConfig", "tools", "[]", "systemTool"] => {}
        ["toolConfig", "tools", "[]", name] if !is_clients(name) => draft.server_tool(name),
        // Tools that the conversation brings in from a server.
        ["messages", "[]", "content", "[]", "toolAddition"] => draft.server_tool("toolAddition"),
        ["promptVariables"] => draft.unseen("promptVariables"),
        ["additionalModelRequestFields", "mcp_servers", "[]"] => draft.server_tool("mcp_servers"),
        ["additionalModelRequestFields", "inferenceConfig" | "textGenerationConfig"] if array => {
            return wrong("additionalModelRequestFields", "without arrays where a cap may stand");
        }
        _ => {}
    }
    Ok(())
}

/// Titan, Llama and Jurassic.
pub(super) fn invoke(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match (draft.dialect, path) {
        (Dialect::Titan, ["textGenerationConfig", "maxTokenCount"]) => {
            draft.cap("textGenerationConfig.maxTokenCount", value, span)
        }
        (Dialect::Llama, ["max_gen_len"]) => draft.cap("max_gen_len", value, span),
        (Dialect::Jurassic, ["maxTokens"]) => draft.cap("maxTokens", value, span),
        (Dialect::Jurassic, ["numResults"]) => choices(draft, "numResults", value),
        _ => Ok(()),
    }
}

/// Whether a member of a tool's object is a tool of the client's, or a mark for the cache.
fn is_clients(name: &str) -> bool {
    matches!(name, "toolSpec" | "cachePoint")
}
