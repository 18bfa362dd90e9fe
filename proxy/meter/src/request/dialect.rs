//! Whose fields a body has. A format alone does not say it: on Bedrock the model's vendor decides, and several formats
//! have endpoints with bodies of their own.
//!
//! Invariant: a body whose fields are not known is [`Dialect::Opaque`]; nothing in it counts as a cap.

use super::RequestHead;
use hudson_schema::Format;
use std::borrow::Cow;

/// Whose fields a body has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    /// Anthropic Messages, also inside Bedrock and Vertex, and Bedrock's older text completions.
    Anthropic,
    /// A batch of such requests.
    AnthropicBatch,
    /// OpenAI's batch, which names a file.
    BatchFile,
    /// chat/completions, completions and embeddings.
    Chat,
    Responses,
    Gemini,
    Interactions,
    /// Bedrock's own shape for every vendor.
    Converse,
    /// Amazon Nova behind `InvokeModel`: nearly the shape of Converse.
    Nova,
    /// Amazon Titan Text.
    Titan,
    /// Meta Llama behind `InvokeModel`.
    Llama,
    /// AI21 Jurassic behind `InvokeModel`.
    Jurassic,
    Cohere,
    Ollama,
    Images,
    Audio,
    /// One message of a Realtime WebSocket.
    Realtime,
    /// An embedding or reranking model behind `InvokeModel`: it generates nothing.
    Embedding,
    /// A body whose fields are not known.
    Opaque,
}

impl Dialect {
    /// The dialect of a request.
    pub(super) fn of(head: &RequestHead<'_>) -> Self {
        let path = head.path.trim_end_matches('/');
        match head.format {
            Format::Anthropic if path.ends_with("/messages/batches") => Self::AnthropicBatch,
            Format::Anthropic => Self::Anthropic,
            Format::BedrockConverse => Self::Converse,
            Format::BedrockInvoke => model_in_path(path).map_or(Self::Opaque, |model| invoked(&model)),
            Format::Cohere => Self::Cohere,
            Format::Gemini => Self::Gemini,
            Format::GeminiInteractions => Self::Interactions,
            Format::Ollama => Self::Ollama,
            Format::OpenaiAudio => Self::Audio,
            Format::OpenaiChat => Self::Chat,
            Format::OpenaiImages => Self::Images,
            Format::OpenaiRealtime => Self::Realtime,
            Format::OpenaiResponses if path.ends_with("/batches") => Self::BatchFile,
            Format::OpenaiResponses => Self::Responses,
            _ => Self::Opaque,
        }
    }

    /// Whether numbers may stand in quotes and names in either spelling, as in proto3 JSON.
    pub(super) fn is_proto(self) -> bool {
        matches!(self, Self::Gemini | Self::Interactions)
    }

    /// Whether a cap of 0 is taken at its word. Elsewhere it is the same as none (proto3 JSON) or refused.
    pub(super) fn takes_zero(self) -> bool {
        matches!(self, Self::Anthropic | Self::AnthropicBatch)
    }

    /// The objects into which a rewrite may have to put the cap.
    pub(super) fn configs(self) -> &'static [&'static str] {
        match self {
            Self::Gemini | Self::Interactions => &["generationConfig"],
            Self::Converse | Self::Nova => &["inferenceConfig"],
            Self::Titan => &["textGenerationConfig"],
            Self::Ollama => &["options"],
            Self::Realtime => &["response", "session"],
            _ => &[],
        }
    }

    /// Whether an answer of this request holds generated tokens at all.
    pub(super) fn generates(self, path: &str) -> bool {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        match self {
            Self::Embedding => false,
            Self::Chat => last != "embeddings",
            Self::Gemini => !last.ends_with(":embedContent") && !last.ends_with(":batchEmbedContents"),
            Self::Cohere => !matches!(last, "embed" | "rerank" | "classify"),
            Self::Ollama => !matches!(last, "embed" | "embeddings"),
            _ => true,
        }
    }

    /// Whether a cap can be put into this request.
    pub(super) fn takes_cap(self, path: &str) -> bool {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        match self {
            Self::AnthropicBatch
            | Self::BatchFile
            | Self::Images
            | Self::Audio
            | Self::Embedding
            | Self::Opaque => false,
            Self::Responses => last != "compact" && !path.contains("/backend-api/codex/"),
            // A prompt stored at Bedrock brings its own settings and takes none beside them.
            Self::Converse => !model_in_path(path).is_some_and(|model| is_stored_prompt(&model)),
            Self::Cohere => last != "summarize",
            _ => true,
        }
    }
}

/// The model of a Bedrock path: `/model/{id}/verb`, where the id may be an ARN with slashes of its own.
pub(super) fn model_in_path(path: &str) -> Option<Cow<'_, str>> {
    let (_, rest) = path.split_once("/model/")?;
    let (named, _verb) = rest.trim_end_matches('/').rsplit_once('/')?;
    Some(percent_encoding::percent_decode_str(named).decode_utf8_lossy())
}

/// Whether a Bedrock id names a prompt of Prompt Management instead of a model.
pub(super) fn is_stored_prompt(model: &str) -> bool {
    model.starts_with("arn:") && model.contains(":prompt/")
}

/// A Bedrock id without what says where it runs: an ARN's head, a region's prefix (`us.`, `eu.`, `global.`).
pub(crate) fn bare_model(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let is_region = matches!(first, "us" | "eu" | "apac" | "jp" | "au" | "ca" | "us-gov" | "global");
    if is_region { rest } else { name }
}

/// What a model takes behind `InvokeModel`. Source: "Inference request parameters and response fields for foundation
/// models" of the Bedrock user guide.
fn invoked(model: &str) -> Dialect {
    let (vendor, name) = bare_model(model).split_once('.').unwrap_or_default();
    match vendor {
        "amazon" | "cohere" | "twelvelabs" if name.contains("embed") || name.contains("rerank") => {
            Dialect::Embedding
        }
        "anthropic" => Dialect::Anthropic,
        "amazon" if name.starts_with("nova-canvas") || name.starts_with("nova-reel") => Dialect::Opaque,
        "amazon" if name.starts_with("nova-") => Dialect::Nova,
        "amazon" if name.starts_with("titan-image") => Dialect::Opaque,
        "amazon" if name.starts_with("titan-") => Dialect::Titan,
        "meta" => Dialect::Llama,
        "cohere" => Dialect::Cohere,
        "ai21" if name.starts_with("j2") => Dialect::Jurassic,
        "ai21" | "mistral" | "deepseek" | "openai" | "qwen" => Dialect::Chat,
        _ => Dialect::Opaque,
    }
}
