use super::*;

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
