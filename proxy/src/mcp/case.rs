//! Keys that are one key to some readers: Go's and .NET's JSON readers do not tell `Amount` from `amount`, nor do all of
//! them tell letters apart that only look like others in one case.

use serde_json::Value;

/// A text in a form that is the same for all that any reader takes for the same.
fn folded(text: &str) -> String {
    let upper = text.chars().flat_map(char::to_uppercase);
    // A dotted capital I leaves its dot behind as a character of its own.
    upper.flat_map(char::to_lowercase).filter(|letter| *letter != '\u{307}').collect()
}

/// Whether two keys differ, and not to everybody.
pub fn same_but_for_case(one: &str, other: &str) -> bool {
    one != other && folded(one) == folded(other)
}

/// A key on the way of `path` (`amount`, `card.number`) that some readers would take for one of the path's own.
pub fn misspelt(arguments: &Value, path: &str) -> Option<String> {
    let mut values = vec![arguments];
    for part in path.split('.') {
        let mut next = Vec::new();
        for value in values {
            let Value::Object(members) = value else {
                next.extend(value.as_array().into_iter().flatten());
                continue;
            };
            if let Some(key) = members.keys().find(|key| same_but_for_case(key, part)) {
                return Some(key.clone());
            }
            next.extend(members.get(part));
        }
        values = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_that_some_reader_takes_for_one_are_known() {
        for (one, other) in [
            ("params", "Params"),
            ("params", "param\u{17f}"),
            ("task", "tas\u{212a}"),
            ("id", "ID"),
            ("id", "\u{131}d"),
            ("id", "\u{130}d"),
        ] {
            assert!(same_but_for_case(one, other) && same_but_for_case(other, one), "{one} {other}");
        }
        for (one, other) in [("id", "id"), ("id", "ids"), ("name", "n\u{430}me")] {
            assert!(!same_but_for_case(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_a_rule_looks_at_is_spelt_as_the_rule_spells_it() {
        let arguments =
            json!({"amount": 1, "card": {"Number": 2}, "Other": {"AMOUNT": 3}, "list": [{"Key": 1}]});
        for (path, found) in [
            ("amount", None),
            ("card.number", Some("Number")),
            ("CARD", Some("card")),
            ("other.amount", Some("Other")),
            ("missing.amount", None),
            ("amount.x", None),
        ] {
            assert_eq!(misspelt(&arguments, path).as_deref(), found, "{path}");
        }
    }
}
