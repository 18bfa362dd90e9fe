//! Limits that the operator sets while Hudson runs: they take the place of what the files and the launch say, limit by
//! limit, until they are cleared.

use super::{Amount, ScopeBudget};
use crate::{Provider, Scope, ScopeKind};
use serde::Serialize;

/// A limit that the operator set while Hudson runs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct BudgetOverride {
    /// Where it stands.
    pub scope: Scope,
    /// The provider it counts, or `any`.
    pub provider: Provider,
    /// The tokens allowed.
    pub tokens: Amount,
    /// Since when.
    pub set_at: i64,
    /// Who set it.
    pub actor: String,
}

/// The budgets of `scopes` with what the operator has set in their place. It counts in the window of its scope.
///
/// A parent's limit holds for the parent's own runs as well, so one that is set for a bottle in that role joins its
/// scopes, behind the bottle itself.
pub fn with_overrides(scopes: &[ScopeBudget], overrides: &[BudgetOverride]) -> Vec<ScopeBudget> {
    let mut merged = Vec::with_capacity(scopes.len());
    for scope in scopes {
        merged.push(with(scope.clone(), overrides));
        let parent = Scope::new(ScopeKind::Parent, scope.scope.key.as_str());
        if scope.scope.kind == ScopeKind::Bottle && !scopes.iter().any(|scope| scope.scope == parent) {
            let own = with(ScopeBudget { scope: parent, budget: <_>::default(), ..scope.clone() }, overrides);
            merged.extend((!own.budget.is_empty()).then_some(own));
        }
    }
    merged
}

fn with(mut scope: ScopeBudget, overrides: &[BudgetOverride]) -> ScopeBudget {
    let here = overrides.iter().filter(|set| set.scope == scope.scope);
    scope.budget.extend(here.map(|set| (set.provider.clone(), set.tokens)));
    scope
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Window;

    fn scope(kind: ScopeKind, key: &str, budget: &[(&str, u64)], window: Window) -> ScopeBudget {
        let budget = budget.iter().map(|(name, tokens)| (name.parse().unwrap(), Amount(*tokens))).collect();
        ScopeBudget { scope: Scope::new(kind, key), budget, window }
    }

    fn set(kind: ScopeKind, key: &str, provider: &str, tokens: u64) -> BudgetOverride {
        let (scope, provider) = (Scope::new(kind, key), provider.parse().unwrap());
        BudgetOverride { scope, provider, tokens: Amount(tokens), set_at: 1, actor: "operator:0".to_owned() }
    }

    #[test]
    fn what_is_set_takes_the_place_of_one_limit_or_adds_it_in_its_scopes_window() {
        let files = [
            scope(ScopeKind::Bottle, "ci", &[("claude", 1), ("codex", 2)], Window::Day),
            scope(ScopeKind::Parent, "base", &[], Window::Week),
            scope(ScopeKind::Global, "", &[("any", 9)], Window::Lifetime),
        ];
        assert_eq!(with_overrides(&files, &[]), files);
        let overrides = [
            set(ScopeKind::Bottle, "ci", "claude", 10),
            set(ScopeKind::Bottle, "other", "codex", 99),
            set(ScopeKind::Parent, "base", "gemini", 20),
        ];
        let merged = with_overrides(&files, &overrides);
        assert_eq!(
            merged,
            [
                scope(ScopeKind::Bottle, "ci", &[("claude", 10), ("codex", 2)], Window::Day),
                scope(ScopeKind::Parent, "base", &[("gemini", 20)], Window::Week),
                files[2].clone(),
            ]
        );
    }

    #[test]
    fn a_limit_of_a_parent_holds_for_its_own_runs_too() {
        let files = [
            scope(ScopeKind::Bottle, "base", &[], Window::Day),
            scope(ScopeKind::Global, "", &[], Window::Lifetime),
        ];
        let merged = with_overrides(&files, &[set(ScopeKind::Parent, "base", "any", 5)]);
        let own = scope(ScopeKind::Parent, "base", &[("any", 5)], Window::Day);
        assert_eq!(merged, [files[0].clone(), own, files[1].clone()]);
    }
}
