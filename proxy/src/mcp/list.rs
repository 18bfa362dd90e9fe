//! Lists of tools on their way to the agent, without those that it is not to know of.
//!
//! Invariant: a tool is kept only where every name it has is one that may be listed; everything else of a message keeps
//! its value and its order, what this version does not know included.

use crate::approval::{Items, Members};
use memchr::memmem;
use serde_json::value::RawValue;

/// A message, or an array of them, without tools that may not be listed; `None` where nothing is to be taken out.
pub fn without_hidden(text: &[u8], lists: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    // Most messages hold no list. A key may be spelt with escapes.
    if memmem::find(text, b"tools").is_none() && memmem::find(text, b"\\u").is_none() {
        return None;
    }
    let raw: &RawValue = serde_json::from_slice(text).ok()?;
    let changed = match array(raw) {
        Some(messages) => every(&messages, |message| edited(message, &lists).map(Some)),
        None => edited(raw.get(), &lists),
    };
    changed.map(String::into_bytes)
}

/// One message; `None` where it stays.
fn edited(message: &str, lists: &impl Fn(&str) -> bool) -> Option<String> {
    member(message, "result", |result| member(result, "tools", |tools| fewer(tools, lists)))
}

/// An array of tools; `None` where all of them stay.
fn fewer(tools: &str, lists: &impl Fn(&str) -> bool) -> Option<String> {
    let Items(tools) = serde_json::from_str(tools).ok()?;
    every(&tools, |tool| (!is_listed(tool, lists)).then_some(None))
}

/// Whether a tool may be seen: it has a name, and each that it has is listed.
fn is_listed(tool: &str, lists: &impl Fn(&str) -> bool) -> bool {
    let Ok(Members(members)) = serde_json::from_str(tool) else { return false };
    let mut names = members.iter().filter(|(key, _)| key == "name").peekable();
    names.peek().is_some()
        && names.all(|(_, name)| serde_json::from_str::<String>(name.get()).is_ok_and(|name| lists(&name)))
}

/// An object in which each member of this name is edited; `None` where none is changed.
fn member(object: &str, name: &str, edit: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Members(members) = serde_json::from_str(object).ok()?;
    let mut changed = false;
    let mut out = String::from("{");
    for (place, (key, value)) in members.iter().enumerate() {
        let new = (key == name).then(|| edit(value.get())).flatten();
        changed |= new.is_some();
        if place > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::to_string(key).ok()?);
        out.push(':');
        out.push_str(new.as_deref().unwrap_or(value.get()));
    }
    out.push('}');
    changed.then_some(out)
}

/// An array whose items are edited: `None` keeps one, `Some(None)` takes it out. `None` where nothing is changed.
fn every(items: &[&RawValue], edit: impl Fn(&str) -> Option<Option<String>>) -> Option<String> {
    let mut changed = false;
    let mut kept = Vec::new();
    for item in items {
        match edit(item.get()) {
            None => kept.push(item.get().to_owned()),
            Some(new) => {
                changed = true;
                kept.extend(new);
            }
        }
    }
    changed.then(|| format!("[{}]", kept.join(",")))
}

fn array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok().map(|Items(items)| items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn of(text: &str) -> Option<String> {
        let lists = |name: &str| !name.starts_with("hidden");
        without_hidden(text.as_bytes(), lists).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn hidden_tools_are_taken_out_and_everything_else_stays() {
        let text = r#"{"jsonrpc":"2.0","id":9007199254740993,"result":{"tools":[ {"name":"hidden_a"} ,
            {"name":"read","inputSchema":{"x": 1.50,"x":[ ]},"new":true},{"name":"hidden_b"}],"nextCursor":"c","ttlMs":5,
            "_meta":{"tools":[{"name":"hidden_c"}]}}}"#;
        assert_eq!(
            of(text).unwrap(),
            concat!(
                r#"{"jsonrpc":"2.0","id":9007199254740993,"result":{"tools":["#,
                r#"{"name":"read","inputSchema":{"x": 1.50,"x":[ ]},"new":true}],"nextCursor":"c","ttlMs":5,"#,
                r#""_meta":{"tools":[{"name":"hidden_c"}]}}}"#,
            )
        );
    }

    #[test]
    fn what_is_no_list_stays() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"read"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"tools\":[{\"name\":\"hidden\"}]}"}]}}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":{"tools":[{"name":"hidden"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{}}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{"name":"hidden"}}}"#,
            r#"{"result":{"tools":[{"name":"hidden"}]"#,
            "tools",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn no_spelling_and_no_second_key_brings_a_hidden_tool_along() {
        for (text, expected) in [
            (r#"{"result":{"\u0074ools":[{"n\u0061me":"hidd\u0065n"}]}}"#, r#"{"result":{"tools":[]}}"#),
            (
                r#"{"result":{},"result":{"tools":[1],"tools":[{"name":"hidden"},{"name":"a"}]}}"#,
                r#"{"result":{},"result":{"tools":[],"tools":[{"name":"a"}]}}"#,
            ),
            (r#"{"result":{"tools":[{"name":"read","name":"hidden"}]}}"#, r#"{"result":{"tools":[]}}"#),
            (
                r#"{"result":{"tools":[{"name":1},{},null,"read",{"name":"ok"}]}}"#,
                r#"{"result":{"tools":[{"name":"ok"}]}}"#,
            ),
            (
                r#"[{"result":{"tools":[{"name":"hidden"}]}},{"id":2,"result":{}}]"#,
                r#"[{"result":{"tools":[]}},{"id":2,"result":{}}]"#,
            ),
        ] {
            assert_eq!(of(text).as_deref(), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_hidden_ones_are_missing(names in prop::collection::vec("(hidden)?[a-z\"\\\\\u{e9}]{0,3}", 0..8)) {
            let list = |names: &[&String]| {
                let tools: Vec<Value> = names.iter().map(|name| json!({"name": name, "title": "hidden"})).collect();
                json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "nextCursor": "hidden"}})
            };
            let all: Vec<&String> = names.iter().collect();
            let seen: Vec<&String> = names.iter().filter(|name| !name.starts_with("hidden")).collect();
            let text = list(&all).to_string();
            let out = of(&text);
            prop_assert_eq!(out.is_some(), all.len() != seen.len());
            let out: Value = serde_json::from_str(&out.unwrap_or(text)).unwrap();
            prop_assert_eq!(out, list(&seen));
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = without_hidden(&bytes, |_| false);
        }
    }
}
