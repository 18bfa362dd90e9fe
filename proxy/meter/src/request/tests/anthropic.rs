use super::*;

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
