use super::super::tests::bodies::{events, meter, numbers};
use crate::meter::End;
use hudson_schema::Format::GeminiInteractions;

const CREATED: &str = r#"{"event_type":"interaction.created","interaction":{"id":"v1","model":"gemini","status":"in_progress"}}"#;
const STATUS: &str =
    r#"{"event_type":"interaction.status_update","interaction_id":"v1","status":"completed"}"#;
const TEXT: &str = r#"{"event_type":"step.delta","index":1,"delta":{"type":"text","text":"abcdef"}}"#;
const USAGE: &str = r#"{"input_tokens_by_modality":[{"modality":"text","tokens":12}],"total_cached_tokens":4,"total_input_tokens":12,"total_output_tokens":2,"total_thought_tokens":116,"total_tool_use_tokens":5,"total_tokens":135}"#;

#[test]
fn both_names_of_the_last_event_count() {
    for name in ["interaction.completed", "interaction.complete"] {
        for status in ["completed", "requires_action"] {
            let end = format!(
                r#"{{"event_type":"{name}","interaction":{{"id":"v1","status":"{status}","usage":{USAGE}}}}}"#
            );
            let report = meter(GeminiInteractions, events(&[CREATED, TEXT, &end, "[DONE]"]), End::Complete);
            assert!(report.exact && report.finished, "{name}");
            // Thoughts and the tools' prompts stand beside output and input.
            assert_eq!(numbers(&report), [12, 118, 4, 0, 116, 135]);
            assert_eq!(
                (report.response_id.as_deref(), report.model.as_deref()),
                (Some("v1"), Some("gemini"))
            );
        }
    }
}

#[test]
fn work_that_goes_on_is_not_exact() {
    let report = meter(GeminiInteractions, events(&[CREATED, TEXT, STATUS]), End::Complete);
    assert_eq!((report.exact, report.finished, report.live_output), (false, false, 2));
    for usage in ["null", USAGE] {
        let body = format!(r#"{{"id":"v1","status":"in_progress","usage":{usage}}}"#);
        let report = meter(GeminiInteractions, body, End::Complete);
        assert!(!report.exact && !report.finished, "{usage}");
    }
    let done = format!(r#"{{"id":"v1","model":"gemini","status":"completed","usage":{USAGE}}}"#);
    assert!(meter(GeminiInteractions, done, End::Complete).exact);
    let failed = r#"{"event_type":"error","error":{"code":"x"}}"#;
    let report = meter(GeminiInteractions, events(&[CREATED, failed]), End::Complete);
    assert!(report.finished && !report.exact);
}
