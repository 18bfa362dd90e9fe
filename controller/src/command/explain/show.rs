//! An explanation, for people and for programs. Credentials are shown by name and source, and whether they are there;
//! never their values.

use super::super::{credential, output};
use super::asked::Asked;
use super::decide::Explained;
use super::dlp;
use super::rules::Said;
use crate::launch::Prepared;
use hudson_meter::Endpoint;
use hudson_proxy::policy::GitOperation;
use hudson_schema::Format;
use hudson_schema::config::{Authority, Credential, Mcp, Route, Source};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// For programs.
pub(super) fn object(asked: &Asked, prepared: &Prepared, explained: &Explained<'_>) -> Value {
    let refusal = explained.refusal.as_ref();
    let credentials: Vec<Value> = route_credentials(explained.route)
        .map(|entry| {
            let mut object = credential::object(entry);
            if let Some(object) = object.as_object_mut() {
                object.insert("present".to_owned(), json!(present(prepared, entry)));
            }
            object
        })
        .collect();
    let limits: Vec<Value> = explained
        .limits
        .iter()
        .map(|asked| {
            json!({
                "scope": asked.limit.scope.kind.name(),
                "name": asked.limit.scope.key,
                "provider": asked.limit.provider,
                "limit": asked.limit.tokens,
                "window": asked.limit.window.name(),
            })
        })
        .collect();
    json!({
        "decision": if refusal.is_none() { "allowed" } else { "refused" },
        "code": refusal.map(|refusal| refusal.code),
        "status": refusal.map(|refusal| refusal.code.status(format(explained))),
        "reason": refusal.map(|refusal| refusal.message.as_str()),
        "operator": refusal.map(|refusal| refusal.code.operator()),
        "bottle": prepared.bottle,
        "method": asked.method.as_str(),
        "origin": asked.origin(),
        "path": explained.path,
        "route": explained.place,
        "match": explained.entry,
        "git": explained.git.map(git),
        "rules": explained.said.as_ref().map(Said::object),
        "mcp": explained.route.map(|route| route.mcp.is_some()),
        "credentials": credentials,
        "metering": explained.endpoint.as_ref().map(metering),
        "dlp": dlp::object(prepared, explained),
        "intercept": explained.route.map(|route| route.intercept),
        "allow_addresses": explained.route.map(addresses),
        "budgets": limits,
        "presets": prepared.launch.presets,
    })
}

/// For people.
pub(super) fn words(asked: &Asked, prepared: &Prepared, explained: &Explained<'_>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<12} {value}");
    };
    match &explained.refusal {
        None => line(
            "allowed",
            &format!("{} {}{}", asked.method, asked.origin(), explained.path.as_deref().unwrap_or("")),
        ),
        Some(refusal) => {
            let status = refusal.code.status(format(explained));
            line("refused", &format!("{} (HTTP {status})", refusal.code.name()));
            line("why", &refusal.message);
            line("to allow it", refusal.code.operator());
        }
    }
    if !prepared.launch.presets.is_empty() {
        line("presets", &prepared.launch.presets.join(", "));
    }
    let Some(route) = explained.route else {
        line("route", explained.place.as_deref().unwrap_or("none is for this scheme, host and port"));
        return out;
    };
    line("route", &format!("{} (host {})", explained.place.as_deref().unwrap_or("unknown"), route.host));
    if !route.intercept {
        line(
            "inside",
            "not looked at: an opaque tunnel (`intercept: false`); only its TLS server name is checked",
        );
    }
    match (route.matches.len(), explained.entry) {
        (0, _) => line("match", "the route allows every path, method and header"),
        (count, Some(entry)) => line("match", &format!("entry {entry} of {count} under `matches`")),
        (count, None) => line("match", &format!("none of the {count} entries under `matches`")),
    }
    if let Some(operation) = explained.git {
        line("git", &format!("a {}; git_fetch is {}", git(operation), route.git_fetch));
    }
    if let Some(said) = &explained.said {
        line("rules", said.words());
    }
    if let Some(mcp) = &route.mcp {
        line("mcp", &mcp_words(mcp));
    }
    for entry in &route.credentials {
        let there = match present(prepared, entry) {
            Some(true) => " (there)",
            Some(false) => " (NOT THERE for this process: requests would be refused, credential_unavailable)",
            None => "",
        };
        line("credential", &format!("{}{there}", credential::words(entry)));
    }
    if let Some(endpoint) = &explained.endpoint {
        line("metering", &metering_words(endpoint));
    }
    for (name, words) in dlp::words(prepared, explained) {
        line(name, &words);
    }
    if explained.refusal.is_none() {
        line("addresses", &address_words(asked, route));
    }
    for asked in &explained.limits {
        let limit = &asked.limit;
        let tokens = output::grouped(limit.tokens);
        line("budget", &format!("{}: {} {tokens} ({})", limit.scope, limit.provider, limit.window.name()));
    }
    out
}

/// What is posted decides, which is not here.
fn mcp_words(mcp: &Mcp) -> String {
    let told = |name: &str| {
        let verdict = match mcp.hides(name) || mcp.tool(name).closed {
            true => "cannot be called",
            false if mcp.shows(name) => "as its rules say",
            false => "is denied",
        };
        format!("{name} {verdict}")
    };
    let named: Vec<String> = mcp.named().map(told).collect();
    let others = match mcp.others_are_closed() {
        true => "no other tool can be called",
        false => "other tools as the rules say",
    };
    let named = if named.is_empty() { String::new() } else { format!("{}; ", named.join(", ")) };
    format!("every body is read as MCP: {named}{others}")
}

fn route_credentials(route: Option<&Route>) -> impl Iterator<Item = &Credential> {
    route.into_iter().flat_map(|route| &route.credentials)
}

/// Whether this process could read it; `None` where only running a command would tell.
fn present(prepared: &Prepared, credential: &Credential) -> Option<bool> {
    match credential.source() {
        Source::Env(name) => {
            let of_preset = prepared.presets.iter().any(|preset| preset.secrets.contains_key(name));
            Some(of_preset || std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        }
        Source::File(path) => Some(std::fs::metadata(path).is_ok_and(|found| found.len() > 0)),
        Source::Command(_) => None,
    }
}

fn git(operation: GitOperation) -> &'static str {
    match operation {
        GitOperation::Fetch => "fetch",
        GitOperation::Push => "push",
    }
}

fn format(explained: &Explained<'_>) -> Option<Format> {
    match &explained.endpoint {
        Some(Endpoint::Metered { format, .. }) => Some(*format),
        _ => None,
    }
}

fn metering(endpoint: &Endpoint) -> Value {
    match endpoint {
        Endpoint::Metered { provider, format } => {
            json!({"kind": "metered", "provider": provider, "format": format})
        }
        Endpoint::Retrieval { provider, format } => {
            json!({"kind": "retrieval", "provider": provider, "format": format})
        }
        Endpoint::Free { provider } => json!({"kind": "free", "provider": provider}),
        Endpoint::Unknown { provider } => json!({"kind": "unknown", "provider": provider}),
        Endpoint::Foreign => json!({"kind": "off"}),
    }
}

fn metering_words(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Metered { provider, format } => format!("tokens of {provider}, read as {format}"),
        Endpoint::Retrieval { provider, format } => {
            format!("a read of {provider} work in the {format} format, charged where its creation was not")
        }
        Endpoint::Free { provider } => format!("a side call of {provider} that costs no tokens"),
        Endpoint::Unknown { provider } => format!("a call to {provider} that Hudson cannot meter"),
        Endpoint::Foreign => "none: no model provider".to_owned(),
    }
}

fn addresses(route: &Route) -> Vec<String> {
    route.allow_addresses.iter().map(ToString::to_string).collect()
}

fn address_words(asked: &Asked, route: &Route) -> String {
    let upstream = route.upstream.as_ref();
    if let Some(authority) = upstream.and_then(|upstream| upstream.connect_to.as_ref()) {
        return format!("dialled at {}:{}, as the route says", authority.host, authority.port);
    }
    if let Some(proxy) = upstream.and_then(|upstream| upstream.proxy.as_ref()) {
        let Authority { host, port } = &proxy.authority;
        return format!("through the proxy at {host}:{port}, which resolves the name itself");
    }
    let allowed = match addresses(route) {
        ranges if ranges.is_empty() => "public".to_owned(),
        ranges => format!("public or in {}", ranges.join(", ")),
    };
    match asked.authority.host.ip() {
        Some(_) => format!("the host is an address, and {allowed}"),
        None => format!("every address the name resolves to must be {allowed}; not asked here"),
    }
}
