//! What is found of the secrets that other scanners' rules are tested with, and what is found where their authors say that
//! there is none.
//!
//! The rows are of these scanners' own tests, so that each of them is at home on a part; a row that must not be found by one
//! rule may hold what another rule is right to find. The figures are for comparison.

use super::here;
use super::program::Program;
use anyhow::{Context as _, Result};
use hudson_dlp::{Class, Detectors, Part};
use serde::Deserialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a row's file is called, in front of its number.
const MARK: &str = "bench-row-";
/// Digits of the number.
const DIGITS: usize = 5;

/// The rows.
pub(super) struct Rows(Vec<Row>);

/// One of them.
#[derive(Deserialize)]
struct Row {
    label: u8,
    text: String,
}

/// How many rows somebody found something in.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) who: &'static str,
    /// Of those that hold a secret.
    pub(super) secrets: usize,
    /// Of those that hold none, by their authors.
    pub(super) others: usize,
}

impl Rows {
    /// All of them; nothing where there is no corpus.
    pub(super) fn read() -> Result<Option<Self>> {
        let folder = match std::env::var_os("HUDSON_CORPUS") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        };
        let file = folder.join("dlp/secrets.jsonl");
        if !file.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let rows: Result<Vec<Row>, _> = text.lines().map(serde_json::from_str).collect();
        let mut rows = rows.with_context(|| format!("{} is not as expected", file.display()))?;
        // What one rule must find and another must not says nothing about a set of rules.
        let secrets: HashSet<String> =
            rows.iter().filter(|row| row.label == 1).map(|row| row.text.clone()).collect();
        rows.retain(|row| row.label == 1 || !secrets.contains(&row.text));
        Ok(Some(Self(rows)))
    }

    /// A file for each.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        for (number, row) in self.0.iter().enumerate() {
            let file = folder.join(format!("{MARK}{number:0DIGITS$}.txt"));
            std::fs::write(&file, &row.text).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }

    /// How many hold a secret, and how many do not.
    pub(super) fn count(&self) -> (usize, usize) {
        let secrets = self.0.iter().filter(|row| row.label == 1).count();
        (secrets, self.0.len() - secrets)
    }

    fn tally(&self, who: &'static str, is_found: impl Fn(usize, &Row) -> bool) -> Tally {
        let found = |label: u8| {
            let rows = self.0.iter().enumerate().filter(|(_, row)| row.label == label);
            rows.filter(|(number, row)| is_found(*number, row)).count()
        };
        Tally { who, secrets: found(1), others: found(0) }
    }
}

/// hudson-dlp: what it finds at all, where examples of documentation count, and what a route acts on.
pub(super) fn here(rows: &Rows) -> Result<[Tally; 3]> {
    let strict = here::detectors(Vec::new(), true)?;
    let usual = here::detectors(Vec::new(), false)?;
    let scan = |detectors: &Arc<Detectors>, row: &Row, least: Class| {
        let found = detectors.scan(Part::Body, "host.invalid", row.text.as_bytes());
        found.iter().any(|finding| finding.class >= least)
    };
    Ok([
        rows.tally("hudson-dlp, any finding, examples counted", |_, row| scan(&strict, row, Class::Note)),
        rows.tally("hudson-dlp, what a route acts on, examples counted", |_, row| {
            scan(&strict, row, Class::Act)
        }),
        rows.tally("hudson-dlp, what a route acts on", |_, row| scan(&usual, row, Class::Act)),
    ])
}

/// A program, by the files that it names.
pub(super) fn of(program: &Program, folder: &Path, rows: &Rows) -> Result<[Tally; 1]> {
    let printed = program.scan(folder)?.printed;
    let named: HashSet<&str> =
        printed.split(MARK).skip(1).filter_map(|behind| behind.get(..DIGITS)).collect();
    Ok([rows.tally(program.name(), |number, _| named.contains(format!("{number:0DIGITS$}").as_str()))])
}
