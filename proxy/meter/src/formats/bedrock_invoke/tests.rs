use super::super::tests::bodies::{chunk, frame, meter, numbers};
use crate::meter::{End, Meter, ResponseHead};
use hudson_schema::Format::BedrockInvoke;
use hudson_schema::Usage;

const METRICS: &str = r#""amazon-bedrock-invocationMetrics":{"inputTokenCount":603,"outputTokenCount":146,"invocationLatency":5023,"cacheReadInputTokenCount":7,"cacheWriteInputTokenCount":4}"#;

fn with_metrics(vendor: &str) -> Vec<u8> {
    let comma = if vendor.is_empty() { "" } else { "," };
    chunk(&format!("{{{vendor}{comma}{METRICS}}}"))
}

#[test]
fn the_metrics_of_the_last_chunk_hold_for_every_vendor() {
    for (texts, last) in [
        // Anthropic, old Anthropic, Nova, Titan, Llama, Cohere, Mistral, and what is shaped like OpenAI's.
        (
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"abcdef"}}"#,
            r#""type":"message_stop""#,
        ),
        (r#"{"completion":"abcdef","stop_reason":null}"#, r#""completion":"""#),
        (r#"{"contentBlockDelta":{"delta":{"text":"abcdef"}}}"#, r#""metadata":{"usage":{"inputTokens":1}}"#),
        (r#"{"outputText":"abcdef","index":0}"#, r#""totalOutputTextTokenCount":2"#),
        (r#"{"generation":"abcdef","prompt_token_count":null}"#, r#""generation_token_count":2"#),
        (r#"{"index":0,"is_finished":false,"text":"abcdef"}"#, r#""is_finished":true"#),
        (r#"{"outputs":[{"text":"abcdef"}]}"#, ""),
        (r#"{"choices":[{"delta":{"content":"abcdef"}}]}"#, r#""choices":[]"#),
    ] {
        let text = chunk(texts);
        let report = meter(BedrockInvoke, &text, End::Interrupted);
        assert_eq!((report.exact, report.live_output), (false, 2), "{texts}");
        let report = meter(BedrockInvoke, [text, with_metrics(last)].concat(), End::Complete);
        assert!(report.exact && report.finished && report.stream, "{last}");
        assert_eq!(numbers(&report), [603, 146, 7, 4, 0, 760], "{last}");
    }
}

#[test]
fn a_stream_without_metrics_is_never_exact() {
    let start = chunk(
        r#"{"type":"message_start","message":{"id":"msg_1","model":"claude","usage":{"input_tokens":603,"output_tokens":2}}}"#,
    );
    let delta =
        chunk(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":146}}"#);
    let report = meter(BedrockInvoke, [start, delta].concat(), End::Complete);
    assert!(!report.exact && !report.finished);
    assert_eq!(numbers(&report), [603, 146, 0, 0, 0, 749]);
    assert_eq!((report.response_id.as_deref(), report.model.as_deref()), (Some("msg_1"), Some("claude")));
    let trace = chunk(
        r#"{"outputText":"no","amazon-bedrock-trace":{"guardrail":{"invocationMetrics":{"usage":{"inputTokens":1},"inputTokenCount":3,"outputTokenCount":3}}}}"#,
    );
    assert_eq!(meter(BedrockInvoke, trace, End::Complete).usage, None);
}

#[test]
fn what_is_no_model_json_is_a_fault() {
    for body in [
        chunk("plain text of an agent"),
        chunk(r#"{"cut":"#),
        frame("event", "chunk", br#"{"bytes":"QUJ"}"#),
        frame("event", "trace", br#"{"trace":{}}"#),
    ] {
        let report = meter(BedrockInvoke, [body, with_metrics("")].concat(), End::Complete);
        assert!(!report.exact && report.fault.as_deref() == Some("an event is not JSON"), "{report:?}");
    }
    let report = meter(BedrockInvoke, frame("exception", "modelTimeoutException", b"{}"), End::Complete);
    assert!(report.finished && !report.exact && report.usage.is_none());
}

#[test]
fn a_huge_chunk_takes_constant_memory() {
    let body = chunk(&format!(r#"{{"image":"{}",{METRICS}}}"#, "A".repeat(3 << 20)));
    let mut meter = Meter::new(BedrockInvoke, &ResponseHead { status: 200, ..ResponseHead::default() });
    body.chunks(16 << 10).for_each(|piece| meter.feed(piece));
    let report = meter.finish(End::Complete);
    assert_eq!((report.exact, report.usage.unwrap().total), (true, 760));
}

#[test]
fn headers_come_before_the_body_and_a_vendors_own_numbers_after_them() {
    for (body, expected) in [
        (
            r#"{"id":"msg","usage":{"input_tokens":5,"cache_read_input_tokens":3,"output_tokens":7}}"#,
            [5, 7, 3, 0, 0, 15],
        ),
        (r#"{"usage":{"inputTokens":5,"outputTokens":7,"cacheReadInputTokenCount":3}}"#, [5, 7, 3, 0, 0, 15]),
        (r#"{"inputTextTokenCount":5,"results":[{"tokenCount":3},{"tokenCount":4}]}"#, [5, 7, 0, 0, 0, 12]),
        (r#"{"generation":"x","prompt_token_count":5,"generation_token_count":7}"#, [5, 7, 0, 0, 0, 12]),
        (
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":3}}}"#,
            [5, 7, 3, 0, 0, 12],
        ),
        (r#"{"embedding":[0.1],"inputTextTokenCount":5}"#, [5, 0, 0, 0, 0, 5]),
    ] {
        let report = meter(BedrockInvoke, body, End::Complete);
        assert!(report.exact && !report.stream, "{body}");
        assert_eq!(numbers(&report), expected, "{body}");
        let stated = Usage { input: 1, total: 1, ..Usage::default() };
        let head = ResponseHead { status: 200, stated: Some(stated), ..ResponseHead::default() };
        let mut meter = Meter::new(BedrockInvoke, &head);
        meter.feed(body.as_bytes());
        assert_eq!(meter.finish(End::Interrupted).usage, Some(stated));
    }
    let report = meter(BedrockInvoke, r#"{"generations":[{"text":"x"}]}"#, End::Complete);
    assert!(!report.exact && report.usage.is_none(), "Cohere's old models state nothing");
}
