//! Where in a request text becomes tokens, and as what.
//!
//! Owns the names that structure the requests of all dialects: their own spelling never reaches a model. Invariant: what
//! no list names is data, of which names, values and signs are all counted; so an unknown field is never free.

/// What becomes of what stands in an object or array.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Zone {
    /// The request's own settings, and what only wraps them.
    Request,
    /// Messages and instructions: their texts are read, the names around them are not.
    Prompt,
    /// JSON that the model reads as it stands: arguments, results.
    Data,
    /// Definitions of tools, and schemas of answers.
    Tools,
    /// Settings that no model sees.
    Silent,
}

/// What becomes of a single value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// It is text of a message.
    Text,
    /// It is a member of JSON that the model reads, with its name.
    Member,
    /// It is a part of a tool's definition.
    Definition,
    /// It is a long encrypted text, of which the provider reads what it means.
    Cipher,
    /// No model sees it.
    Silent,
}

/// Settings that no model sees, at the request's own level.
const SETTINGS: &[&str] = &[
    "model",
    "stream",
    "stream_options",
    "metadata",
    "user",
    "safetySettings",
    "safety_settings",
    "provider",
    "service_tier",
    "cache_control",
    "stop",
    "stop_sequences",
    "stopSequences",
    "thinking",
    "think",
    "thinkingConfig",
    "reasoning",
    "reasoning_effort",
    "include",
    "tool_choice",
    "toolChoice",
    "prompt_cache_key",
    "safety_identifier",
    "previous_response_id",
    "previous_interaction_id",
    "conversation",
    "cachedContent",
    "guardrailConfig",
    "anthropic_version",
    "anthropic_beta",
    "schemaVersion",
    "modalities",
    "store",
    "truncation",
    "keep_alive",
    "assistant_id",
    "venice_parameters",
    "logit_bias",
    "context_management",
    "labels",
    "project",
    "user_prompt_id",
    "session_id",
    "encoding_format",
    "size",
    "quality",
    "voice",
    "type",
    "responseMimeType",
    "responseModalities",
    "thinking_level",
    "thinking_summaries",
    "mediaResolution",
];

/// Objects that hold more of the request's settings.
const WRAPPERS: &[&str] = &[
    "request",
    "requests",
    "params",
    "response",
    "session",
    "generationConfig",
    "generation_config",
    "inferenceConfig",
    "textGenerationConfig",
    "options",
    "additionalModelRequestFields",
    "text",
    "output_config",
    "response_format",
];

/// What the model is told.
const PROMPTS: &[&str] = &[
    "messages",
    "message",
    "contents",
    "input",
    "inputs",
    "inputText",
    "item",
    "system",
    "systemInstruction",
    "system_instruction",
    "instructions",
    "prompt",
    "preamble",
    "chat_history",
    "query",
    "texts",
];

/// Tools and schemas of answers.
const DEFINITIONS: &[&str] = &[
    "tools",
    "toolConfig",
    "functions",
    "json_schema",
    "format",
    "schema",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
];

/// What only structures a message.
const STRUCTURE: &[&str] = &[
    "content",
    "parts",
    "text",
    "tool_calls",
    "function",
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
    "toolUse",
    "toolResult",
    "source",
    "image",
    "image_url",
    "document",
    "file",
    "video",
    "audio",
    "input_audio",
    "video_url",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "summary",
    "reasoning_details",
    "guardContent",
    "messages",
    "contents",
    "output",
];

/// What no model sees of a message.
const MARKS: &[&str] = &[
    "role",
    "type",
    "id",
    "status",
    "index",
    "format",
    "cache_control",
    "cachePoint",
    "citations",
    "annotations",
    "qualifiers",
    "tool_call_id",
    "tool_use_id",
    "toolUseId",
    "call_id",
    "media_type",
    "mime_type",
    "mimeType",
    "detail",
    "thought",
    "prefix",
    "is_error",
    "file_id",
    "fileUri",
    "file_uri",
    "uri",
    "url",
    "image_url",
    "file_url",
];

/// Encrypted thoughts.
const CIPHERS: &[&str] = &["signature", "thoughtSignature", "thought_signature", "encrypted_content"];

/// The longest text that is taken for a setting: a longer one is counted whatever its name says.
const LONGEST_SETTING: usize = 64;

impl Zone {
    /// The zone of an object or array of this name in this one.
    pub(super) fn inside(self, name: &str) -> Self {
        let is = |names: &[&str]| names.contains(&name);
        match self {
            _ if name == "[]" => self,
            Self::Request if is(PROMPTS) => Self::Prompt,
            Self::Request if is(DEFINITIONS) => Self::Tools,
            Self::Request if is(WRAPPERS) => Self::Request,
            Self::Request if is(SETTINGS) => Self::Silent,
            Self::Prompt if is(STRUCTURE) => Self::Prompt,
            Self::Prompt if is(MARKS) => Self::Silent,
            Self::Tools if is(&["cache_control", "cachePoint"]) => Self::Silent,
            Self::Request | Self::Prompt => Self::Data,
            same => same,
        }
    }

    /// What becomes of a value of this name in this zone; `length` is that of a text.
    pub(super) fn role(self, name: &str, length: usize) -> Role {
        let is = |names: &[&str]| names.contains(&name);
        let short = length <= LONGEST_SETTING;
        match self {
            Self::Prompt if is(CIPHERS) => Role::Cipher,
            Self::Prompt if is(MARKS) && short => Role::Silent,
            Self::Prompt => Role::Text,
            Self::Request if is(PROMPTS) => Role::Text,
            Self::Request if is(SETTINGS) && short => Role::Silent,
            Self::Request if length == 0 => Role::Silent,
            Self::Silent if short => Role::Silent,
            Self::Tools => Role::Definition,
            Self::Request | Self::Data | Self::Silent => Role::Member,
        }
    }
}
