use crate::meter::{End, Meter, Report, ResponseHead};
use hudson_schema::Format;

fn meter(body: &str, end: End) -> Report {
    let head =
        ResponseHead { status: 200, content_type: None, content_encoding: None, ..ResponseHead::default() };
    let mut meter = Meter::new(Format::OpenaiResponses, &head);
    meter.feed(body.as_bytes());
    meter.finish(end)
}

fn event(kind: &str, usage: &str) -> String {
    format!(
        "event: {kind}\ndata: {{\"type\":\"{kind}\",\"response\":{{\"id\":\"resp_1\",\"model\":\"gpt\",\"status\":\"x\",\"usage\":{usage}}}}}\n\n"
    )
}

const USAGE: &str = r#"{"input_tokens":90,"input_tokens_details":{"cached_tokens":64,"cache_write_tokens":3},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":99}"#;

#[test]
fn every_terminal_event_counts() {
    for kind in ["response.completed", "response.incomplete", "response.failed", "response.done"] {
        // Codex closes the connection right behind the event.
        for end in [End::Complete, End::Interrupted] {
            let body = event("response.created", "null") + event(kind, USAGE).trim_end();
            let report = meter(&body, end);
            assert!(report.exact && report.finished && report.stream, "{kind}");
            let usage = report.usage.unwrap();
            assert_eq!((usage.input, usage.output, usage.total), (90, 9, 99));
            assert_eq!((usage.cache_read, usage.cache_write, usage.reasoning), (64, 3, 4));
            assert_eq!(
                (report.response_id.as_deref(), report.model.as_deref()),
                (Some("resp_1"), Some("gpt"))
            );
        }
    }
}

#[test]
fn a_failure_without_numbers_is_finished_and_not_exact() {
    for body in [event("response.failed", "null"), "data: {\"type\":\"error\",\"code\":\"x\"}\n\n".to_owned()]
    {
        let report = meter(&body, End::Complete);
        assert!(report.finished && !report.exact && report.usage.is_none());
    }
    let report = meter(&event("response.in_progress", "null"), End::Complete);
    assert!(!report.finished && !report.exact);
    let text = r#"data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"abcdef"}"#;
    let report = meter(&format!("{}{text}\n\n", event("response.created", "null")), End::Interrupted);
    assert_eq!((report.live_output, report.response_id.as_deref()), (2, Some("resp_1")));
}

#[test]
fn bodies_that_are_not_streamed() {
    let whole = format!(
        r#"{{"id":"resp_1","object":"response","status":"completed","model":"gpt","error":null,"output":[{{"id":"msg","status":"completed","usage":{{"input_tokens":1}}}}],"usage":{USAGE}}}"#
    );
    let compact = format!(r#"{{"id":"c","object":"response.compaction","output":[],"usage":{USAGE}}}"#);
    for body in [whole, compact] {
        let report = meter(&body, End::Complete);
        assert!(report.exact && report.finished && !report.stream);
        assert_eq!(report.usage.unwrap().total, 99);
    }
    let queued = r#"{"id":"resp_1","status":"queued","background":true,"usage":null,"error":null}"#;
    let report = meter(queued, End::Complete);
    assert!(!report.exact && !report.finished && report.usage.is_none());
}

#[test]
fn websocket_messages_are_events_without_an_envelope() {
    let created = r#"{"type":"response.created","response":{"id":"resp_1","usage":null}}"#;
    let delta = r#"{"type":"response.output_text.delta","delta":"hello"}"#;
    let completed =
        format!(r#"{{"type":"response.completed","response":{{"id":"resp_1","usage":{USAGE}}}}}"#);
    let report = meter(&format!("{created}{delta}{completed}"), End::Interrupted);
    assert!(report.exact && report.finished);
    assert_eq!((report.usage.unwrap().total, report.response_id.as_deref()), (99, Some("resp_1")));
}
