//! The end of a metered request: its hold is replaced by what the response reported.
//!
//! Invariant: a settler settles or releases exactly once; one that is dropped without either settles at the hold, so
//! that no way out of a request is free.

use super::persist::persist;
use super::{Origin, clock};
use crate::event::Event;
use http::StatusCode;
use hudson_meter::Report;
use hudson_schema::budget::Weights;
use hudson_schema::ledger::{Hold, LedgerError, Settlement};
use hudson_schema::{Provider, Quality, Refusal, RefusalCode, Usage};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A hold and what is needed to settle it.
pub(super) struct Placed {
    pub(super) hold: Hold,
    pub(super) provider: Provider,
    pub(super) weights: Weights,
    /// Estimated input, in tokens.
    pub(super) input: u64,
    pub(super) model: Option<String>,
    pub(super) stream: bool,
}

/// Settles one hold, once.
pub(super) struct Settler {
    pub(super) origin: Arc<Origin>,
    placed: Option<Placed>,
}

/// What a response came to.
struct Outcome {
    usage: Option<Usage>,
    quality: Quality,
    fault: Option<String>,
    model: Option<String>,
    response_id: Option<String>,
    status: u16,
    stream: Option<bool>,
}

impl Settler {
    pub(super) fn new(origin: Arc<Origin>, placed: Placed) -> Self {
        Self { origin, placed: Some(placed) }
    }

    /// Whose budget it charges.
    pub(super) fn provider(&self) -> Option<&Provider> {
        self.placed.as_ref().map(|placed| &placed.provider)
    }

    /// Reports that the response is ended at this live count; the refusal to end it with.
    pub(super) fn cut(&self, counted: u64) -> Refusal {
        let granted = self.placed.as_ref().map_or(0, |placed| placed.hold.output);
        let Origin { shared, run, authority, .. } = &*self.origin;
        let (run, host) = (run.id.clone(), authority.host.to_string());
        shared.events.emit(Event::StreamCut { run, host, granted, counted });
        Refusal::new(
            RefusalCode::BudgetExhausted,
            format!(
                "The token budget is spent: this response passed the {granted} output tokens that were left for it."
            ),
        )
    }

    /// Gives the hold back: provably nothing was sent.
    pub(super) async fn release(mut self) {
        let Some(placed) = self.placed.take() else { return };
        let origin = self.origin.clone();
        // In a task of its own: who waits for this may be gone before it is done.
        let (done, released) = oneshot::channel();
        self.origin.shared.tasks.spawn(async move {
            release(&origin, &placed).await;
            let _ = done.send(());
        });
        let _ = released.await;
    }

    /// The response never came: what was reserved may have been spent.
    pub(super) async fn lost(mut self, fault: &str) {
        if let Some(placed) = self.placed.take() {
            settle(&self.origin, placed, lost(fault)).await;
        }
    }

    /// Settles by what the meter read.
    pub(super) async fn finish(mut self, status: StatusCode, report: Report) {
        let Some(placed) = self.placed.take() else { return };
        // Providers do not charge for an answer that is an error, unless it says so.
        if !status.is_success() && report.usage.is_none() {
            return release(&self.origin, &placed).await;
        }
        // Where nothing was stated, what was counted stands, as far as it is more than what was held.
        let counted = placed.input.saturating_add(report.live_output);
        let estimate =
            Usage { input: placed.input, output: report.live_output, total: counted, ..Usage::default() };
        let estimate = (placed.weights.charged(&estimate) > placed.hold.tokens).then_some(estimate);
        let quality = match (report.usage.is_some(), report.exact) {
            (true, true) => Quality::Exact,
            (true, false) => Quality::Recovered,
            (false, _) if estimate.is_some() => Quality::Estimated,
            (false, _) => Quality::Held,
        };
        let fault = match quality {
            Quality::Exact => None,
            _ => Some(report.fault.unwrap_or_else(|| "the response ended without final usage".to_owned())),
        };
        let outcome = Outcome {
            usage: report.usage.or(estimate),
            quality,
            fault,
            model: report.model,
            response_id: report.response_id,
            status: status.as_u16(),
            stream: Some(report.stream),
        };
        settle(&self.origin, placed, outcome).await;
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        // A request future dropped between its hold and its response: the client hung up while the provider worked.
        let Some(placed) = self.placed.take() else { return };
        let origin = self.origin.clone();
        let shared = origin.shared.clone();
        shared.tasks.spawn(async move {
            settle(&origin, placed, lost("the client left before a response came")).await;
        });
    }
}

fn lost(fault: &str) -> Outcome {
    Outcome {
        usage: None,
        quality: Quality::Held,
        fault: Some(fault.to_owned()),
        model: None,
        response_id: None,
        status: 0,
        stream: None,
    }
}

async fn release(origin: &Arc<Origin>, placed: &Placed) {
    let (ledger, hold) = (origin.shared.ledger.clone(), placed.hold.id.clone());
    persist(origin, "releasing a hold", move || {
        let (ledger, hold) = (ledger.clone(), hold.clone());
        async move { ledger.hold_release(&hold).await }
    })
    .await;
}

async fn settle(origin: &Arc<Origin>, placed: Placed, outcome: Outcome) {
    let (settling, end) = (Arc::new((placed, outcome)), clock());
    let of = origin.clone();
    persist(origin, "settling usage", move || {
        let (origin, settling) = (of.clone(), settling.clone());
        async move { settle_once(&origin, &settling.0, &settling.1, end).await }
    })
    .await;
}

/// Settles what ended then.
async fn settle_once(
    origin: &Origin,
    placed: &Placed,
    outcome: &Outcome,
    end: i64,
) -> Result<(), LedgerError> {
    let model = outcome.model.clone().or_else(|| placed.model.clone());
    // By the limits as they are now: one that was raised since must not be crossed, and one that was lowered must be.
    let policy = origin.run.policy();
    let settlement = Settlement {
        hold: placed.hold.id.clone(),
        usage: outcome.usage,
        weights: placed.weights,
        quality: outcome.quality,
        model: model.clone(),
        response_id: outcome.response_id.clone(),
        status: outcome.status,
        stream: outcome.stream.unwrap_or(placed.stream),
        limits: policy.limits(&placed.provider, clock()),
        warn_at: policy.warn_at.clone(),
        now: end,
    };
    let settled = origin.shared.ledger.usage_settle(settlement).await?;
    let events = &origin.shared.events;
    events.emit(Event::UsageSettled {
        run: origin.run.id.clone(),
        provider: placed.provider.clone(),
        host: origin.authority.host.to_string(),
        model,
        usage: outcome.usage,
        quality: outcome.quality,
        fault: outcome.fault.clone(),
    });
    for warning in settled.warnings {
        events.emit(Event::budget_warning(warning, &policy.clock));
    }
    Ok(())
}
