//! What looking for secrets costs by itself: hudson-dlp in this process, and the same bytes through every other scanner that
//! is installed on this machine, `hudson dlp scan` among them.
//!
//! All figures are CPU time. A program is charged with what it takes beyond a scan of an empty folder, so that its start and
//! the compilation of its rules are in a figure of their own. Whatever is not installed is said, with how to get it.

mod bodies;
mod here;
mod program;
mod recall;
mod report;

pub(crate) use bodies::conversations;
pub(crate) use report::Report;

use crate::peer::hudson;
use crate::stats::Spread;
use anyhow::{Context as _, Result};
use bodies::Folder;
use here::Here;
use program::Program;
use report::Unit;

/// Bytes of conversations that a round goes over.
const BYTES: usize = 16 << 20;
/// The same for scanners whose start takes longer than that; the first of them are the same bodies.
const MORE_BYTES: usize = 96 << 20;
/// The same for scanners that would take minutes.
const FEW_BYTES: usize = 1 << 20;
/// The same where little is to be done.
const QUICK_BYTES: usize = 256 << 10;
/// Bodies by which single requests are measured: how large, and how many in a round.
const SINGLE: (usize, usize) = (64 << 10, 1000);

/// All rounds.
pub(crate) fn run(rounds: u32, quick: bool) -> Result<Report> {
    let scratch = tempfile::Builder::new().prefix("hudson-bench-").tempdir()?;
    let here = Here::new()?;
    let bytes = if quick { QUICK_BYTES } else { BYTES };
    let many = Folder::write(&scratch.path().join("many"), bytes)?;
    let more = Folder::write(&scratch.path().join("more"), if quick { bytes } else { MORE_BYTES })?;
    let few = Folder::write(&scratch.path().join("few"), FEW_BYTES.min(bytes))?;
    let empty = Folder::write(&scratch.path().join("empty"), 0)?;
    let mut report = Report::new(rounds, &many, here.rules());
    let programs = programs(scratch.path(), &mut report)?;

    let packed = many.packed()?;
    let (length, count) = SINGLE;
    let singles = conversations(length, if quick { 20 } else { count });
    // The first look compiles what it needs, and some keep it in their home.
    here.rate(&many.bodies);
    for program in &programs {
        program.scan(&few.path)?;
    }
    let mut timed: Vec<Timed<'_>> = programs.iter().map(Timed::new).collect();
    for _ in 0..rounds {
        report.add("hudson-dlp, in this process", Unit::MegabytesPerSecond, here.rate(&many.bodies));
        report.add("hudson-dlp, gzip undone first", Unit::MegabytesPerSecond, here.packed_rate(&packed)?);
        let (p50, p99) = here.percentiles(&singles)?;
        report.add("hudson-dlp, a body of 64 KiB, p50", Unit::Micros, p50);
        report.add("hudson-dlp, a body of 64 KiB, p99", Unit::Micros, p99);
        for timed in &mut timed {
            let folder = match timed.program {
                program if program.is_slow() => &few,
                program if program.is_quick() => &more,
                _ => &many,
            };
            timed.round(&empty, folder)?;
        }
    }
    timed.iter().for_each(|timed| timed.tell(&mut report));
    match recall::Rows::read()? {
        Some(rows) => {
            report.recall(&rows, recall::here(&rows)?);
            let folder = scratch.path().join("rows");
            rows.write(&folder)?;
            for program in &programs {
                report.recall(&rows, recall::of(program, &folder, &rows)?);
            }
        }
        None => report
            .note("Recall is not measured: set HUDSON_CORPUS to a corpus with dlp/secrets.jsonl.".to_owned()),
    }
    Ok(report)
}

/// What is installed, each asked for its version; what is not is noted.
fn programs(scratch: &std::path::Path, report: &mut Report) -> Result<Vec<Program>> {
    let hudson = hudson::binary()?;
    let mut programs = Vec::new();
    for kind in program::Kind::ALL {
        match Program::find(kind, scratch, &hudson).with_context(|| format!("starting {}", kind.name()))? {
            Some(program) => {
                report.program(&program);
                programs.push(program);
            }
            None => report.note(kind.missing()),
        }
    }
    Ok(programs)
}

/// What the rounds of one program took.
struct Timed<'p> {
    program: &'p Program,
    /// Seconds of each scan of an empty folder.
    starts: Vec<f64>,
    /// Megabytes and seconds of each scan of bodies.
    scans: Vec<(f64, f64)>,
}

impl<'p> Timed<'p> {
    fn new(program: &'p Program) -> Self {
        Self { program, starts: Vec::new(), scans: Vec::new() }
    }

    fn round(&mut self, empty: &Folder, folder: &Folder) -> Result<()> {
        self.starts.push(self.program.scan(&empty.path)?.seconds);
        self.scans.push((folder.megabytes(), self.program.scan(&folder.path)?.seconds));
        Ok(())
    }

    /// Its start varies by more than a small scan takes, so that the median is what is taken off.
    fn tell(&self, report: &mut Report) {
        let name = self.program.name();
        let start = Spread::of(&self.starts).map_or(0.0, |spread| spread.median);
        for (megabytes, seconds) in self.scans.iter().filter(|(_, seconds)| *seconds > start) {
            report.add(name, Unit::MegabytesPerSecond, megabytes / (seconds - start));
        }
        let name = format!("{name}, its start");
        self.starts.iter().for_each(|start| report.add(&name, Unit::Millis, start * 1e3));
    }
}
