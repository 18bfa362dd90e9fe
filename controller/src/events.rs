//! Where the proxy's events go: JSON lines to the event log or standard error, and the counts that a run's end needs.
//!
//! Invariant: whoever reports an event never waits. A thread of its own writes; what it has no room for is counted, and
//! so is what says the same again, and the log tells both counts. kill -9 loses what is still on its way to that
//! thread, and no more.

mod file;
mod repeats;

use crate::metrics::Counters;
use file::RotatingFile;
use hudson_proxy::{Event, EventSink};
use hudson_schema::{RefusalCode, RunId};
use repeats::{Key, Repeats};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Events that wait to be written: seconds of a busy proxy, a few MiB.
const WAITING: usize = 4096;
/// Lines that a watcher may be behind.
const WATCHED: usize = 1024;
/// What is written at once, in bytes.
const BATCH: usize = 1 << 16;
/// How long the end of the process waits for what is not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes events.
pub struct EventLog {
    lines: SyncSender<Message>,
    shared: Arc<Shared>,
    // A std mutex: map operations, never over an await.
    stopped: Mutex<HashMap<RunId, RefusalCode>>,
    counters: Counters,
}

/// What the reporting side and the writer share.
struct Shared {
    // A std mutex: one look-up per event, never over an await.
    repeats: Mutex<Repeats>,
    dropped: AtomicU64,
    watchers: broadcast::Sender<Arc<str>>,
}

enum Message {
    /// An event, and when it happened.
    Event(jiff::Timestamp, Box<Event>),
    /// One of the control plane's own.
    Fields(jiff::Timestamp, Value),
    /// Answer when all before is written.
    Flush(SyncSender<()>),
}

enum Output {
    File(RotatingFile),
    Stderr,
}

impl EventLog {
    /// Appends to a file, made with mode 0600, which is rotated.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Self::start(Output::File(RotatingFile::open(path)?))
    }

    /// Writes to standard error.
    pub fn to_stderr() -> io::Result<Self> {
        Self::start(Output::Stderr)
    }

    fn start(output: Output) -> io::Result<Self> {
        let (lines, messages) = sync_channel(WAITING);
        let (repeats, dropped) = (Mutex::default(), AtomicU64::default());
        let shared = Arc::new(Shared { repeats, dropped, watchers: broadcast::Sender::new(WATCHED) });
        let writer = Writer { output, messages, shared: shared.clone() };
        std::thread::Builder::new().name("event-log".to_owned()).spawn(move || writer.run())?;
        Ok(Self { lines, shared, stopped: Mutex::default(), counters: Counters::default() })
    }

    /// The budget refusal that a run met, if any.
    pub fn budget_refusal(&self, run: &RunId) -> Option<RefusalCode> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get(run).copied()
    }

    /// What the proxy's events add up to.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Each line from now on, as it is written. Who is slow misses some, and is told how many.
    pub fn watch(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.watchers.subscribe()
    }

    /// Writes one event of the control plane's own.
    pub fn write(&self, name: &str, mut fields: Value) {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("event".to_owned(), Value::from(name));
        }
        self.send(Message::Fields(jiff::Timestamp::now(), fields));
    }

    /// Waits, for a moment at most, until everything so far is written, the counts of what was held back too.
    pub fn flush(&self) {
        let (written, wait) = sync_channel(1);
        let deadline = Instant::now() + PATIENCE;
        let mut message = Message::Flush(written);
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = self.lines.try_send(message) {
            if Instant::now() > deadline {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        // A writer that hangs, on a pipe that nobody reads, must not keep the process.
        let _ = wait.recv_timeout(PATIENCE);
    }

    fn note(&self, run: &RunId, code: RefusalCode) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).entry(run.clone()).or_insert(code);
    }

    fn send(&self, message: Message) {
        if self.lines.try_send(message).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EventSink for EventLog {
    fn emit(&self, event: Event) {
        self.counters.count(&event);
        if let Event::StreamCut { run, .. } = &event {
            self.note(run, RefusalCode::BudgetExhausted);
        }
        if let Event::Refusal { run: Some(run), code, .. } = &event {
            let budget = matches!(
                code,
                RefusalCode::BudgetExhausted
                    | RefusalCode::BottleCutOff
                    | RefusalCode::BottleFrozen
                    | RefusalCode::BottleKilled
            );
            if budget {
                self.note(run, *code);
            }
        }
        let now = jiff::Timestamp::now();
        let again = Key::of(&event).is_some_and(|key| !self.shared.repeats().take(key, now.as_millisecond()));
        if !again {
            self.send(Message::Event(now, Box::new(event)));
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Shared {
    /// Shows lines to whoever watches.
    fn show(&self, text: &str) {
        if self.watchers.receiver_count() > 0 {
            // Nobody watches any more: nobody is to be told.
            text.lines().for_each(|line| drop(self.watchers.send(line.into())));
        }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that writes.
struct Writer {
    output: Output,
    messages: Receiver<Message>,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (mut text, mut lines, mut flushed) = (String::new(), 0, None);
            let mut next = self.wait();
            let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
            while let Ok(message) = next {
                match message {
                    Message::Event(at, event) => {
                        if let Ok(fields) = serde_json::to_value(&*event) {
                            line(&mut text, at, fields);
                        }
                    }
                    Message::Fields(at, fields) => line(&mut text, at, fields),
                    Message::Flush(written) => flushed = Some(written),
                }
                lines += 1;
                if flushed.is_some() || text.len() >= BATCH {
                    break;
                }
                next = self.messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            let now = jiff::Timestamp::now();
            for repeated in self.shared.repeats().due(now.as_millisecond(), ended || flushed.is_some()) {
                line(&mut text, now, repeated);
            }
            let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                line(&mut text, now, json!({"event": "events_dropped", "count": dropped}));
            }
            self.shared.show(&text);
            // A log that cannot be written must not stop enforcement; when it can be again, it says what is missing.
            if !text.is_empty() && self.output.write(text.as_bytes()).is_err() {
                self.shared.dropped.fetch_add(dropped + lines, Ordering::Relaxed);
            }
            if let Some(written) = flushed {
                let _ = written.send(());
            }
            if ended {
                return;
            }
        }
    }

    /// The next message, or the time at which a count of repeated events is due.
    fn wait(&self) -> Result<Message, RecvTimeoutError> {
        let due = self.shared.repeats().next();
        match due {
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => {
                // Not for longer, should the clock be set back.
                let left = due.saturating_sub(jiff::Timestamp::now().as_millisecond()).min(repeats::PERIOD);
                let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
                self.messages.recv_timeout(left)
            }
        }
    }
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write(lines),
            Self::Stderr => io::stderr().write_all(lines),
        }
    }
}

fn line(text: &mut String, at: jiff::Timestamp, mut fields: Value) {
    if let Some(fields) = fields.as_object_mut() {
        fields.shift_insert(0, "ts".to_owned(), Value::from(at.to_string()));
    }
    text.push_str(&fields.to_string());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

    fn refusal(path: &str) -> Event {
        Event::Refusal {
            run: Some("r1".parse().unwrap()),
            bottle: None,
            code: RefusalCode::HostNotAllowed,
            reason: "no".to_owned(),
            method: "GET".to_owned(),
            host: "a.test".to_owned(),
            path: path.to_owned(),
            response_status: Some(403),
        }
    }

    fn read(path: &Path) -> Vec<Value> {
        std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn what_says_the_same_again_is_one_line_and_a_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/events.jsonl");
        let log = EventLog::to_file(&path).unwrap();
        (0..100).for_each(|_| log.emit(refusal("/a")));
        log.emit(refusal("/b"));
        log.flush();
        let lines = read(&path);
        let of = |name: &str| lines.iter().filter(|line| line["event"] == name).count();
        assert_eq!((of("refusal"), of("repeated"), lines.len()), (2, 1, 3), "{lines:#?}");
        let count = lines.iter().find(|line| line["event"] == "repeated").unwrap();
        assert_eq!(
            (&count["of"], &count["path"], &count["count"]),
            (&json!("refusal"), &json!("/a"), &json!(99))
        );
        assert_eq!(log.budget_refusal(&"r1".parse().unwrap()), None);
    }

    #[test]
    fn a_reader_that_stands_still_stops_nobody_and_is_told_what_it_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let log = EventLog::to_file(&path).unwrap();
        rustix::fs::fcntl_setfl(&reader, OFlags::empty()).unwrap();
        let started = Instant::now();
        let all: u64 = 3 * WAITING as u64;
        (0..all).for_each(|count| log.write("tick", json!({"count": count})));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        // Now it reads again: what was written, and how much was not.
        let lines = std::thread::spawn(move || {
            let mut lines = Vec::new();
            let (mut seen, mut missed) = (0, 0);
            for line in io::BufRead::lines(io::BufReader::new(std::fs::File::from(reader))) {
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                match line["event"].as_str() {
                    Some("events_dropped") => missed += line["count"].as_u64().unwrap(),
                    _ => seen += 1,
                }
                lines.push(line);
                if seen + missed >= all {
                    return (seen, missed);
                }
            }
            (seen, missed)
        });
        let (seen, missed) = lines.join().unwrap();
        assert!(missed > 0 && seen + missed == all, "{seen} seen, {missed} missed, of {all}");
        drop(log);
    }
}
