//! The recorded requests of the corpus, as the tests read them.

#![allow(dead_code, reason = "each test uses a part of it")]

use hudson_meter::RequestHead;
use hudson_schema::Format;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Prints past the test harness, which keeps `println!` of a test that passes to itself: a figure that nobody sees is
/// none.
macro_rules! report {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}
pub(crate) use report;

/// A recorded request and what its response said it had cost.
pub(crate) struct Recorded {
    pub(crate) family: String,
    pub(crate) id: String,
    /// Where it went; the recordings of most providers kept a name of theirs in its place.
    pub(crate) host: String,
    pub(crate) format: Format,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) body: Vec<u8>,
    /// Input tokens, cache reads and writes included; None where the response stated no usage.
    pub(crate) input: Option<u64>,
}

impl Recorded {
    /// Its head.
    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            format: self.format,
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref(),
            content_type: Some("application/json"),
            socket: false,
            models: &[],
        }
    }
}

/// The corpus's folder; None when it is absent and that is allowed.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = match std::env::var_os("HUDSON_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
    };
    if folder.join("streams/manifest.jsonl").is_file() {
        return Some(folder);
    }
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "the corpus is missing at {}; set HUDSON_CORPUS",
        folder.display()
    );
    report!("SKIPPED: NO CORPUS AT {}; SET HUDSON_CORPUS. NOTHING WAS CHECKED.", folder.display());
    None
}

pub(crate) fn recorded(folder: &Path) -> Vec<Recorded> {
    let manifest = std::fs::read_to_string(folder.join("streams/manifest.jsonl")).unwrap();
    let lines = manifest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["has_request"] == true).map(|line| one(folder, &line)).collect()
}

fn one(folder: &Path, line: &Value) -> Recorded {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let (family, id, target) = (text("family"), text("id"), text("target"));
    let host = match text("host") {
        name if name.contains('.') => name,
        name if name == "venice" => "api.venice.ai".to_owned(),
        // OpenAI knows both names of the cap.
        _ => "api.openai.com".to_owned(),
    };
    let format = match family.as_str() {
        "no-usage" if target.contains("GenerateContent") => Format::Gemini,
        "no-usage" => Format::OpenaiChat,
        family => family.parse().unwrap(),
    };
    // A fragment is a client's own mark and never sent.
    let target = target.split('#').next().unwrap_or_default().to_owned();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target, None),
    };
    let body = std::fs::read(folder.join(format!("streams/{family}/{id}.request"))).unwrap();
    let expected = line.get("expected").filter(|expected| !expected.is_null());
    let input = expected.map(|expected| {
        let count = |key: &str| expected[key].as_u64().unwrap_or(0);
        // In these the cache stands beside the input, elsewhere inside it.
        let beside = matches!(family.as_str(), "anthropic" | "bedrock-converse" | "bedrock-invoke");
        count("input") + if beside { count("cache_read") + count("cache_write") } else { 0 }
    });
    Recorded { family, id, host, format, path, query, body, input }
}
