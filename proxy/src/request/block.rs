//! Blocks: nothing passes for a run that is cut off, frozen or killed, and what is in flight ends where the block says so.
//!
//! Invariant: what is admitted knows every block of before, and is ended by every one that comes after: a request asks
//! first, and then waits for [`until_ended`] beside all it does.

use super::{Origin, block_refusal, clock, first_route};
use crate::event::Event;
use crate::run::{Run, RunPolicy};
use crate::shared::Shared;
use crate::tunnel::Tunnel;
use hudson_schema::config::{Authority, MeterSetting, Scheme};
use hudson_schema::ledger::Block;
use hudson_schema::{Provider, Refusal, RefusalCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long what is ended may take to say so, before its connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);
/// When blocks that could not be read are asked for again.
const AGAIN: Duration = Duration::from_millis(500);

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

/// Waits for a block that ends what is in flight: to this provider, where it is known what is called, else to the host.
pub(crate) async fn until_ended(origin: &Origin, called: Option<&Provider>) -> Refusal {
    let Origin { shared, run, .. } = origin;
    let mut ending = run.ending();
    loop {
        // What was lifted since is asked for anew: the request may have been admitted after that.
        if *ending.borrow_and_update()
            && let Ok(blocks) = run.blocks(&shared.ledger, clock()).await
        {
            let policy = run.policy();
            let provider = called.cloned().or_else(|| origin.provider(&policy));
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

/// Waits for a block that stops the run where it goes to this host: for what was admitted and has not left yet.
pub(super) async fn until_stopped(origin: &Origin) -> Refusal {
    let Origin { shared, run, .. } = origin;
    let mut stopped = run.stopped();
    loop {
        if *stopped.borrow_and_update()
            && let Err(refusal) = block(shared, run, |policy| origin.provider(policy)).await
        {
            return refusal;
        }
        if stopped.changed().await.is_err() {
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
    // What is ended with the blocks that stand, unless it ends by itself.
    let mut left: Vec<Tunnel> = Vec::new();
    loop {
        changes.mark_unchanged();
        let policy = run.policy();
        let blocks = run.blocks(&shared.ledger, clock()).await;
        let pause = match &blocks {
            Ok(blocks) => {
                run.set_stopped(!blocks.is_empty());
                let ending: Vec<&Block> =
                    blocks.iter().filter(|block| block.ends_in_flight(policy.cutoff)).collect();
                if ending.is_empty() {
                    left.clear();
                } else if left.is_empty() {
                    left = shared.tunnels.of(|tunnel| is_ended(shared, run, &policy, &ending, tunnel));
                }
                run.set_ending(!ending.is_empty());
                if left.is_empty() { None } else { Some(FAREWELL) }
            }
            // Nothing new is admitted meanwhile, and what was admitted goes on until this is known.
            Err(error) => {
                let error = error.to_string();
                shared.events.emit(Event::LedgerFailed { what: "reading blocks", error });
                Some(AGAIN)
            }
        };
        let paused = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            _ = run.policy_after(&policy) => {}
            // What neither reads nor writes sees no end of its own: a client that stopped reading, an upload whose answer
            // is there already.
            () = paused => for tunnel in left.drain(..) {
                tunnel.token.cancel();
            },
        }
    }
}

/// Whether one of these blocks ends what a tunnel carries.
fn is_ended(shared: &Shared, run: &Run, policy: &RunPolicy, ending: &[&Block], tunnel: &Tunnel) -> bool {
    let authority = Authority { host: tunnel.host.clone(), port: tunnel.port };
    let provider = || provider_at(shared, policy, tunnel.scheme, &authority);
    tunnel.run == run.id && {
        let provider = provider();
        ending.iter().any(|block| block.stops(policy.cutoff, provider.as_ref()))
    }
}
