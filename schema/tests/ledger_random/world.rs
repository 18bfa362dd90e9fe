//! What a random host looks like, and what may happen on it.

use crate::ledger_support::{DAY, provider};
use hudson_schema::budget::{
    Amount, BudgetOverride, Mode, Precedence, ScopeBudget, Weights, Window, WindowClock, asked,
    with_overrides,
};
use hudson_schema::ledger::{AskedLimit, LimitInForce};
use hudson_schema::{Policy, Provider, Scope, ScopeKind};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Ancestors of a bottle, at most.
const DEPTH: usize = 4;
const HOUR: i64 = 3600 * 1000;
pub(crate) const PROVIDERS: [&str; 2] = ["claude", "codex"];
pub(crate) const COUNTED: [&str; 3] = ["claude", "codex", "any"];
pub(crate) const WINDOWS: [Window; 4] = [Window::Lifetime, Window::Day, Window::Week, Window::Month];

/// A host: its tree of bottles, the runs in them, and what its files say of budgets.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// The parent of each bottle: one in front of it.
    pub(crate) parents: Vec<Option<usize>>,
    /// Bottle and agent of each run.
    pub(crate) runs: Vec<(usize, Option<usize>)>,
    /// Where, which provider, how much. The last of a scope and provider counts.
    pub(crate) budgets: Vec<(Place, &'static str, u64)>,
    pub(crate) windows: Vec<(Place, Window)>,
    pub(crate) precedence: Precedence,
    pub(crate) mode: Mode,
    pub(crate) zone: &'static str,
}

/// A scope by kind and number; of more than there are, the number turns over.
pub(crate) type Place = (ScopeKind, usize);

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Place { handle: usize, run: usize, codex: bool, input: u64, output: u64, least: u64, weights: usize },
    Settle { handle: usize, hold: usize, end: End, weights: usize },
    Release { handle: usize, hold: usize },
    Crash { handle: usize },
    Reap { handle: usize },
    Clock { by: i64 },
    Set { handle: usize, place: Place, counted: &'static str, tokens: u64 },
    Clear { handle: usize, place: Place },
    Window { place: Place, window: Window },
    Finish { handle: usize, run: usize },
}

/// What was seen of a response.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Exact { input: u64, output: u64, cached: u64 },
    Recovered { input: u64, output: u64 },
    Estimated { input: u64, output: u64 },
    Unread,
}

pub(crate) fn weights(index: usize) -> Weights {
    let even = Weights::default();
    [even, even, Weights { output: 5000, ..even }, Weights { cache_read: 100, ..even }][index % 4]
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let parents = proptest::collection::vec(proptest::option::weighted(0.7, any::<usize>()), 1..8);
    let runs = proptest::collection::vec((any::<usize>(), proptest::option::of(0..3_usize)), 1..6);
    let budgets = proptest::collection::vec((place(), counted(), tokens()), 0..8);
    let windows = proptest::collection::vec((place(), window()), 0..6);
    let precedence = prop_oneof![Just(Precedence::Nearest), Just(Precedence::All)];
    let mode = prop_oneof![3 => Just(Mode::Hard), 1 => Just(Mode::Soft)];
    let zone = proptest::sample::select(vec!["UTC", "Europe/Berlin", "Africa/Cairo"]);
    (parents, runs, budgets, windows, precedence, mode, zone).prop_map(
        |(wanted, runs, budgets, windows, precedence, mode, zone)| {
            let mut parents: Vec<Option<usize>> = Vec::new();
            for (index, parent) in wanted.into_iter().enumerate() {
                let parent = parent.filter(|_| index > 0).map(|parent| parent % index);
                let deep = parent.is_some_and(|parent| ancestors(&parents, parent).len() >= DEPTH - 1);
                parents.push(parent.filter(|_| !deep));
            }
            let count = parents.len();
            let runs = runs.into_iter().map(|(bottle, agent)| (bottle % count, agent)).collect();
            World { parents, runs, budgets, windows, precedence, mode, zone }
        },
    )
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let by = prop_oneof![4 => -HOUR..30 * HOUR, 2 => -30 * HOUR..HOUR, 1 => -40 * DAY..40 * DAY];
    let handle = any::<usize>;
    prop_oneof![
        14 => (handle(), handle(), any::<bool>(), 0..400_u64, 1..400_u64, 1..40_u64, any::<usize>()).prop_map(
            |(handle, run, codex, input, output, least, weights)| {
                Step::Place { handle, run, codex, input, output, least, weights }
            }
        ),
        11 => (handle(), handle(), end(), any::<usize>())
            .prop_map(|(handle, hold, end, weights)| Step::Settle { handle, hold, end, weights }),
        2 => (handle(), handle()).prop_map(|(handle, hold)| Step::Release { handle, hold }),
        2 => handle().prop_map(|handle| Step::Crash { handle }),
        3 => handle().prop_map(|handle| Step::Reap { handle }),
        3 => by.prop_map(|by| Step::Clock { by }),
        2 => (handle(), place(), counted(), tokens())
            .prop_map(|(handle, place, counted, tokens)| Step::Set { handle, place, counted, tokens }),
        1 => (handle(), place()).prop_map(|(handle, place)| Step::Clear { handle, place }),
        1 => (place(), window()).prop_map(|(place, window)| Step::Window { place, window }),
        1 => (handle(), handle()).prop_map(|(handle, run)| Step::Finish { handle, run }),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let kind = prop_oneof![
        1 => Just(ScopeKind::Run),
        1 => Just(ScopeKind::Agent),
        1 => Just(ScopeKind::Bottle),
        2 => Just(ScopeKind::Parent),
        2 => Just(ScopeKind::Global),
    ];
    (kind, any::<usize>())
}

fn counted() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(COUNTED.as_slice())
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![1 => 0..2000_u64, 3 => 2000..20_000_u64]
}

fn window() -> impl Strategy<Value = Window> {
    proptest::sample::select(WINDOWS.as_slice())
}

fn end() -> impl Strategy<Value = End> {
    let parts = || (0..500_u64, 0..400_u64);
    prop_oneof![
        4 => (parts(), 0..300_u64).prop_map(|((input, output), cached)| End::Exact { input, output, cached }),
        1 => parts().prop_map(|(input, output)| End::Recovered { input, output }),
        1 => parts().prop_map(|(input, output)| End::Estimated { input, output }),
        1 => Just(End::Unread),
    ]
}

fn ancestors(parents: &[Option<usize>], of: usize) -> Vec<usize> {
    std::iter::successors(parents[of], |bottle| parents[*bottle]).collect()
}

impl World {
    pub(crate) fn scope(&self, (kind, number): Place) -> Scope {
        match kind {
            ScopeKind::Run => Scope::new(kind, run_name(number % self.runs.len())),
            ScopeKind::Agent => Scope::new(kind, agent_name(number % 3)),
            ScopeKind::Bottle | ScopeKind::Parent => {
                Scope::new(kind, bottle_name(number % self.parents.len()))
            }
            ScopeKind::Global => Scope::global(),
        }
    }

    /// Every scope there is.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let bottles = 0..self.parents.len();
        let mut places: Vec<Place> = (0..self.runs.len()).map(|run| (ScopeKind::Run, run)).collect();
        places.extend((0..3).map(|agent| (ScopeKind::Agent, agent)));
        places.extend(bottles.clone().map(|bottle| (ScopeKind::Bottle, bottle)));
        places.extend(bottles.map(|bottle| (ScopeKind::Parent, bottle)));
        places.push((ScopeKind::Global, 0));
        places.into_iter().map(|place| self.scope(place)).collect()
    }

    pub(crate) fn ancestors(&self, bottle: usize) -> Vec<String> {
        ancestors(&self.parents, bottle).into_iter().map(bottle_name).collect()
    }

    /// Whether what the run uses counts in the scope (DESIGN section 5, in words of the tree).
    pub(crate) fn counts_in(&self, run: usize, scope: &Scope) -> bool {
        let (bottle, agent) = self.runs[run];
        match scope.kind {
            ScopeKind::Global => true,
            ScopeKind::Run => scope.key == run_name(run),
            ScopeKind::Agent => agent.is_some_and(|agent| scope.key == agent_name(agent)),
            ScopeKind::Bottle => scope.key == bottle_name(bottle),
            ScopeKind::Parent => {
                scope.key == bottle_name(bottle) || self.ancestors(bottle).contains(&scope.key)
            }
        }
    }

    /// The limits in the files.
    pub(crate) fn filed(&self) -> BTreeMap<(Scope, Provider), u64> {
        let key = |place: &Place, counted: &str| (self.scope(*place), provider(counted));
        self.budgets.iter().map(|(place, counted, tokens)| (key(place, counted), *tokens)).collect()
    }

    pub(crate) fn window(&self, scope: &Scope) -> Window {
        let found = self.windows.iter().rev().find(|(place, _)| self.scope(*place) == *scope);
        found.map_or(Window::Lifetime, |(_, window)| *window)
    }

    /// What the run's requests to `to` are asked at `now`; what governs it where `to` is nobody in particular.
    pub(crate) fn limits(
        &self,
        run: usize,
        to: Option<&str>,
        overrides: &[BudgetOverride],
        now: i64,
    ) -> Vec<AskedLimit> {
        let (bottle, agent) = self.runs[run];
        let filed = self.filed();
        let mut scopes = vec![Scope::new(ScopeKind::Run, run_name(run))];
        scopes.extend(agent.map(|agent| Scope::new(ScopeKind::Agent, agent_name(agent))));
        scopes.push(Scope::new(ScopeKind::Bottle, bottle_name(bottle)));
        scopes.extend(self.ancestors(bottle).into_iter().map(|name| Scope::new(ScopeKind::Parent, name)));
        scopes.push(Scope::global());
        let budgets = scopes.into_iter().map(|scope| {
            let here = filed.iter().filter(|((at, _), _)| *at == scope);
            let budget = here.map(|((_, counted), tokens)| (counted.clone(), Amount(*tokens))).collect();
            ScopeBudget { window: self.window(&scope), scope, budget }
        });
        let budgets = with_overrides(&budgets.collect::<Vec<_>>(), overrides);
        let clock = WindowClock::new(self.zone).unwrap();
        let mut limits: Vec<AskedLimit> = Vec::new();
        for to in COUNTED.into_iter().filter(|counted| to.is_none_or(|to| to == *counted)) {
            for limit in asked(&budgets, &provider(to), self.precedence, Policy::Cutoff) {
                let window_start = clock.start(limit.window, now);
                let window_end = clock.end(limit.window, now);
                let asked = AskedLimit { limit, window_start, window_end };
                if !limits.contains(&asked) {
                    limits.push(asked);
                }
            }
        }
        limits
    }

    /// What is allowed at every place that has, or had, a limit.
    pub(crate) fn in_force(
        &self,
        overrides: &[BudgetOverride],
        gone: &[BudgetOverride],
    ) -> Vec<LimitInForce> {
        let filed = self.filed();
        let set = |sets: &[BudgetOverride]| -> BTreeMap<_, _> {
            sets.iter().map(|set| ((set.scope.clone(), set.provider.clone()), set.tokens.0)).collect()
        };
        let (live, gone) = (set(overrides), set(gone));
        let keys: BTreeSet<_> = filed.keys().chain(live.keys()).chain(gone.keys()).cloned().collect();
        let tokens = |key: &(Scope, Provider)| live.get(key).or_else(|| filed.get(key)).copied();
        keys.into_iter()
            .map(|key| LimitInForce { tokens: tokens(&key), scope: key.0, provider: key.1 })
            .collect()
    }

    /// The hard ceilings that every run below them is asked from the beginning on.
    pub(crate) fn ceilings(&self) -> BTreeMap<(Scope, Provider), u64> {
        if self.precedence != Precedence::All || self.mode != Mode::Hard {
            return BTreeMap::new();
        }
        let mut ceilings = self.filed();
        // A bottle's file limit as a parent is asked of the bottles below it, not of its own runs.
        ceilings.retain(|(scope, _), _| {
            scope.kind != ScopeKind::Parent
                || self.runs.iter().all(|(bottle, _)| bottle_name(*bottle) != scope.key)
        });
        ceilings
    }
}

pub(crate) fn run_name(index: usize) -> String {
    format!("r{index}")
}

pub(crate) fn agent_name(index: usize) -> String {
    format!("agent{index}")
}

pub(crate) fn bottle_name(index: usize) -> String {
    format!("b{index}")
}
