use super::*;
use proptest::prelude::*;

fn strip(input: &[u8], size: usize) -> Vec<u8> {
    let mut stripper = UsageChunkStripper::new();
    let mut out = Vec::new();
    for chunk in input.chunks(size.max(1)) {
        stripper.feed(chunk, &mut out);
    }
    stripper.finish(&mut out);
    out
}

const CONTENT: &str = r#"data: {"id":"c","choices":[{"delta":{"content":"hi"}}],"usage":null}"#;
const USAGE: &str = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;

#[test]
fn the_usage_chunk_goes_and_nothing_else() {
    for eol in ["\n", "\r\n", "\r"] {
        let end = format!("{eol}{eol}");
        let before = format!(": keep-alive{end}{CONTENT}{end}");
        let input = format!("{before}{USAGE}{end}data: [DONE]{end}");
        let expected = format!("{before}data: [DONE]{end}");
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(
                String::from_utf8(strip(input.as_bytes(), size)).unwrap(),
                expected,
                "{eol:?} at {size}"
            );
        }
    }
}

#[test]
fn what_only_looks_like_it_stays() {
    for event in [
        r#"data: {"choices":[],"usage":null}"#,
        r#"data: {"choices":[],"prompt_filter_results":[{}]}"#,
        r#"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,
        r#"data: {"usage":{"prompt_tokens":1}}"#,
        r#"data: {"x":{"choices":[],"usage":{}}}"#,
        r#"data: {"error":{"message":"x"},"choices":[],"usage":{}}"#,
        r#"data: {"choices":[],"usage":{}} trailing"#,
        r#"data: {"choices":[],"usage":{}"#,
        r#"data: [{"choices":[],"usage":{}}]"#,
        r#"event: x"#,
        r#": {"choices":[],"usage":{}}"#,
        r#"other: {"choices":[],"usage":{}}"#,
    ] {
        let input = format!("{event}\n\ndata: [DONE]\n\n");
        for size in [1, 3, 1000] {
            assert_eq!(String::from_utf8(strip(input.as_bytes(), size)).unwrap(), input);
        }
    }
}

#[test]
fn it_goes_with_all_its_lines_and_without_a_blank_line_at_the_end() {
    let input = "id: 7\nevent: x\ndata: {\"choices\":[],\ndata: \"usage\":{}}\n\ndata: [DONE]\n\n";
    assert_eq!(strip(input.as_bytes(), 1), b"data: [DONE]\n\n");
    assert_eq!(strip(format!("{CONTENT}\n\n{USAGE}\n").as_bytes(), 5), format!("{CONTENT}\n\n").as_bytes());
}

#[test]
fn ordinary_bytes_are_not_held() {
    let mut stripper = UsageChunkStripper::new();
    let mut out = Vec::new();
    stripper.feed(b": OPENROUTER PROCESSING", &mut out);
    assert_eq!(out, b": OPENROUTER PROCESSING");
    stripper.feed(b"\n\ndata: {\"id\":\"c\",\"choices\":[{\"del", &mut out);
    assert!(out.ends_with(b"\"choices\":[{\"del"), "decided by the first choice");
    stripper.feed(b"ta", &mut out);
    assert!(out.ends_with(b"delta"));
}

#[test]
fn an_event_of_any_size_is_held_only_to_the_limit() {
    let mut stripper = UsageChunkStripper::new();
    let mut out = Vec::new();
    stripper.feed(b"data: {\"x\":\"", &mut out);
    let part = [b'x'; 1000];
    for fed in 1..1000 {
        stripper.feed(&part, &mut out);
        assert!(12 + fed * part.len() - out.len() <= MAX_HELD + part.len());
    }
    stripper.feed(b"\",\"choices\":[],\"usage\":{}}\n\n", &mut out);
    assert!(out.ends_with(b"\n\n"));
    assert_eq!(out.len(), 12 + 999_000 + 28);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(CONTENT.to_owned()),
        Just(USAGE.to_owned()),
        Just(String::new()),
        Just("data: [DONE]".to_owned()),
        Just("data".to_owned()),
        "(data|event|:|id)?:? ?[a-z{}\\[\\]\",:]{0,12}",
    ]
}

proptest! {
    #[test]
    fn the_split_does_not_matter(
        lines in prop::collection::vec((line(), prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..20),
        sizes in prop::collection::vec(1usize..40, 1..20),
    ) {
        let input: String = lines.iter().map(|(line, eol)| format!("{line}{eol}")).collect();
        let whole = strip(input.as_bytes(), input.len());
        let mut stripper = UsageChunkStripper::new();
        let mut out = Vec::new();
        let mut rest = input.as_bytes();
        for size in sizes.iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, more) = rest.split_at((*size).min(rest.len()));
            stripper.feed(chunk, &mut out);
            rest = more;
        }
        stripper.finish(&mut out);
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn a_stream_is_itself_minus_its_usage_chunks(
        events in prop::collection::vec(prop::sample::select(vec![CONTENT, USAGE, ": c", "data: [DONE]", "event: e\ndata: {}"]), 0..20),
        size in 1usize..200,
        eol in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let text = |keep: &dyn Fn(&str) -> bool| -> String {
            events.iter().filter(|event| keep(event)).map(|event| format!("{event}\n\n").replace('\n', eol)).collect()
        };
        let out = strip(text(&|_| true).as_bytes(), size);
        prop_assert_eq!(String::from_utf8(out).unwrap(), text(&|event| event != USAGE));
    }

    #[test]
    fn nothing_is_lost_from_noise(input in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..50) {
        prop_assert_eq!(strip(&input, size), input);
    }
}
