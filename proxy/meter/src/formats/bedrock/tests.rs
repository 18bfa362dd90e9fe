use super::super::tests::bodies::{chunk, frame, meter, numbers};
use crate::meter::{End, Meter, ResponseHead};
use hudson_schema::Format::BedrockConverse;

const METADATA: &str = r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":11,"outputTokens":236,"totalTokens":1275,"cacheReadInputTokens":0,"cacheWriteInputTokens":1028,"cacheWriteInputTokenCount":1028},"p":"ab"}"#;

/// A stream of frames by name and payload.
fn stream(frames: &[(&str, &str)]) -> Vec<u8> {
    frames.iter().flat_map(|(name, payload)| frame("event", name, payload.as_bytes())).collect()
}

const START: (&str, &str) = ("messageStart", r#"{"role":"assistant"}"#);
const TEXT: (&str, &str) = ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"abcdef"}}"#);

#[test]
fn usage_is_that_of_the_metadata() {
    for end in [End::Complete, End::Interrupted] {
        let report = meter(BedrockConverse, stream(&[START, TEXT, ("metadata", METADATA)]), end);
        assert!(report.exact && report.finished && report.stream && report.fault.is_none());
        assert_eq!(numbers(&report), [11, 236, 0, 1028, 0, 1275]);
    }
}

#[test]
fn an_answer_that_is_not_streamed() {
    let body = r#"{"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"end_turn","usage":{"inputTokens":12,"outputTokens":250,"cacheReadInputTokens":1028,"totalTokens":1290}}"#;
    let report = meter(BedrockConverse, body, End::Complete);
    assert!(report.exact && !report.stream);
    assert_eq!(numbers(&report), [12, 250, 1028, 0, 0, 1290]);
    assert!(!meter(BedrockConverse, &body[..body.len() - 1], End::Complete).exact);
    // Where the total says that the cache is a part of the input, it is not counted twice.
    let inside =
        r#"{"usage":{"inputTokens":2000,"outputTokens":10,"cacheReadInputTokens":1500,"totalTokens":2010}}"#;
    assert_eq!(numbers(&meter(BedrockConverse, inside, End::Complete))[5], 2010);
}

#[test]
fn other_objects_named_usage_are_not_read() {
    let trace = r#"{"trace":{"guardrail":{"inputAssessment":{"x":{"invocationMetrics":{"usage":{"inputTokens":9,"outputTokens":9,"totalTokens":18}}}}}},"usage":{"inputTokens":17,"outputTokens":16,"totalTokens":33}}"#;
    let report = meter(BedrockConverse, stream(&[START, ("metadata", trace)]), End::Complete);
    assert_eq!(numbers(&report), [17, 16, 0, 0, 0, 33]);
    // Nor is one that stands in another event.
    let report = meter(BedrockConverse, stream(&[START, ("contentBlockDelta", METADATA)]), End::Complete);
    assert!(!report.exact && report.usage.is_none());
}

#[test]
fn a_frame_that_is_not_sound_is_not_believed() {
    let mut wrong = stream(&[START, TEXT, ("metadata", METADATA)]);
    *wrong.last_mut().unwrap() ^= 1;
    let report = meter(BedrockConverse, &wrong, End::Complete);
    assert!(!report.exact && report.usage.is_none());
    assert_eq!(report.fault.as_deref(), Some("a frame's checksum does not fit"));
    assert_eq!(report.live_output, 2, "what it seemed to say is still counted");

    // One broken piece of text costs the whole stream its exactness, not its numbers.
    let mut text = frame("event", TEXT.0, TEXT.1.as_bytes());
    *text.last_mut().unwrap() ^= 1;
    let body = [stream(&[START]), text, stream(&[("metadata", METADATA)])].concat();
    let report = meter(BedrockConverse, body, End::Complete);
    assert!(!report.exact && report.fault.is_some());
    assert_eq!(numbers(&report)[0], 11);

    let mut absurd = stream(&[START]);
    absurd.extend_from_slice(&[0x01; 40]);
    let report = meter(BedrockConverse, absurd, End::Complete);
    assert_eq!(report.fault.as_deref(), Some("a frame's lengths or headers cannot be believed"));
}

#[test]
fn an_exception_is_a_failure() {
    for kind in ["exception", "error"] {
        let mut body = stream(&[START, TEXT]);
        body.extend(frame(kind, "throttlingException", br#"{"usage":{"inputTokens":1,"outputTokens":1}}"#));
        let report = meter(BedrockConverse, body, End::Complete);
        assert!(report.finished && !report.exact && report.usage.is_none(), "{kind}");
    }
}

#[test]
fn a_stream_that_broke_off_is_not_exact() {
    let whole = stream(&[START, TEXT, ("metadata", METADATA)]);
    for length in 0..whole.len() {
        let report = meter(BedrockConverse, &whole[..length], End::Interrupted);
        assert!(!report.exact && report.usage.is_none(), "cut at {length}");
    }
}

#[test]
fn frames_are_known_by_their_first_byte() {
    let frames = stream(&[START, ("metadata", METADATA)]);
    let json = br#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#.to_vec();
    let kinds = [None, Some("application/vnd.amazon.eventstream"), Some("application/json")];
    for (body, content_type) in [&frames, &json].into_iter().flat_map(|body| kinds.map(|kind| (body, kind))) {
        let head = ResponseHead { status: 200, content_type, ..ResponseHead::default() };
        let mut meter = Meter::new(BedrockConverse, &head);
        meter.feed(&[]);
        meter.feed(body);
        assert!(meter.finish(End::Complete).exact, "{content_type:?}");
    }
    for text in ["<html>", "upstream connect error"] {
        let report = meter(BedrockConverse, text, End::Complete);
        assert_eq!(report.fault.as_deref(), Some("the body is neither JSON nor SSE"));
    }
    let chat = chunk(r#"{"usage":{"inputTokens":1,"outputTokens":2}}"#);
    assert!(!meter(BedrockConverse, chat, End::Complete).exact, "another format's frames");
}
