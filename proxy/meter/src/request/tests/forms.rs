use super::*;

/// A form of these parts: name, a file's name where it has one, content.
fn form(parts: &[(&str, Option<&str>, &str)]) -> String {
    let mut body = String::new();
    for (name, file, content) in parts {
        let file =
            file.map(|file| format!("; filename=\"{file}\"\r\nContent-Type: image/png")).unwrap_or_default();
        body +=
            &format!("--b7\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n");
    }
    body + "--b7--\r\n"
}

fn read_form(format: Format, path: &str, body: &str) -> Result<RequestFacts, RequestError> {
    let content_type = Some("multipart/form-data; boundary=\"b7\"");
    read(&RequestHead { content_type, ..head(format, path, None) }, body.as_bytes())
}

#[test]
fn images_are_bounded_by_their_size() {
    for (body, bound) in [
        (r#"{"model":"gpt-image-1","prompt":"x","quality":"low","n":2}"#, 1_408),
        (r#"{"model":"gpt-image-1-mini","prompt":"x","quality":"medium"}"#, 2_584),
        (r#"{"model":"gpt-image-1.5","prompt":"x"}"#, 7_240),
        (r#"{"model":"gpt-image-1","prompt":"x","quality":"high","stream":true,"partial_images":3}"#, 7_540),
        (r#"{"model":"dall-e-3","prompt":"x","quality":"hd"}"#, 7_240),
        (r#"{"model":"gpt-image-2","prompt":"x","quality":"low","size":"3840x2160"}"#, 33_768),
        (r#"{"prompt":"x"}"#, 33_768),
    ] {
        let found = facts(OpenaiImages, body);
        assert_eq!((found.output_cap, found.cap_supported), (Some(bound), false), "{body}");
        assert_eq!(
            (found.choices, found.stream),
            (if body.contains("\"n\"") { 2 } else { 1 }, body.contains("stream"))
        );
    }
    let edit = facts_at(
        OpenaiImages,
        "/v1/images/edits",
        r#"{"model":"gpt-image-1","images":[{"image_url":"https://x/y.png"},{"file_id":"f"}],"prompt":"x"}"#,
    );
    assert_eq!(edit.unseen_input, ["url", "file_id"]);
    assert!(edit.input_estimate > 16_000);
}

#[test]
fn a_form_says_what_json_would() {
    let data = "A".repeat(300_000);
    let body = form(&[
        ("model", None, "gpt-image-1"),
        ("image[]", Some("a.png"), &data),
        ("image[]", Some("b.png"), &data),
        ("prompt", None, "a cat"),
        ("n", None, "3"),
        ("quality", None, "low"),
        ("stream", None, "true"),
        ("partial_images", None, "1"),
    ]);
    let found = read_form(OpenaiImages, "/v1/images/edits", &body).unwrap();
    assert_eq!(found.model.as_deref(), Some("gpt-image-1"));
    assert_eq!((found.output_cap, found.choices, found.stream), (Some(1_508), 3, true));
    assert!((16_384..18_000).contains(&found.input_estimate), "{}", found.input_estimate);
    assert!(!found.cap_supported && !found.include_usage_supported);
    let change = Rewrite { output_cap: None, include_usage: true };
    let content_type = Some("multipart/form-data; boundary=b7");
    let head = RequestHead { content_type, ..head(OpenaiImages, "/v1/images/edits", None) };
    assert_eq!(rewrite(&head, &found, body.as_bytes(), &change).unwrap(), body.as_bytes());
}

#[test]
fn audio_is_bounded_by_its_length() {
    let data = "A".repeat(80_000);
    let body = form(&[
        ("file", Some("a.mp3"), &data),
        ("model", None, "gpt-4o-transcribe"),
        ("stream", None, "True"),
    ]);
    let found = read_form(OpenaiAudio, "/v1/audio/transcriptions", &body).unwrap();
    assert_eq!((found.model.as_deref(), found.stream), (Some("gpt-4o-transcribe"), true));
    assert!((10_000..10_700).contains(&found.input_estimate), "{}", found.input_estimate);
    assert!((1_780..1_820).contains(&found.output_cap.unwrap()) && !found.cap_supported);
    let linked = form(&[("url", None, "https://x/a.mp3"), ("model", None, "whisper-large-v3")]);
    assert_eq!(read_form(OpenaiAudio, "/v1/audio/transcriptions", &linked).unwrap().unseen_input, ["url"]);
    let speech = facts(
        OpenaiAudio,
        r#"{"model":"gpt-4o-mini-tts","input":"hello","voice":"alloy","stream_format":"sse"}"#,
    );
    assert_eq!((speech.output_cap, speech.stream, speech.cap_supported), (Some(520), true, false));
    assert!(!facts(OpenaiAudio, r#"{"model":"tts-1","input":"hello"}"#).stream);
}

#[test]
fn a_form_that_two_readers_could_part_differently_is_an_error() {
    let good = form(&[("model", None, "m"), ("prompt", None, "p")]);
    let at = |body: &str| read_form(OpenaiImages, "/v1/images/edits", body);
    assert!(at(&good).is_ok());
    for body in [
        "",
        "{\"model\":\"m\"}",
        &format!("preamble\r\n{good}"),
        &format!("{good}epilogue"),
        &good.replace("\r\n", "\n"),
        good.trim_end_matches("--b7--\r\n"),
        &good.replace("\r\n\r\n", "\r\n"),
        &form(&[("prompt", None, "x --b7 y")]),
        &form(&[("prompt", None, "x\r\n--b7777")]),
        &form(&[("prompt", None, "xy--b7\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n9")]),
        &form(&[("prompt", None, "x\n--b7\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n9")]),
        &form(&[("prompt", None, "x\n--b7--")]),
        &form(&[("pro\\\"mpt", None, "x")]),
        &good.replace("form-data", "attachment"),
        &good.replace("name=\"model\"", "name=\"model\"; name=\"n\""),
        &good.replace("name=\"model\"", "name*=UTF-8''model"),
        &good.replace("\r\n\r\nm", "\r\nContent-Transfer-Encoding: base64\r\n\r\nm"),
        &good.replace("\r\n\r\nm", "\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nm"),
        &good.replace("Content-Disposition:", "Content-Disposition :"),
        &good.replace("Content-Disposition:", " Content-Disposition:"),
    ] {
        assert!(matches!(at(body), Err(RequestError::NotMultipart { .. })), "{body:?}: {:?}", at(body));
    }
    for parts in [[("n", None, "1"), ("n", None, "10")], [("prompt", None, "1"), ("prompt", None, "10")]] {
        assert!(matches!(at(&form(&parts)), Err(RequestError::DuplicateKey { .. })), "{parts:?}");
    }
    for part in [
        ("N", None, "1"),
        ("n[]", None, "1"),
        ("n", Some("f"), "1"),
        ("n", None, "+1"),
        ("n", None, "-1"),
        ("n", None, ""),
        ("stream", None, "yes"),
        ("Model", None, "x"),
    ] {
        assert!(matches!(at(&form(&[part])), Err(RequestError::WrongType { .. })), "{part:?}");
    }
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=b7; boundary=b8",
        "multipart/mixed; boundary=b7",
        "multipart/form-data; boundary=\"b7",
    ] {
        let head =
            RequestHead { content_type: Some(content_type), ..head(OpenaiImages, "/v1/images/edits", None) };
        assert!(
            matches!(read(&head, good.as_bytes()), Err(RequestError::NotMultipart { .. })),
            "{content_type}"
        );
    }
}

#[test]
fn a_form_is_read_only_where_one_belongs() {
    for format in [OpenaiChat, Anthropic, OpenaiResponses, Ollama] {
        for body in ["{}", &form(&[("model", None, "m")])] {
            let found = read_form(format, path_of(format), body);
            assert!(matches!(found, Err(RequestError::WrongType { field: "content-type", .. })), "{format}");
        }
    }
}
