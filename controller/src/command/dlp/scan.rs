//! `hudson dlp scan`: what would be found in a file if it were the body of a request.
//!
//! Invariant: a file is streamed through the scanner that looks at traffic, in bounded memory; a file that cannot be read is
//! named and hides no other.

mod body;
mod line;

use super::{Context, Scene, host};
use crate::command::output::{self, Cell};
use crate::exit::{self, Exit};
use crate::instance;
use anyhow::Result;
pub(super) use body::Body;
use hudson_dlp::{Class, Detectors, Finding, OnMatch, Transport};
use hudson_proxy::dlp::Setup;
use hudson_schema::config::Host;
pub(super) use line::{Line, word};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is read at a time.
const CHUNK: usize = 64 << 10;
/// Rows that a table has at most.
const ROWS: usize = 500;

/// What was asked for.
pub(super) struct Asked {
    pub(super) host: Option<Host>,
    pub(super) strict: bool,
    pub(super) content_encoding: Option<String>,
    pub(super) files: Vec<PathBuf>,
}

/// Scans files.
pub(super) fn execute(context: &Context, asked: Asked) -> Result<u8> {
    let Scene { mut loaded, lasting } = Scene::of(context)?;
    loaded.setup.policy.strict_examples |= asked.strict;
    let encoding = asked.content_encoding.unwrap_or_default();
    Transport::new(&encoding).map_err(|error| Exit::usage(format!("--content-encoding: {error}")))?;
    let job = Job {
        detectors: Arc::new(Detectors::new(loaded.setup.policy.clone())?),
        setup: loaded.setup,
        host: host(asked.host)?,
        encoding,
        now: instance::now(),
        lasting,
    };
    let mut out = Output::new(context.json || !io::stdout().is_terminal());
    let (mut acts, mut unreadable) = (false, false);
    for path in &asked.files {
        match job.file(path, &mut out) {
            Ok(found) => acts |= found,
            Err(Stopped::Unreadable(why)) => {
                eprintln!("hudson: {}: cannot be read: {why}", path.display());
                unreadable = true;
            }
            // Nobody reads any more: the rest would be looked at for nothing.
            Err(Stopped::Unwritable(error)) => {
                output::written(Err(error))?;
                break;
            }
        }
    }
    out.end()?;
    Ok(match (unreadable, acts) {
        (true, _) => exit::USAGE,
        (false, true) => exit::FAILED,
        (false, false) => exit::OK,
    })
}

/// What is done to each file.
struct Job {
    detectors: Arc<Detectors>,
    setup: Setup,
    host: Host,
    encoding: String,
    now: i64,
    lasting: bool,
}

/// Why a file was not looked at to its end.
enum Stopped {
    Unreadable(String),
    Unwritable(io::Error),
}

impl Job {
    /// Looks at one file; whether something in it acts.
    fn file(&self, path: &Path, out: &mut Output) -> Result<bool, Stopped> {
        match path.as_os_str() == "-" {
            true => self.body(path, io::stdin().lock(), out),
            false => match File::open(path) {
                Ok(file) => self.body(path, file, out),
                Err(error) => Err(Stopped::Unreadable(error.to_string())),
            },
        }
    }

    fn body(&self, path: &Path, mut file: impl Read, out: &mut Output) -> Result<bool, Stopped> {
        let unreadable = |error: &dyn std::fmt::Display| Stopped::Unreadable(error.to_string());
        // The size of a file on a disk is bounded; what it decodes to is by the ratio alone.
        let mut transport =
            Transport::with_limit(&self.encoding, usize::MAX).map_err(|error| unreadable(&error))?;
        let mut body = Body::new(&self.detectors, &self.setup, &self.host.to_string());
        let mut buffer = vec![0; CHUNK];
        let mut acts = false;
        loop {
            let count = match file.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&error)),
            };
            let mut found = Vec::new();
            let read = buffer.get(..count).unwrap_or_default();
            match count {
                0 => transport.finish(|bytes| found.extend(body.feed(bytes))),
                _ => transport.feed(read, |bytes| found.extend(body.feed(bytes))),
            }
            .map_err(|error| unreadable(&error))?;
            if count == 0 {
                found.extend(body.finish());
            }
            for finding in found {
                acts |= self.tell(path, &finding, out).map_err(Stopped::Unwritable)?;
            }
            if count == 0 {
                return Ok(acts);
            }
        }
    }

    /// Prints a finding; whether it acts.
    fn tell(&self, path: &Path, finding: &Finding, out: &mut Output) -> io::Result<bool> {
        let covers = |entry: &&hudson_proxy::dlp::Suppressed| entry.covers(finding, &self.host, self.now);
        let suppressed = self.setup.suppressions.iter().find(covers).map(|entry| entry.reason.as_str());
        out.line(&Line::new(path, finding, OnMatch::default(), suppressed, self.lasting))?;
        Ok(suppressed.is_none() && finding.class >= Class::Act)
    }
}

/// Lines for programs, or a table for a person.
enum Output {
    Lines(BufWriter<io::Stdout>),
    Table { rows: Vec<Vec<Cell>>, more: usize },
}

impl Output {
    fn new(lines: bool) -> Self {
        match lines {
            true => Self::Lines(BufWriter::new(io::stdout())),
            false => Self::Table { rows: Vec::new(), more: 0 },
        }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        match self {
            Self::Lines(out) => writeln!(out, "{}", serde_json::to_string(line)?),
            Self::Table { rows, more } => {
                match rows.len() < ROWS {
                    true => rows.push(line.row()),
                    false => *more += 1,
                }
                Ok(())
            }
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Lines(mut out) => output::written(out.flush()),
            Self::Table { rows, .. } if rows.is_empty() => output::text("Nothing was found.\n"),
            Self::Table { rows, more } => {
                output::table(&Line::HEADINGS, rows)?;
                match more {
                    0 => Ok(()),
                    more => output::text(&format!("{more} more; --json prints them all\n")),
                }
            }
        }
    }
}
