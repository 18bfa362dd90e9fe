//! The recorded streams.

use anyhow::{Context as _, Result};
use hudson_schema::Format;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The server-sent events of the corpus that came without a content encoding.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) streams: Vec<Stream>,
}

/// One recorded response.
#[derive(Debug)]
pub(super) struct Stream {
    family: String,
    pub(super) format: Format,
    pub(super) content_type: String,
    /// Empty for none.
    pub(super) encoding: &'static str,
    pub(super) body: Vec<u8>,
    /// How many bytes it is when it is decoded.
    pub(super) plain: usize,
    pub(super) events: u64,
}

/// A line of the manifest, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    family: String,
    framing: String,
    content_type: String,
    content_encoding: String,
    target: String,
    events: Option<u64>,
}

impl Corpus {
    /// Reads all of it.
    pub(super) fn read() -> Result<Self> {
        let folder = match std::env::var_os("HUDSON_CORPUS") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        };
        let folder = folder.join("streams");
        let manifest = folder.join("manifest.jsonl");
        let manifest = std::fs::read_to_string(&manifest)
            .with_context(|| format!("no corpus: reading {}; set HUDSON_CORPUS", manifest.display()))?;
        let mut streams = Vec::new();
        for line in manifest.lines() {
            let line: Line = serde_json::from_str(line).context("a line of the manifest")?;
            if line.framing != "sse" || !line.content_encoding.is_empty() {
                continue;
            }
            let path = folder.join(&line.family).join(format!("{}.body", line.id));
            let body = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            streams.push(Stream {
                format: line.format(),
                family: line.family,
                content_type: line.content_type,
                encoding: "",
                plain: body.len(),
                body,
                events: line.events.unwrap_or_default(),
            });
        }
        Ok(Self { streams })
    }

    /// The streams by family.
    pub(super) fn families(&self) -> Vec<(&str, Vec<&Stream>)> {
        let mut families = BTreeMap::<_, Vec<_>>::new();
        for stream in &self.streams {
            families.entry(stream.family.as_str()).or_default().push(stream);
        }
        families.into_iter().collect()
    }

    /// Every stream, encoded as a server would.
    pub(super) fn encoded(&self, encoding: &'static str) -> Result<Vec<Stream>> {
        let encode = |stream: &Stream| {
            Ok(Stream {
                family: stream.family.clone(),
                content_type: stream.content_type.clone(),
                encoding,
                body: encode(encoding, &stream.body)?,
                ..*stream
            })
        };
        self.streams.iter().map(encode).collect()
    }
}

impl Line {
    /// Families are called like formats; only one has streams of several.
    fn format(&self) -> Format {
        let named = Format::ALL.into_iter().find(|format| format.name() == self.family);
        let other = if self.target.contains("GenerateContent") { Format::Gemini } else { Format::OpenaiChat };
        named.unwrap_or(other)
    }
}

fn encode(encoding: &str, plain: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => {
            flate2::read::GzEncoder::new(plain, flate2::Compression::default()).read_to_end(&mut out)?;
        }
        "br" => {
            brotli::CompressorReader::new(plain, 4096, 4, 20).read_to_end(&mut out)?;
        }
        _ => out = zstd::encode_all(plain, 3)?,
    }
    Ok(out)
}
