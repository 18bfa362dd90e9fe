//! One recording as the manifest has it, and what must come of it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hudson_tests::UsageRow;
use serde_json::Value;

use super::{FAMILIES, Family};

/// A stream as it came over the wire, and the usage that it reports.
pub(super) struct Recording {
    pub(super) family: &'static Family,
    pub(super) body: Vec<u8>,
    entry: Value,
    request: Option<PathBuf>,
}

/// The recordings of every family, in the manifest's order.
pub(super) fn all(folder: &Path) -> Vec<Recording> {
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).expect("the manifest is readable");
    let entries = manifest.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let of_family = |entry: Value| {
        let family = FAMILIES.iter().find(|family| {
            let of_host = family.recorded.iter().any(|host| entry["host"] == *host);
            let path = entry["target"].as_str().is_some_and(|target| family.serves(path_of(target)));
            entry["family"] == family.folder && entry["status"] == 200 && of_host && path
        })?;
        Some(Recording::read(folder, family, entry))
    };
    entries.filter_map(of_family).collect()
}

/// So many of them, spread evenly.
pub(super) fn spread(recordings: Vec<&Recording>, most: usize) -> Vec<&Recording> {
    let step = (recordings.len() / most.max(1)).max(1);
    recordings.into_iter().step_by(step).take(most).collect()
}

fn path_of(target: &str) -> &str {
    // A recorder's note behind `#` was never sent.
    target.split(['?', '#']).next().unwrap_or_default()
}

impl Recording {
    fn read(folder: &Path, family: &'static Family, entry: Value) -> Self {
        let id = entry["id"].as_str().unwrap_or_default();
        let file = |kind: &str| folder.join(family.folder).join(format!("{id}.{kind}"));
        let body =
            std::fs::read(file("body")).unwrap_or_else(|error| panic!("{}/{id}: {error}", family.folder));
        let request = (entry["has_request"] == true).then(|| file("request"));
        Self { family, body, request, entry }
    }

    pub(super) fn id(&self) -> &str {
        self.entry["id"].as_str().unwrap_or_default()
    }

    /// The path that was asked for; behind it what says that events are wanted.
    pub(super) fn target(&self) -> String {
        let target = self.entry["target"].as_str().unwrap_or_default();
        let events = if target.contains("alt=sse") { "?alt=sse" } else { "" };
        format!("{}{events}", path_of(target))
    }

    /// The file with the request's body.
    pub(super) fn request(&self) -> Option<&Path> {
        self.request.as_deref()
    }

    pub(super) fn asks_for_usage(&self) -> bool {
        self.entry["include_usage"].as_bool().unwrap_or_default()
    }

    pub(super) fn is_encoded(&self) -> bool {
        self.entry["content_encoding"].as_str().is_some_and(|coding| !coding.is_empty())
    }

    /// Whether the checksums of AWS' frames are right. Some recorders rewrote the text inside, and an SDK breaks off.
    pub(super) fn is_sound(&self) -> bool {
        self.entry["framing"] != "eventstream" || frames_are_sound(&self.body)
    }

    /// A number of the usage that it reports.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.entry["expected"][key].as_u64()
    }

    /// What a client must get: the recording itself, but for usage that it did not ask for.
    pub(super) fn expected(&self, decoded: bool) -> Vec<u8> {
        let mut body = self.body.clone();
        if self.is_encoded() && decoded {
            body.clear();
            flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut body).expect("it is gzip");
        }
        match self.family.folder == "openai-chat" && !self.asks_for_usage() {
            true => without_usage_chunks(&body),
            false => body,
        }
    }

    /// The numbers in which the ledger differs from the manifest.
    pub(super) fn differs(&self, row: &UsageRow) -> Option<String> {
        let numbers = [
            ("input", row.input),
            ("output", row.output),
            ("cache_read", row.cache_read),
            ("cache_write", row.cache_write),
            ("reasoning", row.reasoning),
            ("total", row.total),
        ];
        let wrong = numbers.iter().filter_map(|(key, got)| Some((key, got, self.number(key)?)));
        let wrong = wrong.filter(|(_, got, want)| *got != want);
        let mut wrong: Vec<_> = wrong.map(|(key, got, want)| format!("{key} {got} != {want}")).collect();
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

/// A frame begins with its length, has the checksum of its first eight bytes behind them, and its own at its end.
fn frames_are_sound(mut rest: &[u8]) -> bool {
    while let Some(length) = rest.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) {
        if length < 16 || rest.len() < length {
            return false;
        }
        let (frame, behind) = rest.split_at(length);
        let (covered, own) = frame.split_at(length - 4);
        if crc32fast::hash(&frame[..8]).to_be_bytes() != frame[8..12]
            || crc32fast::hash(covered).to_be_bytes() != own
        {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}
