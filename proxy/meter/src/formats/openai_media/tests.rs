use super::super::tests::bodies::{events, meter, numbers};
use crate::meter::{End, Meter, ResponseHead};
use hudson_schema::Format::{OpenaiAudio, OpenaiImages};

const IMAGE_USAGE: &str = r#"{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}"#;

#[test]
fn pictures_streamed_and_not() {
    let body = format!(r#"{{"created":1,"data":[{{"b64_json":"AAAA"}}],"usage":{IMAGE_USAGE}}}"#);
    let report = meter(OpenaiImages, body, End::Complete);
    assert_eq!((report.exact, numbers(&report)), (true, [50, 50, 0, 0, 0, 100]));
    for name in ["image_generation", "image_edit"] {
        let partial =
            format!(r#"{{"type":"{name}.partial_image","b64_json":"AAAA","partial_image_index":0}}"#);
        let last = format!(r#"{{"type":"{name}.completed","b64_json":"AAAA","usage":{IMAGE_USAGE}}}"#);
        let report = meter(OpenaiImages, events(&[&partial, &last]), End::Complete);
        assert!(report.exact && report.finished && numbers(&report)[5] == 100, "{name}");
        // Each completed picture states its own.
        let report = meter(OpenaiImages, events(&[&partial, &last, &last]), End::Complete);
        assert!(report.exact && numbers(&report)[5] == 200, "{name}");
        let cut = meter(OpenaiImages, events(&[&partial, &partial]), End::Interrupted);
        assert_eq!((cut.exact, cut.usage, cut.live_output), (false, None, 200));
    }
    let by_the_piece = r#"{"created":1,"data":[{"url":"https://x"}]}"#;
    assert!(!meter(OpenaiImages, by_the_piece, End::Complete).exact);
}

#[test]
fn a_huge_picture_takes_constant_memory_and_its_usage_is_found() {
    let mut meter = Meter::new(OpenaiImages, &ResponseHead { status: 200, ..ResponseHead::default() });
    meter.feed(
        b"event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"",
    );
    for _ in 0..3_000 {
        meter.feed(&[b'A'; 1400]);
    }
    meter.feed(format!("\",\"usage\":{IMAGE_USAGE}}}\n\n").as_bytes());
    let report = meter.finish(End::Complete);
    assert_eq!((report.exact, report.usage.unwrap().total), (true, 100));
}

#[test]
fn transcriptions_and_speech() {
    let tokens = r#"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":10,"audio_tokens":4},"output_tokens":101,"total_tokens":115}"#;
    let report = meter(OpenaiAudio, format!(r#"{{"text":"x","usage":{tokens}}}"#), End::Complete);
    assert_eq!((report.exact, numbers(&report)), (true, [14, 101, 0, 0, 0, 115]));
    let delta = r#"{"type":"transcript.text.delta","delta":"abcdef"}"#;
    let done = format!(r#"{{"type":"transcript.text.done","text":"abcdef","usage":{tokens}}}"#);
    assert!(meter(OpenaiAudio, events(&[delta, &done]), End::Complete).exact);
    let cut = meter(OpenaiAudio, events(&[delta]), End::Interrupted);
    assert_eq!((cut.exact, cut.live_output), (false, 2));
    let audio = format!(r#"{{"type":"speech.audio.delta","audio":"{}"}}"#, "A".repeat(2_560));
    let done =
        r#"{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}"#;
    assert!(meter(OpenaiAudio, events(&[&audio, done]), End::Complete).exact);
    assert_eq!(meter(OpenaiAudio, events(&[&audio]), End::Interrupted).live_output, 10);
}

#[test]
fn what_is_priced_by_the_minute_or_is_no_json_states_nothing() {
    for body in [
        r#"{"text":"x","usage":{"type":"duration","seconds":9.4}}"#,
        r#"{"text":"x"}"#,
        "plain text of a speaker",
        "ID3\u{4}",
    ] {
        let report = meter(OpenaiAudio, body, End::Complete);
        assert!(!report.exact && report.usage.is_none(), "{body}");
    }
    let head = ResponseHead { status: 200, content_type: Some("audio/mpeg"), ..ResponseHead::default() };
    let mut meter = Meter::new(OpenaiAudio, &head);
    meter.feed(br#"{"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}"#);
    let report = meter.finish(End::Complete);
    assert!(!report.exact && report.usage.is_none() && report.fault.is_some());
}
