use super::*;
use realtime::{RealtimeCap, RealtimeKind, TurnTaking};

/// A message to OpenAI's Responses.
const SOCKET: RequestHead<'_> = RequestHead {
    format: OpenaiResponses,
    host: "api.openai.com",
    path: "/v1/responses",
    query: None,
    content_type: None,
    socket: true,
    models: &[],
};

fn message(text: &str) -> realtime::RealtimeMessage {
    realtime::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn each_message_of_a_realtime_socket_is_known_by_its_type() {
    for (text, kind, begins) in [
        (r#"{"type":"session.update","session":{"type":"realtime"}}"#, RealtimeKind::SessionUpdate, false),
        (r#"{"type":"session.updated","session":{}}"#, RealtimeKind::Session, false),
        (r#"{"type":"response.create"}"#, RealtimeKind::Response, true),
        (r#"{"type":"conversation.item.create","item":{"type":"message"}}"#, RealtimeKind::Item, false),
        (
            r#"{"type":"conversation.item.create","item":{"type":"mcp_approval_response","approve":true}}"#,
            RealtimeKind::Item,
            true,
        ),
        (r#"{"type":"input_audio_buffer.append","audio":""}"#, RealtimeKind::AudioAppend, false),
        (r#"{"type":"input_audio_buffer.commit"}"#, RealtimeKind::AudioCommit, false),
        (r#"{"type":"response.cancel"}"#, RealtimeKind::Control, false),
        (r#"{"type":"message.of.the.future"}"#, RealtimeKind::Other, true),
        (r#"{"session":{}}"#, RealtimeKind::Other, true),
    ] {
        assert_eq!((message(text).kind, message(text).begins_answer), (kind, begins), "{text}");
    }
}

#[test]
fn the_cap_of_an_answer_is_read_and_set() {
    for (text, cap, set) in [
        (
            r#"{"type":"response.create","response":{"max_output_tokens":900}}"#,
            RealtimeCap::Tokens(900),
            Some(r#"{"type":"response.create","response":{"max_output_tokens":50}}"#),
        ),
        (
            r#"{"response":{"max_response_output_tokens":"inf"},"type":"response.create"}"#,
            RealtimeCap::Unlimited,
            Some(r#"{"response":{"max_response_output_tokens":50},"type":"response.create"}"#),
        ),
        (
            r#"{"type":"response.create","response":{"instructions":"x"}}"#,
            RealtimeCap::Unchanged,
            Some(r#"{"type":"response.create","response":{"max_output_tokens":50,"instructions":"x"}}"#),
        ),
        (
            r#"{"type":"response.create"}"#,
            RealtimeCap::Unchanged,
            Some(r#"{"response":{"max_output_tokens":50},"type":"response.create"}"#),
        ),
        (
            r#"{"type":"session.update","session":{"max_output_tokens":20}}"#,
            RealtimeCap::Tokens(20),
            Some(r#"{"type":"session.update","session":{"max_output_tokens":20}}"#),
        ),
        (r#"{"type":"session.update","session":{"type":"transcription"}}"#, RealtimeCap::Unchanged, None),
        (r#"{"type":"conversation.item.create","item":{}}"#, RealtimeCap::Unchanged, None),
    ] {
        assert_eq!(message(text).cap, cap, "{text}");
        let changed = realtime::cap(text.as_bytes(), 50);
        assert_eq!(changed.ok().map(|text| String::from_utf8(text).unwrap()).as_deref(), set, "{text}");
    }
}

#[test]
fn a_cap_larger_than_the_server_takes_is_never_written() {
    let text = r#"{"type":"response.create","response":{"max_output_tokens":"inf"}}"#;
    let changed = String::from_utf8(realtime::cap(text.as_bytes(), 20_000).unwrap()).unwrap();
    assert_eq!(changed, text.replace("\"inf\"", "4096"));
}

#[test]
fn a_session_says_who_takes_turns() {
    for (session, turns) in [
        (r"{}", None),
        (r#"{"audio":{"input":{"turn_detection":null}}}"#, Some(TurnTaking::Client)),
        (r#"{"turn_detection":null}"#, Some(TurnTaking::Client)),
        (r#"{"turn_detection":{"type":"none"}}"#, Some(TurnTaking::Client)),
        (r#"{"audio":{"input":{"turn_detection":{"type":"server_vad"}}}}"#, Some(TurnTaking::Server)),
        (r#"{"turn_detection":{"type":"semantic_vad","create_response":true}}"#, Some(TurnTaking::Server)),
        (r#"{"turn_detection":{"type":"semantic_vad","create_response":false}}"#, Some(TurnTaking::Client)),
        (
            r#"{"turn_detection":{"type":"server_vad","create_response":false,"idle_timeout_ms":5000}}"#,
            Some(TurnTaking::Server),
        ),
        (
            r#"{"turn_detection":null,"audio":{"input":{"turn_detection":{"type":"server_vad"}}}}"#,
            Some(TurnTaking::Server),
        ),
    ] {
        let text = format!(r#"{{"type":"session.update","session":{session}}}"#);
        assert_eq!(message(&text).turns, turns, "{text}");
    }
}

#[test]
fn a_session_says_whether_what_is_heard_is_transcribed() {
    for (session, transcribes) in [
        (r"{}", None),
        (r#"{"audio":{"input":{"transcription":null}}}"#, Some(false)),
        (r#"{"audio":{"input":{"transcription":{"model":"whisper-1"}}}}"#, Some(true)),
        (r#"{"input_audio_transcription":{"model":"whisper-1"}}"#, Some(true)),
        (r#"{"input_audio_transcription":{},"audio":{"input":{"transcription":null}}}"#, Some(true)),
        (r#"{"type":"transcription"}"#, Some(true)),
        (r#"{"type":"transcription","audio":{"input":{"transcription":null}}}"#, Some(true)),
    ] {
        let text = format!(r#"{{"type":"session.update","session":{session}}}"#);
        assert_eq!(message(&text).transcribes, transcribes, "{text}");
    }
}

#[test]
fn a_session_and_an_answer_may_bring_work_at_the_provider() {
    for object in ["session", "response"] {
        let text = format!(
            r#"{{"type":"{object}.create","{object}":{{"model":"m","tools":[{{"type":"function"}},{{"type":"mcp"}}],"prompt":{{"id":"p"}}}}}}"#
        );
        let found = message(&text);
        assert_eq!(found.server_tools, ["mcp", "prompt"]);
        assert_eq!((found.unseen_input, found.model.as_deref()), (vec!["prompt"], Some("m")));
    }
    let data = "A".repeat(64_000);
    let audio = message(&format!(r#"{{"type":"input_audio_buffer.append","audio":"{data}"}}"#));
    assert!((300..700).contains(&audio.input_estimate), "{}: a second of audio", audio.input_estimate);
    let item = format!(
        r#"{{"type":"conversation.item.create","item":{{"content":[{{"type":"input_audio","audio":"{data}"}}]}}}}"#
    );
    assert!((300..800).contains(&message(&item).input_estimate));
    let text =
        format!(r#"{{"type":"conversation.item.create","item":{{"arguments":{{"audio":"{data}"}}}}}}"#);
    assert!(message(&text).input_estimate > 21_000, "elsewhere it is text");
}

#[test]
fn a_message_that_could_be_read_differently_is_an_error() {
    for text in [
        r#"{"type":"response.create","type":"response.cancel"}"#,
        r#"{"Type":"response.create"}"#,
        r#"{"type":["response.create"]}"#,
        r#"{"type":"response.create","event_id":null}"#,
        r#"{"type":"response.create","event_id":7}"#,
        r#"{"type":"response.create","response":[]}"#,
        r#"{"type":"response.create","response":7}"#,
        r#"{"type":"response.create","response":{"max_output_tokens":"5"}}"#,
        r#"{"type":"response.create","response":{"Max_Output_Tokens":5}}"#,
        r#"{"type":"session.update","session":{"turn_detection":"none"}}"#,
        r#"{"type":"session.update","session":{"turn_detection":[]}}"#,
        r#"{"type":"session.update","session":{"turn_detection":{"create_response":"no"}}}"#,
        "[]",
        "x",
    ] {
        assert!(realtime::read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_response_over_a_websocket_is_the_same_body_with_a_type() {
    let text = r#"{"type":"response.create","model":"gpt-5-codex","input":[],"stream_id":"s1","max_output_tokens":900,"store":false}"#;
    let found = read(&SOCKET, text.as_bytes()).unwrap();
    assert_eq!(
        (found.model.as_deref(), found.output_cap, found.stream),
        (Some("gpt-5-codex"), Some(900), true)
    );
    let lower = Rewrite { output_cap: Some(7), include_usage: false };
    let lowered = rewrite(&SOCKET, &found, text.as_bytes(), &lower).unwrap();
    assert_eq!(String::from_utf8(lowered).unwrap(), text.replace("900", "7"), "only the cap changes");
}

#[test]
fn a_body_does_not_become_a_message_by_saying_so() {
    for host in ["api.openai.com", "chatgpt.com", "mine.openai.azure.com"] {
        let body = r#"{"type":"response.create","model":"gpt-5","input":[],"generate":false}"#;
        let posted = RequestHead { host, socket: false, ..SOCKET };
        let found = read(&posted, body.as_bytes()).unwrap();
        assert_eq!((found.output_cap, found.stream), (None, false), "{host}");
    }
}

#[test]
fn a_prewarming_generates_nothing_where_that_is_known() {
    let at =
        |host: &str, text: &str| read(&RequestHead { host, ..SOCKET }, text.as_bytes()).unwrap().output_cap;
    let warm = r#"{"type":"response.create","model":"gpt-5","input":[],"generate":false}"#;
    assert_eq!(at("api.openai.com", warm), Some(0));
    assert_eq!(at("chatgpt.com", warm), Some(0));
    assert_eq!(at("api.example.com", warm), None, "another server may not know the field");
    assert_eq!(at("api.openai.com", r#"{"type":"response.create","generate":true}"#), None);
}
