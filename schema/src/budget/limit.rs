//! Which limits a request is asked to have room under. Usage is charged to every scope it belongs to whatever this
//! decides; `precedence` only picks the limits that are asked, and is resolved per provider.

use super::{Amount, Window};
use crate::{Policy, Provider, Scope};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Token limits by provider; the key `any` counts every provider together.
pub type BudgetMap = BTreeMap<Provider, Amount>;

/// Whether the most specific budget governs alone or every scope is a ceiling.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Precedence {
    /// The most specific scope that sets a budget for the provider governs.
    #[default]
    Nearest,
    /// Every scope that sets one must have room.
    All,
}

/// When a budget is asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Before the request is sent: it leaves only with its tokens reserved.
    #[default]
    Hard,
    /// After: the next request past the crossing is refused.
    Soft,
}

/// One limit a request must have room under.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Where the limit stands.
    pub scope: Scope,
    /// The provider it counts, or `any`.
    pub provider: Provider,
    /// Charged tokens allowed in the window.
    pub tokens: u64,
    /// The window.
    pub window: Window,
    /// What a crossing does.
    pub policy: Policy,
}

/// The budget one scope sets, as read from a file or a launch flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScopeBudget {
    /// The scope.
    pub scope: Scope,
    /// Its limits; empty when it sets none.
    pub budget: BudgetMap,
    /// The window they count in.
    pub window: Window,
}

/// The limits that a request to `provider` is asked, from `scopes` in order from most to least specific.
///
/// At one scope the provider's own limit and `any` must both have room.
pub fn asked(
    scopes: &[ScopeBudget],
    provider: &Provider,
    precedence: Precedence,
    policy: Policy,
) -> Vec<Limit> {
    let mut limits = Vec::new();
    for scope in scopes {
        let before = limits.len();
        for (counted, tokens) in &scope.budget {
            if counted == provider || counted.is_any() {
                limits.push(Limit {
                    scope: scope.scope.clone(),
                    provider: counted.clone(),
                    tokens: tokens.0,
                    window: scope.window,
                    policy,
                });
            }
        }
        if precedence == Precedence::Nearest && limits.len() > before {
            break;
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScopeKind;

    fn scope(kind: ScopeKind, budget: &[(&str, u64)]) -> ScopeBudget {
        let budget = budget.iter().map(|(name, tokens)| (name.parse().unwrap(), Amount(*tokens))).collect();
        ScopeBudget { scope: Scope::new(kind, "x"), budget, window: Window::Lifetime }
    }

    fn tokens(scopes: &[ScopeBudget], provider: &str, precedence: Precedence) -> Vec<u64> {
        asked(scopes, &provider.parse().unwrap(), precedence, Policy::Cutoff)
            .iter()
            .map(|l| l.tokens)
            .collect()
    }

    #[test]
    fn the_nearest_scope_governs_each_provider_apart() {
        let scopes = [
            scope(ScopeKind::Run, &[("codex", 1)]),
            scope(ScopeKind::Agent, &[]),
            scope(ScopeKind::Bottle, &[("claude", 2), ("any", 3)]),
            scope(ScopeKind::Global, &[("claude", 4), ("codex", 5), ("gemini", 6)]),
        ];
        assert_eq!(tokens(&scopes, "codex", Precedence::Nearest), [1]);
        assert_eq!(tokens(&scopes, "claude", Precedence::Nearest), [3, 2]);
        assert_eq!(tokens(&scopes, "gemini", Precedence::Nearest), [3]);
        assert_eq!(tokens(&scopes, "claude", Precedence::All), [3, 2, 4]);
    }
}
