use super::*;
use crate::request::count::{self, Question};
use proptest::prelude::*;

const VERTEX: &str =
    "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:streamGenerateContent";

fn at<'a>(format: Format, host: &'a str, path: &'a str) -> RequestHead<'a> {
    RequestHead { host, ..head(format, path, None) }
}

fn asked(head: &RequestHead<'_>, body: &str) -> Option<(String, String)> {
    read(head, body.as_bytes()).unwrap();
    let Question { path, body, .. } = count::question(head, body.as_bytes())?;
    Some((path, String::from_utf8(body).unwrap()))
}

fn anthropic<'a>() -> RequestHead<'a> {
    at(Anthropic, "api.anthropic.com", "/v1/messages")
}

fn responses<'a>() -> RequestHead<'a> {
    at(OpenaiResponses, "api.openai.com", "/v1/responses")
}

fn gemini<'a>() -> RequestHead<'a> {
    at(Gemini, "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:generateContent")
}

fn vertex<'a>() -> RequestHead<'a> {
    at(Gemini, "us-central1-aiplatform.googleapis.com", VERTEX)
}

#[test]
fn each_provider_is_asked_in_its_own_words() {
    for (head, body, path, question) in [
        (
            anthropic(),
            r#"{"max_tokens":9,"model":"m", "messages":[ {"role":"user","content":"h\u0069"} ],"stream":true,"system":"s","thinking":{"budget_tokens":1.0e1},"temperature":1}"#,
            "/v1/messages/count_tokens",
            r#"{"model":"m","messages":[ {"role":"user","content":"h\u0069"} ],"system":"s","thinking":{"budget_tokens":1.0e1}}"#,
        ),
        (
            responses(),
            r#"{"model":"m","input":[{"type":"item_reference","id":"x"}],"previous_response_id":"resp_1","stream":true,"store":false}"#,
            "/v1/responses/input_tokens",
            r#"{"model":"m","input":[{"type":"item_reference","id":"x"}],"previous_response_id":"resp_1"}"#,
        ),
        (
            responses(),
            r#"{"type":"response.create","stream_id":"a","model":"m","input":"x"}"#,
            "/v1/responses/input_tokens",
            r#"{"model":"m","input":"x"}"#,
        ),
        (
            gemini(),
            r#"{"contents":[{"parts":[{"text":"x"}]}],"system_instruction":{"parts":[]},"safetySettings":[],"model":"models/other"}"#,
            "/v1beta/models/gemini-2.5-flash:countTokens",
            r#"{"generateContentRequest":{"model":"models/gemini-2.5-flash","contents":[{"parts":[{"text":"x"}]}],"systemInstruction":{"parts":[]}}}"#,
        ),
        (
            gemini(),
            "{}",
            "/v1beta/models/gemini-2.5-flash:countTokens",
            r#"{"generateContentRequest":{"model":"models/gemini-2.5-flash"}}"#,
        ),
        (
            vertex(),
            r#"{"contents":[],"toolConfig":{},"generationConfig":{"maxOutputTokens":5}}"#,
            "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:countTokens",
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":5}}"#,
        ),
    ] {
        assert_eq!(asked(&head, body), Some((path.to_owned(), question.to_owned())));
    }
}

#[test]
fn a_member_of_unknown_meaning_is_not_left_out_of_a_count() {
    for (head, body) in [
        (anthropic(), r#"{"model":"m","messages":[],"container":{"skills":[]}}"#),
        (anthropic(), r#"{"model":"m","messages":[],"Messages2":[]}"#),
        (responses(), r#"{"type":"response.create","response":{"model":"m","input":"x"}}"#),
        (responses(), r#"{"model":"m","prompt":{"id":"pmpt_1"}}"#),
        (responses(), r#"{"model":"m","input":"x","reasoning":{"mode":"pr\u006f"}}"#),
        (vertex(), r#"{"contents":[],"cachedContent":"projects/p/locations/l/cachedContents/1"}"#),
    ] {
        assert_eq!(asked(&head, body), None, "{body}");
    }
}

#[test]
fn only_the_providers_own_endpoints_are_asked() {
    for (format, host, path) in [
        (Anthropic, "api.z.ai", "/v1/messages"),
        (Anthropic, "api.anthropic.com.evil.test", "/v1/messages"),
        (Anthropic, "api.anthropic.com", "/v1/messages/batches"),
        (OpenaiResponses, "chatgpt.com", "/backend-api/codex/responses"),
        (OpenaiResponses, "api.openai.com", "/v1/responses/compact"),
        (OpenaiResponses, "openrouter.ai", "/v1/responses"),
        (OpenaiChat, "api.openai.com", "/v1/chat/completions"),
        (Gemini, "cloudcode-pa.googleapis.com", "/v1internal:generateContent"),
        (Gemini, "generativelanguage.googleapis.com", "/v1beta/models/e:embedContent"),
        (Gemini, "generativelanguage.googleapis.com", "/v1beta/tunedModels/t:generateContent"),
        (Gemini, "generativelanguage.googleapis.com", "/v1beta/models/a%22b:generateContent"),
        (Gemini, "generativelanguage.googleapis.com", VERTEX),
    ] {
        assert_eq!(count::question(&at(format, host, path), b"{}"), None, "{host}{path}");
    }
    for (format, host, path) in [
        (Anthropic, "API.Anthropic.com:443", "/v1/messages/"),
        (OpenaiResponses, "eu.api.openai.com", "/v1/responses"),
        (Gemini, "generativelanguage.googleapis.com", "/v1alpha/models/g:streamGenerateContent"),
        (Gemini, "aiplatform.googleapis.com", "/v1/publishers/google/models/g:generateContent"),
    ] {
        assert!(count::question(&at(format, host, path), b"{}").is_some(), "{host}{path}");
    }
}

#[test]
fn the_query_goes_along_but_for_the_form_of_a_stream() {
    let query = |head: RequestHead<'_>, query| {
        count::question(&RequestHead { query: Some(query), ..head }, b"{}").unwrap().query
    };
    assert_eq!(query(anthropic(), "beta=true").as_deref(), Some("beta=true"));
    assert_eq!(query(gemini(), "alt=sse&key=k").as_deref(), Some("key=k"));
    assert_eq!(query(gemini(), "alt=sse"), None);
}

#[test]
fn an_answer_is_believed_when_it_is_one_whole_number() {
    for (format, body, tokens) in [
        (Anthropic, r#"{"input_tokens":2095}"#, Some(2095)),
        (
            Anthropic,
            r#"{"context_management":{"original_input_tokens":7,"input_tokens":8},"input_tokens":5}"#,
            Some(5),
        ),
        (OpenaiResponses, r#"{"object":"response.input_tokens","input_tokens":11}"#, Some(11)),
        (Gemini, r#"{"totalTokens": 31, "cachedContentTokenCount": 5}"#, Some(31)),
        (Gemini, r#"{"input_tokens":5}"#, None),
        (Anthropic, r#"{"input_tokens":0}"#, None),
        (Anthropic, r#"{"input_tokens":-5}"#, None),
        (Anthropic, r#"{"input_tokens":"5"}"#, None),
        (Anthropic, r#"{"input_tokens":1e3}"#, None),
        (Anthropic, r#"{"input_tokens":18446744073709551615}"#, None),
        (Anthropic, r#"{"input_tokens":5,"input_tokens":6}"#, None),
        (Anthropic, r#"[{"input_tokens":5}]"#, None),
        (Anthropic, r#"{"input_tokens":5"#, None),
        (Anthropic, "", None),
    ] {
        assert_eq!(count::answer(format, body.as_bytes()), tokens, "{body}");
    }
}

/// Members of a request, some under names that mean nothing here.
fn any_members() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    const NAMES: &[&str] = &[
        "model",
        "messages",
        "system",
        "tools",
        "thinking",
        "max_tokens",
        "stream",
        "metadata",
        "input",
        "instructions",
        "contents",
        "systemInstruction",
        "generationConfig",
        "safetySettings",
        "labels",
        "x",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u32..5000).prop_map(Value::from),
        "[ -~é\\n\"]{0,12}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z]{1,4}", inner), 0..3)
                .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    });
    prop::collection::vec((prop::sample::select(NAMES).prop_map(str::to_owned), value), 0..7)
        .prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn a_question_is_the_request_without_what_is_no_input(members in any_members(), pretty in any::<bool>(), which in 0usize..4) {
        let head = [anthropic(), responses(), gemini(), vertex()][which];
        let body = Value::Object(members.clone());
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        // What the reader refuses never gets here.
        prop_assume!(read(&head, text.as_bytes()).is_ok());
        let Some(Question { body, .. }) = count::question(&head, text.as_bytes()) else {
            // Nothing is asked only where something is there that no endpoint is known to count.
            let foreign = |name: &str| match which {
                0 => ["input", "instructions", "contents", "systemInstruction", "generationConfig", "safetySettings", "labels", "x"].contains(&name),
                1 => ["messages", "system", "thinking", "max_tokens", "contents", "systemInstruction", "generationConfig", "safetySettings", "labels", "x"].contains(&name),
                _ => ["messages", "system", "thinking", "max_tokens", "stream", "metadata", "input", "instructions", "x"].contains(&name),
            };
            prop_assert!(members.keys().any(|name| foreign(name)), "{}", text);
            return Ok(());
        };
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let asked = asked.get("generateContentRequest").unwrap_or(&asked).as_object().unwrap();
        let idle = ["max_tokens", "stream", "metadata", "safetySettings", "labels"];
        for (name, value) in &members {
            let left_out = idle.contains(&name.as_str()) || (which > 1 && name == "model");
            prop_assert_eq!(asked.get(name).filter(|_| !left_out), Some(value).filter(|_| !left_out));
            prop_assert!(!(left_out && name != "model" && asked.contains_key(name)));
            if !left_out && !pretty {
                let own = format!("\"{name}\":{}", serde_json::to_string(value).unwrap());
                prop_assert!(String::from_utf8_lossy(&body).contains(&own));
            }
        }
        prop_assert!(asked.keys().all(|name| members.contains_key(name) || name == "model"));
        // The reader takes the question as it took the request: the same model, input and references.
        if which < 2 {
            let (before, after) = (read(&head, text.as_bytes()).unwrap(), read(&head, &body).unwrap());
            prop_assert_eq!((before.model, before.unseen_input), (after.model, after.unseen_input));
        }
    }

    #[test]
    fn neither_bodies_nor_answers_panic(body in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..4) {
        let head = [anthropic(), responses(), gemini(), vertex()][which];
        let asked = count::question(&head, &body);
        prop_assert!(asked.is_none() || read(&head, &body).is_ok());
        let _ = count::answer(head.format, &body);
    }
}
