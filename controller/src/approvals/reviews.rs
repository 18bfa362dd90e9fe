//! The verdicts of a model that reviews, remembered for a while: an agent that asks the same again, or again and again,
//! costs no model's time.

use super::review::Verdict;
use hudson_schema::BottleName;
use hudson_schema::ledger::Fingerprint;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a verdict answers the same question.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How often a model is asked for one bottle in an hour; after that, people are.
const PER_HOUR: usize = 60;
const HOUR: Duration = Duration::from_secs(3600);
/// The most verdicts that are remembered.
const MOST: usize = 10_000;

/// What models have said lately.
#[derive(Default)]
pub struct Reviews {
    // A std mutex: never held over an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verdicts: HashMap<[u8; 32], (Instant, Verdict)>,
    asked: HashMap<BottleName, VecDeque<Instant>>,
}

impl Reviews {
    /// The verdict on this question; `None` where no model may be asked any more, which is for people then.
    pub async fn of<F: Future<Output = Verdict>>(
        &self,
        bottle: &BottleName,
        fingerprint: Fingerprint,
        review: impl FnOnce() -> F,
    ) -> Option<Verdict> {
        let now = Instant::now();
        if let Some(verdict) = self.lock().known(fingerprint, now) {
            return Some(verdict);
        }
        if !self.lock().take(bottle, now) {
            return Some(Verdict::Escalate {
                reason: "the model was asked too often for this bottle".to_owned(),
            });
        }
        let verdict = review().await;
        let mut state = self.lock();
        if state.verdicts.len() < MOST {
            state.verdicts.insert(fingerprint.0, (Instant::now(), verdict.clone()));
        }
        Some(verdict)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&mut self, fingerprint: Fingerprint, now: Instant) -> Option<Verdict> {
        self.verdicts.retain(|_, (at, _)| now.saturating_duration_since(*at) < REMEMBERED);
        self.verdicts.get(&fingerprint.0).map(|(_, verdict)| verdict.clone())
    }

    fn take(&mut self, bottle: &BottleName, now: Instant) -> bool {
        self.asked.retain(|_, times| {
            times.retain(|at| now.saturating_duration_since(*at) < HOUR);
            !times.is_empty()
        });
        let times = self.asked.entry(bottle.clone()).or_default();
        let has_room = times.len() < PER_HOUR;
        if has_room {
            times.push_back(now);
        }
        has_room
    }
}
