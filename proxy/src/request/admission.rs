//! Admission: what a metered request may spend is reserved before it leaves, whether it comes as an HTTP request or as
//! a message on a WebSocket.
//!
//! Invariant: an [`Admitted`] request has its hold in the ledger, and its settler, which settles or releases it once.

use super::extension::{self, Spent};
use super::settle::{Placed, Settler};
use super::{Origin, block_refusal, clock};
use crate::event::Event;
use crate::run::RunPolicy;
use hudson_meter::RequestFacts;
use hudson_meter::request::{known_output_maximum, output_maximum};
use hudson_schema::budget::Mode;
use hudson_schema::config::Route;
use hudson_schema::ledger::{AskedLimit, Exhausted, Hold, HoldOutcome, HoldRequest};
use hudson_schema::refusal::BudgetFacts;
use hudson_schema::{Format, Provider, Refusal, RefusalCode};
use std::sync::Arc;

/// How far the live count may be above the truth: nineteen of twenty recorded chat streams are within five times.
const OVERCOUNT: u64 = 8;

/// A request that may leave.
pub(super) struct Admitted {
    pub(super) settler: Settler,
    /// Whether a hard budget stands over it.
    pub(super) hard: bool,
    /// The cap to write into it, per choice.
    pub(super) output_cap: Option<u64>,
    /// The live count at which its stream is ended.
    pub(super) cut_at: Option<u64>,
    /// What the tightest limit leaves beyond the hold, where the response is to say so.
    pub(super) remaining: Option<u64>,
}

/// Reserves what a request may spend, or refuses it.
pub(super) async fn admit(
    origin: &Arc<Origin>,
    route: &Route,
    provider: Provider,
    format: Format,
    facts: &RequestFacts,
) -> Result<Admitted, Refusal> {
    let (hold, wanted, policy, hard) = match reserve(origin, route, &provider, format, facts).await {
        Ok(reserved) => reserved,
        Err(NotPlaced { refusal, spent: Some(spent) }) => {
            extension::asked(origin, &spent, refusal).await?;
            // There is more now; what that does not cover either is not asked about again.
            reserve(origin, route, &provider, format, facts).await.map_err(|not| not.refusal)?
        }
        Err(NotPlaced { refusal, spent: None }) => return Err(refusal),
    };
    let catalogue = origin.shared.catalogue.load();
    let known = facts
        .model
        .as_deref()
        .and_then(|model| known_output_maximum(catalogue.models(&provider), format, model));
    let output_cap = if hard { cap(facts, known, &hold, wanted) } else { None };
    let cut_at = hard.then(|| cut_at(&policy, facts, &hold, wanted));
    let remaining = hold.left.filter(|_| policy.budget_header);
    let placed = Placed {
        hold,
        provider,
        weights: policy.weights,
        input: facts.input_estimate,
        model: facts.model.clone(),
        stream: facts.stream,
    };
    Ok(Admitted { settler: Settler::new(origin.clone(), placed), hard, output_cap, cut_at, remaining })
}

/// Why nothing was reserved.
struct NotPlaced {
    refusal: Refusal,
    /// The limit that has no room, where it is one.
    spent: Option<Spent>,
}

impl From<Refusal> for NotPlaced {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, spent: None }
    }
}

/// Reserves by what is in force now: the hold, the output that was wanted, the policy, and whether it is hard.
async fn reserve(
    origin: &Arc<Origin>,
    route: &Route,
    provider: &Provider,
    format: Format,
    facts: &RequestFacts,
) -> Result<(Hold, u64, Arc<RunPolicy>, bool), NotPlaced> {
    let policy = origin.run.policy();
    let limits = policy.limits(provider, clock());
    let hard = is_hard(&policy, &limits);
    let allowance = if hard { allowance(route, facts)? } else { 0 };
    let (hold, wanted) = place(origin, &policy, provider, &limits, facts, format, allowance).await?;
    Ok((hold, wanted, policy, hard))
}

/// Whether what is asked for has to be reserved, and not only counted.
pub(super) fn is_hard(policy: &RunPolicy, limits: &[AskedLimit]) -> bool {
    policy.mode == Mode::Hard && !limits.is_empty()
}

/// What is reserved on top for work whose cost no estimate can see; a refusal where the route reserves nothing.
pub(super) fn allowance(route: &Route, facts: &RequestFacts) -> Result<u64, Refusal> {
    let mut tokens = 0;
    if !facts.server_tools.is_empty() {
        if route.allowance.server_tools == 0 {
            return Err(Refusal::new(
                RefusalCode::UnmeteredEndpoint,
                format!(
                    "Under a hard budget, tools that run at the provider ({}) are refused: their cost cannot be bounded.",
                    facts.server_tools.join(", ")
                ),
            ));
        }
        tokens += route.allowance.server_tools;
    }
    if facts.background {
        if route.allowance.background == 0 {
            return Err(Refusal::new(
                RefusalCode::UnmeteredEndpoint,
                "Under a hard budget, background work is refused: it would go on after a cutoff.",
            ));
        }
        tokens += route.allowance.background;
    }
    Ok(tokens)
}

/// Places the hold; also the output that was wanted, in tokens over all choices.
async fn place(
    origin: &Origin,
    policy: &RunPolicy,
    provider: &Provider,
    limits: &[AskedLimit],
    facts: &RequestFacts,
    format: Format,
    allowance: u64,
) -> Result<(Hold, u64), NotPlaced> {
    let choices = facts.choices.max(1);
    let catalogue = origin.shared.catalogue.load();
    let most = || output_maximum(catalogue.models(provider), format, facts.model.as_deref());
    let cap = facts.output_cap.unwrap_or_else(most);
    drop(catalogue);
    let least =
        policy.min_output.max(facts.thinking_budget.map_or(0, |budget| budget.saturating_add(1))).min(cap);
    // Without a cap a stream takes all that is left, and the cut guards it (docs/decisions/0006); a whole answer cannot
    // be cut, so all of the model's maximum has to fit.
    let lowerable = facts.cap_supported || facts.stream;
    let wanted = cap.saturating_mul(choices);
    let request = HoldRequest {
        run: origin.run.id.clone(),
        provider: provider.clone(),
        host: origin.authority.host.to_string(),
        model: facts.model.clone(),
        stream: facts.stream,
        input: facts.input_estimate.saturating_add(allowance),
        output: wanted,
        min_output: if lowerable { least.saturating_mul(choices) } else { wanted },
        weights: policy.weights,
        mode: policy.mode,
        limits: limits.to_vec(),
        governing: policy.governing(clock()),
        cutoff: policy.cutoff,
        now: clock(),
    };
    let needed = request.input.saturating_add(request.min_output);
    match origin.shared.ledger.hold_place(request).await {
        Ok(HoldOutcome::Placed(hold)) => Ok((hold, wanted)),
        Ok(HoldOutcome::Blocked(block)) => {
            Err(NotPlaced { refusal: block_refusal(&block, &policy.clock), spent: Spent::of_block(&block) })
        }
        Ok(HoldOutcome::Exhausted(exhausted)) => Err(NotPlaced {
            refusal: exhausted_refusal(policy, &exhausted, needed),
            spent: Some(Spent::of(&exhausted)),
        }),
        Err(error) => {
            origin
                .shared
                .events
                .emit(Event::LedgerFailed { what: "placing a hold", error: error.to_string() });
            Err(Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be written.").into())
        }
    }
}

fn exhausted_refusal(policy: &RunPolicy, exhausted: &Exhausted, needed: u64) -> Refusal {
    let Exhausted { limit: AskedLimit { limit, window_end, .. }, spent, held, crossed } = exhausted;
    let of = match limit.provider.is_any() {
        true => "all providers".to_owned(),
        false => limit.provider.to_string(),
    };
    let reset = window_end.map(|end| policy.clock.display(end));
    let state = if *crossed { "is spent" } else { "does not cover this request" };
    let mut message = format!(
        "The token budget for {of} ({}) {state}: {spent} of {} tokens are used",
        limit.scope, limit.tokens
    );
    if *held > 0 {
        message.push_str(&format!(", {held} are reserved by requests in flight"));
    }
    message.push_str(&format!(", and this request needs at least {needed}."));
    if let Some(reset) = &reset {
        message.push_str(&format!(" The budget resets at {reset}."));
    }
    Refusal::new(RefusalCode::BudgetExhausted, message).with_budget(BudgetFacts {
        scope: limit.scope.to_string(),
        provider: limit.provider.to_string(),
        limit: limit.tokens,
        spent: *spent,
        reset,
    })
}

/// The cap to write into the request, per choice: what was granted where that is less than was wanted, and where the
/// request carries none of its own. The maximum of a model that is not known is no cap to send: its host may refuse it.
fn cap(facts: &RequestFacts, known: Option<u64>, hold: &Hold, wanted: u64) -> Option<u64> {
    let lowered = hold.output < wanted;
    let needed = facts.cap_supported && (lowered || (facts.output_cap.is_none() && known.is_some()));
    needed.then(|| hold.output / facts.choices.max(1))
}

/// The live count at which a stream is ended.
///
/// Where the request carries a cap the provider keeps it, and the live count only catches one that does not; elsewhere
/// the cut is the only guard.
fn cut_at(policy: &RunPolicy, facts: &RequestFacts, hold: &Hold, wanted: u64) -> u64 {
    let left = hold.left.map_or(u64::MAX, |left| policy.weights.fitting(left));
    let granted = match facts.cap_supported {
        true => hold.output.saturating_mul(OVERCOUNT),
        false => hold.output,
    };
    // What was not granted of what was wanted is not left either.
    match hold.output < wanted {
        true => granted,
        false => granted.saturating_add(left),
    }
}
