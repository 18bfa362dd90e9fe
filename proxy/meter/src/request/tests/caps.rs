use super::*;

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
            "api.together.xyz",
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
        ("api.together.xyz", alias, None, r#"{"max_tokens":1,"messages":[],"max_completion_tokens":1}"#),
        ("api.together.xyz", old, Some(1), old),
        (
            "openrouter.ai",
            reasoning,
            None,
            r#"{"max_completion_tokens":1,"model":"openai/gpt-5","messages":[],"max_tokens":1}"#,
        ),
        ("api.together.xyz", both, Some(30), r#"{"messages":[],"max_tokens":7,"max_completion_tokens":9}"#),
        ("api.together.xyz", gone, None, r#"{"messages":[],"max_tokens":9,"max_completion_tokens":9}"#),
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
        ("api.groq.com", alias, Some(1), alias),
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
        change(OpenaiChat, "api.together.xyz", large, Some(9), false),
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

/// What the operator says of models decides where a cap counts, how large it is, and what an input can be.
#[test]
fn the_operators_word_on_a_model_goes_before_what_is_built_in() {
    use hudson_schema::OutputField::{MaxCompletionTokens, MaxOutputTokens, MaxTokens};
    let model = |pattern: &str, output_field| Model {
        pattern: pattern.to_owned(),
        output_maximum: Some(77),
        output_field: Some(output_field),
        input_maximum: Some(500),
    };
    let models = [
        model("lab-new*", MaxCompletionTokens),
        model("lab-odd", MaxOutputTokens),
        model("gpt-5-relay", MaxTokens),
    ];
    let chat = |host: &'static str, name: &str, members: &str| {
        let head = RequestHead { host, models: &models, ..head(OpenaiChat, path_of(OpenaiChat), None) };
        let body = format!(r#"{{{members}"model":"{name}","messages":[]}}"#);
        let facts = read(&head, body.as_bytes()).unwrap();
        let change = Rewrite { output_cap: Some(50), include_usage: false };
        let changed = rewrite(&head, &facts, body.as_bytes(), &change).unwrap();
        let changed = String::from_utf8(changed).unwrap();
        let again = read(&head, changed.as_bytes()).unwrap();
        assert!(again.output_cap.is_some_and(|cap| cap <= 50), "{changed}");
        (facts.output_cap, changed.split("\"model\"").next().unwrap().to_owned())
    };
    for (host, name, members, stated, written) in [
        ("llm.lab", "lab-new-2", "", None, r#"{"max_completion_tokens":50,"#),
        ("llm.lab", "lab-old", "", None, r#"{"max_tokens":50,"#),
        ("llm.lab", "lab-odd", "", None, r#"{"max_output_tokens":50,"#),
        ("llm.lab", "gpt-5-relay", "", None, r#"{"max_tokens":50,"#),
        ("llm.lab", "gpt-5", "", None, r#"{"max_completion_tokens":50,"#),
        // On a host that knows both names either counts, and the named one is put in.
        ("api.openai.com", "gpt-5-relay", "", None, r#"{"max_tokens":50,"#),
        (
            "api.openai.com",
            "gpt-5-relay",
            r#""max_completion_tokens":80,"#,
            Some(80),
            r#"{"max_completion_tokens":50,"#,
        ),
        // Elsewhere only the named one.
        (
            "llm.lab",
            "lab-new-2",
            r#""max_tokens":40,"#,
            None,
            r#"{"max_completion_tokens":40,"max_tokens":40,"#,
        ),
        ("llm.lab", "lab-odd", r#""max_output_tokens":40,"#, Some(40), r#"{"max_output_tokens":40,"#),
        (
            "llm.lab",
            "other",
            r#""max_output_tokens":40,"#,
            None,
            r#"{"max_tokens":40,"max_output_tokens":40,"#,
        ),
    ] {
        assert_eq!(chat(host, name, members), (stated, written.to_owned()), "{host} {name} {members}");
    }
    assert_eq!(known_output_maximum(&models, OpenaiChat, "vendor/lab-new-3"), Some(77));
    assert_eq!(known_output_maximum(&models, OpenaiChat, "gpt-5-relay"), Some(77));
    assert_eq!(known_output_maximum(&models, OpenaiChat, "gpt-5"), Some(128_000));
    assert_eq!(known_output_maximum(&models, OpenaiChat, "other"), None);
    assert_eq!(output_maximum(&models, OpenaiChat, Some("other")), 393_216);
    assert_eq!(realtime_context(&models, "lab-new-voice"), Some(500));
    let long = json!({"model": "lab-odd", "messages": [{"role": "user", "content": "word ".repeat(4_000)}]});
    let head = RequestHead { models: &models, ..head(OpenaiChat, path_of(OpenaiChat), None) };
    assert_eq!(read(&head, long.to_string().as_bytes()).unwrap().input_estimate, 500, "no more than fits");
}
