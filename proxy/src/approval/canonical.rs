//! JSON as it is bound to: keys in order, no white space, strings in one spelling, and numbers as they were written,
//! because `5` and `5.0` are not the same to everybody who reads them, and no float holds every number.
//!
//! Invariant: two texts of one canonical form are read alike by every reader of JSON; a text that readers could read
//! differently (a key twice) has none.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{self, Write};

/// How deep JSON may go.
const DEPTH: usize = 64;

/// Why there is no canonical form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotCanonical {
    /// It is not JSON, or too deep to be looked at.
    #[error("it is not JSON, or deeper than {DEPTH} levels")]
    NotJson,
    /// A key is there twice.
    #[error("an object has the same key twice")]
    DuplicateKey,
}

/// The canonical form of a JSON text (RFC 8785, but for numbers, which stay as they are written, and for the order of
/// keys, which is that of their UTF-8).
pub fn canonical(text: &[u8]) -> Result<String, NotCanonical> {
    let raw: &RawValue = serde_json::from_slice(text).map_err(|_| NotCanonical::NotJson)?;
    let mut form = String::new();
    write(&mut form, raw.get(), DEPTH)?;
    Ok(form)
}

fn write(form: &mut String, text: &str, depth: usize) -> Result<(), NotCanonical> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let depth = depth.checked_sub(1).ok_or(NotCanonical::NotJson)?;
    match text.bytes().next() {
        Some(b'{') => {
            let Members(mut members) = parse(text)?;
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            if members.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
                return Err(NotCanonical::DuplicateKey);
            }
            form.push('{');
            for (place, (key, value)) in members.iter().enumerate() {
                if place > 0 {
                    form.push(',');
                }
                string(form, key)?;
                form.push(':');
                write(form, value.get(), depth)?;
            }
            form.push('}');
        }
        Some(b'[') => {
            let Items(items) = parse(text)?;
            form.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    form.push(',');
                }
                write(form, item.get(), depth)?;
            }
            form.push(']');
        }
        Some(b'"') => string(form, &parse::<String>(text)?)?,
        // A number, true, false or null: one spelling each, or that of the number.
        _ => form.push_str(text),
    }
    Ok(())
}

fn string(form: &mut String, text: &str) -> Result<(), NotCanonical> {
    let text = serde_json::to_string(text).map_err(|_| NotCanonical::NotJson)?;
    form.write_str(&text).map_err(|_| NotCanonical::NotJson)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, NotCanonical> {
    serde_json::from_str(text).map_err(|_| NotCanonical::NotJson)
}

/// The members of an object, each as it is there.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The elements of a list, likewise.
pub(crate) struct Items<'a>(pub(crate) Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;

        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }

        deserializer.deserialize_seq(ItemsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<String, NotCanonical> {
        canonical(text.as_bytes())
    }

    #[test]
    fn order_space_and_spelling_do_not_count_and_values_do() {
        let one = of(r#"{"b": [1, "A"], "a": {"d": null, "c": true}}"#).unwrap();
        assert_eq!(one, r#"{"a":{"c":true,"d":null},"b":[1,"A"]}"#);
        assert_eq!(
            of(" { \"\\u0061\":{\"c\":true ,\"d\":null},\n\"b\":[1,\"\\u0041\"]}\r\n"),
            Ok(one.clone())
        );
        let others = ["5", "5.0", "\"5\"", "5e0", "9007199254740993", "9007199254740992", "[5]", "{\"5\":5}"];
        for (place, text) in others.iter().enumerate() {
            for other in &others[place + 1..] {
                assert_ne!(of(text).unwrap(), of(other).unwrap());
            }
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_form() {
        for twice in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert_eq!(of(twice), Err(NotCanonical::DuplicateKey));
        }
        for not in ["", "{", "a", "{}{}", "\u{feff}{}", "{\"a\":1,}", "[\"\\ud800\"]"] {
            assert_eq!(of(not), Err(NotCanonical::NotJson), "{not}");
        }
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(of(&deep(DEPTH - 1)).is_ok());
        assert_eq!(of(&deep(DEPTH)), Err(NotCanonical::NotJson));
        assert_eq!(of(&deep(100_000)), Err(NotCanonical::NotJson));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_form_is_the_same_value_and_its_own_form(value in json()) {
            let form = of(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&form).unwrap(), &value);
            prop_assert_eq!(of(&form).unwrap(), form);
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = canonical(&bytes);
        }
    }
}
