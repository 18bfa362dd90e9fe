//! What a request may be made to look like so that it is estimated too low.

use super::estimate::{of_text, png};
use super::*;

/// What a message to gpt-4o is estimated at whose text stands so between the quotes, beyond an empty one.
fn of_raw(raw: &str) -> u64 {
    let body =
        |text: &str| format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    facts(OpenaiChat, &body(raw)).input_estimate - facts(OpenaiChat, &body("")).input_estimate
}

/// The counts are the fewer of `o200k_base`'s and `cl100k_base`'s.
#[test]
fn text_that_is_made_to_look_cheap_weighs_what_it_is() {
    let bytes = |pattern: &str| pattern.repeat(1_200 / pattern.len());
    for (text, tokens) in [
        ("~#", 1_200),
        (".-", 600),
        ("--==", 600),
        ("---===", 400),
        ("----====", 300),
        ("#~=/*.-", 600),
        ("\r\t", 1_200),
        ("\r", 600),
    ] {
        let found = of_text(OpenaiChat, "gpt-4o", &bytes(text));
        assert!((tokens / 2..tokens * 2).contains(&found), "{text:?}: {found} of {tokens}");
    }
    for sign in ["-", "=", "*", "#", ".", "/", "~", r"\u002d"] {
        let line = of_raw(&sign.repeat(1_200));
        assert!((20..60).contains(&line), "a line of {sign}: {line}");
    }
    assert!(of_raw(&r"\u002d=".repeat(600)) > 600, "escaped or not");
}

#[test]
fn characters_without_a_piece_weigh_their_bytes() {
    let repeated =
        |first: char| (0..40).filter_map(|next| char::from_u32(first as u32 + next)).collect::<String>();
    for first in [
        '\u{a000}',
        '\u{a500}',
        '\u{1400}',
        '\u{16a0}',
        '\u{2800}',
        '\u{3400}',
        '\u{4d00}',
        '\u{e100}',
        '\u{f200}',
        '\u{1100}',
        '\u{13a0}',
        '\u{fb60}',
        '\u{10000}',
        '\u{12000}',
        '\u{13000}',
        '\u{20000}',
        '\u{f0000}',
        '\u{710}',
    ] {
        let text = repeated(first);
        for model in ["gpt-4o", "claude-sonnet-4-6"] {
            let found = of_text(OpenaiChat, model, &text);
            let bytes = text.len() as u64;
            assert!((bytes..bytes * 5 / 4).contains(&found), "{first:?}, {model}: {found} of {bytes}");
        }
    }
    // As they were fitted: below a token and a half.
    for first in ['\u{4e00}', '\u{3041}', '\u{ac00}', '\u{430}', '\u{627}', '\u{5d0}', '\u{905}', '\u{e01}'] {
        let found = of_text(OpenaiChat, "gpt-4o", &repeated(first));
        assert!(found < 60, "{first:?}: {found}");
    }
    assert!(of_text(OpenaiChat, "gpt-4o", &repeated('\u{1f600}')) < 120, "emoji");
}

#[test]
fn half_a_surrogate_pair_weighs_as_a_character() {
    for lone in [r"\udc00", r"\udfff", r"\ud83d", r"\\ud83d\ude00", r"x\ude00", r"\ud83dx"] {
        let found = of_raw(&lone.repeat(100));
        assert!(found >= 300, "{lone}: {found}");
    }
    let twice = of_raw(&r"\ud83d\ude00\ude00".repeat(100));
    let pairs = of_raw(&r"\ud83d\ude00".repeat(100));
    assert_eq!(pairs, of_text(OpenaiChat, "gpt-4o", &"\u{1f600}".repeat(100)));
    assert!(twice >= pairs + 300, "{twice}, {pairs}");
}

#[test]
fn video_counts_more_than_speech_and_a_link_to_one_more_than_an_image() {
    let chat = |url: &str, part: &str| {
        let part = part.replace("URL", url);
        facts(OpenaiChat, &format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#)).input_estimate
    };
    let nested = r#"{"type":"video_url","video_url":{"url":"URL"}}"#;
    let bare = r#"{"type":"video_url","video_url":"URL"}"#;
    let poses = r#"{"type":"video_url","video_url":{"type":"input_image","detail":"low","url":"URL"}}"#;
    let inline = |bytes: usize| format!("data:video/mp4;base64,{}", "A".repeat(bytes / 3 * 4));
    for part in [nested, bare, poses] {
        let link = chat("https://x.test/a.mp4", part);
        assert!((16_000..17_000).contains(&link), "{part}: {link}");
        let short = chat(&inline(300_000), part);
        assert!((150_000..151_000).contains(&short), "{part}: {short}");
    }
    assert!((1_048_576..1_050_000).contains(&chat(&inline(6_000_000), nested)), "no model reads more");
    let gemini = format!(
        r#"{{"contents":[{{"parts":[{{"inlineData":{{"data":"{}","mimeType":"video/mp4"}}}}]}}]}}"#,
        "A".repeat(400_000)
    );
    assert!((150_000..151_000).contains(&facts(Gemini, &gemini).input_estimate));
}

#[test]
fn less_of_an_image_is_only_asked_for_beside_its_url() {
    let url = format!("data:image/png;base64,{}", png(1024, 1024));
    for (body, tokens) in [
        (r#"{"content":[{"type":"image_url","image_url":{"detail":"low","url":"URL"}}]}"#, 85),
        (r#"{"content":[{"type":"image_url","image_url":{"url":"URL","detail":"low"}}]}"#, 85),
        (r#"{"content":[{"type":"image_url","detail":"low","image_url":{"url":"URL"}}]}"#, 765),
        (r#"{"detail":"low","content":[{"type":"image_url","image_url":{"url":"URL"}}]}"#, 765),
        (r#"{"content":[{"type":"image_url","image_url":{"url":"URL","x":{"detail":"low"}}}]}"#, 765),
    ] {
        let estimate = |body: &str| {
            facts(OpenaiChat, &format!(r#"{{"model":"gpt-4o","messages":[{body}]}}"#)).input_estimate
        };
        let found = estimate(&body.replace("URL", &url)) - estimate(r#"{"content":[]}"#);
        assert!((tokens..tokens + 20).contains(&found), "{body}: {found}");
    }
    let root = format!(
        r#"{{"model":"gpt-4o","detail":"low","messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
    );
    assert!(facts(OpenaiChat, &root).input_estimate > 765);
}
