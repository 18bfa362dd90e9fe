use super::*;

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
