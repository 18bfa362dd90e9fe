//! Events that say the same again: the first is written at once, what follows within a period is a count.
//!
//! Pure: keys and a clock value in, a decision or a count out. Invariant: every event is either let through or counted,
//! and every count is told; how much is remembered, and so how much is written, does not grow with what a bottle
//! chooses (hosts, methods, paths).

use hudson_proxy::Event;
use hudson_schema::{RefusalCode, RunId};
use serde_json::Value;
use std::collections::HashMap;

/// How long the same is only counted, in milliseconds.
pub(super) const PERIOD: i64 = 60_000;
/// Different things that are remembered of one run; what goes beyond is told apart by its code alone.
const OF_ONE_RUN: usize = 64;

/// What makes two events the same.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Key {
    event: &'static str,
    run: Option<RunId>,
    code: Option<RefusalCode>,
    host: String,
    method: String,
    path: String,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    of_run: HashMap<Option<RunId>, HashMap<Key, Repeated>>,
}

#[derive(Debug)]
struct Repeated {
    since: i64,
    count: u64,
}

impl Key {
    /// The key of an event; `None` for one that is always written.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let key = |event, run: Option<&RunId>, code: Option<RefusalCode>, host: &str| Self {
            event,
            run: run.cloned(),
            code,
            host: host.to_owned(),
            ..Self::default()
        };
        Some(match event {
            // Who is not identified chooses everything about its requests.
            Event::Refusal { run: None, code, .. } => key("refusal", None, Some(*code), ""),
            Event::Refusal { run, code, host, method, path, .. } => Self {
                method: method.clone(),
                path: path.clone(),
                ..key("refusal", run.as_ref(), Some(*code), host)
            },
            Event::EgressBlock { host, method, path, .. } => {
                Self { method: method.clone(), path: path.clone(), ..key("egress_block", None, None, host) }
            }
            Event::CountFailed { run, host, .. } => key("count_failed", Some(run), None, host),
            Event::TunnelFailed { run, host, code, .. } => key("tunnel_failed", Some(run), Some(*code), host),
            Event::TaskPanicked { run, host } => {
                key("task_panicked", run.as_ref(), None, host.as_deref().unwrap_or_default())
            }
            Event::InjectionFound { run, host, path, .. } => {
                Self { path: path.clone(), ..key("injection_found", Some(run), None, host) }
            }
            Event::AnswerUnread { run, host, path, .. } => {
                Self { path: path.clone(), ..key("answer_unread", Some(run), None, host) }
            }
            Event::AcceptFailed { .. } => key("accept_failed", None, None, ""),
            Event::ConnectionDisplaced { .. } => key("connection_displaced", None, None, ""),
            Event::LedgerFailed { what, .. } => key("ledger_failed", None, None, what),
            _ => return None,
        })
    }

    /// What is left when there are too many to tell apart.
    fn coarse(self) -> Self {
        Self { event: self.event, run: self.run, code: self.code, ..Self::default() }
    }

    fn summary(&self, repeated: &Repeated) -> Value {
        let mut fields = serde_json::Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("event", "repeated".into());
        put("of", self.event.into());
        if let Some(run) = &self.run {
            put("run", run.as_str().into());
        }
        if let Some(code) = self.code {
            put("code", code.name().into());
        }
        for (name, text) in [("host", &self.host), ("method", &self.method), ("path", &self.path)] {
            if !text.is_empty() {
                put(name, text.as_str().into());
            }
        }
        put("count", repeated.count.into());
        if let Ok(since) = jiff::Timestamp::from_millisecond(repeated.since) {
            put("since", since.to_string().into());
        }
        Value::Object(fields)
    }
}

impl Repeats {
    /// Whether an event is to be written; otherwise it was counted.
    pub(super) fn take(&mut self, key: Key, now: i64) -> bool {
        let known = self.of_run.entry(key.run.clone()).or_default();
        let key = if known.len() < OF_ONE_RUN || known.contains_key(&key) { key } else { key.coarse() };
        match known.get_mut(&key) {
            Some(repeated) => {
                repeated.count += 1;
                false
            }
            None => {
                known.insert(key, Repeated { since: now, count: 0 });
                true
            }
        }
    }

    /// The counts whose period is over, or all of them, as events. What was not repeated in its period is forgotten.
    pub(super) fn due(&mut self, now: i64, all: bool) -> Vec<Value> {
        let mut summaries = Vec::new();
        for known in self.of_run.values_mut() {
            known.retain(|key, repeated| {
                // A clock that was set back begins anew.
                let over = now - repeated.since >= PERIOD || now < repeated.since;
                if repeated.count == 0 || !(over || all) {
                    return !over;
                }
                summaries.push(key.summary(repeated));
                *repeated = Repeated { since: now, count: 0 };
                true
            });
        }
        self.of_run.retain(|_, known| !known.is_empty());
        summaries
    }

    /// When the next count is due, or something may be forgotten.
    pub(super) fn next(&self) -> Option<i64> {
        self.of_run.values().flat_map(HashMap::values).map(|repeated| repeated.since + PERIOD).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(run: &str, host: &str) -> Key {
        Key {
            event: "refusal",
            run: Some(run.parse().unwrap()),
            code: Some(RefusalCode::HostNotAllowed),
            host: host.to_owned(),
            ..Key::default()
        }
    }

    fn counts(summaries: &[Value]) -> u64 {
        summaries.iter().map(|summary| summary["count"].as_u64().unwrap()).sum()
    }

    #[test]
    fn the_first_is_written_and_the_rest_is_a_count_once_a_period() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.next(), None);
        assert!(repeats.take(key("r", "a"), 0));
        assert!((1..=10).all(|now| !repeats.take(key("r", "a"), now)));
        assert!(repeats.take(key("r", "b"), 5) && repeats.take(key("s", "a"), 5), "others are not the same");
        assert_eq!(repeats.next(), Some(PERIOD));
        assert!(repeats.due(PERIOD - 1, false).is_empty());
        let summaries = repeats.due(PERIOD, false);
        assert_eq!(summaries.len(), 1);
        assert_eq!((&summaries[0]["of"], &summaries[0]["host"]), (&"refusal".into(), &"a".into()));
        assert_eq!(counts(&summaries), 10);
        // It goes on: counted again, and not written, until a period without it.
        assert!(!repeats.take(key("r", "a"), PERIOD + 1));
        assert_eq!(counts(&repeats.due(2 * PERIOD, false)), 1);
        assert!(repeats.due(3 * PERIOD, false).is_empty());
        assert_eq!(repeats.next(), None, "nothing is remembered of what has stopped");
        assert!(repeats.take(key("r", "a"), 3 * PERIOD));
    }

    #[test]
    fn an_end_tells_all_counts_at_once() {
        let mut repeats = Repeats::default();
        repeats.take(key("r", "a"), 0);
        repeats.take(key("r", "a"), 1);
        assert_eq!(counts(&repeats.due(2, true)), 1);
        assert!(repeats.due(3, true).is_empty(), "a count is told once");
        repeats.take(key("r", "a"), 4);
        assert_eq!(counts(&repeats.due(-PERIOD, false)), 1, "a clock that is set back keeps no count");
    }

    #[test]
    fn a_bottle_that_never_repeats_itself_fills_neither_memory_nor_log() {
        let mut repeats = Repeats::default();
        let all: u64 = 10_000;
        let written = (0..all).filter(|number| repeats.take(key("r", &format!("h{number}")), 0)).count();
        assert_eq!(written, OF_ONE_RUN + 1);
        assert!(repeats.take(key("s", "h"), 0), "another run has room of its own");
        assert_eq!(
            counts(&repeats.due(PERIOD, false)) + written as u64,
            all,
            "nothing is lost from the counts"
        );
    }
}
