use super::super::tests::bodies::{meter, numbers};
use crate::meter::End;
use hudson_schema::Format::Ollama;

const TEXT: &str =
    r#"{"model":"qwen3","message":{"role":"assistant","content":"","thinking":"abcdef"},"done":false}"#;
const END: &str = r#"{"model":"qwen3","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1,"prompt_eval_count":83,"eval_count":2050}"#;

#[test]
fn the_last_line_has_the_counts() {
    for end in [End::Complete, End::Interrupted] {
        let report = meter(Ollama, format!("{TEXT}\n{TEXT}\n{END}\n"), end);
        assert!(report.exact && report.finished && report.stream);
        assert_eq!((numbers(&report), report.model.as_deref()), ([83, 2050, 0, 0, 0, 2133], Some("qwen3")));
    }
    let whole = meter(Ollama, END, End::Complete);
    assert!(whole.exact && !whole.stream);
    let embedded = r#"{"model":"m","embeddings":[[0.1]],"total_duration":1,"prompt_eval_count":8}"#;
    assert_eq!(numbers(&meter(Ollama, embedded, End::Complete)), [8, 0, 0, 0, 0, 8]);
}

#[test]
fn a_body_that_ends_before_the_last_line_is_never_exact() {
    let body = format!("{TEXT}\n{TEXT}\n{END}");
    for length in 0..body.len() {
        for end in [End::Complete, End::Interrupted] {
            let report = meter(Ollama, &body[..length], end);
            assert!(!report.exact && report.usage.is_none(), "cut at {length}");
        }
    }
    // Counts before the last line are not final, and a count without a reason is not when the body broke off.
    let counted = TEXT.replace(r#""done":false"#, r#""done":false,"eval_count":2"#);
    assert!(!meter(Ollama, format!("{counted}\n{TEXT}\n"), End::Complete).exact);
    assert!(!meter(Ollama, format!("{counted}\n"), End::Interrupted).exact);
    let report = meter(Ollama, format!("{TEXT}\n{{\"error\":\"out of memory\"}}\n"), End::Complete);
    assert!(report.finished && !report.exact);
    let loaded = r#"{"model":"m","response":"","done":true,"done_reason":"load"}"#;
    assert!(!meter(Ollama, loaded, End::Complete).exact, "nothing is stated");
}
