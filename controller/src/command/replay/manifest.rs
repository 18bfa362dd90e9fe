//! `manifest.jsonl`: one JSON object a recording, beside it the bodies as `<family>/<id>.body` and, where it says so,
//! `<family>/<id>.request`. Only what replaying needs is read.
//!
//! Invariant: a recording that was read has its files; an id names one recording.

use super::choice::{self, Fingerprint};
use crate::exit::Exit;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One recording.
#[derive(Debug)]
pub(super) struct Recording {
    /// Its id, for `x-hudson-replay`.
    pub(super) id: String,
    /// The method it answered.
    pub(super) method: String,
    /// The host it came from.
    pub(super) host: String,
    /// Path and query it answered.
    pub(super) target: String,
    /// The status.
    pub(super) status: u16,
    /// `content-type`; empty when none was sent.
    pub(super) content_type: String,
    /// `content-encoding`; empty when none was sent.
    pub(super) content_encoding: String,
    /// How its body is cut into events: `sse`, `ndjson`, `eventstream` or anything else.
    pub(super) framing: String,
    /// The body's file.
    pub(super) body: PathBuf,
    /// What its request was, where that was recorded.
    pub(super) request: Option<Fingerprint>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    family: String,
    #[serde(default = "post")]
    method: String,
    host: String,
    target: String,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    content_encoding: Option<String>,
    #[serde(default)]
    framing: Option<String>,
    #[serde(default)]
    has_request: bool,
}

/// Recorders write `200` or `200 OK`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Number(u16),
    Line(String),
}

impl Default for Status {
    fn default() -> Self {
        Self::Number(200)
    }
}

fn post() -> String {
    "POST".to_owned()
}

/// Reads a folder's manifest and the requests beside it.
pub(super) fn read(directory: &Path) -> Result<Vec<Recording>> {
    let path = directory.join("manifest.jsonl");
    let text = std::fs::read(&path).map_err(|error| {
        let expected = "name a folder with manifest.jsonl and the recorded bodies";
        Exit::usage(format!("{}: cannot be read: {error}; {expected}", path.display()))
    })?;
    let mut recordings = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index + 1;
        let wrong = |why: String| Exit::usage(format!("{}:{number}: {why}", path.display()));
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            wrong(format!("not a recording of the manifest's form: {}", on_its_line(&error)))
        })?;
        if let Some(first) = seen.insert(line.id.clone(), number) {
            return Err(wrong(format!("the id {:?} is that of line {first} too", line.id)).into());
        }
        recordings.push(recording(directory, line).map_err(|error| wrong(format!("{error:#}")))?);
    }
    match recordings.is_empty() {
        true => Err(Exit::usage(format!("{}: holds no recording", path.display())).into()),
        false => Ok(recordings),
    }
}

/// serde_json counts lines from the text it is given, which is one line of ours.
fn on_its_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((why, _)) => format!("{why}, at column {}", error.column()),
        None => text,
    }
}

fn recording(directory: &Path, line: Line) -> Result<Recording> {
    for name in [&line.id, &line.family] {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            anyhow::bail!(
                "{name:?} cannot be part of a file's name; expected letters, digits, '-', '_' and '.'"
            );
        }
    }
    let folder = directory.join(&line.family);
    let body = folder.join(format!("{}.body", line.id));
    if !body.is_file() {
        anyhow::bail!("there is no body {}", body.display());
    }
    let request = match line.has_request {
        true => {
            let path = folder.join(format!("{}.request", line.id));
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            Some(choice::fingerprint(&bytes))
        }
        false => None,
    };
    let status = match &line.status {
        Status::Number(number) => *number,
        Status::Line(text) => {
            let number = text.split_whitespace().next().unwrap_or_default();
            number.parse().with_context(|| format!("the status {text:?} does not begin with a number"))?
        }
    };
    http::StatusCode::from_u16(status).with_context(|| format!("{status} is no HTTP status"))?;
    let header = |text: Option<String>, name: &str| {
        let text = text.unwrap_or_default();
        http::HeaderValue::from_str(&text).map(|_| text.clone()).with_context(|| format!("{name} {text:?}"))
    };
    Ok(Recording {
        method: line.method,
        host: line.host,
        // A recorder's note behind `#` was never sent.
        target: line.target.split('#').next().unwrap_or_default().to_owned(),
        status,
        content_type: header(line.content_type, "content_type")?,
        content_encoding: header(line.content_encoding, "content_encoding")?,
        framing: line.framing.unwrap_or_default(),
        body,
        request,
        id: line.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Vec<Recording>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("f")).unwrap();
        std::fs::write(folder.path().join("f/a.body"), "data: 1\n\n").unwrap();
        std::fs::write(folder.path().join("manifest.jsonl"), line).unwrap();
        read(folder.path())
    }

    #[test]
    fn a_recording_needs_little() {
        let line = r#"{"id":"a","family":"f","host":"openai","target":"/v1#x","status":"200 OK","events":3}"#;
        let read = read_line(&format!("\n{line}\n")).unwrap();
        let [recording] = read.as_slice() else { panic!() };
        assert_eq!((recording.status, recording.method.as_str()), (200, "POST"));
        assert_eq!(recording.target, "/v1");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        let good = r#"{"id":"a","family":"f","host":"h","target":"/"}"#;
        for (text, line, why) in [
            ("{", 1, "not a recording"),
            (&format!("{good}\n{{\"id\":1}}"), 2, "not a recording"),
            (&format!("{good}\n\n{good}"), 3, "line 1 too"),
            (r#"{"id":"b","family":"f","host":"h","target":"/"}"#, 1, "there is no body"),
            (r#"{"id":"../a","family":"f","host":"h","target":"/"}"#, 1, "file's name"),
            (r#"{"id":"a","family":"f","host":"h","target":"/","status":"OK"}"#, 1, "status"),
            (r#"{"id":"a","family":"f","host":"h","target":"/","status":99}"#, 1, "status"),
            (r#"{"id":"a","family":"f","host":"h","target":"/","has_request":true}"#, 1, "reading"),
        ] {
            let error = read_line(text).unwrap_err();
            assert_eq!(crate::exit::code_of(&error), crate::exit::USAGE);
            let shown = error.to_string();
            assert!(shown.contains(&format!("manifest.jsonl:{line}: ")) && shown.contains(why), "{shown}");
        }
        assert!(read_line("").unwrap_err().to_string().contains("holds no recording"));
    }
}
