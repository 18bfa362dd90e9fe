//! Which budgets and which policy hold for a run: the host's settings and the bottle's own files brought together.
//! Where both set the same thing, the host's settings win: they are the operator's last word.

use super::{ScopeSettings, Settings};
use crate::budget::{BudgetMap, Precedence, ScopeBudget, Window};
use crate::config::BottleConfig;
use crate::{AgentName, BottleName, Policy, RunId, Scope, ScopeKind};

impl Settings {
    /// The budget of every scope that a run belongs to, from most to least specific: run, agent, bottle, parents
    /// nearest first, global. With `precedence: all` a bottle is a parent of its own, so that what it and the bottles below
    /// it use together stays within its budget, whoever comes first. A scope without a budget is there too, because usage is charged to it all the same.
    ///
    /// The host's settings and the bottle's file are merged by provider; the host's settings win.
    pub fn scope_budgets(
        &self,
        run: Option<(&RunId, &BudgetMap)>,
        agent: Option<&AgentName>,
        bottle: &BottleConfig,
    ) -> Vec<ScopeBudget> {
        let mut scopes = Vec::new();
        if let Some((id, budget)) = run {
            let scope = Scope::new(ScopeKind::Run, id.as_str());
            scopes.push(ScopeBudget { scope, budget: budget.clone(), window: Window::Lifetime });
        }
        if let Some(agent) = agent {
            let settings = self.agents.get(agent).cloned().unwrap_or_default();
            scopes.push(ScopeBudget {
                scope: Scope::new(ScopeKind::Agent, agent.as_str()),
                budget: settings.budget,
                window: settings.window.unwrap_or(self.window),
            });
        }
        scopes.push(self.bottle_budget(ScopeKind::Bottle, &bottle.name, &bottle.own));
        // As a parent's, its budget counts what the bottles below it use, too. Where the nearest limit governs, that of its
        // own use is nearer.
        if self.precedence == Precedence::All {
            scopes.push(self.bottle_budget(ScopeKind::Parent, &bottle.name, &bottle.own));
        }
        for ancestor in &bottle.ancestors {
            scopes.push(self.bottle_budget(ScopeKind::Parent, &ancestor.name, &ancestor.own));
        }
        scopes.push(ScopeBudget { scope: Scope::global(), budget: self.budget.clone(), window: self.window });
        scopes
    }

    /// What a spent budget does to a run: the launch flag, else the agent, the bottle, its parents nearest first, and
    /// the host's default; at each of them the host's settings before the bottle's file.
    pub fn policy(&self, flag: Option<Policy>, agent: Option<&AgentName>, bottle: &BottleConfig) -> Policy {
        let of_bottle = |name: &BottleName, own: &ScopeSettings| {
            self.bottles.get(name).and_then(|settings| settings.shutdown).or(own.shutdown)
        };
        flag.or_else(|| self.agents.get(agent?)?.shutdown)
            .or_else(|| of_bottle(&bottle.name, &bottle.own))
            .or_else(|| bottle.ancestors.iter().find_map(|ancestor| of_bottle(&ancestor.name, &ancestor.own)))
            .unwrap_or(self.shutdown)
    }

    fn bottle_budget(&self, kind: ScopeKind, name: &BottleName, own: &ScopeSettings) -> ScopeBudget {
        let settings = self.bottles.get(name);
        let mut budget = own.budget.clone();
        budget.extend(settings.iter().flat_map(|settings| settings.budget.clone()));
        let window = settings.and_then(|settings| settings.window).or(own.window).unwrap_or(self.window);
        ScopeBudget { scope: Scope::new(kind, name.as_str()), budget, window }
    }
}
