//! What a condition's path leads to in a request: every value that a server could take for the one that is meant.
//!
//! Invariant: a name in another case, a parameter that is there twice, an overridden method hide nothing: `exact` are the
//! values that every server finds there, `wide` are those that some server may.

use super::content::{Content, pairs, split};
use super::{BodyFacts, Facts};
use crate::policy::is_ambiguous;
use crate::policy::matching::of_this_connection;
use hudson_schema::config::Subject;
use std::borrow::Cow;

/// Headers by which a request says that another method is meant.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// A parameter that says so.
const OVERRIDE: &str = "_method";

/// The values at a place.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) exact: Vec<Cow<'a, Content>>,
    /// Those, and what is not certain.
    pub(super) wide: Vec<Cow<'a, Content>>,
}

/// Looks; why it cannot be known what is there.
pub(super) fn look<'a>(subject: &Subject, facts: &Facts<'a>) -> Result<Found<'a>, String> {
    let one = |content: Content| {
        Ok(Found { wide: vec![Cow::Owned(content.clone())], exact: vec![Cow::Owned(content)] })
    };
    let text = |text: &str| one(Content::Text(text.to_owned()));
    match subject {
        Subject::Method => Ok(methods(facts)),
        Subject::Host => text(facts.host),
        Subject::Path if is_ambiguous(facts.path) => Ok(paths(facts.path)),
        Subject::Path => text(facts.path),
        Subject::Query(name) => Ok(parameters(name, facts.query.unwrap_or_default())),
        Subject::Header(name) => Ok(headers(name, facts)),
        Subject::Body(steps) => match facts.body {
            BodyFacts::Empty => Ok(Found::default()),
            BodyFacts::Json(content) => Ok(members(content, steps)),
            BodyFacts::Unread => Err("the body is not known".to_owned()),
            BodyFacts::NotJson(why) => Err(format!("the body cannot be looked at: {why}")),
        },
        Subject::Args(steps) => Ok(facts.args.map(|arguments| members(arguments, steps)).unwrap_or_default()),
        Subject::State { scope, counter, .. } => {
            match (facts.counters)(&format!("{}.{counter}", scope.name())) {
                Some(value) => one(Content::Number(value.to_string())),
                None => Err(format!("the counter {counter} is not known")),
            }
        }
        Subject::BottleName => text(facts.bottle),
        Subject::BottleAgent => facts.agent.map_or_else(|| Ok(Found::default()), text),
    }
}

/// A path with encoded slashes, which are slashes to some servers.
fn paths<'a>(path: &str) -> Found<'a> {
    let owned = |text: String| Cow::Owned(Content::Text(text));
    Found { exact: Vec::new(), wide: vec![owned(path.to_owned()), owned(path.replace("%2F", "/"))] }
}

fn methods<'a>(facts: &Facts<'a>) -> Found<'a> {
    let owned = |text: &str| Cow::Owned(Content::Text(text.to_owned()));
    let mut wide = vec![owned(facts.method), owned(&facts.method.to_ascii_uppercase())];
    let told = OVERRIDES.iter().flat_map(|name| facts.headers.get_all(*name));
    wide.extend(told.map(|value| owned(&lossy(value.as_bytes()).to_ascii_uppercase())));
    let asked = pairs(facts.query.unwrap_or_default()).filter(|(name, _)| name == OVERRIDE);
    wide.extend(asked.map(|(_, value)| owned(&value.to_ascii_uppercase())));
    Found { exact: vec![owned(facts.method)], wide }
}

fn parameters<'a>(name: &str, query: &str) -> Found<'a> {
    let untyped = |value: Cow<'_, str>| Cow::Owned(Content::Untyped(value.into_owned()));
    let named = |other: &str| folded(other) == folded(name);
    let exact = pairs(query).filter(|(other, _)| other == name).map(|(_, value)| untyped(value)).collect();
    // Some servers take `;` for `&`.
    let wide = pairs(query).chain(split(query, ';').filter(|_| query.contains(';')));
    Found { exact, wide: wide.filter(|(other, _)| named(other)).map(|(_, value)| untyped(value)).collect() }
}

/// One that `Connection` names does not reach the server, as far as servers go by that.
fn headers<'a>(name: &str, facts: &Facts<'a>) -> Found<'a> {
    let values = facts.headers.get_all(name).iter();
    let wide: Vec<_> =
        values.map(|value| Cow::Owned(Content::Untyped(lossy(value.as_bytes()).trim().to_owned()))).collect();
    let exact = if of_this_connection(name, facts.headers) { Vec::new() } else { wide.clone() };
    Found { exact, wide }
}

fn members<'a>(content: &'a Content, steps: &[String]) -> Found<'a> {
    let (mut exact, mut wide) = (Vec::new(), Vec::new());
    descend(content, steps, &|name, step| name == step, &mut exact);
    descend(content, steps, &|name, step| folded(name) == folded(step), &mut wide);
    let borrowed = |found: Vec<&'a Content>| found.into_iter().map(Cow::Borrowed).collect();
    Found { exact: borrowed(exact), wide: borrowed(wide) }
}

fn descend<'a>(
    content: &'a Content,
    steps: &[String],
    same: &dyn Fn(&str, &str) -> bool,
    found: &mut Vec<&'a Content>,
) {
    let Some((step, rest)) = steps.split_first() else { return found.push(content) };
    match content {
        Content::Object(members) => members
            .iter()
            .filter(|(name, _)| step == "*" || same(name, step))
            .for_each(|(_, member)| descend(member, rest, same, found)),
        Content::List(items) if step == "*" => {
            items.iter().for_each(|item| descend(item, rest, same, found));
        }
        Content::List(items) => {
            let item = step.parse::<usize>().ok().and_then(|place| items.get(place));
            item.into_iter().for_each(|item| descend(item, rest, same, found));
        }
        _ => {}
    }
}

/// A name as those read it who do not look at its case, as the JSON of Go does, for which `ſ` is an `s` and `K` a `k`.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
