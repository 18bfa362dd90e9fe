//! The question that a rule asks about a request.

use super::super::credential::{remaining_query, replaced_headers};
use super::super::{Origin, Target, head};
use crate::approval::{Bound, NotBound, Question};
use crate::mcp::Call;
use http::{HeaderMap, HeaderName, Method};
use hudson_schema::config::{Authority, Bind, Mcp, Route, Rule};
use hudson_schema::ledger::ApprovalKind;
use hudson_schema::{Refusal, RefusalCode, prompt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The action of opening a host that is on no route, which grants name.
const OPEN_ROUTE: &str = "open_route";
/// How the headers begin that repeat arguments of a call (MCP 2026-07-28, "Transports").
const OF_ARGUMENTS: &str = "mcp-param-";
/// How much of a tool's name is shown, in characters.
const SHOWN_NAME: usize = 128;
/// Characters of a URL or a query that are kept.
const LONGEST: usize = 512;
/// Bytes of a body that are shown to people.
const SHOWN: usize = 4 << 10;

/// A request, and the rule that asks about it.
pub(in super::super) struct ByRule<'a> {
    pub(in super::super) route: &'a Route,
    pub(in super::super) rule: &'a Rule,
    pub(in super::super) target: &'a Target,
    /// As they came, redacted where DLP has done that.
    pub(in super::super) headers: &'a HeaderMap,
    /// The body as it would leave; `None` where it was not read.
    pub(in super::super) body: Option<&'a [u8]>,
    /// The digests of what DLP has found.
    pub(in super::super) findings: &'a BTreeSet<String>,
}

/// The question; a refusal where the request cannot be bound.
pub(in super::super) fn of_rule(origin: &Origin, asked: &ByRule<'_>) -> Result<Question, Refusal> {
    let ByRule { route, rule, target, body, .. } = asked;
    let bound = bound(origin, asked)?;
    let action = rule.classify.clone().unwrap_or_else(|| action_of(&target.method));
    Ok(Question {
        kind: ApprovalKind::Http,
        rate_key: rule.classify.clone().unwrap_or_else(|| rule.name.clone()),
        action,
        target: target_of(origin, target),
        finding: None,
        tier: rule.tier,
        description: described(origin, target),
        details: details(origin, target, *body),
        bound,
        rule: Some((rule.name.clone(), digest(&format!("{:?}", Rule { line: 0, ..(*rule).clone() })))),
        policy_revision: revision(route),
        bypassable: rule.bypassable,
        deciders: rule.approvers.clone(),
        decision_ttl: rule.approval_timeout.map(|period| period.0),
    })
}

/// A call of an MCP tool, and the rule that asks about it.
pub(in super::super) struct OfCall<'a> {
    pub(in super::super) route: &'a Route,
    pub(in super::super) rule: &'a Rule,
    pub(in super::super) target: &'a Target,
    pub(in super::super) headers: &'a HeaderMap,
    pub(in super::super) call: &'a Call,
    /// Whether the query is one that the server has given to this client for its session.
    pub(in super::super) of_session: bool,
}

/// The question about a call of a tool: bound to the tool, its arguments and all else that the call says, and not to the
/// message that it comes in.
pub(in super::super) fn of_call(origin: &Origin, asked: &OfCall<'_>) -> Question {
    let OfCall { route, rule, target, headers, call, of_session } = asked;
    let Authority { host, port } = &origin.authority;
    let mut bound = vec![
        ("scheme", origin.scheme.name().as_bytes().to_vec()),
        ("host", host.to_string().into_bytes()),
        ("port", port.to_string().into_bytes()),
        ("path", target.path.as_bytes().to_vec()),
        ("tool", call.tool.as_bytes().to_vec()),
    ];
    if rule.bind != Bind::Endpoint {
        let query = remaining_query(route.credentials.iter(), target.query.as_deref());
        let query = query.filter(|_| !of_session).map(|query| format!("?{query}")).unwrap_or_default();
        bound.push(("query", query.into_bytes()));
        bound.push(("call", call.bound.as_bytes().to_vec()));
        // They repeat arguments for whoever reads no bodies.
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| name.starts_with(OF_ARGUMENTS)) {
            bound.push(("header", name.as_bytes().to_vec()));
            let values = headers.get_all(name).iter();
            bound.extend(values.map(|value| ("value", value.as_bytes().to_vec())));
        }
    }
    let clean = |text: &str| origin.shared.dlp.clean(text);
    let tool = prompt::cleaned(&clean(&call.tool), SHOWN_NAME);
    let url = target_of(origin, target);
    Question {
        kind: ApprovalKind::Mcp,
        rate_key: rule.classify.clone().unwrap_or_else(|| rule.name.clone()),
        action: rule.classify.clone().unwrap_or_else(|| tool.clone()),
        target: format!("{url}#{tool}"),
        finding: None,
        tier: rule.tier,
        description: format!("call of the MCP tool {tool} at {url}"),
        details: json!({"tool": tool, "url": url, "call": shown(call.bound.as_bytes(), clean)}),
        bound,
        rule: Some((rule.name.clone(), digest(&format!("{:?}", Rule { line: 0, ..(*rule).clone() })))),
        policy_revision: revision(route),
        bypassable: rule.bypassable,
        deciders: rule.approvers.clone(),
        decision_ttl: rule.approval_timeout.map(|period| period.0),
    }
}

/// The question about a host that is on no route. What is let through is this one request: whoever wants the host
/// opened for more makes a grant for the action and the target.
pub(in super::super) fn of_host(
    origin: &Origin,
    route: &Route,
    target: &Target,
    headers: &HeaderMap,
    body: Option<&[u8]>,
) -> Result<Question, Refusal> {
    let bound =
        bind(origin, route, Bind::Request, (target, headers, body), &BTreeSet::new()).map_err(|fault| {
            let message = format!("A person has to decide about this host, and {fault}.");
            Refusal::new(RefusalCode::MalformedRequest, message)
        })?;
    let Authority { host, port } = &origin.authority;
    let host = origin.shared.dlp.clean(&host.to_string());
    Ok(Question {
        kind: ApprovalKind::Route,
        action: OPEN_ROUTE.to_owned(),
        rate_key: OPEN_ROUTE.to_owned(),
        target: format!("{}://{host}:{port}", origin.scheme.name()),
        finding: None,
        tier: None,
        description: format!("{} (a host that is on no route)", described(origin, target)),
        details: details(origin, target, body),
        bound,
        rule: None,
        policy_revision: revision(route),
        bypassable: true,
        deciders: Vec::new(),
        decision_ttl: None,
    })
}

fn bound(origin: &Origin, asked: &ByRule<'_>) -> Result<Vec<(&'static str, Vec<u8>)>, Refusal> {
    let ByRule { route, rule, target, headers, body, findings } = asked;
    bind(origin, route, rule.bind, (target, headers, *body), findings).map_err(|fault| {
        let message = format!("The rule {:?} has a person decide about this, and {fault}.", rule.name);
        Refusal::new(RefusalCode::MalformedRequest, message)
    })
}

fn bind(
    origin: &Origin,
    route: &Route,
    bind: Bind,
    (target, headers, body): (&Target, &HeaderMap, Option<&[u8]>),
    findings: &BTreeSet<String>,
) -> Result<Vec<(&'static str, Vec<u8>)>, NotBound> {
    let mut headers = headers.clone();
    head::outbound(&mut headers);
    let replaced = replaced_headers(route.credentials.iter());
    let query = remaining_query(route.credentials.iter(), target.query.as_deref());
    let bound = Bound {
        method: &target.method,
        scheme: origin.scheme,
        authority: &origin.authority,
        path: &target.path,
        query: query.as_deref(),
        headers: &headers,
        replaced: &replaced,
        body,
        findings,
    };
    bound.parts(bind)
}

/// The digest of a route as it is loaded: what is asked under one counts under no other. Where it stands in its file is
/// nothing of it.
pub(in super::super) fn revision(route: &Route) -> String {
    let mut route = route.clone();
    route.line = 0;
    route.rules = route.rules.iter().map(|rule| Rule { line: 0, ..rule.clone() }).collect();
    route.mcp = route.mcp.map(Mcp::without_lines);
    digest(&format!("{route:?}"))
}

/// What a request is called where nobody has classified it.
pub(super) fn action_of(method: &Method) -> String {
    format!("http_{}", method.as_str().to_ascii_lowercase())
}

/// What it acts on: the URL without its query.
pub(super) fn target_of(origin: &Origin, target: &Target) -> String {
    let url = format!("{}://{}{}", origin.scheme.name(), origin.named, target.path);
    cut(origin.shared.dlp.clean(&url))
}

/// A text of the agent's choice, so that it is not for it to say how large rows and messages grow. What was longer keeps
/// its digest: two of them are still two.
fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{} … {}", text.get(..end).unwrap_or_default(), digest(&text)),
    }
}

pub(super) fn described(origin: &Origin, target: &Target) -> String {
    format!("{} {}", target.method, target_of(origin, target))
}

/// What people are shown of it, redacted.
pub(super) fn details(origin: &Origin, target: &Target, body: Option<&[u8]>) -> Value {
    let clean = |text: &str| origin.shared.dlp.clean(text);
    let mut details = json!({"method": target.method.as_str(), "url": target_of(origin, target)});
    let mut put = |key: &str, value: Value| {
        if let Some(details) = details.as_object_mut() {
            details.insert(key.to_owned(), value);
        }
    };
    if let Some(query) = &target.query {
        put("query", cut(clean(query)).into());
    }
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        put("body", shown(body, clean));
        put("body_bytes", body.len().into());
    }
    details
}

/// A body as people see it: JSON where all of it can be shown, else the beginning of its text.
fn shown(body: &[u8], clean: impl Fn(&str) -> String) -> Value {
    let Ok(text) = std::str::from_utf8(body) else { return "(not text)".into() };
    if body.len() <= SHOWN {
        let cleaned = clean(text);
        return serde_json::from_str(&cleaned).unwrap_or_else(|_| cleaned.into());
    }
    // All of it is cleaned where that is cheap: a part of a secret at the cut would not be known again.
    let front: String = text.chars().take(2 * SHOWN).collect();
    let cleaned: String = clean(&front).chars().take(SHOWN).collect();
    format!("{cleaned} …").into()
}

pub(in super::super) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).fold(String::new(), |mut digest, byte| {
        digest.push_str(&format!("{byte:02x}"));
        digest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_and_stays_itself() {
        let long = |end: &str| cut(format!("{}{end}", "ä".repeat(2 * LONGEST)));
        assert!(long("a").chars().count() < LONGEST + 40);
        assert_ne!(long("a"), long("b"));
        assert_eq!(cut("https://a.test/b".to_owned()), "https://a.test/b");
    }

    #[test]
    fn a_body_is_shown_without_what_is_hidden_and_not_at_any_length() {
        let stars = |text: &str| text.replace("secret", "******");
        assert_eq!(shown(br#"{"a": "secret", "b": 2}"#, stars), json!({"a": "******", "b": 2}));
        assert_eq!(shown(b"plain secret", stars), json!("plain ******"));
        assert_eq!(shown(&[0xff, 0xfe], stars), json!("(not text)"));
        // At the cut, too.
        let long = format!("{}secret{}", "x".repeat(SHOWN - 3), "y".repeat(3 * SHOWN));
        let Value::String(text) = shown(long.as_bytes(), stars) else { panic!("it is text") };
        assert!(text.len() <= SHOWN + 8 && text.contains("***") && !text.contains("sec"), "{text}");
    }
}
