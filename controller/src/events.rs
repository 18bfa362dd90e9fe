//! Where the proxy's events go: JSON lines to the event log or standard error, and the counts that a run's end needs.

use hudson_proxy::{Event, EventSink};
use hudson_schema::{RefusalCode, RunId};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Writes events.
pub struct EventLog {
    // A std mutex: one short write per event, never over an await.
    out: Mutex<Output>,
    stopped: Mutex<HashMap<RunId, RefusalCode>>,
}

enum Output {
    File(File),
    Stderr,
}

impl EventLog {
    /// Appends to a file, made with mode 0600.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { out: Mutex::new(Output::File(file)), stopped: Mutex::default() })
    }

    /// Writes to standard error.
    pub fn to_stderr() -> Self {
        Self { out: Mutex::new(Output::Stderr), stopped: Mutex::default() }
    }

    /// The budget refusal that a run met, if any.
    pub fn budget_refusal(&self, run: &RunId) -> Option<RefusalCode> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get(run).copied()
    }

    /// Writes one event of the control plane's own.
    pub fn write(&self, name: &str, mut fields: Value) {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("event".to_owned(), Value::from(name));
        }
        self.line(fields);
    }

    fn note(&self, run: &RunId, code: RefusalCode) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).entry(run.clone()).or_insert(code);
    }

    fn line(&self, mut fields: Value) {
        if let Some(fields) = fields.as_object_mut() {
            fields.shift_insert(0, "ts".to_owned(), Value::from(jiff::Timestamp::now().to_string()));
        }
        let line = format!("{fields}\n");
        // A log that cannot be written must not stop enforcement.
        let _ = match &mut *self.out.lock().unwrap_or_else(PoisonError::into_inner) {
            Output::File(file) => file.write_all(line.as_bytes()),
            Output::Stderr => io::stderr().write_all(line.as_bytes()),
        };
    }
}

impl EventSink for EventLog {
    fn emit(&self, event: Event) {
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
                self.stopped
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .entry(run.clone())
                    .or_insert(*code);
            }
        }
        if let Ok(value) = serde_json::to_value(&event) {
            self.line(value);
        }
    }
}
