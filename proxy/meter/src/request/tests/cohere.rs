use super::*;

#[test]
fn cohere_facts() {
    let found = facts(
        Cohere,
        r#"{"model":"command-a-reasoning-08-2025","stream":true,"max_tokens":900,"thinking":{"type":"enabled","token_budget":500},
            "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}],
            "tools":[{"type":"function","function":{"name":"f"}}]}"#,
    );
    assert_eq!(found.model.as_deref(), Some("command-a-reasoning-08-2025"));
    assert_eq!((found.output_cap, found.thinking_budget, found.choices), (Some(900), Some(500), 1));
    assert!(found.stream && found.cap_supported && !found.include_usage_supported);
    assert_eq!((found.server_tools.len(), found.unseen_input), (0, vec!["url"]));
    let old = r#"{"message":"hi","conversation_id":"c","connectors":[{"id":"web-search"}],"preamble":"p"}"#;
    let found = facts_at(Cohere, "/v1/chat", old);
    assert_eq!(found.server_tools, ["connectors", "web-search"]);
    assert_eq!((found.unseen_input, found.output_cap), (vec!["conversation_id"], None));
    let several = facts_at(Cohere, "/v1/generate", r#"{"prompt":"x","num_generations":3,"max_tokens":7}"#);
    assert_eq!((several.output_cap, several.choices), (Some(7), 3));
}

#[test]
fn what_generates_nothing_is_capped_at_nothing() {
    for path in ["/v2/embed", "/v1/embed", "/v2/rerank", "/v1/rerank", "/v1/classify"] {
        let found = facts_at(Cohere, path, r#"{"model":"m","texts":["a"]}"#);
        assert_eq!((found.output_cap, found.cap_supported), (Some(0), false), "{path}");
    }
    let summary = facts_at(Cohere, "/v1/summarize", r#"{"text":"a","length":"short"}"#);
    assert_eq!((summary.output_cap, summary.cap_supported), (None, false), "it writes, but takes no cap");
}

#[test]
fn what_cohere_could_read_differently_is_an_error() {
    for body in [
        r#"{"max_tokens":"5"}"#,
        r#"{"Max_tokens":5}"#,
        r#"{"num_generations":[2]}"#,
        r#"{"stream":1}"#,
        r#"{"tools":{}}"#,
    ] {
        assert!(matches!(error(Cohere, body), RequestError::WrongType { .. }), "{body}");
    }
}
