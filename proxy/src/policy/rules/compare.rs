//! One value against one comparison.
//!
//! Invariant: a value of another type is never quietly "not it" where that would let something by: an order, an expression
//! or a part that cannot be asked of a value is not known.

use super::Truth;
use super::content::Content;
use hudson_schema::config::{Literal, Number, Test};

/// Whether a value is what a comparison asks for.
pub(super) fn holds(test: &Test, value: &Content) -> Truth {
    let order = |fits: &dyn Fn(&Number) -> bool| match number(value) {
        Known::Number(number) => Truth::of(fits(&number)),
        Known::Nothing => Truth::No,
        Known::Other => Truth::unknown("it is no number"),
    };
    match test {
        Test::Exists(there) => Truth::of(*there),
        Test::OneOf(literals) => Truth::of(literals.iter().any(|literal| equal(literal, value))),
        Test::NoneOf(literals) => Truth::of(!literals.iter().any(|literal| equal(literal, value))),
        Test::Below(bound) => order(&|number| number < bound),
        Test::AtMost(bound) => order(&|number| number <= bound),
        Test::Above(bound) => order(&|number| number > bound),
        Test::AtLeast(bound) => order(&|number| number >= bound),
        Test::Matches(pattern) => match value {
            Content::Text(text) | Content::Untyped(text) | Content::Number(text) => {
                Truth::of(pattern.matches(text))
            }
            Content::Bool(value) => Truth::of(pattern.matches(if *value { "true" } else { "false" })),
            Content::Null => Truth::No,
            Content::List(_) | Content::Object(_) => Truth::unknown("it is no text"),
        },
        Test::Contains(literal) => match (value, literal) {
            (Content::Text(text) | Content::Untyped(text), Literal::Text(part)) => {
                Truth::of(text.contains(part.as_str()))
            }
            (Content::List(items), literal) => Truth::of(items.iter().any(|item| equal(literal, item))),
            (Content::Text(_) | Content::Untyped(_) | Content::Null, _) => Truth::No,
            _ => Truth::unknown("it is no text and no list"),
        },
    }
}

fn equal(literal: &Literal, value: &Content) -> bool {
    match (literal, value) {
        (Literal::Text(one), Content::Text(other) | Content::Untyped(other)) => one == other,
        (Literal::Number(one), Content::Number(_) | Content::Untyped(_)) => {
            matches!(number(value), Known::Number(other) if *one == other)
        }
        (Literal::Bool(one), Content::Bool(other)) => one == other,
        (Literal::Bool(one), Content::Untyped(other)) => other == if *one { "true" } else { "false" },
        _ => false,
    }
}

pub(super) enum Known {
    Number(Number),
    /// `null`.
    Nothing,
    Other,
}

/// The number that a value is, or that a server takes it for.
pub(super) fn number(value: &Content) -> Known {
    let parsed = match value {
        Content::Null => return Known::Nothing,
        Content::Number(text) => Number::parse(text),
        Content::Untyped(text) => {
            let text = text.trim();
            Number::parse(text.strip_prefix('+').unwrap_or(text))
        }
        _ => None,
    };
    parsed.map_or(Known::Other, Known::Number)
}
