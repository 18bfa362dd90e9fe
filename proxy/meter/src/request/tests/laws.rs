use super::*;
use proptest::prelude::*;

/// Where the cap of one kind of request stands.
struct Shape {
    format: Format,
    path: &'static str,
    parent: Option<&'static str>,
    name: &'static str,
}

const fn shape(
    format: Format,
    path: &'static str,
    parent: Option<&'static str>,
    name: &'static str,
) -> Shape {
    Shape { format, path, parent, name }
}

const SHAPES: &[Shape] = &[
    shape(Anthropic, "/v1/messages", None, "max_tokens"),
    shape(BedrockConverse, "/model/eu.amazon.nova-lite-v1:0/converse", Some("inferenceConfig"), "maxTokens"),
    shape(BedrockInvoke, "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke", None, "max_tokens"),
    shape(BedrockInvoke, "/model/amazon.nova-lite-v1%3A0/invoke", Some("inferenceConfig"), "maxTokens"),
    shape(
        BedrockInvoke,
        "/model/amazon.titan-text-lite-v1/invoke",
        Some("textGenerationConfig"),
        "maxTokenCount",
    ),
    shape(BedrockInvoke, "/model/us.meta.llama3-3-70b-instruct-v1:0/invoke", None, "max_gen_len"),
    shape(BedrockInvoke, "/model/mistral.mistral-large-2402-v1:0/invoke", None, "max_tokens"),
    shape(BedrockInvoke, "/model/cohere.command-r-v1:0/invoke", None, "max_tokens"),
    shape(BedrockInvoke, "/model/ai21.j2-ultra-v1/invoke", None, "maxTokens"),
    shape(BedrockInvoke, "/model/ai21.jamba-1-5-large-v1:0/invoke", None, "max_tokens"),
    shape(BedrockInvoke, "/model/openai.gpt-oss-20b-1:0/invoke", None, "max_completion_tokens"),
    shape(Cohere, "/v2/chat", None, "max_tokens"),
    shape(Gemini, "/v1beta/models/g:generateContent", Some("generationConfig"), "maxOutputTokens"),
    shape(GeminiInteractions, "/v1beta/interactions", Some("generation_config"), "max_output_tokens"),
    shape(Ollama, "/api/generate", Some("options"), "num_predict"),
    shape(OpenaiChat, "/v1/chat/completions", None, "max_tokens"),
    shape(OpenaiRealtime, "/v1/realtime", Some("response"), "max_output_tokens"),
    shape(OpenaiResponses, "/v1/responses", None, "max_output_tokens"),
];

/// Pieces of which a form may be made, in any order.
const FORM: &[&str] = &[
    "--b",
    "--",
    "\r\n",
    "\n",
    "\r\n\r\n",
    "Content-Disposition: form-data; name=\"n\"",
    "Content-Disposition: form-data; name=\"model\"; filename=\"x\"",
    "content-disposition: form-data; name=file; filename*=UTF-8''x",
    "7",
    "gpt-image-1",
];

/// Any JSON value with at most a few levels.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{0,6}|.{0,6}", inner), 0..5)
                .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

/// An object whose members have the names that matter, and any values.
fn any_body() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "type",
        "model",
        "stream",
        "messages",
        "prompt",
        "input",
        "tools",
        "max_tokens",
        "maxTokens",
        "n",
        "max_output_tokens",
        "inferenceConfig",
        "generationConfig",
        "generation_config",
        "options",
        "num_predict",
        "response",
        "session",
        "turn_detection",
        "audio",
        "images",
        "requests",
        "params",
        "additionalModelRequestFields",
        "textGenerationConfig",
        "maxTokenCount",
        "toolConfig",
        "systemTool",
        "thinking",
        "budget_tokens",
        "agent",
    ];
    let member = || prop::sample::select(NAMES).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..5000).prop_map(Value::from),
        prop::sample::select(
            &["response.create", "session.update", "inf", "none", "x", "AAAAAAAAAAAAAAAAAAAA"][..]
        )
        .prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..5)
                .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    });
    prop::collection::vec((prop::sample::select(NAMES).prop_map(str::to_owned), value), 0..8)
        .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>()))
}

struct Deaf;

impl walk::Visitor for Deaf {
    fn scalar(
        &mut self,
        _: &[std::borrow::Cow<'_, str>],
        _: walk::Scalar<'_>,
        _: std::ops::Range<usize>,
    ) -> Result<(), RequestError> {
        Ok(())
    }
    fn open(&mut self, _: &[std::borrow::Cow<'_, str>], _: bool) -> Result<(), RequestError> {
        Ok(())
    }
    fn close(
        &mut self,
        _: &[std::borrow::Cow<'_, str>],
        _: std::ops::Range<usize>,
        _: bool,
    ) -> Result<(), RequestError> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_walker_accepts_what_serde_json_accepts(value in any_json(), pretty in any::<bool>(), cut in any::<prop::sample::Index>(), junk in ".?") {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(walk::walk(text.as_bytes(), &mut Deaf), Ok(()));
        // Damage it: both must agree whether it is still JSON, duplicates aside.
        let at = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let damaged = [&text.as_bytes()[..at], junk.as_bytes(), &text.as_bytes()[at..]].concat();
        let ours = walk::walk(&damaged, &mut Deaf);
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&damaged);
        let agree = ours.is_ok() == theirs.is_ok() || matches!(ours, Err(RequestError::DuplicateKey { .. }));
        prop_assert!(agree, "{:?} against {:?} on {:?}", ours, theirs, String::from_utf8_lossy(&damaged));
    }

    #[test]
    fn unescaping_is_serde_jsons(text in "[\\PC\\n\\t\"\\\\]{0,20}") {
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(walk::unescaped(&quoted[1..quoted.len() - 1]), text);
    }

    #[test]
    fn a_rewrite_changes_what_it_says_and_nothing_else(
        extra in any_json(), old in prop::option::of(1u64..4000), cap in 1u64..4000, usage in 0usize..4, pretty in any::<bool>(), which in 0usize..SHAPES.len(),
    ) {
        let Shape { format, path, parent, name } = SHAPES[which];
        let mut body = json!({"extra": extra, "stream": true, "messages": [], "model": "m"});
        if format == OpenaiRealtime {
            body["type"] = json!("response.create");
        }
        if let Some(old) = old {
            match parent {
                Some(parent) => body[parent] = json!({name: old, "x": 1}),
                None => body[name] = json!(old),
            }
        }
        if usage > 0 && format == OpenaiChat {
            let options = [json!(null), json!({"a": 1}), json!({"include_usage": false})];
            body["stream_options"] = options[usage - 1].clone();
        }
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let head = RequestHead { host: "x", ..head(format, path, None) };
        let found = read(&head, text.as_bytes()).unwrap();
        prop_assert_eq!(found.output_cap, old);
        let change = Rewrite { output_cap: Some(cap), include_usage: true };
        let changed = rewrite(&head, &found, text.as_bytes(), &change).unwrap();
        let again = read(&head, &changed).unwrap();
        prop_assert_eq!(again.output_cap, Some(old.map_or(cap, |old| old.min(cap))));
        prop_assert_eq!(again.include_usage, (format == OpenaiChat).then_some(true));
        // Everything else is as it was.
        let strip = |mut value: Value| {
            let root = value.as_object_mut().unwrap();
            match parent.map(|parent| (parent, root.get_mut(parent).and_then(Value::as_object_mut))) {
                None => drop(root.shift_remove(name)),
                Some((parent, Some(config))) => {
                    config.shift_remove(name);
                    if config.is_empty() { root.shift_remove(parent); }
                }
                Some((_, None)) => {}
            }
            let gone = match root.get_mut("stream_options") {
                Some(Value::Object(options)) => { options.shift_remove("include_usage"); options.is_empty() }
                _ => true,
            };
            if gone { root.shift_remove("stream_options"); }
            value
        };
        let before: Value = serde_json::from_str(&text).unwrap();
        let after: Value = serde_json::from_slice(&changed).unwrap();
        prop_assert_eq!(strip(before), strip(after));
        // And a rewrite that has nothing to do does nothing.
        let same = rewrite(&head, &again, &changed, &Rewrite { output_cap: again.output_cap, include_usage: true }).unwrap();
        prop_assert_eq!(same, changed);
    }

    #[test]
    fn more_text_never_lowers_the_estimate(text in "[a-z ]{0,200}", more in "[a-z]{0,50}") {
        let body = |text: &str| json!({"messages": [{"role": "user", "content": text}]}).to_string();
        for format in Format::ALL {
            let less = facts(format, &body(&text)).input_estimate;
            let longer = format!("{text}{more}");
            prop_assert!(facts(format, &body(&longer)).input_estimate >= less);
        }
    }

    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..Format::ALL.len()) {
        read_and_change(Format::ALL[which], path_of(Format::ALL[which]), None, &body);
    }

    #[test]
    fn no_json_panics(body in any_body(), which in 0usize..SHAPES.len()) {
        read_and_change(SHAPES[which].format, SHAPES[which].path, None, body.to_string().as_bytes());
        let _ = realtime::read(body.to_string().as_bytes());
    }

    #[test]
    fn no_form_panics(pieces in prop::collection::vec(0usize..FORM.len(), 0..12), junk in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut body: Vec<u8> = pieces.iter().flat_map(|piece| FORM[*piece].bytes()).collect();
        body.extend(&junk);
        for format in [OpenaiImages, OpenaiAudio, OpenaiChat] {
            read_and_change(format, path_of(format), Some("multipart/form-data; boundary=b"), &body);
        }
    }
}

/// Reads, and changes what could be read; neither may panic, and what was changed must be readable.
fn read_and_change(format: Format, path: &str, content_type: Option<&str>, body: &[u8]) {
    let head = RequestHead { host: "x", content_type, ..head(format, path, None) };
    if let Ok(found) = read(&head, body) {
        let change = Rewrite { output_cap: found.cap_supported.then_some(1), include_usage: true };
        let changed = rewrite(&head, &found, body, &change).unwrap();
        let again = read(&head, &changed).unwrap();
        assert!(
            !found.cap_supported || again.output_cap.is_some_and(|cap| cap <= 1),
            "{}",
            String::from_utf8_lossy(body)
        );
        assert_eq!((again.model, again.server_tools), (found.model, found.server_tools));
    }
}
