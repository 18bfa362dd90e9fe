//! What a route's rules say to a request, as far as its head tells: which rule decides, or what it depends on.

use super::asked::Asked;
use crate::launch::Prepared;
use hudson_proxy::policy::rules::{self, BodyFacts, Facts, Ruled};
use hudson_schema::Refusal;
use hudson_schema::config::{Route, Rule};
use serde_json::{Value, json};

/// What the rules say, where they do not refuse.
#[derive(Debug)]
pub(super) struct Said<'a> {
    /// The rule that decides.
    rule: Option<&'a Rule>,
    /// `passes`, `asks`, or `open` where the body or a counter decides.
    verdict: &'static str,
    words: String,
}

/// Asks the rules of a route; `None` where it has none.
pub(super) fn said<'a>(
    asked: &Asked,
    prepared: &Prepared,
    route: &'a Route,
    path: &str,
) -> Result<Option<Said<'a>>, Box<Refusal>> {
    if route.rules.is_empty() {
        return Ok(None);
    }
    let host = asked.authority.host.to_string();
    let facts = Facts {
        method: asked.method.as_str(),
        host: &host,
        path,
        query: asked.query.as_deref(),
        headers: &asked.headers,
        body: BodyFacts::Unread,
        args: None,
        bottle: prepared.bottle.as_str(),
        agent: None,
        counters: &|_| None,
    };
    let ruled = rules::judge(&route.rules, &facts);
    let open = rules::needs_body(&route.rules, &facts) || rules::counters(&route.rules).next().is_some();
    Ok(Some(match &ruled {
        Ruled::Passes { by: None } => {
            Said { rule: None, verdict: "passes", words: "none of them is about it".to_owned() }
        }
        Ruled::Passes { by: Some(rule) } => {
            let words = format!("{} allows it{}", rules::named(rule), counted(rule));
            Said { rule: Some(rule), verdict: "passes", words }
        }
        Ruled::Approval { rule } => {
            let words = format!("{} has a person decide", rules::named(rule));
            Said { rule: Some(rule), verdict: "asks", words }
        }
        Ruled::Unreadable { rule, why } if open => {
            let words = format!("{} may decide: {why}", rules::named(rule));
            Said { rule: Some(rule), verdict: "open", words }
        }
        Ruled::Unmatched { rule } if open => {
            let words = format!("{} may allow it: the body or a counter decides", rules::named(rule));
            Said { rule: Some(rule), verdict: "open", words }
        }
        Ruled::Denied { .. } | Ruled::Unmatched { .. } | Ruled::Unreadable { .. } => {
            return match ruled.refusal() {
                Some(refusal) => Err(Box::new(refusal)),
                None => Ok(None),
            };
        }
    }))
}

impl Said<'_> {
    /// For people.
    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// For programs.
    pub(super) fn object(&self) -> Value {
        json!({
            "rule": self.rule.map(|rule| rule.name.as_str()),
            "line": self.rule.map(|rule| rule.line),
            "action": self.rule.map(|rule| rule.action.name()),
            "verdict": self.verdict,
            "words": self.words,
        })
    }
}

fn counted(rule: &Rule) -> String {
    match (&rule.rate_limit, rule.rate_window()) {
        (Some(rate), Some(window)) => format!(", {} times a {}", rate.count, window.name()),
        _ => String::new(),
    }
}
