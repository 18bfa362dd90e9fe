//! The cases of agent-egress-bench through the whole proxy. Every host is on the routes, so that only content and
//! addresses decide; what comes in is blocked where it is suspicious, as an operator who is careful would have it.
//!
//! Requests go over plain HTTP, one tunnel less; nothing that decides here knows the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::corpus;
use crate::raw::upstream::ok;
use crate::raw::{self, Agent, Answer, Stage, Upstream, answer::read_answer};
use crate::websocket::{KEY, frame, offer, read_frame, server::Server};

/// The share of the cases to be blocked that have to be.
const CONTAINMENT: f64 = 0.95;
/// Where messages of a protocol go that the case gives no URL for.
const MCP: &str = "mcp.example.com";

/// Cases that no proxy between an agent and the network can judge, by the beginning of their names, and why.
const OTHERS: &[(&str, &str)] = &[
    ("url-domain-blocklist", "the host's name decides, and here every host is allowed"),
    ("shell-", "a command for a tool of the agent's own machine: nothing of it is on the network"),
    ("enc-unicode-homoglyph", "a command for a tool of the agent's own machine"),
    ("mcp-chain", "the order of calls to the agent's own tools decides"),
    ("mcp-input-injection", "instructions that the agent writes into a file of its own"),
    ("mcp-tool", "descriptions of tools that sound like any other: who trusts a server trusts them"),
    ("a2a-card-", "descriptions of skills that sound like any other"),
    ("a2a-msg-injection", "instructions for another agent, which its own side has to judge"),
    ("a2a-msg-stream-injection", "instructions for another agent, which its own side has to judge"),
    ("crypto-btc", "addresses of a crypto currency are public"),
    ("crypto-eth", "addresses of a crypto currency are public"),
    ("ws-dlp-compressed", "the payload only says that it is compressed"),
    ("enc-triple-url", "what is left when it is decoded is two letters"),
];

#[test]
fn secrets_are_contained_and_benign_traffic_passes() {
    let Some(folder) = corpus::folder("dlp/agent-egress-bench", "cases") else { return };
    let cases = cases(&folder.join("cases"));
    let bench = Bench::start(&cases);
    let (mut contained, mut missed, mut wrong, mut passed) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &cases {
        let id = case["id"].as_str().expect("a case has an id").to_owned();
        let blocked = bench.blocks(case);
        let other = OTHERS.iter().find(|(name, _)| id.starts_with(name));
        match (case["expected_verdict"] == "allow", blocked, other) {
            (true, None, _) => passed += 1,
            (true, Some(why), _) => wrong.push(format!("{id}: {why}")),
            (false, Some(_), _) => contained.push(id),
            (false, None, Some((_, why))) => others.entry(why).or_default().push(id),
            (false, None, None) => missed.push(id),
        }
    }
    let containment = contained.len() as f64 / (contained.len() + missed.len()) as f64;
    report!(
        "agent-egress-bench: {} contained, missed {missed:?}: {containment:.3}; {passed} benign pass, wrong {wrong:?}",
        contained.len()
    );
    report!("agent-egress-bench, not for a proxy to judge: {others:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(containment >= CONTAINMENT, "{containment}: {missed:?}");
}

/// Hudson with a route to every host.
struct Bench {
    agent: Agent,
    /// What the upstream answers with, by host and path.
    #[allow(dead_code, reason = "it answers until it is dropped")]
    upstream: Upstream,
    #[allow(dead_code, reason = "it answers until it is dropped")]
    server: Server,
    #[allow(dead_code, reason = "it runs until it is dropped")]
    stage: Stage,
}

impl Bench {
    fn start(cases: &[Value]) -> Self {
        let mut answers: BTreeMap<String, (String, String)> = BTreeMap::new();
        let (mut hosts, mut sockets) = (BTreeSet::from([MCP.to_owned()]), BTreeSet::new());
        for case in cases {
            let (host, target) = place(case);
            match case["payload"]["frames"].is_array() {
                true => sockets.insert(host.clone()),
                false => hosts.insert(host.clone()),
            };
            if let Some((kind, body)) = answer_of(case) {
                answers.insert(format!("{host}{target}"), (kind, body));
            }
        }
        let upstream = Upstream::start(move |request| {
            let target = request.split(' ').nth(1).unwrap_or_default();
            let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            match answers.get(&format!("{host}{target}")) {
                Some((kind, body)) => ok(&format!("content-type: {kind}\r\n"), body.as_bytes()),
                None => ok("content-type: application/json\r\n", b"{}"),
            }
        });
        let server = Server::plain(crate::websocket::server::echo);
        let routes: String = hosts
            .union(&sockets)
            // No route can name an address in another form than its own.
            .filter(|host| host.starts_with('[') || host.contains('.') && !host.starts_with("0177"))
            .map(|host| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                format!("  - {{host: '{host}', scheme: http, outbound_on_match: block, dlp: {{inbound_on_match: block, outbound_detectors: [token_patterns, known_secrets, entropy]}}}}\n")
            })
            .collect();
        let mut setting = raw::routes(&format!("routes:\n{routes}"))
            .settings("dlp: {strict_examples: true, profiles: [crypto]}\n");
        // Addresses are not led anywhere else: they are what decides.
        for host in hosts.iter().filter(|host| host.ends_with(|c: char| c.is_ascii_alphabetic())) {
            setting = setting.connect_to(&format!("{host}:80"), upstream.address);
        }
        for host in &sockets {
            setting = setting.connect_to(&format!("{host}:80"), server.address);
        }
        let stage = setting.start();
        Self { agent: stage.agent(), upstream, server, stage }
    }

    /// Why a case is blocked, if it is.
    fn blocks(&self, case: &Value) -> Option<String> {
        let payload = &case["payload"];
        let (host, target) = place(case);
        if let Some(frames) = payload["frames"].as_array() {
            return self.socket(&host, &target, frames);
        }
        if let Some(messages) = payload["jsonrpc_messages"].as_array() {
            // What an agent asks leaves; what a server answers comes in.
            return messages.iter().find_map(|message| {
                let asks = message.get("method").is_some();
                let body = if asks { message.to_string() } else { String::new() };
                refused(&self.ask(
                    "POST",
                    &host,
                    &target,
                    "content-type: application/json\r\n",
                    body.as_bytes(),
                ))
            });
        }
        let headers: String = payload["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
            .map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap_or_default()))
            .collect();
        let kind = payload["content_type"].as_str().map(|kind| format!("content-type: {kind}\r\n"));
        let headers = headers + &kind.unwrap_or_default();
        let method = payload["method"].as_str().unwrap_or("GET");
        let body = payload["body"].as_str().unwrap_or_default();
        refused(&self.ask(method, &host, &target, &headers, body.as_bytes()))
    }

    fn ask(&self, method: &str, host: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let headers = format!("content-length: {}\r\n{headers}", body.len());
        let head = self.agent.absolute(method, &format!("http://{host}{target}"), &headers);
        let mut socket = self.agent.socket();
        socket.write_all(&[head.as_bytes(), body].concat()).expect("the proxy reads");
        read_answer(&mut socket, method == "HEAD").expect("it is answered")
    }

    fn socket(&self, host: &str, target: &str, frames: &[Value]) -> Option<String> {
        let mut socket = self.agent.socket();
        let request = offer(&format!("http://{host}{target}"), host, &self.agent.identity());
        let answer = raw::ask(&mut socket, &request);
        if answer.status != 101 {
            return Some(answer.to_string());
        }
        let mut whole = Vec::new();
        let mut begun = false;
        for (place, sent) in frames.iter().enumerate() {
            let text = sent["payload"].as_str().unwrap_or_default();
            let payload = match sent["encoding"].as_str() {
                Some("base64") => {
                    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).expect("base64")
                }
                _ => text.as_bytes().to_vec(),
            };
            let fin = sent["fin"].as_bool() != Some(false) || place + 1 == frames.len();
            let binary = sent["opcode"].as_str() == Some("binary") || std::str::from_utf8(&payload).is_err();
            let opcode = match (begun, binary) {
                (true, _) => 0x00,
                (false, true) => 0x02,
                (false, false) => 0x01,
            };
            let first = if fin { 0x80 | opcode } else { opcode };
            begun = !fin;
            whole.extend_from_slice(&payload);
            if socket.write_all(&frame(first, Some(KEY), &payload)).is_err() {
                return Some("the connection was ended".to_owned());
            }
            if fin {
                match read_frame(&mut socket) {
                    Ok((0x81 | 0x82, _)) => whole.clear(),
                    other => return Some(format!("{other:x?}")),
                }
            }
        }
        None
    }
}

fn refused(answer: &Answer) -> Option<String> {
    answer.header("x-hudson-refusal").map(|_| answer.to_string())
}

/// The host and target of a case.
fn place(case: &Value) -> (String, String) {
    let Some(url) = case["payload"]["url"].as_str() else {
        return (MCP.to_owned(), format!("/{}", case["id"].as_str().unwrap_or_default()));
    };
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let host = host.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    (host, target)
}

/// What comes back, where the case is about that.
fn answer_of(case: &Value) -> Option<(String, String)> {
    let payload = &case["payload"];
    if let Some(body) = payload["response_body"].as_str() {
        let kind = if body.trim_start().starts_with('{') { "application/json" } else { "text/html" };
        return Some((kind.to_owned(), body.to_owned()));
    }
    if !payload["agent_card"].is_null() {
        return Some(("application/json".to_owned(), payload["agent_card"].to_string()));
    }
    let messages = payload["jsonrpc_messages"].as_array()?;
    let answer = messages.iter().find(|message| message.get("method").is_none())?;
    Some(("application/json".to_owned(), answer.to_string()))
}

fn cases(folder: &Path) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is there")
        .flatten()
        .flat_map(|group| std::fs::read_dir(group.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .collect();
    files.sort();
    assert!(files.len() > 100, "{} has few cases", folder.display());
    let read = |file: &std::path::PathBuf| std::fs::read(file).expect("a case is readable");
    files.iter().map(|file| serde_json::from_slice(&read(file)).expect("a case is JSON")).collect()
}
