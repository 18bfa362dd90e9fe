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
    let free = "/v1beta/models/g:countTokens";
    assert_eq!(kind_of(google, "POST", free, Some("fields=totalTokens")), "gemini free");
    let elsewhere = kind_of("api.openai.com", "POST", "/v1/responses", Some("fields=x&alt=y"));
    assert_eq!(elsewhere, "codex openai-responses", "only Google has these parameters");
}

#[test]
fn a_field_mask_in_a_header_hides_usage() {
    assert!(masks_usage(Format::Gemini, "x-goog-fieldmask"));
    assert!(masks_usage(Format::Gemini, "X-Goog-FieldMask"));
    assert!(!masks_usage(Format::Gemini, "x-goog-api-key"));
    assert!(!masks_usage(Format::Anthropic, "x-goog-fieldmask"));
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
        ("api.anthropic.com", "POST", "/v1/messages/batches"),
        ("api.anthropic.com", "POST", "/v1/messages2"),
        ("api.anthropic.com", "POST", "/api/evaluate"),
        ("api.anthropic.com", "POST", "/v1/complete"),
        ("api.openai.com", "POST", "/v1/images/generations"),
        ("api.openai.com", "POST", "/v1/audio/speech"),
        ("api.openai.com", "POST", "/v1/realtime/sessions"),
        ("api.openai.com", "POST", "/v1/fine_tuning/jobs"),
        ("api.openai.com", "POST", "/v1/batches"),
        ("api.openai.com", "POST", "/v1/threads/t/messages"),
        ("chatgpt.com", "POST", "/backend-api/conversation"),
        ("chatgpt.com", "POST", "/backend-api/codex/memories/trace_summarize"),
        ("chatgpt.com", "POST", "/backend-api/wham/tasks"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:batchGenerateContent"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:predictLongRunning"),
        ("generativelanguage.googleapis.com", "POST", "/v1beta/interactions"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "POST", "/model/m/converse"),
        ("router.huggingface.co", "POST", "/models/m"),
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
        assert_eq!(catalogue.classify(host, "POST", "/v1/images/generations", None), unknown);
    }
    assert_eq!(catalogue.provider_of("gpu.lab"), None);
    assert_eq!(catalogue.provider_of("api.cerebras.ai").map(Provider::as_str), Some("cerebras"));
}
