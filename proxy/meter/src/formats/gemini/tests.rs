use crate::meter::{End, Meter, Report, ResponseHead};
use hudson_schema::Format;

fn meter(body: &str, end: End) -> Report {
    let head =
        ResponseHead { status: 200, content_type: None, content_encoding: None, ..ResponseHead::default() };
    let mut meter = Meter::new(Format::Gemini, &head);
    meter.feed(body.as_bytes());
    meter.finish(end)
}

fn chunk(reason: &str, usage: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"abc"}}]}}{reason}}}],"usageMetadata":{usage},"modelVersion":"g","responseId":"r"}}"#
    )
}

const STOP: &str = r#","finishReason":"STOP""#;

fn bodies(chunks: &[String]) -> [String; 3] {
    let wrapped: Vec<_> = chunks.iter().map(|chunk| format!("{{\"response\":{chunk}}}")).collect();
    [
        chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect(),
        format!("[{}\n]\n", chunks.join("\n,\r\n")),
        wrapped.iter().map(|chunk| format!("data: {chunk}\n\n")).collect(),
    ]
}

#[test]
fn the_last_snapshot_wins_whole() {
    let chunks = [
        chunk(
            "",
            r#"{"promptTokenCount":10,"candidatesTokenCount":500,"thoughtsTokenCount":283,"totalTokenCount":793}"#,
        ),
        chunk(
            STOP,
            r#"{"promptTokenCount":10,"candidatesTokenCount":5,"toolUsePromptTokenCount":30,"cachedContentTokenCount":8,"totalTokenCount":45}"#,
        ),
    ];
    for body in bodies(&chunks) {
        let report = meter(&body, End::Complete);
        assert!(report.exact && report.finished && report.stream, "{body}");
        let usage = report.usage.unwrap();
        assert_eq!(
            (usage.input, usage.output, usage.cache_read, usage.reasoning, usage.total),
            (10, 5, 8, 0, 45)
        );
        assert_eq!((report.model.as_deref(), report.response_id.as_deref()), (Some("g"), Some("r")));
        // The same body broken off: snapshots may fall, so the largest numbers count.
        let report = meter(&body, End::Interrupted);
        assert!(!report.exact);
        assert_eq!(report.usage.unwrap().total, 793);
    }
}

#[test]
fn thoughts_and_tool_prompts_count_when_no_total_is_stated() {
    let body = chunk(
        STOP,
        r#"{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":7,"toolUsePromptTokenCount":30}"#,
    );
    let report = meter(&body, End::Complete);
    assert!(report.exact && !report.stream);
    let usage = report.usage.unwrap();
    assert_eq!((usage.output, usage.reasoning, usage.total), (12, 7, 52));
}

#[test]
fn a_snapshot_without_numbers_is_none_and_a_blocked_prompt_is_final() {
    let chunks = [
        chunk("", r#"{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":15}"#),
        chunk(STOP, r#"{"trafficType":"ON_DEMAND"}"#),
    ];
    for body in bodies(&chunks) {
        assert_eq!(meter(&body, End::Complete).usage.unwrap().total, 15);
    }
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#;
    assert!(meter(blocked, End::Complete).exact);
    let error = r#"[{"error":{"code":429,"message":"x"}}]"#;
    let report = meter(error, End::Complete);
    assert!(report.finished && !report.exact && report.usage.is_none());
    let unclosed = format!("[{}", chunk(STOP, r#"{"promptTokenCount":1,"totalTokenCount":1}"#));
    assert!(!meter(&unclosed, End::Complete).exact, "the array was never closed");
}
