//! The last refusals of each bottle, from the event log, where that is a file, and from what this process tells itself.
//!
//! Invariants: the log is read once, from its last part on; what is kept does not grow with it, nor with what a bottle
//! chooses. A line that is none of ours, or of another version, is passed over.

use crate::dashboard::Refusal;
use crate::events::EventLog;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast::error::RecvError;

/// How much of a log is read at most at once, in bytes: thousands of refusals.
const MOST: u64 = 1 << 20;
/// Refusals that are kept of a bottle.
pub(super) const KEPT: usize = 5;
/// Bottles of which refusals are kept.
const BOTTLES: usize = 1_000;

/// What was read so far.
#[derive(Default)]
pub(in super::super) struct Refusals {
    /// The file and how far it was read.
    place: Option<(u64, u64, u64)>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    of: BTreeMap<String, VecDeque<(String, Refusal)>>,
}

/// A line of the log, as far as it is of use.
#[derive(Deserialize)]
struct Line {
    ts: String,
    event: String,
    #[serde(default)]
    of: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    bottle: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    count: u64,
}

impl Line {
    fn at(&self) -> Option<i64> {
        Some(self.ts.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    }
}

/// What this process refuses from now on, beside what is read of a log.
pub(in super::super) fn hear(events: &EventLog) -> Arc<Mutex<Refusals>> {
    let (mut lines, refusals) = (events.watch(), Arc::<Mutex<Refusals>>::default());
    let heard = refusals.clone();
    tokio::spawn(async move {
        loop {
            match lines.recv().await {
                Ok(line) => heard.lock().unwrap_or_else(PoisonError::into_inner).hear(&line),
                // Of more than can be taken in, the last ones are told.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    refusals
}

impl Refusals {
    /// Takes a line of this process in.
    fn hear(&mut self, line: &str) {
        // Most lines tell of something else, and are not worth reading.
        if line.contains(r#""refusal""#)
            && let Ok(line) = serde_json::from_str(line)
        {
            self.take(line);
        }
    }

    /// Reads what has been written since. A log that cannot be read has nothing new.
    pub(super) fn read(&mut self, log: &Path) {
        // What is missing comes with the next reading.
        let _ = self.follow(log);
    }

    /// The last ones of a bottle, latest first.
    pub(super) fn of(&self, bottle: &str) -> Vec<Refusal> {
        let known = self.of.get(bottle).into_iter().flatten();
        known.rev().map(|(_, refusal)| refusal.clone()).collect()
    }

    fn follow(&mut self, log: &Path) -> std::io::Result<()> {
        // Opening a pipe would wait for ever.
        if !std::fs::metadata(log)?.is_file() {
            return Ok(());
        }
        let mut file = File::open(log)?;
        let found = file.metadata()?;
        let (device, number, length) = (found.dev(), found.ino(), found.len());
        let from = match self.place {
            Some((its_device, its_number, read))
                if (its_device, its_number) == (device, number) && read <= length =>
            {
                read
            }
            // Another file, or one that was emptied.
            _ => 0,
        };
        let start = from.max(length.saturating_sub(MOST));
        if start != from || from == 0 {
            self.rest.clear();
        }
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = std::mem::take(&mut self.rest);
        let read = file.take(length - start).read_to_end(&mut bytes)?;
        self.place = Some((device, number, start + read as u64));
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(whole);
        if self.rest.len() as u64 > MOST {
            self.rest.clear();
        }
        // Where it begins within a line, that one is none.
        bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .for_each(|line| self.take(line));
        Ok(())
    }

    fn take(&mut self, line: Line) {
        match (line.event.as_str(), line.of.as_str()) {
            ("refusal", _) if !line.bottle.is_empty() => self.add(line),
            ("repeated", "refusal") => self.count(&line),
            _ => {}
        }
    }

    fn add(&mut self, line: Line) {
        let Some(at) = line.at() else { return };
        if !self.of.contains_key(&line.bottle) && self.of.len() >= BOTTLES {
            return;
        }
        let kept = self.of.entry(line.bottle).or_default();
        let refusal = Refusal {
            at,
            code: line.code,
            asked: format!("{} {}{}", line.method, line.host, line.path),
            reason: line.reason,
            times: 1,
        };
        // The same again is one with a later time.
        let same = |(run, known): &(String, Refusal)| *run == line.run && known.is_of(&refusal);
        let refusal = match kept.iter().position(same).and_then(|at| kept.remove(at)) {
            Some((_, known)) => {
                Refusal { times: known.times.saturating_add(1), at: at.max(known.at), ..refusal }
            }
            None => refusal,
        };
        // What is read of a log may be older than what was heard.
        let place = kept.partition_point(|(_, known)| known.at <= refusal.at);
        kept.insert(place, (line.run, refusal));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// How often one came again that was written before.
    fn count(&mut self, line: &Line) {
        let asked = format!("{} {}{}", line.method, line.host, line.path);
        for (run, known) in self.of.values_mut().flatten() {
            if *run == line.run && known.code == line.code && known.asked == asked {
                known.times = known.times.saturating_add(line.count);
                known.at = line.at().map_or(known.at, |at| at.max(known.at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn refused(second: u8, host: &str) -> String {
        format!(
            "{{\"ts\":\"2026-11-21T12:00:{second:02}Z\",\"event\":\"refusal\",\"run\":\"r\",\"bottle\":\"ci\",\"code\":\
             \"host_not_allowed\",\"reason\":\"no\",\"method\":\"GET\",\"host\":\"{host}\",\"path\":\"/a\"}}\n"
        )
    }

    #[test]
    fn the_log_is_followed_line_by_line_and_into_the_next_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut refusals = Refusals::default();
        refusals.read(&path);
        let mut file = File::create(&path).unwrap();
        let hosts = |refusals: &Refusals| -> Vec<String> {
            refusals.of("ci").iter().map(|refusal| format!("{} ×{}", refusal.asked, refusal.times)).collect()
        };
        let second = refused(2, "b");
        let (half, other) = second.split_at(30);
        write!(file, "nonsense\n{}{half}", refused(1, "a")).unwrap();
        refusals.read(&path);
        assert_eq!(hosts(&refusals), ["GET a/a ×1"]);
        let repeated = r#"{"ts":"2026-11-21T12:01:00Z","event":"repeated","of":"refusal","run":"r","code":"host_not_allowed","host":"a","method":"GET","path":"/a","count":41}"#;
        write!(file, "{other}{repeated}\n{{\"event\":\"refusal\"}}\n").unwrap();
        refusals.read(&path);
        assert_eq!(hosts(&refusals), ["GET b/a ×1", "GET a/a ×42"]);
        // Read again, nothing is counted twice.
        refusals.read(&path);
        assert_eq!(hosts(&refusals), ["GET b/a ×1", "GET a/a ×42"]);
        std::fs::rename(&path, folder.path().join("events.jsonl.1")).unwrap();
        std::fs::write(&path, refused(3, "a")).unwrap();
        refusals.read(&path);
        assert_eq!(hosts(&refusals), ["GET a/a ×43", "GET b/a ×1"]);
        assert!(refusals.of("other").is_empty());
    }

    #[test]
    fn what_is_read_of_a_log_is_put_in_order_with_what_was_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, (1..=4).map(|second| refused(second, "read")).collect::<String>()).unwrap();
        let mut refusals = Refusals::default();
        refusals.hear(r#"{"ts":"2026-11-21T12:00:09Z","event":"egress_request","path":"/\"refusal\""}"#);
        (5..=8).for_each(|second| refusals.hear(refused(second, &format!("heard{second}")).trim_end()));
        refusals.read(&path);
        let asked: Vec<_> =
            refusals.of("ci").into_iter().map(|refusal| (refusal.asked, refusal.times)).collect();
        let all = [("heard8", 1), ("heard7", 1), ("heard6", 1), ("heard5", 1), ("read", 4)];
        assert_eq!(asked, all.map(|(host, times)| (format!("GET {host}/a"), times)));
    }

    #[test]
    fn what_is_kept_does_not_grow_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut file = File::create(&path).unwrap();
        let mut refusals = Refusals::default();
        for round in 0..3 {
            for host in 0..9_000 {
                file.write_all(refused(1, &format!("h{round}-{host}")).as_bytes()).unwrap();
            }
            refusals.read(&path);
        }
        let kept = refusals.of("ci");
        assert_eq!((kept.len(), kept.first().unwrap().asked.as_str()), (KEPT, "GET h2-8999/a"));
        assert!(refusals.rest.is_empty());
    }
}
