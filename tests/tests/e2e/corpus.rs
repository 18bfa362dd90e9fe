//! Recorded streams of real providers through the running proxy: each arrives byte for byte, and its usage is in the
//! ledger. `$HUDSON_CORPUS` names the recordings, else `../shared/corpus` beside the repository.

// A recording that cannot be read ends the test.
#![allow(clippy::panic)]

use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use hudson_tests::process::Background;
use hudson_tests::{UsageRow, clients, hudson, ledger};
use serde_json::Value;

use crate::raw::{self, Agent, Answer, Stage};

/// Streams of each family that are played.
const EACH: usize = 20;

/// Family, host and path by which it is asked for.
const FAMILIES: [(&str, &str, &str); 3] = [
    ("anthropic", "api.anthropic.com", "/v1/messages"),
    ("openai-chat", "api.openai.com", "/v1/chat/completions"),
    ("openai-responses", "api.openai.com", "/v1/responses"),
];

const ROUTES: &str = "routes:\n  - host: api.anthropic.com\n  - host: api.openai.com\n";

/// The recordings; none when they are absent and that is allowed.
fn streams() -> Option<PathBuf> {
    let folder = std::env::var_os("HUDSON_CORPUS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| clients::repository().join("../shared/corpus")).join("streams");
    if folder.join("manifest.jsonl").is_file() {
        return Some(folder);
    }
    let absent = format!("no recorded streams in {}; HUDSON_CORPUS names them", folder.display());
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{absent}");
    report!("SKIPPED: {absent}. NOTHING WAS CHECKED.");
    None
}

/// One recording as the manifest has it.
struct Recording {
    host: &'static str,
    path: &'static str,
    entry: Value,
    body: Vec<u8>,
}

/// Spread over each family, and every compressed one.
fn sample(folder: &std::path::Path) -> Vec<Recording> {
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).expect("the manifest is readable");
    let entries: Vec<Value> =
        manifest.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let mut chosen = Vec::new();
    for (family, host, path) in FAMILIES {
        let of_family = entries.iter().filter(|entry| entry["family"] == family && entry["status"] == 200);
        let (encoded, plain): (Vec<_>, Vec<_>) =
            of_family.partition(|entry| entry["content_encoding"].as_str().is_some_and(|c| !c.is_empty()));
        let step = (plain.len() / EACH).max(1);
        for entry in encoded.into_iter().chain(plain.into_iter().step_by(step).take(EACH)) {
            let id = entry["id"].as_str().unwrap_or_default();
            let body = std::fs::read(folder.join(family).join(format!("{id}.body")));
            let body = body.unwrap_or_else(|error| panic!("{family}/{id}: {error}"));
            chosen.push(Recording { host, path, entry: entry.clone(), body });
        }
    }
    chosen
}

/// `hudson replay` of a folder, and where it listens.
fn replay(folder: &std::path::Path, scratch: &std::path::Path) -> (Background, String, String) {
    let ready = scratch.join("replay.json");
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", scratch).arg("replay").arg(folder).arg("--ready-file").arg(&ready);
    command.arg("--ca-file").arg(scratch.join("replay.pem"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut replay = Background::start(&mut command);
    raw::wait_until(Duration::from_secs(20), || {
        assert!(!replay.ended(), "`hudson replay` ended at once");
        ready.exists().then_some(())
    })
    .expect("`hudson replay` listens");
    let told: Value = serde_json::from_slice(&std::fs::read(&ready).expect("the ready file is readable"))
        .expect("the ready file is JSON");
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    (replay, text("address"), text("ca_file"))
}

impl Recording {
    fn id(&self) -> &str {
        self.entry["id"].as_str().unwrap_or_default()
    }

    fn asks_for_usage(&self) -> bool {
        self.entry["include_usage"].as_bool().unwrap_or_default()
    }

    /// Asks for it through the proxy, as its client once did.
    fn play(&self, agent: &Agent, http2: bool) -> Answer {
        let mut body = serde_json::json!({"model": "recorded", "stream": true, "max_tokens": 9});
        match self.path {
            "/v1/chat/completions" if self.asks_for_usage() => {
                body["stream_options"] = serde_json::json!({"include_usage": true});
            }
            "/v1/responses" => body = serde_json::json!({"model": "recorded", "stream": true, "input": "x"}),
            _ => {}
        }
        let (body, accepted) = (body.to_string(), "gzip");
        if http2 {
            let mut request = raw::request("POST", &format!("https://{}{}", self.host, self.path), &body);
            let headers = request.headers_mut();
            headers.insert("x-hudson-replay", self.id().parse().expect("an id is a value"));
            headers.insert("accept-encoding", accepted.parse().expect("a coding is a value"));
            return agent.http2_one(self.host, request);
        }
        let headers = format!("x-hudson-replay: {}\r\naccept-encoding: {accepted}\r\n", self.id());
        agent.send(self.host, &raw::post(self.host, self.path, &headers, &body))
    }

    /// What must arrive: the recording itself, but for usage that its client did not ask for.
    fn expected(&self, answer: &Answer) -> Vec<u8> {
        let encoded = self.entry["content_encoding"] == "gzip";
        let mut body = self.body.clone();
        if encoded && answer.header("content-encoding").is_none() {
            body.clear();
            flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut body).expect("it is gzip");
        }
        if self.path == "/v1/chat/completions" && !self.asks_for_usage() {
            return without_usage_chunks(&body);
        }
        body
    }

    /// The numbers in which the ledger differs from the manifest.
    fn differs(&self, row: &UsageRow) -> Option<String> {
        let numbers = [
            ("input", row.input),
            ("output", row.output),
            ("cache_read", row.cache_read),
            ("cache_write", row.cache_write),
            ("reasoning", row.reasoning),
            ("total", row.total),
        ];
        let expected = &self.entry["expected"];
        let wrong =
            numbers.iter().filter(|(key, got)| expected[*key].as_u64().is_some_and(|want| want != *got));
        let mut wrong: Vec<_> =
            wrong.map(|(key, got)| format!("{key} {got} != {}", expected[*key])).collect();
        if row.quality != "exact" {
            wrong.push(format!("quality {}", row.quality));
        }
        (!wrong.is_empty()).then(|| wrong.join(", "))
    }
}

/// The stream without the events that carry nothing but usage.
fn without_usage_chunks(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let only_usage = |event: &str| {
        let data =
            event.trim().strip_prefix("data:").and_then(|data| serde_json::from_str::<Value>(data).ok());
        data.is_some_and(|data| {
            data["choices"].as_array().is_some_and(Vec::is_empty) && data["usage"].is_object()
        })
    };
    let end = if text.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
    let kept: String = text.split_inclusive(end).filter(|event| !only_usage(event)).collect();
    kept.into_bytes()
}

/// The row that comes after `before` others.
fn row(stage: &Stage, before: usize) -> Option<UsageRow> {
    let rows = ledger::wait_for(&stage.world.home(), Duration::from_secs(5), |rows| rows.len() > before);
    rows.into_iter().nth(before)
}

#[test]
fn recorded_streams_pass_unchanged_and_are_counted_exactly() {
    let Some(folder) = streams() else { return };
    let setting = raw::routes(ROUTES);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (_replay, address, ca) = replay(&folder, scratch.path());
    let setting = setting.instead_of_simulator(&address, &ca);
    let stage = setting.start();
    let agent = stage.agent();
    let (mut wrong, mut played) = (Vec::new(), 0);
    for recording in sample(&folder) {
        let http2 = played % 2 == 1;
        let answer = recording.play(&agent, http2);
        let place = format!("{}/{} http2={http2}", recording.entry["family"], recording.id());
        if answer.status != 200 || answer.body != recording.expected(&answer) {
            wrong.push(format!("{place}: another body: {:.300}", answer.to_string()));
        }
        match row(&stage, played) {
            Some(row) => wrong.extend(recording.differs(&row).map(|why| format!("{place}: {why}"))),
            None => wrong.push(format!("{place}: no row in the ledger")),
        }
        played += 1;
    }
    report!("{played} recorded streams through the proxy, {} differ", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played >= 3 * EACH, "only {played} streams");
}
