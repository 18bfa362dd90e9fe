use super::*;

#[test]
fn ollama_streams_unless_told_otherwise() {
    let found = facts(Ollama, r#"{"model":"qwen3:4b","messages":[],"options":{"num_predict":77}}"#);
    assert_eq!((found.model.as_deref(), found.output_cap, found.stream), (Some("qwen3:4b"), Some(77), true));
    assert!(found.cap_supported && !found.include_usage_supported);
    assert!(facts(Ollama, r#"{"messages":[],"stream":null}"#).stream, "null is the default");
    assert!(!facts(Ollama, r#"{"messages":[],"stream":false}"#).stream);
    for path in ["/api/embed", "/api/embeddings"] {
        let found = facts_at(Ollama, path, r#"{"model":"m","input":"x"}"#);
        assert_eq!((found.stream, found.output_cap, found.cap_supported), (false, Some(0), false), "{path}");
    }
}

#[test]
fn a_negative_or_empty_limit_is_none() {
    for number in ["-1", "-2", "0", "null", "-0"] {
        let body = format!(r#"{{"prompt":"x","options":{{"num_predict":{number}}}}}"#);
        assert_eq!(facts_at(Ollama, "/api/generate", &body).output_cap, None, "{number}");
        assert_eq!(
            capped_at(Ollama, "/api/generate", &body, 5),
            r#"{"prompt":"x","options":{"num_predict":5}}"#,
            "{number}"
        );
    }
    let bare = r#"{"prompt":"x"}"#;
    assert_eq!(capped_at(Ollama, "/api/generate", bare, 5), r#"{"options":{"num_predict":5},"prompt":"x"}"#);
    let elsewhere = r#"{"prompt":"x","num_predict":3}"#;
    assert_eq!(facts_at(Ollama, "/api/generate", elsewhere).output_cap, None, "it counts in options only");
}

#[test]
fn ollamas_images_are_bare_base64() {
    let data = "A".repeat(400_000);
    let chat = format!(r#"{{"messages":[{{"role":"user","content":"x","images":["{data}","{data}"]}}]}}"#);
    assert!((9_600..11_000).contains(&facts(Ollama, &chat).input_estimate));
    let generate = format!(r#"{{"prompt":"x","images":["{data}"]}}"#);
    assert!((4_800..6_000).contains(&facts_at(Ollama, "/api/generate", &generate).input_estimate));
    let other = format!(r#"{{"messages":[{{"tool_calls":[{{"images":["{data}"]}}]}}]}}"#);
    assert!(facts(Ollama, &other).input_estimate > 130_000, "an argument is text");
    let template = facts_at(Ollama, "/api/generate", r#"{"prompt":"x","template":"{{.Prompt}}{{.Prompt}}"}"#);
    assert_eq!(template.unseen_input, ["template"]);
}

#[test]
fn what_go_could_read_differently_is_an_error() {
    for body in [
        r#"{"options":{"num_predict":1},"Options":{"num_predict":9}}"#,
        r#"{"options":[]}"#,
        r#"{"options":{"num_predict":"5"}}"#,
        r#"{"Stream":false}"#,
        r#"{"MODEL":"x"}"#,
    ] {
        assert!(matches!(error(Ollama, body), RequestError::WrongType { .. }), "{body}");
    }
}
