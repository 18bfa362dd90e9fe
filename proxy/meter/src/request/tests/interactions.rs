use super::*;

#[test]
fn interactions_facts_in_both_spellings() {
    for body in [
        r#"{"model":"gemini-3-flash-preview","input":"hi","stream":true,"background":true,"generation_config":{"max_output_tokens":50},"previous_interaction_id":"i"}"#,
        r#"{"model":"gemini-3-flash-preview","input":"hi","stream":true,"background":true,"generationConfig":{"maxOutputTokens":"50"},"previousInteractionId":"i"}"#,
        r#"{"model":"gemini-3-flash-preview","input":"hi","stream":true,"background":true,"generation_config":{"maxOutputTokens":50},"previous_interaction_id":"i"}"#,
    ] {
        let found = facts(GeminiInteractions, body);
        assert_eq!(found.model.as_deref(), Some("gemini-3-flash-preview"));
        assert_eq!((found.output_cap, found.stream, found.background), (Some(50), true, true), "{body}");
        assert_eq!(found.unseen_input, ["previous_interaction_id"]);
    }
    assert_eq!(
        capped_at(GeminiInteractions, "/v1beta/interactions", r#"{"input":"hi"}"#, 5),
        r#"{"generation_config":{"max_output_tokens":5},"input":"hi"}"#
    );
}

#[test]
fn agents_and_every_tool_but_functions_run_at_google() {
    let found = facts(
        GeminiInteractions,
        r#"{"agent":"deep-research-pro-preview-12-2025","input":"x","tools":[{"type":"function","name":"f"},
            {"type":"computer_use"},{"type":"google_search"},{"type":"mcp_server","url":"https://x"},{"name":"untyped"}]}"#,
    );
    let tools = ["deep-research-pro-preview-12-2025", "google_search", "mcp_server", "tool"];
    assert_eq!(found.server_tools, tools);
}

#[test]
fn media_of_interactions_count_by_what_they_are() {
    let data = "A".repeat(400_000);
    let image = format!(r#"{{"type":"image","data":"{data}","mime_type":"image/png"}}"#);
    for input in
        [format!("[{image}]"), format!(r#"[{{"type":"user_input","content":[{image}]}}]"#), image.clone()]
    {
        let found = facts(GeminiInteractions, &format!(r#"{{"input":{input}}}"#));
        assert!((1_120..1_200).contains(&found.input_estimate), "{}", found.input_estimate);
    }
    let linked = facts(GeminiInteractions, r#"{"input":[{"type":"video","uri":"https://x/v.mp4"}]}"#);
    assert_eq!(linked.unseen_input, ["uri"]);
}

#[test]
fn two_spellings_of_one_field_are_two_readings() {
    for body in [
        r#"{"generation_config":{"max_output_tokens":1,"maxOutputTokens":9}}"#,
        r#"{"generation_config":{},"generationConfig":{"maxOutputTokens":9}}"#,
    ] {
        assert!(matches!(error(GeminiInteractions, body), RequestError::DuplicateKey { .. }), "{body}");
    }
    for body in
        [r#"{"generation_config":7}"#, r#"{"background":"yes"}"#, r#"{"agent":{}}"#, r#"{"tools":{}}"#]
    {
        assert!(matches!(error(GeminiInteractions, body), RequestError::WrongType { .. }), "{body}");
    }
}
