//! The words of DESIGN section 1 as types. A value of one of these types is already valid: names are checked when
//! they are parsed, so that nothing behind has to check them again.

mod name;
mod tier;
mod usage;
pub(crate) mod word;

pub use name::{AgentName, BottleName, InvalidName, Provider, RunId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
pub use tier::Tier;
pub use usage::{Quality, Usage};

/// The wire format of a provider's endpoint: how usage is read, how a request is rewritten and how a refusal is
/// shaped. The names are those of `meter: {format: …}` in routes.yaml and of `hudson meter --format`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Anthropic Messages, `POST /v1/messages`, and its batches.
    Anthropic,
    /// Amazon Bedrock `Converse` and `ConverseStream`.
    BedrockConverse,
    /// Amazon Bedrock `InvokeModel` and `InvokeModelWithResponseStream`: each vendor's own body in Bedrock's frame.
    BedrockInvoke,
    /// Cohere, `POST /v2/chat` and its other endpoints.
    Cohere,
    /// Gemini `generateContent` and `streamGenerateContent`.
    Gemini,
    /// Gemini Interactions, `POST /v1beta/interactions`.
    GeminiInteractions,
    /// Ollama's own API, `POST /api/chat` and `/api/generate`.
    Ollama,
    /// OpenAI speech and transcription, `POST /v1/audio/…`.
    OpenaiAudio,
    /// OpenAI chat/completions, completions and embeddings, and everything compatible with them.
    OpenaiChat,
    /// OpenAI images, `POST /v1/images/…`.
    OpenaiImages,
    /// OpenAI Realtime, a WebSocket to `/v1/realtime`.
    OpenaiRealtime,
    /// OpenAI Responses, `POST /v1/responses`, and Codex on chatgpt.com; over HTTP and as a WebSocket.
    OpenaiResponses,
}

impl Format {
    /// Every format, in the order of its name.
    pub const ALL: [Self; 12] = [
        Self::Anthropic,
        Self::BedrockConverse,
        Self::BedrockInvoke,
        Self::Cohere,
        Self::Gemini,
        Self::GeminiInteractions,
        Self::Ollama,
        Self::OpenaiAudio,
        Self::OpenaiChat,
        Self::OpenaiImages,
        Self::OpenaiRealtime,
        Self::OpenaiResponses,
    ];

    /// The stable name: in files, on the command line and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::BedrockConverse => "bedrock-converse",
            Self::BedrockInvoke => "bedrock-invoke",
            Self::Cohere => "cohere",
            Self::Gemini => "gemini",
            Self::GeminiInteractions => "gemini-interactions",
            Self::Ollama => "ollama",
            Self::OpenaiAudio => "openai-audio",
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiImages => "openai-images",
            Self::OpenaiRealtime => "openai-realtime",
            Self::OpenaiResponses => "openai-responses",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|format| format.name()).collect();
            format!("unknown format {text:?}; expected one of {}", names.join(", "))
        })
    }
}

/// The name under which a model of chat/completions takes its output cap (`output_field:` in settings.yml). Every other
/// format has one name only.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutputField {
    /// The first name, which nearly every compatible server knows.
    MaxTokens,
    /// OpenAI's newer name, which counts thinking as well.
    MaxCompletionTokens,
    /// The name of the Responses API, where a server takes it for chat, too.
    MaxOutputTokens,
}

impl OutputField {
    /// The name, as in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
        }
    }
}

/// What is done to a bottle when its budget is spent (`shutdown:` in settings.yml and bottle.yml).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Routes drop to nothing; the agent runs on.
    #[default]
    Cutoff,
    /// Egress is cut, the state saved, the bottle stopped.
    Freeze,
    /// Torn down without saving.
    Kill,
}

impl Policy {
    /// The stable name, as in the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cutoff => "cutoff",
            Self::Freeze => "freeze",
            Self::Kill => "kill",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cutoff" => Ok(Self::Cutoff),
            "freeze" => Ok(Self::Freeze),
            "kill" => Ok(Self::Kill),
            _ => Err(format!("unknown policy {text:?}; expected cutoff, freeze or kill")),
        }
    }
}

/// The kinds of scope a budget can stand at, from the most to the least specific.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeKind {
    /// One launch; its limit is the launch `--budget`.
    Run,
    /// All usage of one named agent on this host.
    Agent,
    /// All usage of one bottle.
    Bottle,
    /// A parent bottle and every bottle below it.
    Parent,
    /// Every bottle of this host.
    Global,
}

impl ScopeKind {
    /// The stable name, as in the ledger's `scope` columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Agent => "agent",
            Self::Bottle => "bottle",
            Self::Parent => "parent",
            Self::Global => "global",
        }
    }
}

impl FromStr for ScopeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "run" => Ok(Self::Run),
            "agent" => Ok(Self::Agent),
            "bottle" => Ok(Self::Bottle),
            "parent" => Ok(Self::Parent),
            "global" => Ok(Self::Global),
            _ => Err(format!("unknown scope {text:?}; expected run, agent, bottle, parent or global")),
        }
    }
}

/// One scope: its kind and the name within the kind (empty for global).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
pub struct Scope {
    /// Which kind of scope.
    pub kind: ScopeKind,
    /// The run id, agent or bottle name; empty for the global scope.
    pub key: String,
}

impl Scope {
    /// A scope of the given kind and key.
    pub fn new(kind: ScopeKind, key: impl Into<String>) -> Self {
        Self { kind, key: key.into() }
    }

    /// The scope of the whole host.
    pub fn global() -> Self {
        Self::new(ScopeKind::Global, "")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ScopeKind::Global => f.write_str("global"),
            kind => write!(f, "{} {}", kind.name(), self.key),
        }
    }
}
