//! The paths of the providers' APIs and what each costs.
//!
//! Read top to bottom: what is free is listed by name, what is metered is recognised by the end of its path, and the
//! rest is unknown. Sources: the providers' API references, and recordings of the three agent CLIs.

use hudson_schema::Format;

/// What is served on a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Api {
    Anthropic,
    Openai,
    Chatgpt,
    /// Sign-in only: every call is free.
    SignIn,
    /// Gemini, on its own host and on Vertex.
    Gemini,
    /// Bedrock's runtime: its own shapes and the compatible ones.
    Bedrock,
    Cohere,
    /// Ollama's cloud: its own shapes and the compatible ones.
    Ollama,
    /// Any of the common shapes, under any prefix (`/openai/v1/chat/completions`).
    Compatible,
    /// An operator's own host and the format it was declared with.
    Own(Format),
}

/// [`super::Endpoint`] without the provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Metered(Format),
    Retrieval(Format),
    Free,
    Unknown,
}

/// Free under these prefixes on api.anthropic.com: sign-in, settings, telemetry and experiments of Claude Code.
const CLAUDE_FREE: &[&str] = &[
    "/api/claude_code",
    "/api/claude_cli",
    "/api/claude_cli_feedback",
    "/api/claude_code_grove",
    "/api/claude_code_penguin_mode",
    "/api/claude_code_shared_session_transcripts",
    "/api/event_logging",
    "/api/eval",
    "/api/oauth",
    "/api/hello",
    "/api/directory",
    "/api/organization",
    "/api/organizations",
    "/api/web/domain_info",
    "/api/policy_limits",
    "/api/metrics",
    "/policy_limits",
    "/metrics",
    "/v1/oauth",
    "/v1/files",
    "/v1/models",
    "/v1/mcp_servers",
    "/v1/skills",
];

/// Free under these prefixes on chatgpt.com: what Codex reads and reports around its model calls. Not among them, since
/// a model works behind them: `codex/memories`, `codex/alpha/search`, `codex/realtime`, `codex/safety`, `wham/tasks`.
const CHATGPT_FREE: &[&str] = &[
    "/backend-api/codex/models",
    "/backend-api/codex/plugins",
    "/backend-api/codex/config",
    "/backend-api/codex/usage",
    "/backend-api/codex/analytics-events",
    "/backend-api/codex/thread",
    "/backend-api/codex/agent-identities",
    "/backend-api/plugins",
    "/backend-api/connectors",
    "/backend-api/accounts",
    "/backend-api/ps",
    "/backend-api/me",
    "/backend-api/wham/usage",
    "/backend-api/wham/apps",
    "/backend-api/wham/config",
    "/backend-api/wham/environments",
    "/backend-api/wham/analytics-events",
    "/backend-api/wham/onboarding",
    "/backend-api/wham/rate-limit-reset-credits",
    "/ces",
];

/// Free verbs of Code Assist, which Gemini CLI calls around its model calls when it is signed in with Google.
const CODE_ASSIST_FREE: &[&str] = &[
    "loadCodeAssist",
    "onboardUser",
    "fetchAvailableModels",
    "fetchAdminControls",
    "listExperiments",
    "retrieveUserQuota",
    "retrieveUserQuotaSummary",
    "recordCodeAssistMetrics",
    "getCodeAssistGlobalUserSetting",
    "setCodeAssistGlobalUserSetting",
];

/// Free under these prefixes, whatever version stands before them, on OpenAI and what is compatible with it.
const OPENAI_FREE: &[&str] = &["files", "uploads", "organization", "auth", "key", "credits"];

/// Free under these paths on Cohere.
const COHERE_FREE: &[&str] = &["/v1/tokenize", "/v1/detokenize", "/v1/models", "/v1/check-api-key"];

/// Free on Ollama: models are listed, loaded and built, and none works.
const OLLAMA_FREE: &[&str] =
    &["tags", "show", "ps", "version", "pull", "push", "create", "copy", "delete", "blobs"];

pub(super) fn classify(api: Api, method: &str, path: &str) -> Kind {
    let path = path.trim_end_matches('/');
    if matches!(method, "GET" | "HEAD" | "OPTIONS") {
        return retrieval(api, path).filter(|_| method == "GET").map_or(Kind::Free, Kind::Retrieval);
    }
    match api {
        Api::SignIn => Kind::Free,
        Api::Anthropic => anthropic(method, path),
        Api::Chatgpt => chatgpt(path),
        Api::Gemini => gemini(method, path).unwrap_or(Kind::Unknown),
        Api::Bedrock => bedrock(path).or_else(|| common(method, path)).unwrap_or(Kind::Unknown),
        Api::Cohere => cohere_free(path)
            .or_else(|| cohere(path))
            .or_else(|| common(method, path))
            .unwrap_or(Kind::Unknown),
        Api::Ollama => ollama_free(path)
            .or_else(|| ollama(path))
            .or_else(|| common(method, path))
            .unwrap_or(Kind::Unknown),
        Api::Openai | Api::Compatible => common(method, path).unwrap_or(Kind::Unknown),
        Api::Own(format) => own(format, method, path),
    }
}

/// An operator's own host: what costs is known by its path, whatever the format; what is free only where the host speaks
/// the format that has it.
fn own(format: Format, method: &str, path: &str) -> Kind {
    let free = match format {
        Format::Cohere => cohere_free(path),
        Format::Ollama => ollama_free(path),
        _ => None,
    };
    // `/api/embeddings` is Ollama's, and elsewhere an OpenAI shape below `/api`.
    let ollama_first = || ollama(path).filter(|_| format == Format::Ollama);
    free.or_else(ollama_first)
        .or_else(|| bedrock(path))
        .or_else(|| cohere(path))
        .or_else(|| common(method, path))
        .or_else(|| ollama(path))
        .or_else(|| gemini(method, path))
        .unwrap_or(if path.is_empty() { Kind::Metered(format) } else { Kind::Unknown })
}

/// The reads that return the usage of work that another request has set going.
fn retrieval(api: Api, path: &str) -> Option<Format> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (api, parts.as_slice()) {
        (Api::SignIn, _) => None,
        (_, [.., "messages", "batches", _, "results"]) => Some(Format::Anthropic),
        (Api::Anthropic, _) => None,
        (Api::Gemini | Api::Own(_), [.., "interactions", _]) => Some(Format::GeminiInteractions),
        (Api::Gemini, _) => None,
        (_, [.., "responses", _]) => Some(Format::OpenaiResponses),
        // The batch's own object: once it has ended it states its usage, in the names of Responses.
        (_, [.., "batches", _]) => Some(Format::OpenaiResponses),
        (_, [.., "chat", "completions", _]) => Some(Format::OpenaiChat),
        _ => None,
    }
}

fn anthropic(method: &str, path: &str) -> Kind {
    match path {
        "/v1/messages" => return Kind::Metered(Format::Anthropic),
        "/v1/messages/count_tokens" => return Kind::Free,
        "/v1/messages/batches" => return Kind::Metered(Format::Anthropic),
        // The OpenAI-compatible endpoint of the same host.
        "/v1/chat/completions" => return Kind::Metered(Format::OpenaiChat),
        _ => {}
    }
    let stops_a_batch =
        path.starts_with("/v1/messages/batches/") && (method == "DELETE" || path.ends_with("/cancel"));
    match stops_a_batch || CLAUDE_FREE.iter().any(|prefix| under(path, prefix)) {
        true => Kind::Free,
        false => Kind::Unknown,
    }
}

fn chatgpt(path: &str) -> Kind {
    match path {
        "/backend-api/codex/responses" | "/backend-api/codex/responses/compact" => {
            Kind::Metered(Format::OpenaiResponses)
        }
        _ if CHATGPT_FREE.iter().any(|prefix| under(path, prefix)) => Kind::Free,
        _ => Kind::Unknown,
    }
}

/// Gemini's custom methods, on generativelanguage and Vertex, and the OpenAI-compatible shapes below `/openai/`.
fn gemini(method: &str, path: &str) -> Option<Kind> {
    let last = path.rsplit('/').next().unwrap_or(path);
    match last.rsplit_once(':').map(|(_, verb)| verb) {
        // A tuned model and a cached content are named in the path before the verb; the verb alone decides.
        // Batches, Imagen and Veo (`predict`, `predictLongRunning`) stay unknown: their answers state no usage.
        Some("generateContent" | "streamGenerateContent" | "embedContent" | "batchEmbedContents") => {
            return Some(Kind::Metered(Format::Gemini));
        }
        Some("countTokens" | "computeTokens" | "cancel") => return Some(Kind::Free),
        Some("rawPredict" | "streamRawPredict") => return Some(raw_predict(path)),
        Some(verb) if last.starts_with("v1internal:") && CODE_ASSIST_FREE.contains(&verb) => {
            return Some(Kind::Free);
        }
        Some(_) => return Some(Kind::Unknown),
        None => {}
    }
    if method == "DELETE" {
        return Some(Kind::Free);
    }
    let mut parts = path.trim_start_matches('/').split('/');
    match (parts.next(), parts.next()) {
        (Some("v1" | "v1beta" | "v1alpha"), Some("interactions")) => match (parts.next(), parts.next()) {
            (None, _) => Some(Kind::Metered(Format::GeminiInteractions)),
            (Some(_), Some("cancel")) => Some(Kind::Free),
            _ => None,
        },
        (Some("upload" | "resumable"), _) | (Some("v1" | "v1beta" | "v1alpha"), Some("files")) => {
            Some(Kind::Free)
        }
        _ if path.contains("/openai/") || path.contains("/endpoints/openapi/") => common(method, path),
        _ => None,
    }
}

/// Other vendors' models on Vertex keep their vendor's wire format below `…/publishers/VENDOR/models/M:rawPredict`.
fn raw_predict(path: &str) -> Kind {
    match path {
        _ if path.contains("/publishers/anthropic/models/count-tokens:") => Kind::Free,
        _ if path.contains("/publishers/anthropic/") => Kind::Metered(Format::Anthropic),
        _ if path.contains("/publishers/mistralai/") => Kind::Metered(Format::OpenaiChat),
        _ => Kind::Unknown,
    }
}

/// Bedrock's runtime, `/model/{id}/verb`. Not metered, since no answer of theirs states usage that is read here:
/// guardrails by themselves, work that ends in a bucket (`async-invoke`), speech in both directions.
fn bedrock(path: &str) -> Option<Kind> {
    let (_, rest) = path.split_once("/model/")?;
    let (_id, verb) = rest.rsplit_once('/')?;
    match verb {
        "converse" | "converse-stream" => Some(Kind::Metered(Format::BedrockConverse)),
        "invoke" | "invoke-with-response-stream" => Some(Kind::Metered(Format::BedrockInvoke)),
        "count-tokens" => Some(Kind::Free),
        _ => None,
    }
}

/// Cohere's own shapes. Not among them: embedding jobs and fine-tuning, which run behind the answer.
fn cohere(path: &str) -> Option<Kind> {
    let (_, rest) = path.rsplit_once("/v1/").or_else(|| path.rsplit_once("/v2/"))?;
    matches!(rest, "chat" | "generate" | "embed" | "rerank" | "classify" | "summarize")
        .then_some(Kind::Metered(Format::Cohere))
}

fn cohere_free(path: &str) -> Option<Kind> {
    COHERE_FREE.contains(&path).then_some(Kind::Free)
}

/// Ollama's own shapes.
fn ollama(path: &str) -> Option<Kind> {
    let (_, rest) = path.rsplit_once("/api/")?;
    matches!(rest, "chat" | "generate" | "embed" | "embeddings").then_some(Kind::Metered(Format::Ollama))
}

fn ollama_free(path: &str) -> Option<Kind> {
    let verb = path.strip_prefix("/api/")?.split('/').next()?;
    OLLAMA_FREE.contains(&verb).then_some(Kind::Free)
}

/// The shapes that many hosts serve under a prefix of their own.
///
/// Not metered, since what they set going is not in the request and goes on behind the answer: fine-tuning, runs of
/// assistants (`threads/…/runs`), vector stores. Nor reranking outside Cohere, whose usage has no common shape, nor
/// calls over WebRTC (`realtime/calls`), which do not pass here, nor what mints a secret of the provider's for a client
/// (`realtime/client_secrets`, `realtime/sessions`): the agent would hold a real credential, and spend it elsewhere.
fn common(method: &str, path: &str) -> Option<Kind> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [.., "images", "generations" | "edits" | "variations"] => Some(Kind::Metered(Format::OpenaiImages)),
        [.., "audio", "speech" | "transcriptions" | "translations"] => {
            Some(Kind::Metered(Format::OpenaiAudio))
        }
        [.., "realtime"] => Some(Kind::Metered(Format::OpenaiRealtime)),
        [.., "messages", "batches"] => Some(Kind::Metered(Format::Anthropic)),
        [.., "v1", "batches"] | ["openai", "batches"] => Some(Kind::Metered(Format::OpenaiResponses)),
        [.., "serving-endpoints", _, "invocations"] => Some(Kind::Metered(Format::OpenaiChat)),
        [.., "chat", "completions"] => Some(Kind::Metered(Format::OpenaiChat)),
        [.., "completions" | "embeddings"] => Some(Kind::Metered(Format::OpenaiChat)),
        [.., "responses"] | [.., "responses", "compact"] => Some(Kind::Metered(Format::OpenaiResponses)),
        [.., "responses", "input_tokens"] | [.., "responses", _, "cancel"] => Some(Kind::Free),
        [.., "messages"] if !parts.contains(&"threads") => Some(Kind::Metered(Format::Anthropic)),
        [.., "messages", "count_tokens"] => Some(Kind::Free),
        // Deleting spends nothing, and so does stopping work that was charged elsewhere.
        _ if method == "DELETE" => Some(Kind::Free),
        [.., "batches", _, "cancel"] | [.., "jobs", _, "cancel"] => Some(Kind::Free),
        [first, ..] if OPENAI_FREE.contains(first) => Some(Kind::Free),
        ["v1" | "v1beta" | "v2", second, ..] | ["openai" | "api" | "inference", "v1", second, ..]
            if OPENAI_FREE.contains(second) =>
        {
            Some(Kind::Free)
        }
        [.., "moderations"] => Some(Kind::Free),
        _ => None,
    }
}

/// Whether `path` is `prefix` or lies below it.
fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
