//! More of a budget that is spent, where the settings let a person give it.
//!
//! Invariant: an approval raises one limit once, by no more than the settings say, and only a limit that cuts a bottle off,
//! that is this bottle's alone, and that no window renews: what freezes or kills is not asked about, nor what others share.

use super::approval::{ask_once, digest, facts, reason};
use super::rules::End;
use super::{Origin, clock};
use crate::approval::{Answer, Question};
use crate::event::Event;
use hudson_schema::budget::{Amount, BudgetOverride};
use hudson_schema::ledger::{Approval, ApprovalKind, Block, ExecutionEnd, Exhausted};
use hudson_schema::{Policy, Provider, Refusal, Scope, ScopeKind};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The action of raising a limit.
const ACTION: &str = "extend_budget";
/// How long it takes at most until a limit that was raised is in force here.
const IN_FORCE: Duration = Duration::from_secs(3);

/// A limit that has no room.
pub(super) struct Spent {
    scope: Scope,
    provider: Provider,
    tokens: u64,
    policy: Policy,
    /// Whether a window renews it.
    renewed: bool,
}

impl Spent {
    pub(super) fn of(exhausted: &Exhausted) -> Self {
        let asked = &exhausted.limit;
        Self {
            scope: asked.limit.scope.clone(),
            provider: asked.limit.provider.clone(),
            tokens: asked.limit.tokens,
            policy: asked.limit.policy,
            renewed: asked.window_end.is_some(),
        }
    }

    /// What has stopped a bottle, if it was a budget.
    pub(super) fn of_block(block: &Block) -> Option<Self> {
        let budget = block.budget.as_ref()?;
        Some(Self {
            scope: block.scope.clone(),
            provider: budget.provider.clone(),
            tokens: budget.limit,
            policy: block.policy,
            renewed: budget.window_end.is_some(),
        })
    }

    fn may_be_raised(&self) -> bool {
        let own = matches!(self.scope.kind, ScopeKind::Run | ScopeKind::Agent | ScopeKind::Bottle);
        own && self.policy == Policy::Cutoff && !self.renewed
    }

    fn question(&self, more: u64) -> Question {
        let Self { scope, provider, tokens, .. } = self;
        let numbers = [("limit", *tokens), ("more", more)];
        let bound = numbers.map(|(name, number)| (name, number.to_string().into_bytes()));
        let named = [("scope", scope.to_string()), ("provider", provider.to_string())];
        Question {
            kind: ApprovalKind::Budget,
            action: ACTION.to_owned(),
            rate_key: ACTION.to_owned(),
            target: format!("{scope}/{provider}"),
            finding: None,
            tier: None,
            description: format!("{more} more tokens for {provider} ({scope}), whose {tokens} are spent"),
            details: json!({"scope": scope.to_string(), "provider": provider, "limit": tokens, "more": more}),
            bound: named.map(|(name, text)| (name, text.into_bytes())).into_iter().chain(bound).collect(),
            rule: None,
            policy_revision: digest(&format!("{scope} {provider} {tokens} {more}")),
            // A grant would raise it again and again without anybody.
            bypassable: false,
            deciders: Vec::new(),
            decision_ttl: None,
        }
    }
}

/// Has a person decide whether there is more; a refusal unless there is now.
pub(super) async fn asked(origin: &Arc<Origin>, spent: &Spent, refusal: Refusal) -> Result<(), Refusal> {
    let more = origin.shared.desk.setup().and_then(|setup| setup.budget_extension);
    let Some(more) = more.filter(|more| *more > 0 && spent.may_be_raised()) else { return Err(refusal) };
    let (permit, approval) = match ask_once(origin, &Arc::new(spent.question(more))).await {
        Ok(granted) => granted,
        Err(answer) => return Err(told(origin, refusal, &answer, more)),
    };
    let set = raise(origin, spent, more, &approval);
    let mut permits = super::approval::Permits::default();
    permits.push(permit);
    permits.sending();
    let limit = spent.tokens.saturating_add(more);
    match origin.shared.ledger.budget_override_set(vec![set]).await {
        Ok(()) => {
            permits.ended(End::Sent, ExecutionEnd::Executed, &format!("the limit is {limit}")).await;
            in_force(origin, spent, limit).await;
            Ok(())
        }
        Err(error) => {
            let what = "raising a limit";
            origin.shared.events.emit(Event::LedgerFailed { what, error: error.to_string() });
            permits.give_back().await;
            Err(refusal)
        }
    }
}

fn raise(origin: &Origin, spent: &Spent, more: u64, approval: &Approval) -> BudgetOverride {
    let by = approval.decided_by.as_deref().unwrap_or(origin.run.bottle.as_str());
    BudgetOverride {
        scope: spent.scope.clone(),
        provider: spent.provider.clone(),
        tokens: Amount(spent.tokens.saturating_add(more)),
        set_at: clock(),
        actor: format!("{by} (approval {})", approval.id),
    }
}

/// Waits until the run goes by the limit; the process takes it over from the ledger.
async fn in_force(origin: &Origin, spent: &Spent, limit: u64) {
    let raised = async {
        let mut policy = origin.run.policy();
        loop {
            let here = policy.budgets.iter().filter(|budget| budget.scope == spent.scope);
            if here.filter_map(|budget| budget.budget.get(&spent.provider)).any(|amount| amount.0 >= limit) {
                return;
            }
            policy = origin.run.policy_after(&policy).await;
        }
    };
    // Where it takes longer the request is refused once more, and told that it is spent.
    let _ = timeout(IN_FORCE, raised).await;
}

/// The refusal of the budget, with what people say to more of it.
fn told(origin: &Origin, mut refusal: Refusal, answer: &Answer, more: u64) -> Refusal {
    let policy = origin.run.policy();
    match answer {
        Answer::Pending(approval) | Answer::Granted(approval) => {
            let id = &approval.id;
            refusal.message.push_str(&format!(" A person can add {more} tokens by approving {id}."));
            refusal.with_approval(facts(&policy, approval))
        }
        Answer::Denied(approval) => {
            let why = reason(approval);
            refusal.message.push_str(&format!(" A person has said no to more: {why}."));
            refusal.with_approval(facts(&policy, approval))
        }
        Answer::Over(_) | Answer::Unavailable { .. } => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(kind: ScopeKind, policy: Policy, renewed: bool) -> Spent {
        let provider: Provider = "claude".parse().unwrap();
        Spent { scope: Scope::new(kind, "ci"), provider, tokens: 100, policy, renewed }
    }

    #[test]
    fn only_a_bottles_own_limit_that_cuts_off_is_asked_about() {
        for kind in [ScopeKind::Run, ScopeKind::Agent, ScopeKind::Bottle] {
            assert!(spent(kind, Policy::Cutoff, false).may_be_raised());
        }
        for not in [
            spent(ScopeKind::Global, Policy::Cutoff, false),
            spent(ScopeKind::Parent, Policy::Cutoff, false),
            spent(ScopeKind::Bottle, Policy::Freeze, false),
            spent(ScopeKind::Bottle, Policy::Kill, false),
            // What is set in its place would stand in each window to come.
            spent(ScopeKind::Bottle, Policy::Cutoff, true),
        ] {
            assert!(!not.may_be_raised());
        }
    }

    #[test]
    fn an_answer_is_for_one_limit_as_it_is() {
        let bound =
            |tokens| Spent { tokens, ..spent(ScopeKind::Bottle, Policy::Cutoff, false) }.question(5).bound;
        assert_ne!(bound(100), bound(105));
        assert!(!spent(ScopeKind::Bottle, Policy::Cutoff, false).question(5).bypassable);
    }
}
