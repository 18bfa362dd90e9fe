use super::super::tests::bodies::{meter, numbers};
use crate::meter::End;
use hudson_schema::Format::OpenaiRealtime;

const USAGE: &str = r#"{"total_tokens":188,"input_tokens":90,"output_tokens":98,"input_token_details":{"text_tokens":51,"audio_tokens":39,"cached_tokens":32,"cached_tokens_details":{"text_tokens":32}},"output_token_details":{"text_tokens":24,"audio_tokens":74}}"#;

fn session(format: &str) -> String {
    format!(
        r#"{{"event_id":"e","type":"session.created","session":{{"model":"gpt-realtime","audio":{{"output":{{"format":{{"type":"{format}"}}}}}}}}}}"#
    )
}

fn created(id: &str) -> String {
    format!(r#"{{"type":"response.created","response":{{"id":"{id}","status":"in_progress","usage":null}}}}"#)
}

fn done(id: &str, usage: &str) -> String {
    format!(
        r#"{{"type":"response.done","response":{{"id":"{id}","status":"completed","output":[{{"usage":{{"input_tokens":9}}}}],"usage":{usage}}}}}"#
    )
}

fn audio() -> String {
    format!(r#"{{"delta":"{}","type":"response.output_audio.delta"}}"#, "A".repeat(24_000))
}

#[test]
fn every_response_of_the_socket_is_added_once() {
    let error = r#"{"type":"error","error":{"type":"invalid_request_error"}}"#.to_owned();
    let body = [
        session("audio/pcm"),
        created("r1"),
        done("r1", USAGE),
        done("r1", USAGE),
        error,
        created("r2"),
        done("r2", USAGE),
    ];
    let report = meter(OpenaiRealtime, body.concat(), End::Interrupted);
    assert!(report.exact && report.finished && report.stream);
    assert_eq!(numbers(&report), [180, 196, 64, 0, 0, 376]);
    assert_eq!((report.model.as_deref(), report.response_id.as_deref()), (Some("gpt-realtime"), Some("r1")));
}

#[test]
fn usage_may_stand_beside_the_response() {
    let body = format!(r#"{{"type":"response.done","response":{{"id":"r1","usage":{{}}}},"usage":{USAGE}}}"#);
    assert_eq!(numbers(&meter(OpenaiRealtime, body, End::Complete))[5], 188);
}

#[test]
fn what_was_heard_is_transcribed_by_another_model_and_added() {
    let heard = r#"{"type":"conversation.item.input_audio_transcription.completed","transcript":"x","usage":{"type":"tokens","total_tokens":17,"input_tokens":13,"output_tokens":4}}"#;
    let by_the_minute =
        heard.replace(r#""total_tokens":17,"input_tokens":13,"output_tokens":4"#, r#""seconds":2"#);
    let body = [created("r1"), heard.to_owned(), by_the_minute, done("r1", USAGE)].concat();
    assert_eq!(numbers(&meter(OpenaiRealtime, body, End::Complete))[5], 205);
    // A session that only transcribes has nothing else.
    let report = meter(OpenaiRealtime, heard, End::Complete);
    assert_eq!((report.exact, numbers(&report)[5]), (true, 17));
}

#[test]
fn a_response_that_did_not_end_is_not_exact_and_its_audio_is_counted() {
    for (format, tokens) in [("audio/pcm", 10), ("audio/pcmu", 60)] {
        let body = [session(format), created("r1"), audio()].concat();
        let report = meter(OpenaiRealtime, body, End::Interrupted);
        assert_eq!((report.exact, report.usage, report.live_output), (false, None, tokens), "{format}");
    }
    let text = r#"{"type":"response.output_text.delta","delta":"abcdef"}"#.to_owned();
    let body =
        [session("audio/pcm"), created("r1"), done("r1", USAGE), created("r2"), text, audio()].concat();
    let report = meter(OpenaiRealtime, body, End::Interrupted);
    assert!(!report.exact && !report.finished);
    assert_eq!(numbers(&report), [90, 110, 32, 0, 0, 200]);
    // One that failed without numbers leaves a hole.
    let body = [created("r1"), done("r1", USAGE), created("r2"), done("r2", "null")].concat();
    let report = meter(OpenaiRealtime, &body, End::Complete);
    assert_eq!((report.exact, numbers(&report)[5]), (false, 188));
    let report = meter(OpenaiRealtime, body + &done("r3", USAGE), End::Complete);
    assert_eq!((report.exact, numbers(&report)[5]), (false, 376));
}
