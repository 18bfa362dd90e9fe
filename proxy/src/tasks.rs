//! Work in tasks of its own, and what happens when one of them panics: it ends alone, and the event log says so.
//!
//! Invariant: what a panic says is never written anywhere, because it may quote what was being handled; where it
//! happened is.

use crate::event::{Event, EventSink};
use futures_util::FutureExt;
use hudson_schema::RunId;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Whose work a task is.
#[derive(Debug, Default)]
pub(crate) struct Whose {
    pub(crate) run: Option<RunId>,
    pub(crate) host: Option<String>,
}

/// Work that must end before the process does: settlements, detached reading, the streams that own them.
#[derive(Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    events: Arc<dyn EventSink>,
}

impl Tasks {
    pub(crate) fn new(events: Arc<dyn EventSink>) -> Self {
        Self { tracker: TaskTracker::new(), events }
    }

    /// Starts a task that shutting down waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output: Send> + Send + 'static) {
        self.spawn_for(Arc::default(), task);
    }

    /// The same, of this run and host.
    pub(crate) fn spawn_for(&self, whose: Arc<Whose>, task: impl Future<Output: Send> + Send + 'static) {
        let events = self.events.clone();
        self.tracker.spawn(async move { caught(&*events, &whose, task).await });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits for all of it; what is started meanwhile too.
    pub(crate) async fn finish(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Runs a task to its end, or to its panic, which becomes an event.
///
/// Sound, because what outlives a task is behind mutexes that are taken over after a panic, and each of their critical
/// sections leaves whole what it changes; all else is dropped with the task, and drops settle and give back.
pub(crate) async fn caught(events: &dyn EventSink, whose: &Whose, task: impl Future) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        events.emit(Event::TaskPanicked { run: whose.run.clone(), host: whose.host.clone() });
    }
}

/// Has panics of this process written with their place and without their words; for a program to call first.
pub fn keep_panics_silent() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        eprintln!("hudson: a task panicked at {place}; this is a fault of hudson's own");
    }));
}
