use super::*;
use base64::Engine;

pub(super) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A PNG of this size, as far as its first bytes say.
pub(super) fn png(width: u32, height: u32) -> String {
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    file.extend(width.to_be_bytes());
    file.extend(height.to_be_bytes());
    file.extend([0; 1_000]);
    base64(&file)
}

/// What a message of this text is estimated at, beyond an empty one.
pub(super) fn of_text(format: Format, model: &str, text: &str) -> u64 {
    let body =
        |text: &str| json!({"model": model, "messages": [{"role": "user", "content": text}]}).to_string();
    facts(format, &body(text)).input_estimate - facts(format, &body("")).input_estimate
}

/// What an image is estimated at, beyond a message without one.
fn of_image(model: &str, image: &str, more: &str) -> u64 {
    let body =
        |parts: &str| format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":[{parts}]}}]}}"#);
    let part =
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"{more}}}}}"#);
    facts(OpenaiChat, &body(&part)).input_estimate - facts(OpenaiChat, &body("")).input_estimate
}

/// The counts are those of gpt-4o's own vocabulary (`o200k_base`).
#[test]
fn texts_are_weighed_by_their_script() {
    let english = "The meter reads a copy of each response and keeps a few kilobytes of state for each stream, \
                   however large an event is. Only a usage chunk that the client did not ask for is taken out again.";
    let code = "fn weigh(text: &str) -> Weight {\n    let mut sum = 0;\n    for byte in text.bytes() {\n        \
                sum += u64::from(byte);\n    }\n    Weight { plain: sum, ..Weight::default() }\n}\n";
    let chinese = "人工智能代理在执行任务时会调用外部模型接口，每一次调用都会消耗一定数量的令牌。";
    let russian = "Агент искусственного интеллекта при выполнении задач обращается к внешним моделям.";
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".repeat(4);
    let base64 =
        base64(&(0..600u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>());
    for (text, tokens) in
        [(english, 43), (code, 51), (chinese, 25), (russian, 20), (hex.as_str(), 169), (base64.as_str(), 549)]
    {
        let found = of_text(OpenaiChat, "gpt-4o", text);
        assert!((tokens..tokens * 3 / 2).contains(&found), "{text}: {found}");
        assert!(of_text(Anthropic, "claude-opus-4-8", text) > found, "its vocabulary has smaller pieces");
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let body =
            |text: &str| format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{text}"}}]}}"#);
        let difference =
            facts(OpenaiChat, &body(&escaped)).input_estimate - facts(OpenaiChat, &body("")).input_estimate;
        assert_eq!(difference, found, "escapes change nothing: {text}");
    }
}

#[test]
fn what_only_structures_a_request_counts_nothing_and_what_is_unknown_counts_as_text() {
    let plain = facts(OpenaiChat, r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}"#);
    let settings = facts(
        OpenaiChat,
        r#"{"model":"gpt-4o","temperature":0.7,"stream":true,"stream_options":{"include_usage":true},"metadata":{"a":"b"},
            "tool_choice":"auto","service_tier":"default","messages":[{"role":"user","content":"x"}]}"#,
    );
    assert_eq!(settings.input_estimate, plain.input_estimate);
    let words = "some words that a server may put before the model ".repeat(20);
    for body in [
        json!({"model": "gpt-4o", "unknown": words, "messages": [{"role": "user", "content": "x"}]}),
        json!({"model": "gpt-4o", "metadata": {"a": words}, "messages": [{"role": "user", "content": "x"}]}),
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x", "id": words}]}),
        json!({"model": "gpt-4o", "messages": [{"role": words, "content": "x"}]}),
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x", "unknown": {"deep": [words]}}]}),
    ] {
        let found = facts(OpenaiChat, &body.to_string()).input_estimate;
        assert!(found > plain.input_estimate + 190, "{body}: {found}");
    }
    let tokens = json!({"model": "gpt-3.5-turbo-instruct", "prompt": vec![40_000; 500]}).to_string();
    assert!(facts(OpenaiChat, &tokens).input_estimate >= 500, "a prompt of tokens");
}

#[test]
fn what_the_provider_adds_for_tools_is_counted() {
    let estimate = |format, model: &str, more: Value| {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        facts(format, &body.to_string()).input_estimate
    };
    let tool = json!({"name": "f", "input_schema": {"type": "object", "properties": {}}});
    let claude = |model, more| estimate(Anthropic, model, more) - estimate(Anthropic, model, json!({}));
    let auto = claude("claude-sonnet-4-6", json!({"tools": [tool]}));
    assert!((500..560).contains(&auto), "{auto}");
    let forced = claude("claude-sonnet-4-6", json!({"tools": [tool], "tool_choice": {"type": "any"}}));
    assert!(forced > auto + 80);
    assert!((675..900).contains(&claude("claude-opus-4-8", json!({"tools": [tool]}))));
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    let gpt =
        estimate(OpenaiChat, "gpt-4o", json!({"tools": [tool]})) - estimate(OpenaiChat, "gpt-4o", json!({}));
    assert!((15..40).contains(&gpt), "{gpt}");
}

/// By the providers' guides to vision, and for gpt-4.1 by what it was charged with.
#[test]
fn an_image_counts_by_its_size_as_its_model_cuts_it_up() {
    let low = r#","detail":"low""#;
    for (model, image, more, tokens) in [
        ("gpt-4o", png(1024, 1024), "", 765),
        ("gpt-4o", png(2048, 4096), "", 1_105),
        ("gpt-4o", png(4096, 8192), low, 85),
        ("gpt-4o-mini", png(128, 64), "", 8_500),
        ("o3", png(128, 64), "", 225),
        ("gpt-4.1", png(128, 64), "", 255),
        ("gpt-4.1-mini", png(1024, 1024), "", 1_659),
        ("gpt-4.1-mini", png(4096, 4096), "", 2_489),
        ("claude-sonnet-4-6", png(1092, 1092), "", 1_521),
        ("claude-sonnet-4-6", png(8000, 8000), "", 1_640),
        ("claude-opus-4-8", png(8000, 8000), "", 4_784),
        ("google/gemini-2.5-flash", png(300, 300), "", 258),
        ("google/gemini-3-flash-preview", png(300, 300), "", 1_120),
        ("mistral-small-latest", png(64, 32), "", 10),
        ("somebody-s-model", png(64, 32), "", 1_024),
        ("somebody-s-model", base64(&[7; 900]), "", 4_800),
    ] {
        assert_eq!(of_image(model, &image, more), tokens, "{model}{more}");
    }
    let original = of_image("gpt-5.4", &png(3200, 3200), r#","detail":"original""#);
    assert_eq!((of_image("gpt-5.4", &png(3200, 3200), ""), original), (3_000, 12_000));
}

/// A WAVE file of one channel with 16,000 samples a second, of ten seconds when it is of plain samples.
fn wave(format: u16, bytes_a_second: u32, block: u16, bits: u16) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    file.extend([format.to_le_bytes(), 1u16.to_le_bytes()].concat());
    file.extend([16_000u32.to_le_bytes(), bytes_a_second.to_le_bytes()].concat());
    file.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
    file.extend([0; 320_000]);
    file
}

#[test]
fn audio_counts_by_its_seconds_where_it_says_how_long_it_is() {
    let estimate = |file: &[u8]| {
        let data = base64(file);
        let body = format!(
            r#"{{"messages":[{{"content":[{{"type":"input_audio","input_audio":{{"data":"{data}","format":"wav"}}}}]}}],"model":"gpt-4o"}}"#
        );
        facts(OpenaiChat, &body).input_estimate
    };
    let seconds = estimate(&wave(1, 32_000, 2, 16));
    assert!((750..790).contains(&seconds), "ten seconds: {seconds}");
    for (stated, block, bits) in [(u32::MAX, 2, 16), (32_000, u16::MAX, 16), (u32::MAX, u16::MAX, 16)] {
        let found = estimate(&wave(1, stated, block, bits));
        assert!((750..790).contains(&found), "still ten seconds: {found}");
    }
    for unclear in [wave(1, 0, 2, 16), wave(1, 32_000, 0, 16), wave(2, u32::MAX, 2, 16), vec![7; 320_000]] {
        let found = estimate(&unclear);
        assert!((40_000..40_100).contains(&found), "by its bytes: {found}");
    }
}

#[test]
fn a_pdf_counts_by_its_pages_where_they_can_be_seen() {
    let estimate = |model: &str, file: &[u8]| {
        let data = base64(file);
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"content":[{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{data}"}}}}]}}]}}"#
        );
        facts(Anthropic, &body).input_estimate
    };
    let pdf = |pages: usize, more: &str| {
        let page = "1 0 obj <</Type /Page /Parent 2 0 R>> endobj\n".repeat(pages);
        format!(
            "%PDF-1.4\n2 0 obj <</Type/Pages/Count {pages}>> endobj\n{page}{}{more}%%EOF",
            " ".repeat(60_000)
        )
        .into_bytes()
    };
    // 1,640 for its image and 3,000 for its text, or more where its bytes hold more.
    for pages in [1, 2, 15, 700] {
        let file = pdf(pages, "");
        let found = estimate("claude-sonnet-4-6", &file);
        let bytes = file.len() as u64;
        let expected = pages as u64 * 1_640 + (pages as u64 * 3_000).clamp(bytes / 2, bytes);
        assert!((expected..expected + 150).contains(&found), "{pages}: {found} of {expected}");
    }
    assert!(estimate("claude-opus-4-8", &pdf(2, "")) > 15_000, "it looks at more of a page");
    let packed = estimate("claude-sonnet-4-6", &pdf(1, "3 0 obj <</Type/ObjStm>>"));
    assert!((30_000..30_200).contains(&packed), "pages that are packed cannot be counted: {packed}");
    let few = pdf(1, "");
    let few = |more: &str| [&few[..400], more.as_bytes(), b"%%EOF"].concat();
    let clear = estimate("claude-sonnet-4-6", &few(""));
    assert!((2_000..2_200).contains(&clear), "{clear}");
    for more in [
        "3 0 obj <</Type/P#61ge>> endobj",
        "3 0 obj <</Type/#50age>> endobj",
        "3 0 obj <</Type/Obj#53tm>> endobj",
        "3 0 obj <</Fil#74er/FlateDecode/Length 9>> endobj",
        "3 0 obj <</Filter /FlateDecode/Length 9>> endobj",
    ] {
        for before in [0, 11_500, 11_850, 11_873, 11_880, 11_890, 30_000] {
            let file = few(&format!("{}{more}", " ".repeat(before)));
            let found = estimate("claude-sonnet-4-6", &file);
            let least = (file.len() as u64 / 2).max(if file.len() < 4_096 { 4_800 } else { 16_000 });
            let most = if more.contains("/Filter") { least + 2_000 } else { least + 200 };
            assert!((least..most).contains(&found), "{more} behind {before}: {found} of {least}");
        }
    }
    let color = estimate("claude-sonnet-4-6", &few("% color #61ff00"));
    assert!((2_000..2_200).contains(&color), "a number sign is no escape elsewhere: {color}");
}

#[test]
fn what_is_only_named_counts_what_is_stated_for_it() {
    let file = |kind: &str| {
        let body = format!(
            r#"{{"messages":[{{"content":[{{"type":"{kind}","source":{{"type":"file","file_id":"f"}}}}]}}],"model":"claude-sonnet-4-6"}}"#
        );
        facts(Anthropic, &body).input_estimate
    };
    assert!((16_000..16_100).contains(&file("document")));
    assert!((1_640..1_700).contains(&file("image")));
    let previous = facts(OpenaiResponses, r#"{"model":"gpt-4o","previous_response_id":"r","input":"x"}"#);
    assert!((8_192..8_250).contains(&previous.input_estimate));
    let cached =
        facts(Gemini, r#"{"cachedContent":"cachedContents/x","contents":[{"parts":[{"text":"x"}]}]}"#);
    assert!((8_192..8_250).contains(&cached.input_estimate));
    let message = r#"{"type":"response.create","model":"gpt-4o","previous_response_id":"r","input":"x"}"#;
    let socket = RequestHead { socket: true, ..head(OpenaiResponses, "/v1/responses", None) };
    let found = read(&socket, message.as_bytes()).unwrap();
    assert!(found.input_estimate < 100, "on a socket it is known what it was");
}

#[test]
fn an_escaped_url_is_still_a_url() {
    let chat = |url: &str| {
        facts(
            OpenaiChat,
            &format!(
                r#"{{"messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
            ),
        )
    };
    for url in [
        "https://x.test/a.png",
        r"\u0068ttps://x.test/a.png",
        r"\u0068\u0074\u0074\u0070s:\/\/x.test\/a.png",
        "HTTPS://x.test/a.png",
        " https://x.test/a.png",
        "gs://bucket/a.png",
    ] {
        let found = chat(url);
        assert!((4_800..6_000).contains(&found.input_estimate), "{url}: {}", found.input_estimate);
        assert_eq!(found.unseen_input, ["url"], "{url}");
    }
    let data = "A".repeat(400_000);
    for head in ["data:image/png;base64,", r"\u0064ata:image\/png;base64\u002c", "DATA:Image/PNG;Base64,"] {
        let found = chat(&format!("{head}{data}"));
        assert!((4_800..6_000).contains(&found.input_estimate), "{head}: {}", found.input_estimate);
        assert_eq!(found.unseen_input, Vec::<&str>::new(), "{head}");
    }
    // A text that poses as a source by its escapes, and a file by its link.
    let text = format!(
        r#"{{"messages":[{{"content":[{{"source":{{"type":"te\u0078t","media_type":"image\u002fpng","data":"{data}"}}}}]}}]}}"#
    );
    assert!(facts(Anthropic, &text).input_estimate > 130_000);
    let file = r#"{"input":[{"content":[{"type":"input_file","file_url":"\u0068ttps://x.test/a.pdf"}]}]}"#;
    assert!(facts(OpenaiResponses, file).input_estimate > 4_800);
    let plain = facts(OpenaiResponses, r#"{"reasoning":{"mode":"xyz"}}"#).input_estimate;
    assert!(facts(OpenaiResponses, r#"{"reasoning":{"mode":"p\u0072o"}}"#).input_estimate > plain + 2_000);
    // The head is read over a bounded length, whatever stands there.
    for odd in [r"\u0068".repeat(100_000), r"\ud83d\ude00,".to_owned(), "é,".to_owned(), "data:".repeat(100)]
    {
        chat(&odd);
    }
}

#[test]
fn a_small_pdf_may_have_many_pages() {
    let estimate = |bytes: usize| {
        let data = "A".repeat(bytes / 3 * 4);
        let body = format!(
            r#"{{"messages":[{{"content":[{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{data}"}}}}]}}]}}"#
        );
        facts(Anthropic, &body).input_estimate
    };
    assert!((4_800..5_000).contains(&estimate(3_000)));
    assert!((4_800..5_000).contains(&estimate(4_095)));
    assert!((16_000..16_200).contains(&estimate(4_098)));
    assert!((16_000..16_200).contains(&estimate(20_000)));
    assert!((30_000..30_200).contains(&estimate(60_000)));
    assert!((480_000..480_200).contains(&estimate(1_200_000)));
}

#[test]
fn media_count_by_what_they_are_and_nothing_else_poses_as_media() {
    let data = "A".repeat(400_000);
    let image = |kind: &str, data: &str| {
        format!(
            r#"{{"messages":[{{"content":[{{"type":"image","source":{{"type":"{kind}","media_type":"image/png","data":"{data}"}}}}]}}]}}"#
        )
    };
    let estimate = |format, body: &str| facts(format, body).input_estimate;
    assert!((4_784..4_900).contains(&estimate(Anthropic, &image("base64", &data))));
    assert!(estimate(Anthropic, &image("text", &data)) > 130_000, "a text source is text");
    assert!(estimate(Anthropic, &image("base64", &format!("{data} and words"))) > 130_000, "not base64");
    let argument = format!(
        r#"{{"messages":[{{"content":[{{"type":"tool_use","input":{{"source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}}}]}}]}}"#
    );
    assert!(estimate(Anthropic, &argument) > 130_000, "an argument is text");
    let url = format!(
        r#"{{"messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]}}"#
    );
    assert!((4_800..6_000).contains(&estimate(OpenaiChat, &url)));
    let mini = url.replacen('{', r#"{"model":"gpt-4o-mini","#, 1);
    assert!(estimate(OpenaiChat, &mini) > 48_000);
    let inline = format!(
        r#"{{"contents":[{{"parts":[{{"inlineData":{{"data":"{data}","mimeType":"application/pdf"}}}}]}}]}}"#
    );
    assert!((150_000..152_000).contains(&estimate(Gemini, &inline)));
    let responses = format!(
        r#"{{"input":[{{"content":[{{"type":"input_image","image_url":"data:image/jpeg;base64,{data}"}}]}}]}}"#
    );
    assert!((4_800..6_000).contains(&estimate(OpenaiResponses, &responses)));
}
