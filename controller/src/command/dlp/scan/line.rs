//! A finding as it is printed.

use crate::command::output::Cell;
use hudson_dlp::{Action, Class, Confidence, Encoding, Finding, Lowered, OnMatch, Severity};
use serde::Serialize;
use std::path::Path;

/// One line. What is not known is null.
#[derive(Debug, Serialize)]
pub(in crate::command::dlp) struct Line {
    file: String,
    rule: String,
    confidence: Confidence,
    pub(in crate::command::dlp) action: Action,
    start: usize,
    end: usize,
    /// From the outside in, with `+` between.
    pub(in crate::command::dlp) encoding: Option<String>,
    preview: String,
    hash: Option<String>,
    class: Class,
    severity: Severity,
    part: String,
    /// As a suppression names it.
    location: String,
    lowered: Option<Lowered>,
    validated: Option<bool>,
    detail: Option<String>,
    /// The reason of the suppression that covers it.
    pub(in crate::command::dlp) suppressed: Option<String>,
}

impl Line {
    pub(super) const HEADINGS: [&str; 8] =
        ["FILE", "RULE", "CONFIDENCE", "ACTION", "AT", "ENCODING", "PREVIEW", "HASH"];

    /// What a route with this answer would do about a finding. Hashes are shown only if they mean something later.
    pub(in crate::command::dlp) fn new(
        path: &Path,
        finding: &Finding,
        route: OnMatch,
        suppressed: Option<&str>,
        lasting: bool,
    ) -> Self {
        let encodings: Vec<&str> = finding.encodings.iter().copied().map(Encoding::name).collect();
        Self {
            file: path.display().to_string(),
            rule: finding.rule.to_string(),
            confidence: finding.confidence,
            action: if suppressed.is_some() { Action::Allow } else { finding.action(route) },
            start: finding.start,
            end: finding.end,
            encoding: (!encodings.is_empty()).then(|| encodings.join("+")),
            preview: finding.preview.to_string(),
            hash: lasting.then(|| finding.hash.clone()),
            class: finding.class,
            severity: finding.severity,
            part: finding.part.name().into_owned(),
            location: finding.place(),
            lowered: finding.lowered,
            validated: finding.validated,
            detail: finding.detail.clone(),
            suppressed: suppressed.map(ToOwned::to_owned),
        }
    }

    /// The same for a table.
    pub(super) fn row(&self) -> Vec<Cell> {
        let action = match &self.suppressed {
            Some(reason) => format!("suppressed: {reason}"),
            None => word(&self.action),
        };
        let place = match self.location == self.part {
            true => format!("{}–{}", self.start, self.end),
            false => format!("{}–{} {}", self.start, self.end, self.location),
        };
        vec![
            self.file.as_str().into(),
            self.rule.as_str().into(),
            word(&self.confidence).into(),
            action.into(),
            place.into(),
            self.encoding.clone().unwrap_or_default().into(),
            self.preview.as_str().into(),
            self.hash.clone().unwrap_or_default().into(),
        ]
    }
}

/// The name that something has in JSON.
pub(in crate::command::dlp) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
