//! What is kept of an action for people: without what must not be shown, and no more than anybody reads.
//!
//! Invariant: whatever is stored has been looked at piece by piece and as a whole; what cannot be cleaned is left out.

use serde_json::{Map, Value, json};

/// The longest details that are kept, in bytes.
const LONGEST: usize = 64 << 10;
/// The longest description that is kept, in characters.
const DESCRIPTION: usize = 4_000;

/// Cleans one text.
pub type Clean<'a> = &'a dyn Fn(&str) -> String;

/// The description as it is kept.
pub fn description(text: &str, clean: Clean<'_>) -> String {
    // Cleaned before it is cut: half a secret is none that would be found.
    clean(text).chars().take(DESCRIPTION).collect()
}

/// The details as they are kept.
pub fn details(details: &str, clean: Clean<'_>) -> Value {
    if details.len() > LONGEST {
        let size = details.len();
        return json!({"withheld": format!("the details are {size} bytes, more than the {LONGEST} that are shown")});
    }
    let Ok(parsed) = serde_json::from_str::<Value>(details) else { return json!({}) };
    let kept = value(&parsed, clean);
    let text = kept.to_string();
    // What lies across several fields is in none of them.
    match clean(&text) == text {
        true => kept,
        false => {
            json!({"withheld": "the details hold something that must not be shown, across several fields"})
        }
    }
}

fn value(from: &Value, clean: Clean<'_>) -> Value {
    match from {
        Value::String(text) => Value::String(clean(text)),
        Value::Number(number) => {
            let text = number.to_string();
            let cleaned = clean(&text);
            if cleaned == text { from.clone() } else { Value::String(cleaned) }
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| value(item, clean)).collect()),
        Value::Object(members) => {
            let members = members.iter().map(|(key, item)| (clean(key), value(item, clean)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) => from.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        text.replace("hunter2", "*******").replace("4111111111111111", "****************")
    }

    #[test]
    fn what_must_not_be_shown_is_kept_nowhere() {
        let kept = details(r#"{"a": {"hunter2": ["x hunter2"]}, "card": 4111111111111111, "n": 5}"#, &clean);
        assert_eq!(kept, json!({"a": {"*******": ["x *******"]}, "card": "****************", "n": 5}));
        assert_eq!(description("it is hunter2", &clean), "it is *******");
        let across =
            |text: &str| if text.contains("one\",\"b\":\"two") { "*".to_owned() } else { text.to_owned() };
        let kept = details(r#"{"a": "one", "b": "two"}"#, &across);
        assert!(kept["withheld"].is_string() && kept["a"].is_null(), "{kept}");
    }

    #[test]
    fn no_more_is_kept_than_anybody_reads() {
        let kept = details(&json!({"a": "x".repeat(LONGEST)}).to_string(), &clean);
        assert!(kept["withheld"].as_str().unwrap().contains("bytes"));
        let cut = description(&format!("{}hunter2", "x".repeat(DESCRIPTION - 4)), &clean);
        assert!(cut.ends_with("xx****") && cut.len() == DESCRIPTION);
    }
}
