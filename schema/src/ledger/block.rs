//! Blocks: what is stopped, by whom, and what that lets pass.
//!
//! Invariant: only a cutoff that a budget made is ever partial; a freeze, a kill and an operator's order stop everything
//! at once.

use crate::budget::{Cutoff, CutoffScope, InFlight};
use crate::{Policy, Provider, Scope};
use serde::{Deserialize, Serialize};

/// A scope whose egress is stopped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Block {
    /// The scope that is stopped.
    pub scope: Scope,
    /// How: cutoff, freeze or kill.
    pub policy: Policy,
    /// Why, for people.
    pub cause: String,
    /// The budget that was spent; `None` when an operator stopped it.
    pub budget: Option<BlockBudget>,
    /// Since when.
    pub since: i64,
}

/// An operator's order to stop a scope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlockOrder {
    /// The scope.
    pub scope: Scope,
    /// How.
    pub policy: Policy,
    /// Why, for people; it is told to the agent, too.
    pub cause: String,
    /// Who gave it, for the audit.
    pub actor: String,
    /// The clock.
    pub now: i64,
}

/// The spent budget behind a [`Block`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BlockBudget {
    /// The provider counted, or `any`.
    pub provider: Provider,
    /// The limit that was crossed.
    pub limit: u64,
    /// What was committed then.
    pub spent: u64,
    /// When the window began.
    pub window_start: i64,
    /// When the window ends, and the block with it; `None` for lifetime.
    pub window_end: Option<i64>,
}

impl Block {
    /// Whether it lets no request pass that goes to this provider, or to no provider at all.
    pub fn stops(&self, cutoff: Cutoff, provider: Option<&Provider>) -> bool {
        match (&self.budget, cutoff.scope, self.policy) {
            (Some(budget), CutoffScope::Provider, Policy::Cutoff) => match budget.provider.is_any() {
                true => provider.is_some(),
                false => provider == Some(&budget.provider),
            },
            _ => true,
        }
    }

    /// Whether what is in flight ends with it: a freeze and a kill let nothing more out, and neither does an
    /// operator's order.
    pub fn ends_in_flight(&self, cutoff: Cutoff) -> bool {
        cutoff.in_flight == InFlight::End || self.policy != Policy::Cutoff || self.budget.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(policy: Policy, provider: Option<&str>) -> Block {
        let budget = provider.map(|provider| BlockBudget {
            provider: provider.parse().unwrap(),
            limit: 9,
            spent: 9,
            window_start: 0,
            window_end: None,
        });
        Block { scope: Scope::global(), policy, cause: String::new(), budget, since: 0 }
    }

    fn stopped(scope: CutoffScope, block: &Block) -> [bool; 3] {
        let cutoff = Cutoff { scope, ..Cutoff::default() };
        let [claude, codex] = ["claude", "codex"].map(|name| name.parse().unwrap());
        [block.stops(cutoff, Some(&claude)), block.stops(cutoff, Some(&codex)), block.stops(cutoff, None)]
    }

    #[test]
    fn a_partial_cutoff_drops_the_routes_of_the_provider_whose_budget_is_spent() {
        let (claude, any) = (block(Policy::Cutoff, Some("claude")), block(Policy::Cutoff, Some("any")));
        assert_eq!(stopped(CutoffScope::All, &claude), [true; 3]);
        assert_eq!(stopped(CutoffScope::Provider, &claude), [true, false, false]);
        assert_eq!(stopped(CutoffScope::Provider, &any), [true, true, false]);
    }

    #[test]
    fn a_freeze_a_kill_and_an_operators_order_stop_everything_at_once() {
        let cutoff = Cutoff { in_flight: InFlight::Finish, scope: CutoffScope::Provider };
        for block in [
            block(Policy::Freeze, Some("claude")),
            block(Policy::Kill, Some("any")),
            block(Policy::Cutoff, None),
        ] {
            assert_eq!(stopped(CutoffScope::Provider, &block), [true; 3], "{block:?}");
            assert!(block.ends_in_flight(cutoff), "{block:?}");
        }
        let spent = block(Policy::Cutoff, Some("claude"));
        assert!(!spent.ends_in_flight(cutoff));
        assert!(spent.ends_in_flight(Cutoff { in_flight: InFlight::End, ..cutoff }));
    }
}
