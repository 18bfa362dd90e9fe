use super::*;

const CLAUDE: &str = "/model/us.anthropic.claude-3-7-sonnet-20250219-v1%3A0/converse";

#[test]
fn converse_names_its_model_and_stream_in_the_path() {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":300},"stream":true}"#;
    let found = facts_at(BedrockConverse, CLAUDE, body);
    assert_eq!(found.model.as_deref(), Some("us.anthropic.claude-3-7-sonnet-20250219-v1:0"));
    assert_eq!((found.output_cap, found.stream, found.cap_supported), (Some(300), false, true));
    let stream = facts_at(BedrockConverse, &format!("{CLAUDE}-stream"), body);
    assert!(stream.stream && !stream.include_usage_supported);
    let profile = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse";
    let found = facts_at(BedrockConverse, profile, body);
    assert_eq!(
        found.model.as_deref(),
        Some("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0")
    );
}

#[test]
fn a_vendors_cap_beside_converses_own_is_lowered_and_never_enough() {
    let body = r#"{"messages":[],"additionalModelRequestFields":{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2048}}}"#;
    let found = facts_at(BedrockConverse, CLAUDE, body);
    assert_eq!((found.output_cap, found.thinking_budget), (None, Some(2_048)));
    assert_eq!(
        capped_at(BedrockConverse, CLAUDE, body, 50),
        r#"{"inferenceConfig":{"maxTokens":50},"messages":[],"additionalModelRequestFields":{"max_tokens":50,"thinking":{"type":"enabled","budget_tokens":2048}}}"#
    );
    let own_name = r#"{"messages":[],"additionalModelRequestFields":{"maxTokens":9}}"#;
    assert_eq!(facts_at(BedrockConverse, CLAUDE, own_name).output_cap, None, "the place decides, too");
    let both = r#"{"inferenceConfig":{"maxTokens":10},"additionalModelRequestFields":{"inferenceConfig":{"max_new_tokens":70}}}"#;
    assert_eq!(
        facts_at(BedrockConverse, CLAUDE, both).output_cap,
        Some(70),
        "the larger may be the one that holds"
    );
    assert_eq!(
        capped_at(BedrockConverse, CLAUDE, both, 50),
        r#"{"inferenceConfig":{"maxTokens":10},"additionalModelRequestFields":{"inferenceConfig":{"max_new_tokens":50}}}"#
    );
}

#[test]
fn converse_lists_what_runs_at_the_provider_and_what_it_cannot_see() {
    let found = facts_at(
        BedrockConverse,
        CLAUDE,
        r#"{"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}},{"cachePoint":{"type":"default"}},
              {"systemTool":{"name":"nova_grounding"}},{"toolOfTheFuture":{}}]},
            "additionalModelRequestFields":{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"web_search_20250305"}]},
            "promptVariables":{"a":{"text":"b"}},"guardrailConfig":{"guardrailIdentifier":"g","guardrailVersion":"1"},
            "messages":[{"content":[{"document":{"format":"pdf","name":"d","source":{"s3Location":{"uri":"s3://b/k"}}}}]}]}"#,
    );
    assert_eq!(found.server_tools, ["nova_grounding", "toolOfTheFuture", "web_search_20250305"]);
    assert_eq!(found.unseen_input, ["promptVariables", "s3Location"]);
    assert!((16_000..18_000).contains(&found.input_estimate), "a file in S3 counts as ten pages");
}

#[test]
fn a_prompt_stored_at_bedrock_takes_no_cap() {
    let path = "/model/arn:aws:bedrock:us-east-1:1:prompt%2FABC:1/converse";
    let found = facts_at(BedrockConverse, path, r#"{"promptVariables":{"a":{"text":"b"}}}"#);
    assert!(!found.cap_supported);
    assert_eq!((found.output_cap, found.server_tools), (None, vec!["prompt".to_owned()]));
    assert_eq!(found.unseen_input, ["promptVariables", "prompt"]);
}

#[test]
fn media_of_converse_count_by_what_they_are() {
    let data = "A".repeat(400_000);
    let estimate = |part: &str| {
        facts_at(BedrockConverse, CLAUDE, &format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#))
            .input_estimate
    };
    let image = format!(r#"{{"image":{{"format":"png","source":{{"bytes":"{data}"}}}}}}"#);
    assert!((1_640..1_700).contains(&estimate(&image)));
    let inside = format!(r#"{{"toolResult":{{"toolUseId":"t","content":[{image}]}}}}"#);
    assert!((1_640..1_800).contains(&estimate(&inside)));
    let document =
        |format: &str| format!(r#"{{"document":{{"source":{{"bytes":"{data}"}},"format":"{format}"}}}}"#);
    assert!((150_000..152_000).contains(&estimate(&document("pdf"))));
    assert!((300_000..302_000).contains(&estimate(&document("docx"))));
    assert!((150_000..151_000).contains(&estimate(&document("txt"))), "plain text counts as text");
    let video = format!(r#"{{"video":{{"format":"mp4","source":{{"bytes":"{data}"}}}}}}"#);
    assert!((150_000..151_000).contains(&estimate(&video)));
    let audio = format!(r#"{{"audio":{{"format":"mp3","source":{{"bytes":"{data}"}}}}}}"#);
    assert!((37_000..39_000).contains(&estimate(&audio)));
    let argument = format!(r#"{{"toolUse":{{"input":{image}}}}}"#);
    assert!(estimate(&argument) > 130_000, "an argument is text");
}

#[test]
fn the_vendor_decides_which_cap_counts_behind_invoke() {
    for (model, body, cap, rewritten) in [
        ("anthropic.claude-3-haiku-20240307-v1:0", r#"{"max_tokens":90}"#, Some(90), r#"{"max_tokens":5}"#),
        (
            "anthropic.claude-instant-v1",
            r#"{"prompt":"\n\nHuman: hi","max_tokens_to_sample":50}"#,
            Some(50),
            r#"{"prompt":"\n\nHuman: hi","max_tokens_to_sample":5}"#,
        ),
        (
            "us.amazon.nova-micro-v1:0",
            r#"{"inferenceConfig":{"max_new_tokens":10}}"#,
            Some(10),
            r#"{"inferenceConfig":{"max_new_tokens":5}}"#,
        ),
        (
            "global.amazon.nova-2-lite-v1:0",
            r#"{"max_tokens":9}"#,
            None,
            r#"{"inferenceConfig":{"maxTokens":5},"max_tokens":9}"#,
        ),
        (
            "amazon.titan-text-lite-v1",
            r#"{"inputText":"x","textGenerationConfig":null}"#,
            None,
            r#"{"inputText":"x","textGenerationConfig":{"maxTokenCount":5}}"#,
        ),
        (
            "eu.meta.llama3-2-1b-instruct-v1:0",
            r#"{"prompt":"x","max_gen_len":60}"#,
            Some(60),
            r#"{"prompt":"x","max_gen_len":5}"#,
        ),
        (
            "meta.llama2-13b-chat-v1",
            r#"{"prompt":"x","max_tokens":60}"#,
            None,
            r#"{"max_gen_len":5,"prompt":"x","max_tokens":60}"#,
        ),
        (
            "mistral.mixtral-8x7b-instruct-v0:1",
            r#"{"prompt":"x","max_tokens":60}"#,
            Some(60),
            r#"{"prompt":"x","max_tokens":5}"#,
        ),
        ("us.deepseek.r1-v1:0", r#"{"prompt":"x"}"#, None, r#"{"max_tokens":5,"prompt":"x"}"#),
        (
            "openai.gpt-oss-120b-1:0",
            r#"{"messages":[],"max_tokens":9}"#,
            None,
            r#"{"max_completion_tokens":5,"messages":[],"max_tokens":5}"#,
        ),
        (
            "cohere.command-text-v14",
            r#"{"prompt":"x","max_tokens":20}"#,
            Some(20),
            r#"{"prompt":"x","max_tokens":5}"#,
        ),
        ("ai21.j2-mid-v1", r#"{"prompt":"x","maxTokens":20}"#, Some(20), r#"{"prompt":"x","maxTokens":5}"#),
    ] {
        let path = format!("/model/{}/invoke-with-response-stream", model.replace(':', "%3A"));
        let found = facts_at(BedrockInvoke, &path, body);
        assert_eq!((found.model.as_deref(), found.output_cap), (Some(model), cap), "{model}");
        assert!(found.stream && found.cap_supported && !found.include_usage_supported);
        assert_eq!(capped_at(BedrockInvoke, &path, body, 5), rewritten, "{model}");
    }
    let several = r#"{"prompt":"x","max_tokens":10,"num_generations":2,"stream":true}"#;
    let found = facts_at(BedrockInvoke, "/model/cohere.command-light-text-v14/invoke", several);
    assert_eq!((found.choices, found.stream), (2, false), "the path decides whether it streams");
}

#[test]
fn a_model_of_an_unknown_vendor_is_held_at_its_maximum() {
    for model in [
        "stability.sd3-5-large-v1:0",
        "amazon.nova-canvas-v1:0",
        "future.model-1",
        "arn:aws:bedrock:us-east-1:1:imported-model%2Fembed1",
    ] {
        let found = facts_at(BedrockInvoke, &format!("/model/{model}/invoke"), r#"{"max_tokens":5}"#);
        assert_eq!((found.output_cap, found.cap_supported), (None, false), "{model}");
    }
    for model in [
        "amazon.titan-embed-text-v2:0",
        "cohere.embed-v4:0",
        "us.cohere.rerank-v3-5:0",
        "amazon.nova-2-multimodal-embeddings-v1:0",
    ] {
        let found = facts_at(BedrockInvoke, &format!("/model/{model}/invoke"), r#"{"inputText":"x"}"#);
        assert_eq!((found.output_cap, found.cap_supported), (Some(0), false), "{model}");
    }
}

#[test]
fn what_bedrock_could_read_differently_is_an_error() {
    for body in [
        r#"{"inferenceConfig":{"maxTokens":1,"maxTokens":2}}"#,
        r#"{"inferenceConfig":{"MaxTokens":1}}"#,
        r#"{"InferenceConfig":{}}"#,
        r#"{"inferenceConfig":[]}"#,
        r#"{"inferenceConfig":"x"}"#,
        r#"{"inferenceConfig":{"maxTokens":"5"}}"#,
        r#"{"inferenceConfig":{"maxTokens":{}}}"#,
        r#"{"toolConfig":{"tools":{}}}"#,
        r#"{"additionalModelRequestFields":{"max_tokens":"5"}}"#,
        r#"{"additionalModelRequestFields":{"Max_Tokens":5}}"#,
    ] {
        assert!(read(&head(BedrockConverse, CLAUDE, None), body.as_bytes()).is_err(), "{body}");
    }
}
