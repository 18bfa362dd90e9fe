//! Laws that hold for every format, on an answer in each of them.

pub(crate) mod bodies;

use crate::meter::{End, Meter, Report, ResponseHead};
use bodies::{chunk, events, frame, meter};
use hudson_schema::Format;
use proptest::prelude::*;

/// A streamed answer in pieces: what comes before the last numbers, those, and an event that may follow the end. The
/// numbers are 40 in and 20 out everywhere.
fn answer(format: Format) -> (Vec<Vec<u8>>, Vec<u8>, Vec<u8>) {
    let sse = |pieces: &[&str]| pieces.iter().map(|piece| events(&[piece]).into_bytes()).collect();
    let lines = |pieces: &[&str]| pieces.iter().map(|piece| format!("{piece}\n").into_bytes()).collect();
    let parts: Vec<Vec<u8>> = match format {
        Format::Anthropic => sse(&[
            r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":40,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","delta":{"text":"hello"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":40,"output_tokens":20}}"#,
            r#"{"type":"message_stop"}"#,
        ]),
        Format::BedrockConverse => [
            ("messageStart", r#"{"role":"assistant"}"#),
            ("contentBlockDelta", r#"{"delta":{"text":"hello"}}"#),
            ("metadata", r#"{"usage":{"inputTokens":40,"outputTokens":20,"totalTokens":60}}"#),
            ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ]
        .map(|(name, payload)| frame("event", name, payload.as_bytes()))
        .to_vec(),
        Format::BedrockInvoke => [
            r#"{"type":"message_start","message":{"usage":{"input_tokens":40,"output_tokens":1}}}"#,
            r#"{"delta":{"text":"hello"}}"#,
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":40,"outputTokenCount":20}}"#,
            r#"{"type":"ping"}"#,
        ]
        .map(chunk)
        .to_vec(),
        Format::Cohere => sse(&[
            r#"{"type":"message-start","id":"c"}"#,
            r#"{"type":"content-delta","delta":{"message":{"content":{"text":"hello"}}}}"#,
            r#"{"type":"message-end","delta":{"usage":{"tokens":{"input_tokens":40,"output_tokens":20}}}}"#,
            "[DONE]",
        ]),
        Format::Gemini => sse(&[
            r#"{"responseId":"g","candidates":[{"content":{"parts":[{"text":"he"}]}}],"usageMetadata":{"promptTokenCount":40,"totalTokenCount":40}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"llo"}]}}]}"#,
            r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":40,"candidatesTokenCount":20,"totalTokenCount":60}}"#,
            r#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
        ]),
        Format::GeminiInteractions => sse(&[
            r#"{"event_type":"interaction.created","interaction":{"id":"v","status":"in_progress"}}"#,
            r#"{"event_type":"step.delta","delta":{"text":"hello"}}"#,
            r#"{"event_type":"interaction.completed","interaction":{"id":"v","status":"completed","usage":{"total_input_tokens":40,"total_output_tokens":20,"total_tokens":60}}}"#,
            "[DONE]",
        ]),
        Format::Ollama => lines(&[
            r#"{"message":{"content":"he"},"done":false}"#,
            r#"{"message":{"content":"llo"},"done":false}"#,
            r#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":40,"eval_count":20}"#,
            "",
        ]),
        Format::OpenaiAudio => sse(&[
            r#"{"type":"transcript.text.delta","delta":"he"}"#,
            r#"{"type":"transcript.text.delta","delta":"llo"}"#,
            r#"{"type":"transcript.text.done","usage":{"input_tokens":40,"output_tokens":20,"total_tokens":60}}"#,
            "[DONE]",
        ]),
        Format::OpenaiImages => sse(&[
            r#"{"type":"image_generation.partial_image","b64_json":"AA"}"#,
            r#"{"type":"image_generation.partial_image","b64_json":"AA"}"#,
            r#"{"type":"image_generation.completed","usage":{"input_tokens":40,"output_tokens":20,"total_tokens":60}}"#,
            "[DONE]",
        ]),
        Format::OpenaiRealtime => lines(&[
            r#"{"type":"response.created","response":{"id":"r","usage":null}}"#,
            r#"{"type":"response.output_text.delta","delta":"hello"}"#,
            r#"{"type":"response.done","response":{"id":"r","usage":{"input_tokens":40,"output_tokens":20,"total_tokens":60}}}"#,
            r#"{"type":"rate_limits.updated","rate_limits":[]}"#,
        ]),
        Format::OpenaiResponses => sse(&[
            r#"{"type":"response.created","response":{"id":"r","status":"in_progress","usage":null}}"#,
            r#"{"type":"response.output_text.delta","delta":"hello"}"#,
            r#"{"type":"response.completed","response":{"id":"r","status":"completed","usage":{"input_tokens":40,"output_tokens":20,"total_tokens":60}}}"#,
            r#"{"type":"response.in_progress","response":{"id":"r","status":"in_progress","usage":null}}"#,
        ]),
        _ => sse(&[
            r#"{"id":"c","choices":[{"delta":{"content":"hello"}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":20,"total_tokens":60}}"#,
            "[DONE]",
        ]),
    };
    let [first, second, last, after] = <[Vec<u8>; 4]>::try_from(parts).unwrap();
    (vec![first, second], last, after)
}

/// The event with the last numbers, with zeros in their place.
fn zeros(format: Format) -> Vec<u8> {
    let last = answer(format).1;
    match format {
        // Frames have checksums, so these are made anew.
        Format::BedrockConverse => {
            frame("event", "metadata", br#"{"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0}}"#)
        }
        Format::BedrockInvoke => {
            chunk(r#"{"amazon-bedrock-invocationMetrics":{"inputTokenCount":0,"outputTokenCount":0}}"#)
        }
        _ => {
            let text = String::from_utf8(last).unwrap();
            text.replace(":40", ":0").replace(":20", ":0").replace(":60", ":0").into_bytes()
        }
    }
}

fn is_answer(report: &Report) -> bool {
    report.exact && report.usage.is_some_and(|usage| (usage.input, usage.output, usage.total) == (40, 20, 60))
}

#[test]
fn nothing_is_exact_before_the_last_numbers_and_everything_is_after_them() {
    for format in Format::ALL {
        let (before, last, after) = answer(format);
        let before = before.concat();
        for end in [End::Complete, End::Interrupted] {
            let report = meter(format, &before, end);
            assert!(!report.exact && report.live_output > 0, "{format}: {report:?}");
        }
        let whole = [before, last, after].concat();
        assert!(is_answer(&meter(format, &whole, End::Complete)), "{format}");
    }
}

#[test]
fn the_last_numbers_again_change_nothing() {
    // Each completed picture is one of its own.
    for format in Format::ALL.into_iter().filter(|format| *format != Format::OpenaiImages) {
        let (before, last, after) = answer(format);
        let body = [before.concat(), last.clone(), last.clone(), after, last].concat();
        let report = meter(format, body, End::Complete);
        assert!(is_answer(&report), "{format}: {report:?}");
    }
}

#[test]
fn zeros_replace_no_numbers() {
    // Anthropic's output is the last one that is stated, whatever it is.
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Anthropic) {
        let (before, last, after) = answer(format);
        let body = [before.concat(), last, zeros(format), after].concat();
        let report = meter(format, body, End::Complete);
        assert!(is_answer(&report), "{format}: {report:?}");
    }
}

#[test]
fn no_format_reads_the_answer_of_another_as_exact_with_other_numbers() {
    for (one, other) in Format::ALL.into_iter().flat_map(|one| Format::ALL.map(|other| (one, other))) {
        let (before, last, after) = answer(one);
        let report = meter(other, [before.concat(), last, after].concat(), End::Complete);
        assert!(!report.exact || is_answer(&report), "{one} read as {other}: {report:?}");
    }
}

/// What is metered of a body that comes in pieces of this size.
fn in_pieces(format: Format, body: &[u8], size: usize, end: End) -> Report {
    let mut meter = Meter::new(format, &ResponseHead { status: 200, ..ResponseHead::default() });
    body.chunks(size).for_each(|piece| meter.feed(piece));
    meter.finish(end)
}

#[test]
fn what_breaks_off_in_an_event_like_those_before_it_counts_the_same_at_every_split() {
    for format in Format::ALL {
        let (before, last, after) = answer(format);
        // Events that repeat are read by what they share, of which the last one has a part.
        let body = [vec![before[1].clone(); 5], vec![last.clone(), last, after]].concat().concat();
        for (cut, end) in (0..=body.len()).flat_map(|cut| [(cut, End::Complete), (cut, End::Interrupted)]) {
            let whole = in_pieces(format, &body[..cut], usize::MAX, end);
            for size in [1, 2, 7, 39] {
                assert_eq!(in_pieces(format, &body[..cut], size, end), whole, "{format} cut at {cut}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_split_of_what_comes_and_goes_does_not_matter(
        which in 0..Format::ALL.len(),
        order in prop::collection::vec(0usize..6, 0..10),
        noise in prop::collection::vec(any::<u8>(), 0..16),
        size in 1usize..40,
        cut in any::<prop::sample::Index>(),
        complete in any::<bool>(),
    ) {
        let format = Format::ALL[which];
        let (before, last, after) = answer(format);
        let pieces = [before[0].clone(), before[1].clone(), last, after, zeros(format), noise];
        let body: Vec<u8> = order.iter().flat_map(|at| pieces[*at].clone()).collect();
        let body = &body[..cut.index(body.len() + 1)];
        let end = if complete { End::Complete } else { End::Interrupted };
        prop_assert_eq!(in_pieces(format, body, size, end), in_pieces(format, body, usize::MAX, end));
    }
}
