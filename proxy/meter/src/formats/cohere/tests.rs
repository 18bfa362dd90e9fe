use super::super::tests::bodies::{events, meter, numbers};
use crate::meter::End;
use hudson_schema::Format::Cohere;

const START: &str = r#"{"id":"c1","type":"message-start","delta":{"message":{"role":"assistant"}}}"#;
const TEXT: &str = r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"abcdef"}}}}"#;
const END: &str = r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":12,"output_tokens":65},"tokens":{"input_tokens":212,"output_tokens":66,"reasoning_tokens":9},"cached_tokens":208}}}"#;

#[test]
fn what_was_processed_counts_and_what_is_billed_stands_beside() {
    let report = meter(Cohere, events(&[START, TEXT, END, "[DONE]"]), End::Complete);
    assert!(report.exact && report.finished && report.stream);
    assert_eq!(numbers(&report), [212, 66, 208, 0, 9, 278]);
    let billed = report.billed.unwrap();
    assert_eq!((billed.input, billed.output, billed.total), (12, 65, 77));
    assert_eq!(report.response_id.as_deref(), Some("c1"));
    let cut = meter(Cohere, events(&[START, TEXT]), End::Interrupted);
    assert_eq!((cut.exact, cut.usage, cut.live_output), (false, None, 2));
}

#[test]
fn answers_that_are_not_streamed() {
    for (body, expected) in [
        (
            r#"{"id":"c1","finish_reason":"COMPLETE","message":{"content":[{"type":"text","text":"x"}]},"usage":{"billed_units":{"input_tokens":1,"output_tokens":2},"tokens":{"input_tokens":5,"output_tokens":3}}}"#,
            [5, 3, 0, 0, 0, 8],
        ),
        (
            r#"{"response_id":"r","text":"x","generation_id":"g","meta":{"api_version":{"version":"1"},"billed_units":{"input_tokens":1,"output_tokens":2},"tokens":{"input_tokens":5,"output_tokens":3}}}"#,
            [5, 3, 0, 0, 0, 8],
        ),
        // Embeddings state what is billed, of texts and of pictures.
        (r#"{"id":"e","embeddings":[[0.1]],"meta":{"billed_units":{"input_tokens":4}}}"#, [4, 0, 0, 0, 0, 4]),
        (
            r#"{"id":"e","meta":{"billed_units":{"input_tokens":4,"image_tokens":90,"images":1}}}"#,
            [94, 0, 0, 0, 0, 94],
        ),
    ] {
        let report = meter(Cohere, body, End::Complete);
        assert!(report.exact && !report.stream, "{body}");
        assert_eq!(numbers(&report), expected, "{body}");
        assert!(!meter(Cohere, &body[..body.len() - 1], End::Complete).exact);
    }
    let searches = r#"{"id":"r","results":[],"meta":{"billed_units":{"search_units":1}}}"#;
    let report = meter(Cohere, searches, End::Complete);
    assert!(!report.exact && report.usage.is_none(), "a search is no token");
}

#[test]
fn the_older_stream_is_json_in_a_row() {
    let body = concat!(
        r#"{"event_type":"stream-start","generation_id":"g","is_finished":false}"#,
        "\n",
        r#"{"event_type":"text-generation","text":"abcdef","is_finished":false}"#,
        "\n",
        r#"{"event_type":"stream-end","is_finished":true,"finish_reason":"COMPLETE","response":{"response_id":"r","text":"abcdef","meta":{"billed_units":{"input_tokens":1,"output_tokens":2},"tokens":{"input_tokens":5,"output_tokens":3}}}}"#,
        "\n",
    );
    let report = meter(Cohere, body, End::Complete);
    assert!(report.exact && report.stream);
    assert_eq!((numbers(&report), report.response_id.as_deref()), ([5, 3, 0, 0, 0, 8], Some("r")));
    let cut = meter(Cohere, &body[..body.len() - 10], End::Complete);
    assert_eq!((cut.exact, cut.live_output), (false, 2));
}
