//! The cases of agent-egress-bench that are about content, judged by this crate alone: what a request says, whatever the
//! host. Cases about addresses, tools' behaviour or instructions in answers are others' to judge and listed as such.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod common;

use base64::Engine as _;
use common::{corpus, report};
use hudson_dlp::{Class, Detectors, Finding, Fragments, Head, Part, Scanner};
use serde_json::Value;
use std::sync::Arc;

/// The share of the cases to be blocked that have to be.
const CONTAINMENT: f64 = 0.95;

/// Cases that the content of a request does not decide, by the beginning of their names, and why.
const OTHERS: &[(&str, &str)] = &[
    ("ssrf-", "the address decides: the proxy's dial checks the one that it connects to"),
    ("url-ssrf-", "the address decides: the proxy's dial checks the one that it connects to"),
    (
        "url-domain-blocklist",
        "the host decides: the proxy's routes allow the named ones alone; here every one is",
    ),
    (
        "url-entropy-path",
        "random letters in a path are the ids of documents, files and sessions at every service; who turns `entropy` on is warned, as asserted below",
    ),
    ("response-", "instructions in an answer: `naive_injection_detection`, on routes that ask for it"),
    ("a2a-card-", "instructions in an answer: `naive_injection_detection`, on routes that ask for it"),
    ("a2a-msg-injection", "instructions that an agent sends: no secret is in them"),
    ("a2a-msg-stream-injection", "instructions that an agent sends: no secret is in them"),
    ("crypto-btc", "addresses are public: every payment and explorer names them, they open nothing"),
    ("crypto-eth", "addresses are public: every payment and explorer names them, they open nothing"),
    (
        "ws-dlp-compressed",
        "a reserved bit without an extension: the proxy's WebSocket parser refuses the frame",
    ),
    ("mcp-chain", "a sequence of calls decides; no secret is in them"),
    ("mcp-tool", "descriptions and results of tools: they come in"),
    ("enc-unicode-homoglyph", "a command that a tool would run; no secret is in it"),
    ("mcp-input-injection", "instructions that an agent sends: no secret is in them"),
    ("shell-", "commands that a tool would run; no secret is in them"),
];

#[test]
fn random_letters_in_a_path_are_told_to_who_asks() {
    let Some(folder) = corpus() else { return };
    let asked = Arc::new(common::detectors(Vec::new(), true).with_entropy(true));
    let cases = cases(&folder.join("dlp/agent-egress-bench/cases"));
    let case =
        cases.iter().find(|case| case["id"].as_str().unwrap().starts_with("url-entropy-path")).unwrap();
    let found = findings(&asked, &case["payload"]);
    assert!(found.iter().any(|finding| finding.class == Class::Warn), "{found:?}");
}

#[test]
fn secrets_are_contained_and_benign_requests_pass() {
    let Some(folder) = corpus() else { return };
    let detectors = common::detectors(Vec::new(), true);
    let usual = common::detectors(Vec::new(), false);
    let (mut blocked, mut missed, mut wrong, mut passed, mut others) =
        (0, Vec::new(), Vec::new(), 0, Vec::new());
    for case in cases(&folder.join("dlp/agent-egress-bench/cases")) {
        let id = case["id"].as_str().unwrap().to_owned();
        let allow = case["expected_verdict"] == "allow";
        if let Some((_, why)) = OTHERS.iter().find(|(name, _)| id.starts_with(name)).filter(|_| !allow) {
            others.push(format!("{id}: {why}"));
            continue;
        }
        // A response is not what leaves; its benign cases are about the inbound scan, with documentation's examples.
        let judged = if case["payload"].get("response_body").is_some() { &usual } else { &detectors };
        let acting: Vec<String> = findings(judged, &case["payload"])
            .iter()
            .filter(|finding| finding.class >= Class::Act)
            .map(|finding| finding.rule.to_string())
            .collect();
        match (allow, acting.is_empty()) {
            (true, true) => passed += 1,
            (true, false) => wrong.push(format!("{id}: {acting:?}")),
            (false, false) => blocked += 1,
            (false, true) => missed.push(id),
        }
    }
    let containment = f64::from(blocked) / (f64::from(blocked) + missed.len() as f64);
    report!(
        "agent-egress-bench: {blocked} contained, missed {missed:?}: {containment:.3}; {passed} benign pass, wrong {wrong:?}"
    );
    report!("agent-egress-bench: {} cases are not decided by content: {others:#?}", others.len());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(containment >= CONTAINMENT, "{containment}: {missed:?}");
}

fn cases(folder: &std::path::Path) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|group| std::fs::read_dir(group.unwrap().path()).unwrap().map(|file| file.unwrap().path()))
        .collect();
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

/// All that the crate says of a payload.
fn findings(detectors: &Arc<Detectors>, payload: &Value) -> Vec<Finding> {
    let url = payload["url"].as_str().unwrap_or("https://api.example.com/");
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let at = rest.find('/').unwrap_or(rest.len());
    let headers: Vec<(&str, &[u8])> = payload["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default().as_bytes()))
        .collect();
    let target = if at < rest.len() { &rest[at..] } else { "/" };
    let mut found = detectors.scan_head(&Head { host: &rest[..at], target, headers: &headers });
    for name in ["body", "response_body"] {
        found.extend(body(detectors, payload[name].as_str().unwrap_or_default().as_bytes()));
    }
    for name in ["jsonrpc_messages", "agent_card"] {
        if !payload[name].is_null() {
            found.extend(body(detectors, payload[name].to_string().as_bytes()));
        }
    }
    found.extend(frames(detectors, &payload["frames"]));
    found
}

fn body(detectors: &Arc<Detectors>, body: &[u8]) -> Vec<Finding> {
    let mut found = detectors.scan(Part::Body, "evil.example.com", body);
    found.extend(detectors.scan_joined("evil.example.com", body));
    found
}

/// Messages put together from their frames, each alone and all together.
fn frames(detectors: &Arc<Detectors>, frames: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut scanner: Option<Scanner> = None;
    let mut ring = Fragments::new(Arc::clone(detectors), Part::Message, "example.com", 60_000);
    let mut message = Vec::new();
    for frame in frames.as_array().into_iter().flatten() {
        let payload = frame["payload"].as_str().unwrap_or_default();
        let bytes = match frame["encoding"].as_str() {
            Some("base64") => base64::engine::general_purpose::STANDARD.decode(payload).unwrap(),
            _ => payload.as_bytes().to_vec(),
        };
        let mut open = scanner
            .take()
            .unwrap_or_else(|| Scanner::new(Arc::clone(detectors), Part::Message, "example.com"));
        found.extend(open.feed(&bytes));
        message.extend(bytes);
        match frame["fin"].as_bool() {
            Some(false) => scanner = Some(open),
            _ => {
                found.extend(open.finish());
                found.extend(ring.push(0, &std::mem::take(&mut message)));
            }
        }
    }
    found
}
