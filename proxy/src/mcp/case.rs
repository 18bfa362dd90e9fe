//! Keys that are one key to some readers: Go's and .NET's JSON readers do not tell `Amount` from `amount`, nor do all of
//! them tell letters apart that only look like others in one case.

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
