//! The event log's last guard: what an agent may have written into an event is told without what must not be shown.
//!
//! Invariant: every event of the proxy passes here, and which of its texts an agent can choose is said where events are
//! defined.

use super::Dlp;
use crate::event::{Event, EventSink};
use std::sync::Arc;

/// Events on their way to who keeps them.
pub(crate) struct Cleaned {
    dlp: Arc<Dlp>,
    events: Arc<dyn EventSink>,
}

impl Cleaned {
    pub(crate) fn new(dlp: Arc<Dlp>, events: Arc<dyn EventSink>) -> Self {
        Self { dlp, events }
    }
}

impl EventSink for Cleaned {
    fn emit(&self, mut event: Event) {
        for text in event.chosen() {
            if let Some(cleaned) = self.dlp.cleaned(text) {
                *text = cleaned;
            }
        }
        self.events.emit(event);
    }
}
