use crate::meter::{End, Meter, Report, ResponseHead};
use hudson_schema::Format;

fn meter(body: &str, end: End) -> Report {
    let head = ResponseHead {
        status: 200,
        content_type: Some("text/event-stream"),
        content_encoding: None,
        ..ResponseHead::default()
    };
    let mut meter = Meter::new(Format::OpenaiChat, &head);
    meter.feed(body.as_bytes());
    meter.finish(end)
}

fn chunk(usage: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}],{usage}}}\n\ndata: [DONE]\n\n"
    )
}

/// input, output, cache_read, reasoning, total
fn numbers(report: &Report) -> (u64, u64, u64, u64, u64) {
    let usage = report.usage.unwrap();
    (usage.input, usage.output, usage.cache_read, usage.reasoning, usage.total)
}

#[test]
fn the_compatible_servers_variations() {
    for (usage, expected) in [
        (
            r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}"#,
            (10, 5, 4, 0, 15),
        ),
        // Groq: twice the same, or only in x_groq.
        (
            r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15},"x_groq":{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#,
            (10, 5, 0, 0, 15),
        ),
        (
            r#""x_groq":{"id":"r","usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#,
            (10, 5, 0, 0, 15),
        ),
        // xAI: reasoning stands beside the completion.
        (
            r#""usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":303,"completion_tokens_details":{"reasoning_tokens":290}}"#,
            (12, 291, 0, 290, 303),
        ),
        // OpenAI: it is part of it.
        (
            r#""usage":{"prompt_tokens":12,"completion_tokens":300,"total_tokens":312,"completion_tokens_details":{"reasoning_tokens":290}}"#,
            (12, 300, 0, 290, 312),
        ),
        // Mistral: audio is only in the total.
        (
            r#""usage":{"prompt_tokens":11,"completion_tokens":15,"total_tokens":401,"prompt_audio_seconds":5}"#,
            (11, 15, 0, 0, 401),
        ),
        // A total that is missing or too small.
        (r#""usage":{"prompt_tokens":11,"completion_tokens":15}"#, (11, 15, 0, 0, 26)),
        (r#""usage":{"prompt_tokens":11,"completion_tokens":15,"total_tokens":3}"#, (11, 15, 0, 0, 26)),
        // Hugging Face and DeepSeek.
        (
            r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cached_tokens":3}"#,
            (10, 5, 3, 0, 15),
        ),
        (
            r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}"#,
            (10, 5, 8, 0, 15),
        ),
        (
            r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":null,"completion_tokens_details":null}"#,
            (10, 5, 0, 0, 15),
        ),
        // Absurd numbers saturate.
        (
            r#""usage":{"prompt_tokens":1e300,"completion_tokens":18446744073709551615,"total_tokens":-5}"#,
            (u64::MAX, u64::MAX, 0, 0, u64::MAX),
        ),
    ] {
        let report = meter(&chunk(usage), End::Complete);
        assert!(report.exact && report.finished, "{usage}");
        assert_eq!(numbers(&report), expected, "{usage}");
    }
}

#[test]
fn the_last_object_wins_unless_it_is_empty() {
    let with = |usage: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"x\"}}}}],\"usage\":{usage}}}\n\n")
    };
    let growing: String =
        (1..9).map(|n| with(&format!("{{\"prompt_tokens\":10,\"completion_tokens\":{n}}}"))).collect();
    let report = meter(
        &(growing.clone() + &chunk(r#""usage":{"prompt_tokens":10,"completion_tokens":9}"#)),
        End::Complete,
    );
    assert_eq!(numbers(&report), (10, 9, 0, 0, 19));
    for nothing in ["null", "{}", "[]", "7", r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#]
    {
        let report = meter(
            &(chunk(r#""usage":{"prompt_tokens":10,"completion_tokens":9}"#) + &with(nothing)),
            End::Complete,
        );
        assert_eq!(numbers(&report), (10, 9, 0, 0, 19), "{nothing}");
    }
    // Cut in the middle of running counts.
    let report = meter(&growing, End::Interrupted);
    assert!(!report.exact && report.usage.is_some());
    assert!(!meter(&growing, End::Complete).exact, "no finish reason and no [DONE]");
}

#[test]
fn comments_marks_line_ends_and_errors_in_band() {
    let body = format!(
        "\u{feff}: OPENROUTER PROCESSING\n\n: keep-alive\n\n{}",
        chunk(r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#)
    );
    for eol in ["\n", "\r\n", "\r"] {
        assert_eq!(numbers(&meter(&body.replace('\n', eol), End::Complete)), (1, 2, 0, 0, 3), "{eol:?}");
    }
    let report = meter("data: {\"error\":{\"message\":\"boom\"}}\n\n", End::Complete);
    assert!(report.finished && !report.exact && report.usage.is_none());
    let report = meter("data: {\"choices\":[]}\n\ndata: not json\n\ndata: [DONE]\n\n", End::Complete);
    assert_eq!((report.fault.as_deref(), report.exact), (Some("an event is not JSON"), false));
}

#[test]
fn usage_comes_after_the_finish_reason() {
    let body = "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    // The client closed the moment it had the usage: no blank line, no [DONE].
    let report = meter(body, End::Interrupted);
    assert!(report.exact && !report.finished);
}

#[test]
fn bodies_that_are_not_streamed() {
    let head = ResponseHead {
        status: 200,
        content_type: Some("application/json"),
        content_encoding: None,
        ..ResponseHead::default()
    };
    for (body, expected) in [
        // DeepSeek keeps the connection alive with empty lines.
        (
            "\n\n\n{\"id\":\"c\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}",
            (1, 2, 0, 0, 3),
        ),
        (
            r#"{"object":"list","data":[{"embedding":[0.1,0.2]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            (8, 0, 0, 0, 8),
        ),
    ] {
        let mut meter = Meter::new(Format::OpenaiChat, &head);
        body.bytes().for_each(|byte| meter.feed(&[byte]));
        let report = meter.finish(End::Complete);
        assert!(report.exact && report.finished && !report.stream);
        assert_eq!(numbers(&report), expected);
    }
    let mut cut = Meter::new(Format::OpenaiChat, &head);
    cut.feed(br#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#);
    assert_eq!(cut.finish(End::Interrupted).usage, None);
}
