use super::*;

#[test]
fn a_batch_of_messages_may_spend_the_sum_of_its_caps() {
    let found = facts_at(
        Anthropic,
        "/v1/messages/batches",
        r#"{"requests":[
            {"custom_id":"a","params":{"model":"claude-sonnet-4-5","max_tokens":100,"stream":true,"messages":[],"thinking":{"budget_tokens":50}}},
            {"custom_id":"b","params":{"model":"claude-3-haiku-20240307","max_tokens":200,"tools":[{"type":"web_search_20250305"}]}},
            {"custom_id":"c","params":{"model":"claude-3-haiku-20240307"}}]}"#,
    );
    assert_eq!(found.model.as_deref(), Some("claude-sonnet-4-5"), "that of the first");
    assert_eq!(found.output_cap, Some(100 + 200 + 4_096), "one without a cap counts its model's maximum");
    assert!(found.background && !found.cap_supported && !found.stream);
    assert_eq!((found.thinking_budget, found.choices), (None, 1));
    assert_eq!(found.server_tools, ["web_search_20250305"]);
    let huge = r#"{"requests":[{"params":{"max_tokens":18446744073709551615}},{"params":{"max_tokens":5}}]}"#;
    assert_eq!(facts_at(Anthropic, "/v1/messages/batches", huge).output_cap, Some(u64::MAX));
    for body in [
        r#"{"requests":{}}"#,
        r#"{"requests":[{"params":{"Max_Tokens":5}}]}"#,
        r#"{"requests":[{"params":{"max_tokens":"5"}}]}"#,
        r#"{"requests":[{"params":{"max_tokens":5,"max_tokens":6}}]}"#,
    ] {
        assert!(read(&head(Anthropic, "/v1/messages/batches", None), body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_batch_in_a_file_cannot_be_seen() {
    let body = r#"{"input_file_id":"file-1","endpoint":"/v1/responses","completion_window":"24h"}"#;
    let found = facts_at(OpenaiResponses, "/v1/batches", body);
    assert_eq!((found.output_cap, found.cap_supported, found.background), (None, false, true));
    assert_eq!(found.unseen_input, ["input_file_id"]);
    let refused = rewrite(
        &head(OpenaiResponses, "/v1/batches", None),
        &found,
        body.as_bytes(),
        &Rewrite { output_cap: Some(5), include_usage: false },
    );
    assert_eq!(refused, Err(RequestError::CapNotSupported));
}

#[test]
fn geminis_embeddings_generate_nothing() {
    for verb in ["embedContent", "batchEmbedContents"] {
        let path = format!("/v1beta/models/gemini-embedding-001:{verb}");
        let found = facts_at(Gemini, &path, r#"{"content":{"parts":[{"text":"x"}]}}"#);
        assert_eq!((found.output_cap, found.cap_supported), (Some(0), false), "{verb}");
        assert_eq!(found.model.as_deref(), Some("gemini-embedding-001"));
    }
}
