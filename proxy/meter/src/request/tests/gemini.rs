use super::*;

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
