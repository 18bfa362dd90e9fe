//! The families of recordings that are played, and by which host each one is asked for.

/// What one SDK talks to.
pub(super) struct Family {
    /// Its name, which is that of the driver in `tests/clients/streams.py` and of the bottle.
    pub(super) name: &'static str,
    /// The corpus' folder.
    pub(super) folder: &'static str,
    /// Hosts of its recordings as the manifest has them.
    pub(super) recorded: &'static [&'static str],
    /// The host that is asked.
    pub(super) host: &'static str,
    /// Streams that its SDK plays.
    pub(super) streams: usize,
    /// Whether its SDK can speak HTTP/2.
    pub(super) http2: bool,
    /// Whether its answers tell usage only when asked to.
    pub(super) asks: bool,
}

const fn family(name: &'static str, recorded: &'static [&'static str], host: &'static str) -> Family {
    Family { name, folder: name, recorded, host, streams: 20, http2: true, asks: false }
}

/// Everything that an SDK of its own exists for, and three more hosts that are used through OpenAI's.
pub(super) const FAMILIES: [Family; 14] = [
    family("anthropic", &["anthropic", "api.anthropic.com"], "api.anthropic.com"),
    Family { asks: true, ..family("openai-chat", &["openai", "api.openai.com"], "api.openai.com") },
    family("openai-responses", &["openai", "api.openai.com"], "api.openai.com"),
    family("gemini", &["gemini", "generativelanguage.googleapis.com"], "generativelanguage.googleapis.com"),
    family("gemini-interactions", &["gemini"], "generativelanguage.googleapis.com"),
    family("cohere", &["cohere", "api.cohere.com"], "api.cohere.com"),
    chat("mistral", &["mistral", "api.mistral.ai"], "api.mistral.ai"),
    chat("groq", &["groq", "api.groq.com"], "api.groq.com"),
    Family { asks: true, ..chat("deepseek", &["deepseek", "api.deepseek.com"], "api.deepseek.com") },
    Family { asks: true, ..chat("openrouter", &["openrouter", "openrouter.ai"], "openrouter.ai") },
    Family { folder: "openai-responses", streams: 12, ..family("xai", &["xai", "api.x.ai"], "api.x.ai") },
    Family { http2: false, ..family("bedrock-converse", BEDROCK, BEDROCK_HOST) },
    Family { http2: false, ..family("bedrock-invoke", BEDROCK, BEDROCK_HOST) },
    Family { streams: 16, ..family("ollama", &["ollama", "127.0.0.1:11434"], "ollama.com") },
];

/// Where an Ollama of one's own listens, without TLS.
pub(super) const OLLAMA: &str = "ollama.internal";

const BEDROCK_HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const BEDROCK: &[&str] = &["bedrock", BEDROCK_HOST];

/// A host whose format is OpenAI's chat.
const fn chat(name: &'static str, recorded: &'static [&'static str], host: &'static str) -> Family {
    Family { folder: "openai-chat", streams: 14, ..family(name, recorded, host) }
}

impl Family {
    /// The end of the paths that are played; the folders hold other endpoints' recordings too.
    pub(super) fn serves(&self, path: &str) -> bool {
        match self.folder {
            "openai-chat" => path.ends_with("/chat/completions") && !path.starts_with("/beta"),
            _ => true,
        }
    }
}
