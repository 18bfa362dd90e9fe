//! What a posted body says: one JSON-RPC 2.0 message or an array of them, read once and strictly.

use super::case::same_but_for_case;
use crate::approval::{Items, Members, NotCanonical, canonical};
use crate::policy::rules::Content;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// The method that uses a tool.
const CALL: &str = "tools/call";
/// The members of a message.
const MESSAGE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
/// The members of a call's parameters that are judged.
const PARAMS: &[&str] = &["name", "arguments", "_meta"];
/// What tells one sending of a call from another, and not what is called: a token for progress, and the trace.
const OF_THE_SENDING: &[&str] = &["progressToken", "traceparent", "tracestate", "baggage"];

/// Why a body is not what MCP posts.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotMcp {
    /// It is no JSON that can be read in one way.
    #[error("the body cannot be read: {0}")]
    Json(#[from] NotCanonical),
    /// It is no message.
    #[error("the body is no JSON-RPC 2.0 message: {0}")]
    Message(&'static str),
    /// A key that some servers read as another.
    #[error("the key {0:?} is {1:?} to some servers and to others is not")]
    Case(String, &'static str),
}

/// What was posted.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// Whether it came as an array.
    pub batch: bool,
    /// The messages; at least one.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The id, where an answer is wanted; and of an answer, what it answers.
    pub id: Option<Value>,
    /// What it says.
    pub says: Says,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// A tool is called.
    Call(Call),
    /// Anything else is asked or told.
    Method(String),
    /// A request of the server's is answered.
    Answer,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The tool's name, as it is.
    pub tool: String,
    /// Its arguments, an object.
    pub arguments: Content,
    /// Everything that makes the call what it is, in one spelling: its parameters, without what differs from one sending
    /// of it to the next.
    pub bound: String,
}

/// Reads a body.
pub fn read(body: &[u8]) -> Result<Posted, NotMcp> {
    // What has a canonical form is JSON in UTF-8, of bounded depth, without a key twice.
    let text = canonical(body)?;
    if !text.starts_with('[') {
        return Ok(Posted { batch: false, messages: vec![message(&text)?] });
    }
    let Items(items) = parsed(&text)?;
    let messages = items.iter().map(|item| message(item.get())).collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err(NotMcp::Message("an empty array"));
    }
    let mut ids = HashSet::new();
    let asked = messages.iter().filter(|message| message.says != Says::Answer);
    if !asked.filter_map(|message| message.id.as_ref()).all(|id| ids.insert(id.to_string())) {
        return Err(NotMcp::Message("two requests have the same id"));
    }
    Ok(Posted { batch: true, messages })
}

fn message(text: &str) -> Result<Message, NotMcp> {
    let members = members(text, MESSAGE)?;
    if text_of(&members, "jsonrpc")?.as_deref() != Some("2.0") {
        return Err(NotMcp::Message("jsonrpc is not \"2.0\""));
    }
    let id = member(&members, "id").map(id).transpose()?;
    let answers = ["result", "error"].iter().filter(|key| member(&members, key).is_some()).count();
    let Some(method) = text_of(&members, "method")? else {
        return match (answers, &id) {
            (1, Some(_)) => Ok(Message { id, says: Says::Answer }),
            _ => Err(NotMcp::Message("it has no method, and is no answer")),
        };
    };
    if answers > 0 {
        return Err(NotMcp::Message("it is a request and an answer at once"));
    }
    // Nothing is what `null` says, too.
    let params = member(&members, "params").filter(|params| params.get() != "null");
    if params.is_some_and(|params| !params.get().starts_with('{')) {
        return Err(NotMcp::Message("params is not an object"));
    }
    let says = match method == CALL {
        true => Says::Call(call(params.map_or("{}", RawValue::get))?),
        // No server has a method of this name, and one that is careless about names might take it for the other.
        false if method.trim().eq_ignore_ascii_case(CALL) => {
            return Err(NotMcp::Message("the method is tools/call to some servers and to others is not"));
        }
        false => Says::Method(method),
    };
    Ok(Message { id, says })
}

fn call(params: &str) -> Result<Call, NotMcp> {
    let params = members(params, PARAMS)?;
    let Some(tool) = text_of(&params, "name")? else {
        return Err(NotMcp::Message("a call names no tool"));
    };
    let arguments = match member(&params, "arguments").map(RawValue::get) {
        None | Some("null") => Content::Object(Vec::new()),
        Some(arguments) if arguments.starts_with('{') => Content::of_json(arguments.as_bytes())?,
        Some(_) => return Err(NotMcp::Message("a call's arguments are not an object")),
    };
    let bound = params.iter().map(|(key, value)| Ok((key.as_str(), without_sending(key, value)?)));
    let bound = object(bound.collect::<Result<Vec<_>, NotMcp>>()?);
    Ok(Call { tool, arguments, bound })
}

/// A parameter of a call without what is of one sending alone. In, as out: one spelling.
fn without_sending(key: &str, value: &RawValue) -> Result<String, NotMcp> {
    if key != "_meta" || !value.get().starts_with('{') {
        return Ok(value.get().to_owned());
    }
    let Members(meta) = parsed(value.get())?;
    let kept = meta.iter().filter(|(key, _)| !OF_THE_SENDING.contains(&key.as_str()));
    Ok(object(kept.map(|(key, value)| (key.as_str(), value.get().to_owned())).collect()))
}

/// An object of these members. What holds nothing says nothing.
fn object(members: Vec<(&str, String)>) -> String {
    let members = members.into_iter().filter(|(key, value)| *key != "_meta" || value != "{}");
    let members: Vec<String> = members.map(|(key, value)| format!("{}:{value}", Value::from(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// The members of an object, none of which some reader takes for one of `known` and others do not.
fn members<'a>(text: &'a str, known: &'static [&'static str]) -> Result<Vec<(String, &'a RawValue)>, NotMcp> {
    let Members(members) = parsed(text)?;
    for (key, _) in &members {
        if let Some(own) = known.iter().find(|own| same_but_for_case(key, own)) {
            return Err(NotMcp::Case(key.clone(), own));
        }
    }
    Ok(members)
}

fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
}

fn text_of(members: &[(String, &RawValue)], name: &str) -> Result<Option<String>, NotMcp> {
    let wrong = |_| NotMcp::Message("jsonrpc, method or a tool's name is not a text");
    member(members, name).map(|value| serde_json::from_str(value.get()).map_err(wrong)).transpose()
}

/// A text, or a whole number that comes back as it was.
fn id(raw: &RawValue) -> Result<Value, NotMcp> {
    let bad = NotMcp::Message("an id is neither a text nor a whole number");
    match serde_json::from_str(raw.get()) {
        Ok(id @ Value::String(_)) => Ok(id),
        Ok(Value::Number(number)) if number.to_string() == raw.get() && !number.is_f64() => Ok(number.into()),
        _ => Err(bad),
    }
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, NotMcp> {
    serde_json::from_str(text).map_err(|_| NotMcp::Message("not an object where one belongs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn one(text: &str) -> Message {
        let mut posted = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(!posted.batch);
        posted.messages.remove(0)
    }

    fn call(params: &str) -> Call {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        match one(&text).says {
            Says::Call(call) => call,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_of_every_kind_are_read() {
        let method = |method: &str| Says::Method(method.to_owned());
        for (text, id, says) in [
            (
                r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"x":[1]}}"#,
                Some(json!(0)),
                method("initialize"),
            ),
            (r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#, Some(json!("a")), method("tools/list")),
            (r#"{"jsonrpc":"2.0","id":-7,"method":"tools/calls"}"#, Some(json!(-7)), method("tools/calls")),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
                None,
                method("notifications/initialized"),
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, Some(json!(1)), method("ping")),
            (r#"{"jsonrpc":"2.0","id":3,"result":{}}"#, Some(json!(3)), Says::Answer),
            (
                r#"{"jsonrpc":"2.0","id":"s","error":{"code":1,"message":"m"},"extra":1}"#,
                Some(json!("s")),
                Says::Answer,
            ),
        ] {
            assert_eq!(one(text), Message { id, says }, "{text}");
        }
        let batch =
            read(br#" [{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":1,"result":{}}] "#)
                .unwrap();
        assert!(batch.batch && batch.messages.len() == 2);
    }

    #[test]
    fn a_tools_name_is_the_one_that_its_server_reads() {
        assert_eq!(call(r#"{"name":"del\u0065te"}"#).tool, "delete");
        assert_eq!(call(r#"{"name":" Delete\u0000"}"#).tool, " Delete\0");
        assert_eq!(call(r#"{"name":"x","arguments":null}"#).arguments, Content::Object(Vec::new()));
        let arguments = Content::Object(vec![("name".to_owned(), Content::Text("y".to_owned()))]);
        assert_eq!(call(r#"{"arguments":{"name":"y"},"name":"x"}"#).arguments, arguments);
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_is_no_message_is_refused() {
        let call =
            |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let with = |member: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping",{member}}}"#);
        let id = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        for text in [
            String::new(),
            "null".to_owned(),
            "5".to_owned(),
            "[]".to_owned(),
            "[[]]".to_owned(),
            "[1]".to_owned(),
            "{}".to_owned(),
            "\u{feff}{}".to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#.to_owned(),
            r#"{"id":1,"method":"ping"}"#.to_owned(),
            r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#.to_owned(),
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1}"#.to_owned(),
            r#"{"jsonrpc":"2.0","result":{}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call "}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"x"}}"#.to_owned(),
            with(r#""result":{}"#),
            with(r#""params":[1]"#),
            with(r#""method":"tools/call""#),
            with(r#""Method":"tools/call""#),
            with(r#""param\u017f":{}"#),
            id("null"),
            id("true"),
            id("1.0"),
            id("1e3"),
            id("{}"),
            id("123456789012345678901234567890"),
            call("{}"),
            call(r#"{"name":5}"#),
            call(r#"{"name":null}"#),
            call(r#"{"name":"read","Name":"delete"}"#),
            call(r#"{"Name":"delete"}"#),
            call(r#"{"name":"x","arguments":[1]}"#),
            call(r#"{"name":"x","arguments":"{}"}"#),
            call(r#"{"name":"x","arguments":{"a":1,"a":2}}"#),
            call(r#"{"name":"x","Arguments":{}}"#),
            call(r#"{"name":"x","arguments":{"a":NaN}}"#),
            format!("[{},{}]", id("1"), id("1")),
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        let utf16: Vec<u8> = id("1").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(read(&utf16).is_err());
    }

    #[test]
    fn a_call_is_bound_to_all_that_it_says_and_not_to_how_often_it_was_sent() {
        let same = [
            r#"{"name":"pay","arguments":{"to":"a","amount":5}}"#,
            r#"{ "arguments" : {"amount":5,"t\u006f":"a"}, "name":"pay"}"#,
            r#"{"name":"pay","arguments":{"to":"a","amount":5},"_meta":{"progressToken":7}}"#,
            r#"{"name":"pay","arguments":{"to":"a","amount":5},"_meta":{"traceparent":"00-1","progressToken":"x"}}"#,
        ];
        let bound: HashSet<String> = same.iter().map(|params| call(params).bound).collect();
        assert_eq!(bound.len(), 1, "{bound:?}");
        let others = [
            same[0],
            r#"{"name":"pay","arguments":{"to":"a","amount":5.0}}"#,
            r#"{"name":"pay","arguments":{"to":"a","amount":"5"}}"#,
            r#"{"name":"pay","arguments":{"to":"b","amount":5}}"#,
            r#"{"name":"pay2","arguments":{"to":"a","amount":5}}"#,
            r#"{"name":"pay","arguments":{"to":"a","amount":5},"task":{}}"#,
            r#"{"name":"pay","arguments":{"to":"a","amount":5},"_meta":{"tenant":"b"}}"#,
            r#"{"name":"pay","arguments":{"to":"a","amount":5,"_meta":{"progressToken":7}}}"#,
        ];
        let bound: HashSet<String> = others.iter().map(|params| call(params).bound).collect();
        assert_eq!(bound.len(), others.len());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_call_is_read_as_any_json_reader_reads_it(tool in "\\PC{0,8}", key in "\\PC{0,4}", number in any::<i64>()) {
            let body = json!({"jsonrpc": "2.0", "id": number, "method": "tools/call",
                "params": {"name": tool, "arguments": {key.clone(): number}}});
            let posted = read(body.to_string().as_bytes()).unwrap();
            prop_assert_eq!(posted.messages[0].id.as_ref(), Some(&body["id"]));
            let Says::Call(call) = &posted.messages[0].says else { panic!("{posted:?}") };
            prop_assert_eq!(&call.tool, body["params"]["name"].as_str().unwrap());
            prop_assert_eq!(&call.arguments, &Content::Object(vec![(key, Content::Number(number.to_string()))]));
        }
    }
}
