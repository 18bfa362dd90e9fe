//! `hudson meter`: what Hudson counts in recorded responses, one JSON line a file.
//!
//! Invariant: a file is streamed through the same meter that taps live responses, in bounded memory; a file that cannot
//! be read is named and hides no other.

mod reading;

use super::{Context, output};
use crate::cli::MeterArgs;
use crate::exit::{self, Exit};
use anyhow::Result;
use hudson_meter::{Endpoint, Report};
use hudson_proxy::policy;
use hudson_schema::config::load_settings;
use hudson_schema::{Format, Provider, Quality};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Meters files.
pub(super) fn execute(context: &Context, arguments: MeterArgs) -> Result<u8> {
    let kind = Kind::of(context, &arguments)?;
    let mut buffer = vec![0; reading::CHUNK];
    let mut out = BufWriter::new(io::stdout().lock());
    let mut code = exit::OK;
    for path in &arguments.files {
        match meter(path, &kind, &arguments, &mut buffer) {
            Ok(report) => {
                let line = serde_json::to_string(&Line::new(path, &kind, report))?;
                if let Err(error) = writeln!(out, "{line}") {
                    // Nobody reads any more: the rest would be metered for nothing.
                    output::written(Err(error))?;
                    return Ok(code);
                }
            }
            Err(error) => {
                eprintln!("hudson: {}: cannot be read: {error}", path.display());
                code = exit::USAGE;
            }
        }
    }
    output::written(out.flush())?;
    Ok(code)
}

fn meter(path: &Path, kind: &Kind, arguments: &MeterArgs, buffer: &mut [u8]) -> io::Result<Report> {
    let (content_type, encoding) = (arguments.content_type.as_deref(), arguments.content_encoding.as_deref());
    match path.as_os_str() == "-" {
        true => reading::report(io::stdin().lock(), kind.format, content_type, encoding, buffer),
        false => reading::report(File::open(path)?, kind.format, content_type, encoding, buffer),
    }
}

/// How the files are read, and whose they are where that is known.
#[derive(Debug)]
struct Kind {
    provider: Option<Provider>,
    format: Format,
}

impl Kind {
    fn of(context: &Context, arguments: &MeterArgs) -> Result<Self> {
        if let Some(format) = arguments.format {
            return Ok(Self { provider: None, format });
        }
        let (Some(host), Some(target)) = (&arguments.host, &arguments.target) else {
            return Err(Exit::usage(
                "name the responses' origin with --host and --target, or their --format",
            )
            .into());
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target.as_str(), None),
        };
        let normal = policy::normalise_path(path)
            .map_err(|fault| Exit::usage(format!("--target {target:?} cannot be a path: {fault}")))?;
        let catalogue = crate::settings::catalogue(&load_settings(&context.home.settings())?);
        let unmetered = |why: &str| {
            Exit::usage(format!("POST {host}{normal} {why}; name the --format if it carries usage"))
        };
        match catalogue.classify(host, "POST", &normal, query) {
            Endpoint::Metered { provider, format } | Endpoint::Retrieval { provider, format } => {
                Ok(Self { provider: Some(provider), format })
            }
            Endpoint::Free { provider } => Err(unmetered(&format!("costs no tokens at {provider}")).into()),
            Endpoint::Unknown { provider } => {
                Err(unmetered(&format!("cannot be metered at {provider}")).into())
            }
            Endpoint::Foreign => Err(unmetered("is at no known model provider").into()),
        }
    }
}

/// What is printed. Numbers that nobody stated are null.
#[derive(Debug, Serialize)]
struct Line {
    file: String,
    provider: Option<Provider>,
    format: Format,
    model: Option<String>,
    response_id: Option<String>,
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
    total: Option<u64>,
    quality: Quality,
    /// Why it is not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Line {
    fn new(path: &Path, kind: &Kind, report: Report) -> Self {
        let usage = report.usage;
        let quality = match (usage.is_some(), report.exact) {
            (true, true) => Quality::Exact,
            (true, false) => Quality::Recovered,
            (false, _) => Quality::Held,
        };
        Self {
            file: path.display().to_string(),
            provider: kind.provider.clone(),
            format: kind.format,
            model: report.model,
            response_id: report.response_id,
            input: usage.map(|usage| usage.input),
            output: usage.map(|usage| usage.output),
            cache_read: usage.map(|usage| usage.cache_read),
            cache_write: usage.map(|usage| usage.cache_write),
            reasoning: usage.map(|usage| usage.reasoning),
            total: usage.map(|usage| usage.total),
            quality,
            fault: report.fault.filter(|_| quality != Quality::Exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::Usage;

    fn line(report: Report) -> serde_json::Value {
        let kind = Kind { provider: None, format: Format::Anthropic };
        serde_json::to_value(Line::new(Path::new("x"), &kind, report)).unwrap()
    }

    #[test]
    fn what_nobody_stated_is_null() {
        let held = line(Report::default());
        assert_eq!(held["quality"], "held");
        assert!(held["total"].is_null() && held["input"].is_null());
        let usage = Some(Usage { input: 2, total: 2, ..Usage::default() });
        assert_eq!(line(Report { usage, exact: true, ..Report::default() })["quality"], "exact");
        let recovered = line(Report { usage, ..Report::default() });
        assert_eq!(
            (recovered["quality"].as_str(), recovered["total"].as_u64()),
            (Some("recovered"), Some(2))
        );
    }
}
