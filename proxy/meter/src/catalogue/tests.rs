use super::*;

fn kind(host: &str, method: &str, path: &str) -> String {
    kind_of(host, method, path, None)
}

fn kind_of(host: &str, method: &str, path: &str, query: Option<&str>) -> String {
    match Catalogue::builtin().classify(host, method, path, query) {
        Endpoint::Metered { provider, format } => format!("{provider} {format}"),
        Endpoint::Retrieval { provider, format } => format!("{provider} retrieval {format}"),
        Endpoint::Free { provider } => format!("{provider} free"),
        Endpoint::Unknown { provider } => format!("{provider} unknown"),
        Endpoint::Foreign => "foreign".to_owned(),
    }
}

#[test]
fn every_builtin_provider_name_is_valid() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.exact.len() + catalogue.patterns.len(), BUILTIN.len());
}

#[test]
fn reads_of_work_that_was_set_going_before_carry_its_usage() {
    for (host, path, expected) in [
        ("api.anthropic.com", "/v1/messages/batches/b/results", "claude retrieval anthropic"),
        ("api.anthropic.com", "/v1/messages/batches/b", "claude free"),
        ("api.openai.com", "/v1/responses/resp_1", "codex retrieval openai-responses"),
        ("api.openai.com", "/v1/responses/resp_1/input_items", "codex free"),
        ("api.openai.com", "/v1/batches/batch_1", "codex retrieval openai-responses"),
        ("api.openai.com", "/v1/chat/completions/chatcmpl-1", "codex retrieval openai-chat"),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/interactions/i",
            "gemini retrieval gemini-interactions",
        ),
        ("api.openai.com", "/v1/models", "codex free"),
    ] {
        assert_eq!(kind(host, "GET", path), expected, "{path}");
    }
    assert_eq!(kind("api.openai.com", "HEAD", "/v1/responses/resp_1"), "codex free");
}

#[test]
fn model_calls_are_metered() {
    for (host, path, expected) in [
        ("api.anthropic.com", "/v1/messages", "claude anthropic"),
        ("API.anthropic.com.:443", "/v1/messages", "claude anthropic"),
        ("api.openai.com", "/v1/chat/completions", "codex openai-chat"),
        ("api.openai.com", "/v1/completions", "codex openai-chat"),
        ("api.openai.com", "/v1/embeddings", "codex openai-chat"),
        ("api.openai.com", "/v1/responses", "codex openai-responses"),
        ("api.openai.com", "/v1/responses/compact", "codex openai-responses"),
        ("chatgpt.com", "/backend-api/codex/responses", "codex openai-responses"),
        ("generativelanguage.googleapis.com", "/v1beta/models/g:generateContent", "gemini gemini"),
        ("generativelanguage.googleapis.com", "/v1beta/models/g:streamGenerateContent", "gemini gemini"),
        ("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "gemini openai-chat"),
        (
            "europe-west4-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
            "gemini gemini",
        ),
        (
            "aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict",
            "gemini anthropic",
        ),
        ("cloudcode-pa.googleapis.com", "/v1internal:streamGenerateContent", "gemini gemini"),
        ("openrouter.ai", "/api/v1/chat/completions", "openrouter openai-chat"),
        ("openrouter.ai", "/api/v1/messages", "openrouter anthropic"),
        ("api.groq.com", "/openai/v1/chat/completions", "groq openai-chat"),
        ("x.openai.azure.com", "/openai/deployments/d/chat/completions", "azure openai-chat"),
        ("x.openai.azure.us", "/openai/deployments/d/chat/completions", "azure openai-chat"),
        ("eu.api.openai.com", "/v1/responses", "codex openai-responses"),
        ("us.api.openai.com", "/v1/chat/completions", "codex openai-chat"),
        ("bedrock-mantle.us-east-1.api.aws", "/v1/responses", "bedrock openai-responses"),
        ("bedrock-mantle.us-east-1.api.aws", "/anthropic/v1/messages", "bedrock anthropic"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "/openai/v1/chat/completions", "bedrock openai-chat"),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", "/openai/v1/responses", "bedrock openai-responses"),
        ("bedrock-runtime.us-east-1.api.aws", "/openai/v1/chat/completions", "bedrock openai-chat"),
    ] {
        assert_eq!(kind(host, "POST", path), expected, "{host}{path}");
    }
}

#[test]
fn every_format_has_its_endpoints() {
    let bedrock = "bedrock-runtime.us-east-1.amazonaws.com";
    let google = "generativelanguage.googleapis.com";
    for (host, path, expected) in [
        (
            bedrock,
            "/model/us.anthropic.claude-3-7-sonnet-20250219-v1%3A0/converse",
            "bedrock bedrock-converse",
        ),
        (bedrock, "/model/amazon.nova-lite-v1:0/converse-stream", "bedrock bedrock-converse"),
        (
            bedrock,
            "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova/invoke",
            "bedrock bedrock-invoke",
        ),
        (bedrock, "/model/m/invoke-with-response-stream", "bedrock bedrock-invoke"),
        (bedrock, "/model/m/count-tokens", "bedrock free"),
        ("api.cohere.com", "/v2/chat", "cohere cohere"),
        ("api.cohere.com", "/v1/chat", "cohere cohere"),
        ("api.cohere.ai", "/v1/generate", "cohere cohere"),
        ("api.cohere.com", "/v2/embed", "cohere cohere"),
        ("api.cohere.com", "/v2/rerank", "cohere cohere"),
        ("api.cohere.com", "/v1/classify", "cohere cohere"),
        ("api.cohere.com", "/v1/summarize", "cohere cohere"),
        ("api.cohere.com", "/v1/tokenize", "cohere free"),
        ("api.cohere.com", "/v1/check-api-key", "cohere free"),
        ("api.cohere.com", "/compatibility/v1/chat/completions", "cohere openai-chat"),
        ("api.cohere.com", "/compatibility/v1/embeddings", "cohere openai-chat"),
        ("ollama.com", "/api/chat", "ollama ollama"),
        ("ollama.com", "/api/generate", "ollama ollama"),
        ("ollama.com", "/api/embed", "ollama ollama"),
        ("ollama.com", "/api/embeddings", "ollama ollama"),
        ("ollama.com", "/api/show", "ollama free"),
        ("ollama.com", "/api/blobs/sha256:00", "ollama free"),
        ("ollama.com", "/v1/chat/completions", "ollama openai-chat"),
        (google, "/v1beta/interactions", "gemini gemini-interactions"),
        (google, "/v1beta/interactions/i/cancel", "gemini free"),
        (google, "/v1beta/interactions/i:cancel", "gemini free"),
        (google, "/v1beta/models/gemini-embedding-001:embedContent", "gemini gemini"),
        (google, "/v1beta/models/gemini-embedding-001:batchEmbedContents", "gemini gemini"),
        ("api.anthropic.com", "/v1/messages/batches", "claude anthropic"),
        ("api.anthropic.com", "/v1/messages/batches/b/cancel", "claude free"),
        ("api.openai.com", "/v1/batches", "codex openai-responses"),
        ("api.openai.com", "/v1/batches/b/cancel", "codex free"),
        ("api.openai.com", "/v1/images/generations", "codex openai-images"),
        ("api.openai.com", "/v1/images/edits", "codex openai-images"),
        ("api.openai.com", "/v1/images/variations", "codex openai-images"),
        ("api.openai.com", "/v1/audio/speech", "codex openai-audio"),
        ("api.openai.com", "/v1/audio/transcriptions", "codex openai-audio"),
        ("api.openai.com", "/v1/audio/translations", "codex openai-audio"),
        ("api.openai.com", "/v1/realtime", "codex openai-realtime"),
        ("x.openai.azure.com", "/openai/deployments/d/images/generations", "azure openai-images"),
        ("x.openai.azure.com", "/openai/deployments/d/audio/speech", "azure openai-audio"),
        ("x.openai.azure.com", "/openai/realtime", "azure openai-realtime"),
        ("x.openai.azure.com", "/openai/v1/batches", "azure openai-responses"),
        ("x.openai.azure.com", "/openai/batches", "azure openai-responses"),
        ("api.groq.com", "/openai/v1/audio/transcriptions", "groq openai-audio"),
        ("api.x.ai", "/v1/messages", "xai anthropic"),
        ("api.x.ai", "/v1/responses", "xai openai-responses"),
        ("api.x.ai", "/v1/images/generations", "xai openai-images"),
        ("ark.cn-beijing.volces.com", "/api/v3/chat/completions", "volcengine openai-chat"),
        ("api.voyageai.com", "/v1/embeddings", "voyage openai-chat"),
    ] {
        assert_eq!(kind(host, "POST", path), expected, "{host}{path}");
    }
    assert_eq!(kind(google, "DELETE", "/v1beta/interactions/i"), "gemini free");
    let masked = kind_of(google, "POST", "/v1beta/interactions", Some("fields=output"));
    assert_eq!(masked, "gemini unknown");
}

#[test]
fn an_operators_host_has_the_endpoints_of_every_format() {
    let at = |format: Format, path: &str| {
        let own =
            Catalogue::builtin().with_provider("lab".parse().unwrap(), vec!["lab.internal".into()], format);
        match own.classify("lab.internal", "POST", path, None) {
            Endpoint::Metered { format, .. } => format.to_string(),
            other => format!("{other:?}").split(' ').next().unwrap_or_default().to_lowercase(),
        }
    };
    for (path, format) in [
        ("/model/m/converse", "bedrock-converse"),
        ("/gateway/model/m/invoke-with-response-stream", "bedrock-invoke"),
        ("/v2/chat", "cohere"),
        ("/v1/rerank", "cohere"),
        ("/api/chat", "ollama"),
        ("/v1beta/interactions", "gemini-interactions"),
        ("/v1/images/edits", "openai-images"),
        ("/v1/audio/speech", "openai-audio"),
        ("/v1/realtime", "openai-realtime"),
        ("/v1/messages/batches", "anthropic"),
        ("/serving-endpoints/e/invocations", "openai-chat"),
        ("/v1/nothing", "unknown"),
    ] {
        assert_eq!(at(Format::OpenaiChat, path), format, "{path}");
        assert_eq!(at(Format::Ollama, path), format, "{path}");
    }
    assert_eq!(at(Format::OpenaiChat, "/api/embeddings"), "openai-chat");
    assert_eq!(at(Format::Ollama, "/api/embeddings"), "ollama");
    assert_eq!(
        (at(Format::Ollama, "/api/pull"), at(Format::OpenaiChat, "/api/pull")),
        ("free".into(), "unknown".into())
    );
    assert_eq!(
        (at(Format::Cohere, "/v1/tokenize"), at(Format::OpenaiChat, "/v1/tokenize")),
        ("free".into(), "unknown".into())
    );
    for format in Format::ALL {
        assert_eq!(at(format, "/"), format.to_string());
    }
}

#[test]
fn every_vertex_host_is_known() {
    let path = "/v1/projects/p/locations/l/publishers/google/models/g:generateContent";
    for host in [
        "aiplatform.googleapis.com",
        "us-central1-aiplatform.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
        "aiplatform.us.rep.googleapis.com",
        "aiplatform.mtls.googleapis.com",
        "us-central1-aiplatform.mtls.googleapis.com",
    ] {
        assert_eq!(kind(host, "POST", path), "gemini gemini", "{host}");
    }
    for host in ["storage.eu.rep.googleapis.com", "storage.googleapis.com", "evilaiplatform.googleapis.com"] {
        assert_eq!(kind(host, "POST", path), "foreign", "{host}");
    }
}

#[test]
fn a_query_that_hides_usage_makes_a_model_call_unknown() {
    let google = "generativelanguage.googleapis.com";
    let path = "/v1beta/models/g:streamGenerateContent";
    for query in [
        "fields=candidates",
        "$fields=candidates",
        "%24fields=candidates",
        "%66ields=candidates",
        "FIELDS=candidates",
        "alt=sse&fields",
        "key=k;fields=candidates",
        "alt=proto",
        "$alt=proto",
        "%24ALT=Media",
        "alt=",
        "alt",
        "alt=sse&alt=proto",
        "alt=sse%26x",
        "callback=f",
        "$callback=f",
        "$ct=application/x-protobuf",
    ] {
        assert_eq!(kind_of(google, "POST", path, Some(query)), "gemini unknown", "{query}");
        let own = Catalogue::builtin().with_provider(
            "lab".parse().unwrap(),
            vec!["lab.internal".into()],
            Format::Gemini,
        );
        let unknown = Endpoint::Unknown { provider: "lab".parse().unwrap() };
        assert_eq!(own.classify("lab.internal", "POST", path, Some(query)), unknown, "{query}");
    }
    for query in ["", "alt=sse", "ALT=SSE", "$alt=json", "alt=%73se&key=k", "key=fields", "fieldsx=1", "ct=1"]
    {
        assert_eq!(kind_of(google, "POST", path, Some(query)), "gemini gemini", "{query}");
    }
    let claude = "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict";
    let vertex = "us-east5-aiplatform.googleapis.com";
    assert_eq!(kind_of(vertex, "POST", claude, Some("fields=content")), "gemini unknown");
    let read = kind_of(google, "GET", "/v1beta/interactions/i", Some("fields=output"));
    assert_eq!(read, "gemini unknown", "nor the answer to be read later");
    let free = "/v1beta/models/g:countTokens";
    assert_eq!(kind_of(google, "POST", free, Some("fields=totalTokens")), "gemini free");
    let elsewhere = kind_of("api.openai.com", "POST", "/v1/responses", Some("fields=x&alt=y"));
    assert_eq!(elsewhere, "codex openai-responses", "only Google has these parameters");
}

#[test]
fn a_field_mask_in_a_header_hides_usage() {
    assert!(masks_usage("x-goog-fieldmask"));
    assert!(masks_usage("X-Goog-FieldMask"));
    assert!(!masks_usage("x-goog-api-key"));
}

#[test]
fn side_calls_of_the_agents_are_free() {
    for (host, method, path) in [
        ("api.anthropic.com", "POST", "/v1/messages/count_tokens"),
        ("api.anthropic.com", "POST", "/api/event_logging/v2/batch"),
        ("api.anthropic.com", "POST", "/api/eval/sdk-abc"),
        ("api.anthropic.com", "POST", "/api/claude_cli/bootstrap"),
        ("api.anthropic.com", "POST", "/v1/oauth/token"),
        ("api.anthropic.com", "HEAD", "/api/hello"),
        ("api.anthropic.com", "GET", "/v1/models"),
        ("api.openai.com", "POST", "/v1/responses/input_tokens"),
        ("api.openai.com", "POST", "/v1/responses/resp_1/cancel"),
        ("api.openai.com", "DELETE", "/v1/responses/resp_1"),
        ("chatgpt.com", "GET", "/backend-api/codex/models"),
        ("chatgpt.com", "POST", "/backend-api/codex/analytics-events/events"),
        ("auth.openai.com", "POST", "/oauth/token"),
        ("cloudcode-pa.googleapis.com", "POST", "/v1internal:loadCodeAssist"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:countTokens"),
        ("aiplatform.googleapis.com", "POST", "/v1/x/publishers/anthropic/models/count-tokens:rawPredict"),
    ] {
        let found = kind(host, method, path);
        assert!(found.ends_with(" free"), "{method} {host}{path} is {found}");
    }
}

#[test]
fn what_costs_and_cannot_be_read_is_unknown() {
    for (host, method, path) in [
        ("api.anthropic.com", "POST", "/v1/messages2"),
        ("api.anthropic.com", "POST", "/api/evaluate"),
        ("api.anthropic.com", "POST", "/v1/complete"),
        ("api.openai.com", "POST", "/v1/fine_tuning/jobs"),
        ("api.openai.com", "POST", "/v1/threads/t/messages"),
        ("chatgpt.com", "POST", "/backend-api/conversation"),
        ("chatgpt.com", "POST", "/backend-api/codex/memories/trace_summarize"),
        ("chatgpt.com", "POST", "/backend-api/wham/tasks"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:batchGenerateContent"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:predictLongRunning"),
        ("router.huggingface.co", "POST", "/models/m"),
        ("api.anthropic.com", "POST", "/v1/messages/batches/b"),
        ("api.openai.com", "POST", "/v1/realtime/calls"),
        ("api.openai.com", "POST", "/v1/realtime/sessions"),
        ("api.openai.com", "POST", "/v1/realtime/client_secrets"),
        ("api.openai.com", "POST", "/v1/realtime/transcription_sessions"),
        ("x.openai.azure.com", "POST", "/openai/v1/realtime/client_secrets"),
        ("api.openai.com", "POST", "/v1/realtime/calls/c/accept"),
        ("api.openai.com", "POST", "/v1/threads/t/runs"),
        ("api.openai.com", "POST", "/v1/vector_stores/v/file_batches"),
        ("api.openai.com", "POST", "/v1/videos"),
        ("api.openai.com", "POST", "/v1/images"),
        ("api.jina.ai", "POST", "/v1/rerank"),
        ("api.groq.com", "POST", "/v1/tokenize"),
        ("api.openai.com", "POST", "/api/pull"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/imagen-4:predict"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:asyncBatchEmbedContent"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/interactions/i"),
        (
            "generativelanguage.googleapis.com",
            "POST",
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        ),
        ("bedrock-runtime.us-east-1.amazonaws.com", "POST", "/guardrail/g/version/1/apply"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "POST", "/guardrail-checks/invoke"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "POST", "/async-invoke"),
        (
            "bedrock-runtime.us-east-1.amazonaws.com",
            "POST",
            "/model/amazon.nova-sonic-v1:0/invoke-with-bidirectional-stream",
        ),
        ("bedrock-agent-runtime.us-east-1.amazonaws.com", "POST", "/agents/a/agentAliases/b/sessions/s/text"),
        ("api.cohere.com", "POST", "/v1/embed-jobs"),
        ("api.cohere.com", "POST", "/v1/finetuning/finetuned-models"),
        ("api.cohere.com", "POST", "/v1/tokenize/x"),
        ("ollama.com", "POST", "/api/web_search"),
        ("ollama.com", "POST", "/api/chats"),
    ] {
        let found = kind(host, method, path);
        assert!(found.ends_with(" unknown"), "{method} {host}{path} is {found}");
    }
    assert_eq!(kind("example.com", "POST", "/v1/messages"), "foreign");
    assert_eq!(kind("evil-api.anthropic.com", "POST", "/v1/messages"), "foreign");
    assert_eq!(kind("api.anthropic.com.evil.test", "POST", "/v1/messages"), "foreign");
}

#[test]
fn an_operators_host_wins_over_a_builtin_one() {
    let lab: Provider = "mylab".parse().unwrap();
    let catalogue = Catalogue::builtin().with_provider(
        lab.clone(),
        vec!["LLM.lab.internal".into(), "*.gpu.lab".into(), "api.groq.com".into()],
        Format::OpenaiChat,
    );
    for host in ["llm.lab.internal", "a.gpu.lab", "api.groq.com"] {
        assert_eq!(catalogue.provider_of(host), Some(&lab), "{host}");
        let metered = Endpoint::Metered { provider: lab.clone(), format: Format::OpenaiChat };
        assert_eq!(catalogue.classify(host, "POST", "/v1/chat/completions", None), metered);
        assert_eq!(catalogue.classify(host, "POST", "/", None), metered);
        let unknown = Endpoint::Unknown { provider: lab.clone() };
        assert_eq!(catalogue.classify(host, "POST", "/v1/fine_tuning/jobs", None), unknown);
    }
    assert_eq!(catalogue.provider_of("gpu.lab"), None);
    assert_eq!(catalogue.provider_of("api.cerebras.ai").map(Provider::as_str), Some("cerebras"));
}
