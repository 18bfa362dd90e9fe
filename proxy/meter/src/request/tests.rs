use super::*;
use Format::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
use proptest::prelude::*;
use serde_json::{Value, json};

fn path_of(format: Format) -> &'static str {
    match format {
        Anthropic => "/v1/messages",
        Gemini => "/v1beta/models/gemini-2.5-flash:generateContent",
        OpenaiResponses => "/v1/responses",
        _ => "/v1/chat/completions",
    }
}

/// A request to a host that is no known one.
fn head<'a>(format: Format, path: &'a str, query: Option<&'a str>) -> RequestHead<'a> {
    RequestHead { format, host: "", path, query, content_type: Some("application/json") }
}

fn facts(format: Format, body: &str) -> RequestFacts {
    read(&head(format, path_of(format), None), body.as_bytes())
        .unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn error(format: Format, body: &str) -> RequestError {
    read(&head(format, path_of(format), None), body.as_bytes()).expect_err(body)
}

fn change(format: Format, host: &str, body: &str, cap: Option<u64>, include_usage: bool) -> String {
    let facts = facts(format, body);
    let change = Rewrite { output_cap: cap, include_usage };
    String::from_utf8(
        rewrite(
            &RequestHead { host, ..head(format, path_of(format), None) },
            &facts,
            body.as_bytes(),
            &change,
        )
        .unwrap(),
    )
    .unwrap()
}

#[test]
fn anthropic_facts() {
    let found = facts(
        Anthropic,
        r#"{"model":"claude-sonnet-4-5","max_tokens":32000,"stream":true,"thinking":{"type":"enabled","budget_tokens":31999},
            "messages":[{"role":"user","content":"hi"}],
            "tools":[{"name":"Bash","input_schema":{"type":"object"}},{"type":"custom","name":"x"},
                     {"type":"bash_20250124","name":"bash"},{"type":"web_search_20250305","name":"web_search"},
                     {"type":"tool_of_the_future_1","name":"y"}],
            "mcp_servers":[{"url":"https://x"}],
            "context_management":{"edits":[{"type":"clear_thinking_20251015"},{"type":"compact_20260112"}]}}"#,
    );
    assert_eq!(found.model.as_deref(), Some("claude-sonnet-4-5"));
    assert_eq!((found.output_cap, found.choices, found.thinking_budget), (Some(32_000), 1, Some(31_999)));
    assert!(found.stream && found.cap_supported && !found.background && !found.include_usage_supported);
    let tools = ["web_search_20250305", "tool_of_the_future_1", "mcp_servers", "compact_20260112"];
    assert_eq!(found.server_tools, tools);
}

#[test]
fn the_agents_own_tools_run_on_the_client() {
    let codex = r#"{"model":"gpt-5-codex","stream":true,"store":false,"input":[],
        "tools":[{"type":"function","name":"shell"},{"type":"custom","name":"apply_patch"},{"type":"local_shell"},
                 {"type":"shell","environment":{"type":"local"}},{"type":"tool_search"},
                 {"tools":[{"type":"function","name":"a"}],"type":"namespace","name":"mcp__x"}]}"#;
    assert_eq!(facts(OpenaiResponses, codex).server_tools, Vec::<String>::new());
    let claude = r#"{"model":"c","max_tokens":1,"messages":[],"tools":[{"name":"Bash","input_schema":{}}],
        "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}}"#;
    assert_eq!(facts(Anthropic, claude).server_tools, Vec::<String>::new());
    let gemini = r#"{"contents":[],"tools":[{"functionDeclarations":[{"name":"f"}]}]}"#;
    assert_eq!(facts(Gemini, gemini).server_tools, Vec::<String>::new());
}

#[test]
fn work_on_the_server_is_listed_wherever_it_hides() {
    for (format, body, expected) in [
        (OpenaiResponses, r#"{"tools":[{"type":"web_search"}]}"#, "web_search"),
        (OpenaiResponses, r#"{"tools":[{"type":"web_search","tools":[{"type":"function"}]}]}"#, "web_search"),
        (OpenaiResponses, r#"{"tools":[{"tools":[{"type":"mcp"}],"type":"namespace"}]}"#, "mcp"),
        (OpenaiResponses, r#"{"tools":[{"type":"shell","environment":{"type":"container_auto"}}]}"#, "shell"),
        (
            OpenaiResponses,
            r#"{"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}"#,
            "code_interpreter",
        ),
        (OpenaiResponses, r#"{"context_management":[{"type":"compaction"}]}"#, "compaction"),
        (OpenaiChat, r#"{"messages":[],"web_search_options":{}}"#, "web_search_options"),
        (OpenaiChat, r#"{"model":"sonar-pro","messages":[]}"#, "sonar-pro"),
        (OpenaiChat, r#"{"messages":[],"plugins":[{"id":"web"}]}"#, "web"),
        (Gemini, r#"{"contents":[],"tools":[{"google_search":{}}]}"#, "googleSearch"),
        (
            Gemini,
            r#"{"contents":[],"tools":[{"functionDeclarations":[],"codeExecution":{}}]}"#,
            "codeExecution",
        ),
        (Gemini, r#"{"request":{"tools":[{"urlContext":{}}]}}"#, "urlContext"),
    ] {
        assert_eq!(facts(format, body).server_tools, [expected], "{body}");
    }
    assert!(facts(OpenaiResponses, r#"{"background":true}"#).background);
    let hidden = facts(
        OpenaiResponses,
        r#"{"previous_response_id":"resp_1","input":[{"content":[{"file_id":"f"}]}]}"#,
    );
    assert_eq!(hidden.unseen_input, ["previous_response_id", "file_id"]);
}

#[test]
fn openai_chat_facts() {
    let found = facts(
        OpenaiChat,
        r#"{"model":"gpt-5","messages":[],"max_completion_tokens":1e2,"n":3,"stream":true,"stream_options":{"include_usage":false}}"#,
    );
    assert_eq!((found.output_cap, found.choices, found.include_usage), (Some(100), 3, Some(false)));
    assert!(found.include_usage_supported);
    let several = facts(OpenaiChat, r#"{"model":"davinci","prompt":["a","b",[1,2]],"n":2,"best_of":4}"#);
    assert_eq!(several.choices, 12, "best_of × prompts are generated and paid for");
    assert_eq!(facts(OpenaiChat, r#"{"prompt":[1,2,3]}"#).choices, 1, "token numbers are one prompt");
    let embedding =
        read(&head(OpenaiChat, "/v1/embeddings", None), br#"{"model":"text-embedding-3-small","input":"x"}"#)
            .unwrap();
    assert!(
        !embedding.cap_supported && embedding.output_cap == Some(0) && !embedding.include_usage_supported
    );
}

#[test]
fn azure_names_the_model_in_the_path_and_gates_stream_options_by_version() {
    let body = br#"{"messages":[],"stream":true}"#;
    for (query, supported) in [
        (None, true),
        (Some("api-version=2024-06-01"), false),
        (Some("a=b&api-version=2024-08-01-preview"), false),
        (Some("api-version=2024-10-21"), true),
        (Some("api-version=2025-04-01-preview"), true),
        (Some("api-version=preview"), true),
    ] {
        let found =
            read(&head(OpenaiChat, "/openai/deployments/my%20gpt/chat/completions", query), body).unwrap();
        assert_eq!(found.model.as_deref(), Some("my gpt"));
        assert_eq!(found.include_usage_supported, supported, "{query:?}");
    }
}

#[test]
fn gemini_facts_in_both_spellings() {
    for body in [
        r#"{"contents":[],"generationConfig":{"maxOutputTokens":50,"candidateCount":2,"thinkingConfig":{"thinkingBudget":20}}}"#,
        r#"{"contents":[],"generation_config":{"max_output_tokens":"50","candidate_count":2,"thinking_config":{"thinking_budget":20}}}"#,
        r#"{"model":"m","request":{"generation_config":{"max_output_tokens":50,"candidateCount":2,"thinkingConfig":{"thinkingBudget":20}}}}"#,
    ] {
        let found = facts(Gemini, body);
        assert_eq!(
            (found.output_cap, found.choices, found.thinking_budget),
            (Some(50), 2, Some(20)),
            "{body}"
        );
        assert_eq!(found.model.as_deref(), Some("gemini-2.5-flash"));
    }
    let labels = r#"{"labels":{"a_b":"1","aB":"2"},"contents":[{"parts":[{"functionCall":{"args":{"x_y":1,"xY":2}}}]}]}"#;
    assert_eq!(facts(Gemini, labels).output_cap, None, "names of the caller's own are no aliases");
    let dynamic = r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}"#;
    assert_eq!(facts(Gemini, dynamic).thinking_budget, None);
    let wrapped = read(
        &head(Gemini, "/v1internal:streamGenerateContent", Some("alt=sse")),
        br#"{"model":"g","request":{}}"#,
    );
    let wrapped = wrapped.unwrap();
    assert!(wrapped.stream && wrapped.model.as_deref() == Some("g"));
}

#[test]
fn codex_and_compact_take_no_cap() {
    for path in ["/backend-api/codex/responses", "/v1/responses/compact"] {
        let found = read(&head(OpenaiResponses, path, None), br#"{"model":"gpt-5","stream":true}"#).unwrap();
        assert!(!found.cap_supported, "{path}");
        let change = Rewrite { output_cap: Some(5), include_usage: false };
        let refused = rewrite(
            &RequestHead { host: "chatgpt.com", ..head(OpenaiResponses, path_of(OpenaiResponses), None) },
            &found,
            b"{}",
            &change,
        );
        assert_eq!(refused, Err(RequestError::CapNotSupported));
    }
}

#[test]
fn what_two_readers_could_read_differently_is_an_error() {
    for (format, body) in [
        (Anthropic, r#"{"max_tokens":1,"max_tokens":100000}"#),
        (Anthropic, r#"{"max_tokens":1,"max_\u0074okens":100000}"#),
        (Anthropic, r#"{"messages":[{"content":[{"text":"a","text":"b"}]}]}"#),
        (Gemini, r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#),
        (Gemini, r#"{"generationConfig":{},"generation_config":{"maxOutputTokens":9}}"#),
    ] {
        assert!(matches!(error(format, body), RequestError::DuplicateKey { .. }), "{body}");
    }
    for (format, body) in [
        (Anthropic, r#"{"max_tokens":"100"}"#),
        (Anthropic, r#"{"max_tokens":-1}"#),
        (Anthropic, r#"{"max_tokens":1.5}"#),
        (Anthropic, r#"{"max_tokens":[1]}"#),
        (Anthropic, r#"{"model":7}"#),
        (OpenaiChat, r#"{"stream":"true"}"#),
        (OpenaiChat, r#"{"Max_Tokens":5}"#),
        (OpenaiChat, r#"{"stream_options":true}"#),
        (OpenaiChat, r#"{"stream_options":{"include_usage":1}}"#),
        (OpenaiChat, r#"{"n":{}}"#),
        (Gemini, r#"{"generationConfig":[]}"#),
        (Gemini, r#"{"generationConfig":7}"#),
        (Gemini, r#"{"request":[{}],"generation_config":{"a_b":"7"}}"#),
        (Gemini, r#"{"request":{"generationConfig":{}},"generationConfig":{}}"#),
    ] {
        assert!(
            matches!(error(format, body), RequestError::WrongType { .. }),
            "{body}: {:?}",
            error(format, body)
        );
    }
    for body in ["[]", "1", "null", "\"x\""] {
        assert_eq!(error(Anthropic, body), RequestError::NotObject, "{body}");
    }
    for body in [
        "",
        "{",
        "{}x",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{'a':1}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":NaN}",
        "\u{feff}{}",
    ] {
        assert!(matches!(error(Anthropic, body), RequestError::NotJson { .. }), "{body:?}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(matches!(error(Anthropic, &deep), RequestError::NotJson { .. }));
}

#[test]
fn rewrites_put_the_cap_where_the_model_takes_it() {
    for (format, host, body, cap, expected) in [
        (Anthropic, "api.anthropic.com", r#"{ "max_tokens" : 32000 }"#, 100, r#"{ "max_tokens" : 100 }"#),
        (Anthropic, "api.anthropic.com", r#"{"max_tokens":50}"#, 100, r#"{"max_tokens":50}"#),
        (Anthropic, "api.anthropic.com", r#"{}"#, 100, r#"{"max_tokens":100}"#),
        (
            OpenaiChat,
            "api.openai.com",
            r#"{"model":"gpt-4o","messages":[]}"#,
            9,
            r#"{"max_completion_tokens":9,"model":"gpt-4o","messages":[]}"#,
        ),
        (
            OpenaiChat,
            "api.groq.com",
            r#"{"model":"llama","messages":[]}"#,
            9,
            r#"{"max_tokens":9,"model":"llama","messages":[]}"#,
        ),
        (
            OpenaiChat,
            "openrouter.ai",
            r#"{"model":"openai/gpt-5-mini","messages":[]}"#,
            9,
            r#"{"max_completion_tokens":9,"model":"openai/gpt-5-mini","messages":[]}"#,
        ),
        (
            OpenaiChat,
            "api.openai.com",
            r#"{"model":"gpt-3.5-turbo-instruct","prompt":"x"}"#,
            9,
            r#"{"max_tokens":9,"model":"gpt-3.5-turbo-instruct","prompt":"x"}"#,
        ),
        (Anthropic, "api.anthropic.com", r#"{"max_tokens":0}"#, 100, r#"{"max_tokens":0}"#),
        (
            OpenaiChat,
            "x",
            r#"{"max_tokens":10,"max_completion_tokens":3}"#,
            5,
            r#"{"max_tokens":5,"max_completion_tokens":3}"#,
        ),
        (OpenaiResponses, "x", r#"{"max_output_tokens":null}"#, 5, r#"{"max_output_tokens":5}"#),
        (Gemini, "x", r#"{"contents":[]}"#, 5, r#"{"generationConfig":{"maxOutputTokens":5},"contents":[]}"#),
        (Gemini, "x", r#"{"generationConfig":null}"#, 5, r#"{"generationConfig":{"maxOutputTokens":5}}"#),
        (
            Gemini,
            "x",
            r#"{"generation_config":{ "topK":1}}"#,
            5,
            r#"{"generation_config":{"maxOutputTokens":5, "topK":1}}"#,
        ),
        (
            Gemini,
            "x",
            r#"{"generation_config":{"max_output_tokens":"70"}}"#,
            5,
            r#"{"generation_config":{"max_output_tokens":5}}"#,
        ),
        (
            Gemini,
            "x",
            r#"{"request":{"contents":[]}}"#,
            5,
            r#"{"request":{"generationConfig":{"maxOutputTokens":5},"contents":[]}}"#,
        ),
    ] {
        assert_eq!(change(format, host, body, Some(cap), false), expected);
    }
}

#[test]
fn a_cap_under_a_name_that_the_host_may_not_know_holds_nobody_back() {
    let at = |host: &str, body: &str| {
        read(&RequestHead { host, ..head(OpenaiChat, "/v1/chat/completions", None) }, body.as_bytes())
            .unwrap()
            .output_cap
    };
    let alias = r#"{"messages":[],"max_completion_tokens":1}"#;
    let old = r#"{"messages":[],"max_tokens":1}"#;
    let reasoning = r#"{"model":"openai/gpt-5","messages":[],"max_tokens":1}"#;
    let both = r#"{"messages":[],"max_tokens":7,"max_completion_tokens":30}"#;
    let gone = r#"{"messages":[],"max_tokens":null,"max_completion_tokens":30}"#;
    let prompt = r#"{"prompt":"x","max_completion_tokens":1}"#;
    for (host, body, cap, rewritten) in [
        // The host's own name goes in beside the other, with what the client asked for.
        ("api.groq.com", alias, None, r#"{"max_tokens":1,"messages":[],"max_completion_tokens":1}"#),
        ("api.groq.com", old, Some(1), old),
        (
            "openrouter.ai",
            reasoning,
            None,
            r#"{"max_completion_tokens":1,"model":"openai/gpt-5","messages":[],"max_tokens":1}"#,
        ),
        ("api.groq.com", both, Some(30), r#"{"messages":[],"max_tokens":7,"max_completion_tokens":9}"#),
        ("api.groq.com", gone, None, r#"{"messages":[],"max_tokens":9,"max_completion_tokens":9}"#),
        (
            "api.openai.com.evil.test",
            alias,
            None,
            r#"{"max_tokens":1,"messages":[],"max_completion_tokens":1}"#,
        ),
        // These refuse both names at once, so they know both.
        ("api.openai.com", alias, Some(1), alias),
        ("api.openai.com", old, Some(1), old),
        ("EU.api.openai.com:443", old, Some(1), old),
        ("x.openai.azure.com", old, Some(1), old),
        ("x.openai.azure.us", old, Some(1), old),
        ("x.cognitiveservices.azure.com", old, Some(1), old),
        ("generativelanguage.googleapis.com", alias, Some(1), alias),
        ("api.openai.com", both, Some(30), r#"{"messages":[],"max_tokens":7,"max_completion_tokens":9}"#),
        // The completions endpoint knows one only.
        ("api.openai.com", prompt, None, r#"{"max_tokens":1,"prompt":"x","max_completion_tokens":1}"#),
    ] {
        assert_eq!(at(host, body), cap, "{host} {body}");
        let facts =
            read(&RequestHead { host, ..head(OpenaiChat, "/v1/chat/completions", None) }, body.as_bytes())
                .unwrap();
        let change = Rewrite { output_cap: Some(9), include_usage: false };
        let changed = rewrite(
            &RequestHead { host, ..head(OpenaiChat, path_of(OpenaiChat), None) },
            &facts,
            body.as_bytes(),
            &change,
        )
        .unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), rewritten, "{host} {body}");
    }
    assert_eq!(facts(OpenaiChat, alias).output_cap, None, "an unknown host");
    assert_eq!(facts(OpenaiChat, old).output_cap, Some(1));
    let large = r#"{"messages":[],"max_completion_tokens":5000}"#;
    assert_eq!(
        change(OpenaiChat, "api.groq.com", large, Some(9), false),
        r#"{"max_tokens":9,"messages":[],"max_completion_tokens":9}"#
    );
}

#[test]
fn a_cap_of_nothing_is_no_cap_but_for_anthropic() {
    assert_eq!(facts(Anthropic, r#"{"max_tokens":0}"#).output_cap, Some(0));
    for (format, body, rewritten) in [
        (OpenaiChat, r#"{"messages":[],"max_tokens":0}"#, r#"{"messages":[],"max_tokens":9}"#),
        (OpenaiChat, r#"{"messages":[],"max_tokens":0.0}"#, r#"{"messages":[],"max_tokens":9}"#),
        (OpenaiResponses, r#"{"max_output_tokens":0}"#, r#"{"max_output_tokens":9}"#),
        (
            Gemini,
            r#"{"generationConfig":{"maxOutputTokens":"0"}}"#,
            r#"{"generationConfig":{"maxOutputTokens":9}}"#,
        ),
    ] {
        assert_eq!(facts(format, body).output_cap, None, "{body}");
        assert_eq!(change(format, "x", body, Some(9), false), rewritten);
        let least = change(format, "x", body, Some(0), false);
        assert_eq!(facts(format, &least).output_cap, Some(1), "0 would be no cap");
    }
    let alias = r#"{"messages":[],"max_tokens":0,"max_completion_tokens":0}"#;
    assert_eq!(facts(OpenaiChat, alias).output_cap, None);
    assert_eq!(
        change(OpenaiChat, "api.openai.com", alias, Some(9), false),
        r#"{"messages":[],"max_tokens":9,"max_completion_tokens":9}"#
    );
}

#[test]
fn a_stored_prompt_may_bring_tools() {
    for body in [r#"{"prompt":{"id":"pmpt_1","version":"2"}}"#, r#"{"prompt":{}}"#, r#"{"prompt":"pmpt_1"}"#]
    {
        let found = facts(OpenaiResponses, body);
        assert_eq!(found.server_tools, ["prompt"], "{body}");
        assert_eq!(found.unseen_input, ["prompt"], "{body}");
    }
    assert_eq!(facts(OpenaiResponses, r#"{"prompt":null}"#).server_tools, Vec::<String>::new());
    assert_eq!(facts(OpenaiChat, r#"{"prompt":"words"}"#).server_tools, Vec::<String>::new());
}

#[test]
fn an_escaped_url_is_still_a_url() {
    let chat = |url: &str| {
        facts(
            OpenaiChat,
            &format!(
                r#"{{"messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
            ),
        )
    };
    for url in [
        "https://x.test/a.png",
        r"\u0068ttps://x.test/a.png",
        r"\u0068\u0074\u0074\u0070s:\/\/x.test\/a.png",
        "HTTPS://x.test/a.png",
        " https://x.test/a.png",
        "gs://bucket/a.png",
    ] {
        let found = chat(url);
        assert!((4_800..6_000).contains(&found.input_estimate), "{url}: {}", found.input_estimate);
        assert_eq!(found.unseen_input, ["url"], "{url}");
    }
    let data = "A".repeat(400_000);
    for head in ["data:image/png;base64,", r"\u0064ata:image\/png;base64\u002c", "DATA:Image/PNG;Base64,"] {
        let found = chat(&format!("{head}{data}"));
        assert!((4_800..6_000).contains(&found.input_estimate), "{head}: {}", found.input_estimate);
        assert_eq!(found.unseen_input, Vec::<&str>::new(), "{head}");
    }
    // A text that poses as a source by its escapes, and a file by its link.
    let text = format!(
        r#"{{"messages":[{{"content":[{{"source":{{"type":"te\u0078t","media_type":"image\u002fpng","data":"{data}"}}}}]}}]}}"#
    );
    assert!(facts(Anthropic, &text).input_estimate > 130_000);
    let file = r#"{"input":[{"content":[{"type":"input_file","file_url":"\u0068ttps://x.test/a.pdf"}]}]}"#;
    assert!(facts(OpenaiResponses, file).input_estimate > 4_800);
    let plain = facts(OpenaiResponses, r#"{"reasoning":{"mode":"xyz"}}"#).input_estimate;
    assert!(facts(OpenaiResponses, r#"{"reasoning":{"mode":"p\u0072o"}}"#).input_estimate > plain + 2_000);
    // The head is read over a bounded length, whatever stands there.
    for odd in [r"\u0068".repeat(100_000), r"\ud83d\ude00,".to_owned(), "é,".to_owned(), "data:".repeat(100)]
    {
        chat(&odd);
    }
}

#[test]
fn a_small_pdf_may_have_many_pages() {
    let estimate = |bytes: usize| {
        let data = "A".repeat(bytes / 3 * 4);
        let body = format!(
            r#"{{"messages":[{{"content":[{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{data}"}}}}]}}]}}"#
        );
        facts(Anthropic, &body).input_estimate
    };
    assert!((4_800..5_000).contains(&estimate(3_000)));
    assert!((4_800..5_000).contains(&estimate(4_095)));
    assert!((16_000..16_200).contains(&estimate(4_098)));
    assert!((16_000..16_200).contains(&estimate(20_000)));
    assert!((30_000..30_200).contains(&estimate(60_000)));
    assert!((480_000..480_200).contains(&estimate(1_200_000)));
}

#[test]
fn include_usage_is_forced_on_chat_streams_only() {
    for (format, body, expected) in [
        (
            OpenaiChat,
            r#"{"messages":[],"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"messages":[],"stream":true}"#,
        ),
        (
            OpenaiChat,
            r#"{"messages":[],"stream":true,"stream_options":null}"#,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            OpenaiChat,
            r#"{"messages":[],"stream":true,"stream_options":{}}"#,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            OpenaiChat,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            OpenaiChat,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":null}}"#,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            OpenaiChat,
            r#"{"messages":[],"stream":true,"stream_options":{"x":1}}"#,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
        ),
        (OpenaiChat, r#"{"messages":[]}"#, r#"{"messages":[]}"#),
        (OpenaiResponses, r#"{"input":[],"stream":true}"#, r#"{"input":[],"stream":true}"#),
        (Anthropic, r#"{"messages":[],"stream":true}"#, r#"{"messages":[],"stream":true}"#),
    ] {
        assert_eq!(change(format, "x", body, None, true), expected);
    }
    let mistral = r#"{"messages":[],"stream":true}"#;
    assert_eq!(change(OpenaiChat, "api.mistral.ai", mistral, None, true), mistral);
    let both = change(OpenaiChat, "x", r#"{"messages":[],"stream":true}"#, Some(3), true);
    let parsed: Value = serde_json::from_str(&both).unwrap();
    assert_eq!(
        parsed,
        json!({"messages":[],"stream":true,"max_tokens":3,"stream_options":{"include_usage":true}})
    );
}

#[test]
fn media_count_by_what_they_are_and_nothing_else_poses_as_media() {
    let data = "A".repeat(400_000);
    let image = |kind: &str, data: &str| {
        format!(
            r#"{{"messages":[{{"content":[{{"type":"image","source":{{"type":"{kind}","media_type":"image/png","data":"{data}"}}}}]}}]}}"#
        )
    };
    let estimate = |format, body: &str| facts(format, body).input_estimate;
    assert!((4_800..6_000).contains(&estimate(Anthropic, &image("base64", &data))));
    assert!(estimate(Anthropic, &image("text", &data)) > 130_000, "a text source is text");
    assert!(estimate(Anthropic, &image("base64", &format!("{data} and words"))) > 130_000, "not base64");
    let argument = format!(
        r#"{{"messages":[{{"content":[{{"type":"tool_use","input":{{"source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}}}]}}]}}"#
    );
    assert!(estimate(Anthropic, &argument) > 130_000, "an argument is text");
    let url = format!(
        r#"{{"messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]}}"#
    );
    assert!((4_800..6_000).contains(&estimate(OpenaiChat, &url)));
    let mini = url.replacen('{', r#"{"model":"gpt-4o-mini","#, 1);
    assert!(estimate(OpenaiChat, &mini) > 48_000);
    let inline = format!(
        r#"{{"contents":[{{"parts":[{{"inlineData":{{"data":"{data}","mimeType":"application/pdf"}}}}]}}]}}"#
    );
    assert!((150_000..152_000).contains(&estimate(Gemini, &inline)));
    let responses = format!(
        r#"{{"input":[{{"content":[{{"type":"input_image","image_url":"data:image/jpeg;base64,{data}"}}]}}]}}"#
    );
    assert!((4_800..6_000).contains(&estimate(OpenaiResponses, &responses)));
}

/// Any JSON value with at most a few levels.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{0,6}|.{0,6}", inner), 0..5)
                .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

struct Deaf;

impl walk::Visitor for Deaf {
    fn scalar(
        &mut self,
        _: &[std::borrow::Cow<'_, str>],
        _: walk::Scalar<'_>,
        _: std::ops::Range<usize>,
    ) -> Result<(), RequestError> {
        Ok(())
    }
    fn open(&mut self, _: &[std::borrow::Cow<'_, str>], _: bool) -> Result<(), RequestError> {
        Ok(())
    }
    fn close(
        &mut self,
        _: &[std::borrow::Cow<'_, str>],
        _: std::ops::Range<usize>,
        _: bool,
    ) -> Result<(), RequestError> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_walker_accepts_what_serde_json_accepts(value in any_json(), pretty in any::<bool>(), cut in any::<prop::sample::Index>(), junk in ".?") {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(walk::walk(text.as_bytes(), &mut Deaf), Ok(()));
        // Damage it: both must agree whether it is still JSON, duplicates aside.
        let at = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let damaged = [&text.as_bytes()[..at], junk.as_bytes(), &text.as_bytes()[at..]].concat();
        let ours = walk::walk(&damaged, &mut Deaf);
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&damaged);
        let agree = ours.is_ok() == theirs.is_ok() || matches!(ours, Err(RequestError::DuplicateKey { .. }));
        prop_assert!(agree, "{:?} against {:?} on {:?}", ours, theirs, String::from_utf8_lossy(&damaged));
    }

    #[test]
    fn unescaping_is_serde_jsons(text in "[\\PC\\n\\t\"\\\\]{0,20}") {
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(walk::unescaped(&quoted[1..quoted.len() - 1]), text);
    }

    #[test]
    fn a_rewrite_changes_what_it_says_and_nothing_else(
        extra in any_json(), old in prop::option::of(1u64..5000), cap in 1u64..5000, usage in 0usize..4, pretty in any::<bool>(), which in 0usize..4,
    ) {
        let format = Format::ALL[which];
        let mut body = json!({"extra": extra, "stream": true, "messages": [], "model": "m"});
        let name = match format { OpenaiResponses => "max_output_tokens", _ => "max_tokens" };
        if let Some(old) = old {
            match format {
                Gemini => body["generationConfig"] = json!({"maxOutputTokens": old, "x": 1}),
                _ => body[name] = json!(old),
            }
        }
        if usage > 0 && format == OpenaiChat {
            let options = [json!(null), json!({"a": 1}), json!({"include_usage": false})];
            body["stream_options"] = options[usage - 1].clone();
        }
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let found = facts(format, &text);
        prop_assert_eq!(found.output_cap, old);
        let changed = rewrite(&RequestHead { host: "x", ..head(format, path_of(format), None) }, &found, text.as_bytes(), &Rewrite { output_cap: Some(cap), include_usage: true }).unwrap();
        let again = read(&head(format, path_of(format), None), &changed).unwrap();
        prop_assert_eq!(again.output_cap, Some(old.map_or(cap, |old| old.min(cap))));
        prop_assert_eq!(again.include_usage, (format == OpenaiChat).then_some(true));
        // Everything else is as it was.
        let strip = |mut value: Value| {
            let root = value.as_object_mut().unwrap();
            root.shift_remove(name);
            if let Some(config) = root.get_mut("generationConfig").and_then(Value::as_object_mut) {
                config.shift_remove("maxOutputTokens");
                if config.is_empty() { root.shift_remove("generationConfig"); }
            }
            let gone = match root.get_mut("stream_options") {
                Some(Value::Object(options)) => { options.shift_remove("include_usage"); options.is_empty() }
                _ => true,
            };
            if gone { root.shift_remove("stream_options"); }
            value
        };
        let before: Value = serde_json::from_str(&text).unwrap();
        let after: Value = serde_json::from_slice(&changed).unwrap();
        prop_assert_eq!(strip(before), strip(after));
        // And a rewrite that has nothing to do does nothing.
        let same = rewrite(&RequestHead { host: "x", ..head(format, path_of(format), None) }, &again, &changed, &Rewrite { output_cap: again.output_cap, include_usage: true }).unwrap();
        prop_assert_eq!(same, changed);
    }

    #[test]
    fn more_text_never_lowers_the_estimate(text in "[a-z ]{0,200}", more in "[a-z]{0,50}") {
        let body = |text: &str| json!({"messages": [{"role": "user", "content": text}]}).to_string();
        for format in Format::ALL {
            let less = facts(format, &body(&text)).input_estimate;
            let longer = format!("{text}{more}");
            prop_assert!(facts(format, &body(&longer)).input_estimate >= less);
        }
    }

    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..4) {
        let format = Format::ALL[which];
        if let Ok(found) = read(&head(format, path_of(format), None), &body) {
            let _ = rewrite(&RequestHead { host: "x", ..head(format, path_of(format), None) }, &found, &body, &Rewrite { output_cap: Some(1), include_usage: true });
        }
    }
}
