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

#[test]
fn messages_of_a_web_socket_are_documents_in_a_row() {
    let message = |kind: &str, id: &str, usage: &str| {
        format!(
            r#"{{"type":"{kind}","response":{{"id":"{id}","model":"gpt","status":"x","usage":{usage}}}}}"#
        )
    };
    let created = message("response.created", "r1", "null");
    let limits = r#"{"type":"codex.rate_limits","usage":{"input_tokens":1000000},"plan_type":"pro"}"#;
    let turn = format!("{created}{limits}{}", message("response.completed", "r1", USAGE));
    let report = meter(&turn, End::Interrupted);
    assert!(report.exact && report.stream && report.usage.unwrap().total == 99);
    // A second turn in the same body is added; one that is not over makes it not exact.
    let second = turn.replace("r1", "r2");
    let report = meter(&(turn.clone() + &second), End::Interrupted);
    assert!(report.exact && report.usage.unwrap().total == 198);
    let open =
        turn + &created.replace("r1", "r2") + r#"{"type":"response.output_text.delta","delta":"abcdef"}"#;
    let report = meter(&open, End::Interrupted);
    assert!(!report.exact && !report.finished && report.usage.unwrap().total == 101);
    let refused = r#"{"type":"error","status":429,"error":{"code":"x"},"headers":{}}"#;
    let report = meter(&(created + refused), End::Complete);
    assert!(report.finished && !report.exact && report.usage.is_none());
}

#[test]
fn a_batch_is_final_when_its_status_is() {
    for (status, exact) in [
        ("completed", true),
        ("failed", true),
        ("expired", true),
        ("cancelled", true),
        ("in_progress", false),
        ("finalizing", false),
        ("cancelling", false),
    ] {
        let body = format!(
            r#"{{"id":"batch_1","object":"batch","errors":null,"status":"{status}","model":"gpt","request_counts":{{"total":1}},"usage":{USAGE}}}"#
        );
        let report = meter(&body, End::Complete);
        assert_eq!((report.exact, report.usage.unwrap().total), (exact, 99), "{status}");
        assert_eq!(report.response_id.as_deref(), Some("batch_1"));
    }
}
