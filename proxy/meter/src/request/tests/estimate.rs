use super::*;

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
    assert!((4_800..6_000).contains(&estimate(Anthropic, &image("base64", &data))));
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
