use crate::meter::{End, Meter, Report, ResponseHead};
use hudson_schema::{Format, Usage};

fn meter(body: &str, end: End) -> Report {
    let head =
        ResponseHead { status: 200, content_type: None, content_encoding: None, ..ResponseHead::default() };
    let mut meter = Meter::new(Format::Anthropic, &head);
    meter.feed(body.as_bytes());
    meter.finish(end)
}

fn events(events: &[&str]) -> String {
    events.iter().map(|event| format!("event: x\ndata: {event}   \n\n")).collect()
}

fn start(id: &str, usage: &str) -> String {
    format!(
        r#"{{"type":"message_start","message":{{"id":"{id}","type":"message","model":"claude","usage":{usage}}}}}"#
    )
}

fn delta(usage: &str) -> String {
    format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#)
}

const STOP: &str = r#"{"type":"message_stop"}"#;

fn numbers(report: &Report) -> (u64, u64, u64, u64, u64) {
    let usage = report.usage.unwrap();
    (usage.input, usage.cache_write, usage.cache_read, usage.output, usage.total)
}

#[test]
fn absent_members_carry_over_and_zero_groups_replace_nothing() {
    for (first, last, expected) in [
        // Only the output changes.
        (
            r#"{"input_tokens":4,"cache_creation_input_tokens":10,"output_tokens":1}"#,
            r#"{"output_tokens":201}"#,
            (4, 10, 0, 201, 215),
        ),
        // Server tools: the cumulative input grows.
        (
            r#"{"input_tokens":2479,"output_tokens":1}"#,
            r#"{"input_tokens":404500,"output_tokens":9}"#,
            (404_500, 0, 0, 9, 404_509),
        ),
        // The input shrinks because most of it turns out cached: the larger one must not win.
        (
            r#"{"input_tokens":34824,"output_tokens":1}"#,
            r#"{"input_tokens":3883,"cache_read_input_tokens":30464,"output_tokens":5}"#,
            (3883, 0, 30_464, 5, 34_352),
        ),
        // Zeros on start, numbers at the end, and the other way round.
        (
            r#"{"input_tokens":0,"output_tokens":0}"#,
            r#"{"input_tokens":7,"output_tokens":5}"#,
            (7, 0, 0, 5, 12),
        ),
        (
            r#"{"input_tokens":7,"output_tokens":1}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5}"#,
            (7, 0, 0, 5, 12),
        ),
        // A null is not a zero.
        (
            r#"{"input_tokens":7,"output_tokens":1}"#,
            r#"{"input_tokens":null,"output_tokens":5}"#,
            (7, 0, 0, 5, 12),
        ),
    ] {
        let report = meter(&events(&[&start("m", first), &delta(last), STOP]), End::Complete);
        assert!(report.exact && report.finished, "{last}");
        assert_eq!(numbers(&report), expected, "{first} then {last}");
    }
}

#[test]
fn several_deltas_are_cumulative() {
    let body = events(&[
        &start("m", r#"{"input_tokens":10,"output_tokens":1}"#),
        r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}"#,
        &delta(r#"{"output_tokens":9}"#),
        STOP,
    ]);
    assert_eq!(numbers(&meter(&body, End::Complete)), (10, 0, 0, 9, 19));
}

#[test]
fn iterations_add_what_the_top_level_leaves_out() {
    let compaction = r#"{"input_tokens":612,"output_tokens":2819,"iterations":[
        {"type":"compaction","input_tokens":60385,"output_tokens":522},
        {"type":"message","input_tokens":612,"output_tokens":2819}]}"#;
    let advisor = r#"{"input_tokens":4727,"output_tokens":3391,"iterations":[
        {"type":"message","input_tokens":4727,"output_tokens":3391},
        {"type":"advisor_message","model":"other","input_tokens":2728,"output_tokens":3880}]}"#;
    let cached = r#"{"input_tokens":5,"output_tokens":5,"iterations":[
        {"type":"compaction","input_tokens":1,"cache_read_input_tokens":55096,"output_tokens":2},
        {"type":"message","input_tokens":5,"output_tokens":5}]}"#;
    for (usage, expected) in [
        (compaction, (60_997, 0, 0, 3_341, 64_338)),
        (advisor, (7_455, 0, 0, 7_271, 14_726)),
        (cached, (6, 0, 55_096, 7, 55_109)),
        (r#"{"input_tokens":6,"output_tokens":5,"iterations":[]}"#, (6, 0, 0, 5, 11)),
        (r#"{"input_tokens":6,"output_tokens":5,"iterations":null}"#, (6, 0, 0, 5, 11)),
    ] {
        let usage = usage.replace('\n', " ");
        let body =
            events(&[&start("m", r#"{"input_tokens":60385,"output_tokens":1}"#), &delta(&usage), STOP]);
        assert_eq!(numbers(&meter(&body, End::Complete)), expected);
        let whole = format!(r#"{{"id":"m","type":"message","model":"claude","content":[],"usage":{usage}}}"#);
        let report = meter(&whole, End::Complete);
        assert!(report.exact && report.finished && !report.stream);
        assert_eq!(numbers(&report), expected);
    }
}

#[test]
fn a_declined_attempt_is_processed_and_not_billed() {
    let usage = r#"{"input_tokens":20,"output_tokens":8,"iterations":[{"type":"message","input_tokens":19,"output_tokens":3},{"type":"fallback_message","input_tokens":20,"output_tokens":8}]}"#;
    let report = meter(&events(&[&start("m", "{}"), &delta(usage), STOP]), End::Complete);
    assert_eq!(numbers(&report), (39, 0, 0, 11, 50));
    assert_eq!(report.billed, Some(Usage { input: 20, output: 8, total: 28, ..Usage::default() }));
}

#[test]
fn what_broke_off_is_not_exact_and_leans_on_the_text() {
    let text = format!(
        r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{}"}}}}"#,
        "x".repeat(300)
    );
    let begin = start("m", r#"{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":2}"#);
    let report = meter(&events(&[&begin, &text]), End::Interrupted);
    assert!(!report.exact && !report.finished);
    assert_eq!((numbers(&report), report.live_output), ((10, 0, 5, 100, 115), 100));
    // Cut inside the event with the usage: it does not count.
    let mut cut = events(&[&begin, &text, &delta(r#"{"output_tokens":70}"#)]);
    let end = cut.rfind("70}").unwrap() + 2;
    cut.truncate(end);
    assert!(!meter(&cut, End::Interrupted).exact);
    // Closed right behind the object, before the blank line, as clients do that have what they want.
    let early = events(&[&begin, &delta(r#"{"output_tokens":70}"#)]);
    let report = meter(early.trim_end(), End::Interrupted);
    assert!(report.exact, "a stop reason with usage is final");
    // An error event ends the stream; what came before is no final number.
    let error = events(&[&begin, r#"{"type":"error","error":{"type":"overloaded_error"}}"#]);
    let report = meter(&error, End::Complete);
    assert!(report.finished && !report.exact);
    // A stream without any usage but the start's placeholder.
    assert!(!meter(&events(&[&begin, STOP]), End::Complete).exact);
}

#[test]
fn a_second_message_is_charged_on_top() {
    let one = start("m1", r#"{"input_tokens":10,"output_tokens":1}"#);
    let two = start("m2", r#"{"input_tokens":100,"output_tokens":1}"#);
    let last = delta(r#"{"output_tokens":5}"#);
    let report = meter(&events(&[&one, &last, &two, &last, STOP]), End::Complete);
    assert_eq!(numbers(&report), (110, 0, 0, 10, 120));
    assert!(report.fault.is_some() && report.exact);
    // The same message begun twice is one.
    let report = meter(&events(&[&one, &one, &last, STOP]), End::Complete);
    assert_eq!(numbers(&report), (10, 0, 0, 5, 15));
    assert_eq!(report.fault, None);
}

#[test]
fn usage_elsewhere_means_nothing() {
    let body = r#"{"type":"message","content":[{"usage":{"input_tokens":9,"output_tokens":9}}],"trace":{"usage":{"output_tokens":9}}}"#;
    assert_eq!(meter(body, End::Complete).usage, None);
}

fn result(id: &str, usage: &str) -> String {
    format!(
        r#"{{"custom_id":"x-{id}","result":{{"type":"succeeded","message":{{"id":"{id}","type":"message","model":"claude","content":[{{"type":"text","usage":{{"input_tokens":9}}}}],"usage":{usage}}}}}}}"#
    ) + "\n"
}

#[test]
fn the_results_of_a_batch_are_added_up() {
    let one = result("msg_1", r#"{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":3}"#);
    let compacted = result(
        "msg_2",
        r#"{"input_tokens":1,"output_tokens":1,"iterations":[{"type":"message","input_tokens":20,"output_tokens":2},{"type":"compaction","input_tokens":1,"output_tokens":1}]}"#,
    );
    let errored = "{\"custom_id\":\"e\",\"result\":{\"type\":\"errored\",\"error\":{\"type\":\"error\"}}}\n";
    let expired = "{\"custom_id\":\"f\",\"result\":{\"type\":\"expired\"}}\n";
    let body = [&one, &one, errored, &compacted, expired].concat();
    let report = meter(&body, End::Complete);
    assert!(report.exact && report.finished && report.fault.is_none());
    assert_eq!(numbers(&report), (31, 0, 5, 6, 42));
    assert_eq!((report.response_id.as_deref(), report.model.as_deref()), (Some("msg_1"), Some("claude")));

    // A file that was cut is not the whole batch, nor is one with a message that states nothing.
    for (body, end) in [(&body[..body.len() - 3], End::Complete), (&body, End::Interrupted)] {
        let report = meter(body, end);
        assert!(!report.exact && numbers(&report).4 == 42);
    }
    assert!(!meter(&(one + &result("msg_3", "null")), End::Complete).exact);
    let nothing = meter(expired, End::Complete);
    assert!(nothing.exact && nothing.usage == Some(Usage::default()), "what expired costs nothing");
}
