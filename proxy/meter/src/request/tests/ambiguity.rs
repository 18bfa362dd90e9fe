use super::*;

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
