//! What is scanned: conversations of coding agents as they are on the wire, made the same each time, and known values.
//!
//! They are those that the scanner's own tests hold it to, so that a figure here and a bar there are about the same bytes.

use anyhow::{Context as _, Result};
use hudson_dlp::KnownValue;
use std::io::Read as _;
use std::path::{Path, PathBuf};

#[path = "../../../proxy/dlp/tests/benign/mod.rs"]
#[allow(clippy::indexing_slicing, reason = "it is made of tables of its own")]
mod benign;

/// Values as an operator has them.
const KNOWN: usize = 20;

/// Bodies, in memory and as files.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) bodies: Vec<Vec<u8>>,
}

impl Folder {
    /// Bodies of so many bytes together, a file each.
    pub(super) fn write(path: &Path, bytes: usize) -> Result<Self> {
        let bodies = benign::bodies("llm_bodies", bytes, 40);
        std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        for (number, body) in bodies.iter().enumerate() {
            let file = path.join(format!("request-{number:05}.json"));
            std::fs::write(&file, body).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(Self { path: path.to_owned(), bodies })
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bodies.iter().map(Vec::len).sum()
    }

    /// The same in millions.
    pub(super) fn megabytes(&self) -> f64 {
        self.bytes() as f64 / 1e6
    }

    /// Each body as a client with compression sends it.
    pub(super) fn packed(&self) -> Result<Vec<Vec<u8>>> {
        let pack = |body: &Vec<u8>| {
            let mut packed = Vec::new();
            flate2::read::GzEncoder::new(&body[..], flate2::Compression::default())
                .read_to_end(&mut packed)?;
            Ok(packed)
        };
        self.bodies.iter().map(pack).collect()
    }
}

/// So many stretches of conversations, each of this length and another than the others.
pub(crate) fn conversations(length: usize, count: usize) -> Vec<Vec<u8>> {
    /// From one stretch to the next.
    const STEP: usize = 911;
    let all = benign::bodies("llm_bodies", length + count * STEP, 77).concat();
    all.windows(length).step_by(STEP).take(count).map(<[u8]>::to_vec).collect()
}

/// The names and texts of the known values.
pub(super) fn known() -> Vec<(String, String)> {
    let mut dice = benign::Dice::new(99);
    let value = |number: usize| format!("tok{number}_{}", dice.base64_url(24 + number % 9));
    let values: Vec<String> = (0..KNOWN).map(value).collect();
    values.into_iter().enumerate().map(|(number, value)| (format!("VALUE_{number}"), value)).collect()
}

/// The same for the scanner.
pub(super) fn known_values() -> Vec<KnownValue> {
    known().into_iter().map(|(name, value)| KnownValue::secret(name, value.into())).collect()
}
