//! Blocks: nothing passes for a run that is cut off, frozen or killed, and what is in flight ends where the block says so.
//!
//! Invariant: what is admitted knows every block of before, and is ended by every one that comes after: a request asks
//! first, and then waits for [`until_ended`] beside all it does.

use super::{Origin, block_refusal, clock, first_route};
use crate::event::Event;
use crate::run::{Run, RunPolicy};
use crate::shared::Shared;
use hudson_schema::config::{Authority, MeterSetting, Scheme};
use hudson_schema::ledger::Block;
use hudson_schema::{Provider, Refusal, RefusalCode};
use std::sync::Arc;

/// The refusal that stands against a run where it goes to a provider, or to none. A ledger that cannot be asked blocks
/// too.
pub(crate) async fn block(
    shared: &Shared,
    run: &Run,
    provider: impl FnOnce(&RunPolicy) -> Option<Provider>,
) -> Result<(), Refusal> {
    let blocks = run.blocks(&shared.ledger, clock()).await.map_err(|error| {
        shared.events.emit(Event::LedgerFailed { what: "reading blocks", error: error.to_string() });
        Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be read.")
    })?;
    if blocks.is_empty() {
        return Ok(());
    }
    let policy = run.policy();
    let provider = provider(&policy);
    match blocks.iter().find(|block| block.stops(policy.cutoff, provider.as_ref())) {
        Some(block) => Err(block_refusal(block, &policy.clock)),
        None => Ok(()),
    }
}

/// Whose host this is, by the first route to it or by the catalogue.
pub(crate) fn provider_at(
    shared: &Shared,
    policy: &RunPolicy,
    scheme: Scheme,
    Authority { host, port }: &Authority,
) -> Option<Provider> {
    match first_route(&policy.routes, scheme, host, *port).map(|route| &route.meter) {
        Some(MeterSetting::As { provider, .. }) => Some(provider.clone()),
        Some(MeterSetting::Off) => None,
        Some(MeterSetting::Default) | None => shared.catalogue.load().provider_of(&host.to_string()).cloned(),
    }
}

/// Waits for a block against a run: for what goes on without requests at which it would be found.
pub(crate) async fn until_blocked(
    shared: &Shared,
    run: &Run,
    provider: impl Fn(&RunPolicy) -> Option<Provider>,
) -> Refusal {
    let mut changes = shared.ledger.changes();
    loop {
        changes.mark_unchanged();
        // A block that another process has placed stands here from when this one knows the limit it is of.
        let policy = run.policy();
        if let Err(refusal) = block(shared, run, &provider).await {
            return refusal;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return Refusal::new(RefusalCode::LedgerUnavailable, "The ledger was closed.");
            },
            _ = run.policy_after(&policy) => {}
        }
    }
}

/// Waits for a block that ends what is in flight to a host.
pub(crate) async fn until_ended(origin: &Origin) -> Refusal {
    let Origin { shared, run, .. } = origin;
    let mut ending = run.ending();
    loop {
        // What was lifted since is asked for anew: the request may have been admitted after that.
        if *ending.borrow_and_update()
            && let Ok(blocks) = run.blocks(&shared.ledger, clock()).await
        {
            let policy = run.policy();
            let provider = origin.provider(&policy);
            let ends = |block: &&Block| {
                block.ends_in_flight(policy.cutoff) && block.stops(policy.cutoff, provider.as_ref())
            };
            if let Some(block) = blocks.iter().find(ends) {
                return block_refusal(block, &policy.clock);
            }
        }
        if ending.changed().await.is_err() {
            // Not reached: the run, which says so, is held here.
            return std::future::pending().await;
        }
    }
}

/// Looks for blocks that end what is in flight, for as long as the run lives: one task for all that waits.
pub(crate) fn watch(shared: &Arc<Shared>, run: &Arc<Run>) {
    if run.is_watched() {
        return;
    }
    let (shared, run) = (shared.clone(), run.clone());
    tokio::spawn(async move {
        let (token, abort) = (run.token.clone(), shared.abort.clone());
        tokio::select! {
            () = looking(&shared, &run) => {}
            () = token.cancelled() => {}
            () = abort.cancelled() => {}
        }
    });
}

async fn looking(shared: &Shared, run: &Run) {
    let mut changes = shared.ledger.changes();
    loop {
        changes.mark_unchanged();
        let policy = run.policy();
        // Where the ledger cannot be read nothing new is admitted, and what was admitted goes on.
        if let Ok(blocks) = run.blocks(&shared.ledger, clock()).await {
            run.set_ending(blocks.iter().any(|block| block.ends_in_flight(policy.cutoff)));
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            _ = run.policy_after(&policy) => {}
        }
    }
}
