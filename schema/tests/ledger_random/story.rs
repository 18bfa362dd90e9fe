//! Takes the steps, on the ledger and in the model, and compares.

use crate::ledger_support::*;
use crate::model::{Entry, Model, State, Wish};
use crate::proof::Proof;
use crate::world::*;
use hudson_schema::budget::{Amount, BudgetOverride, Limit, WindowClock};
use hudson_schema::ledger::*;
use hudson_schema::{Provider, Quality, Scope, ScopeKind, Usage};
use std::collections::{BTreeMap, BTreeSet};

/// Ledgers on the one file at a time, as of so many processes.
const HANDLES: usize = 3;

pub(crate) struct Story {
    dir: tempfile::TempDir,
    handles: Vec<(usize, SharedLedger)>,
    opened: usize,
    model: Model,
    proof: Proof,
    now: i64,
    overrides: Vec<BudgetOverride>,
    ceilings: BTreeMap<(Scope, Provider), u64>,
    finished: BTreeSet<usize>,
}

impl Story {
    pub(crate) async fn begin(world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let handles: Vec<_> = (0..HANDLES).map(|opened| (opened, open(dir.path()))).collect();
        for (index, (bottle, agent)) in world.runs.iter().enumerate() {
            let ancestors = world.ancestors(*bottle);
            let ancestors: Vec<_> = ancestors.iter().map(String::as_str).collect();
            let agent = agent.map(agent_name);
            let new = run(&run_name(index), &bottle_name(*bottle), agent.as_deref(), &ancestors);
            handles[0].1.run_insert(new).await.unwrap();
        }
        let ceilings = world.ceilings();
        let model = Model { world, entries: Vec::new() };
        let (overrides, finished, proof) = (Vec::new(), BTreeSet::new(), Proof::default());
        Self { dir, handles, opened: HANDLES, model, proof, now: NOW, overrides, ceilings, finished }
    }

    pub(crate) async fn step(&mut self, step: &Step) {
        match *step {
            Step::Place { .. } => self.place(step).await,
            Step::Settle { handle, hold, ref end, weights } => self.settle(handle, hold, end, weights).await,
            Step::Release { handle, hold } => {
                let Some(index) = self.pick(hold) else { return };
                self.handle(handle).hold_release(&self.model.entries[index].id).await.unwrap();
                let state = &mut self.model.entries[index].state;
                // What was charged is not given back by that.
                if *state == State::Held {
                    *state = State::Released;
                }
            }
            Step::Crash { handle } => {
                self.handles.remove(handle % HANDLES);
                self.handles.push((self.opened, open(self.dir.path())));
                self.opened += 1;
            }
            Step::Reap { handle } => self.reap(handle).await,
            Step::Clock { by } => self.now += by,
            Step::Set { handle, place, counted, tokens } => {
                let (scope, counted) = (self.model.world.scope(place), provider(counted));
                if let Some(ceiling) = self.ceilings.get_mut(&(scope.clone(), counted.clone())) {
                    *ceiling = tokens.max(*ceiling);
                }
                let (tokens, actor) = (Amount(tokens), "operator:1000".to_owned());
                let set = BudgetOverride { scope, provider: counted, tokens, set_at: self.now, actor };
                self.handle(handle).budget_override_set(vec![set.clone()]).await.unwrap();
                self.overrides.retain(|old| (&old.scope, &old.provider) != (&set.scope, &set.provider));
                self.overrides.push(set);
                self.limits_changed(handle, &[]).await;
            }
            Step::Clear { handle, place } => {
                let scope = self.model.world.scope(place);
                let ledger = self.handle(handle);
                let gone =
                    ledger.budget_override_clear(&scope, &[], "operator:1000", self.now).await.unwrap();
                let before = self.overrides.len();
                self.overrides.retain(|set| set.scope != scope);
                assert_eq!(gone.len(), before - self.overrides.len());
                self.limits_changed(handle, &gone).await;
            }
            Step::Window { place, window } => {
                let scope = self.model.world.scope(place);
                self.model.world.windows.push((place, window));
                // What was used in windows of another kind was asked of those.
                self.ceilings.retain(|(at, _), _| *at != scope);
            }
            Step::Finish { handle, run } => {
                let run = run % self.model.world.runs.len();
                self.handle(handle).run_finish(&id(&run_name(run)), self.now, Some(0)).await.unwrap();
                self.finished.insert(run);
            }
        }
    }

    async fn place(&mut self, step: &Step) {
        let &Step::Place { handle, run, codex, input, output, least, weights: weighed } = step else {
            return;
        };
        let run = run % self.model.world.runs.len();
        let to = PROVIDERS[usize::from(codex)];
        let limits = self.model.world.limits(run, Some(to), &self.overrides, self.now);
        let governing = self.model.world.limits(run, None, &self.overrides, self.now);
        let (mode, weights, now) = (self.model.world.mode, weights(weighed), self.now);
        let request = HoldRequest {
            provider: provider(to),
            min_output: least,
            weights,
            mode,
            governing: governing.clone(),
            now,
            ..ask(&run_name(run), input, output, &limits)
        };
        let ledger = self.handle(handle);
        let block =
            ledger.block_fetch(&id(&run_name(run)), &governing, now).await.unwrap().into_iter().next();
        let outcome = ledger.hold_place(request).await;
        if self.finished.contains(&run) {
            assert!(matches!(outcome, Err(LedgerError::Missing { .. })), "{outcome:?}");
            return;
        }
        let grant = self.model.grant(&Wish { limits: &limits, mode, weights, input, output, least });
        match outcome.unwrap() {
            HoldOutcome::Blocked(found) => {
                assert_eq!(block.as_ref(), Some(&found));
                let budget = found.budget.unwrap();
                let is_its = |asked: &&AskedLimit| {
                    asked.limit.scope == found.scope
                        && (&asked.limit.provider, asked.window_start)
                            == (&budget.provider, budget.window_start)
                        && asked.limit.tokens <= budget.limit
                };
                assert!(governing.iter().any(|asked| is_its(&asked)), "nothing that governs says so");
            }
            HoldOutcome::Exhausted(exhausted) => {
                assert_eq!((block, grant), (None, None), "{exhausted:?}");
                let Limit { scope, provider, .. } = &exhausted.limit.limit;
                let start = exhausted.limit.window_start;
                let spent = self.model.spent(scope, provider, start);
                let held = self.model.held(scope, provider, start);
                assert_eq!((exhausted.spent, exhausted.held), (spent, held));
            }
            HoldOutcome::Placed(Hold { id, output, tokens, left }) => {
                assert_eq!(block, None, "a block stands");
                let grant = grant.unwrap_or_else(|| panic!("nothing fits"));
                assert_eq!((output, tokens, left), (grant.output, grant.tokens, grant.left));
                let owner = self.handles[handle % HANDLES].0;
                let entry = Entry {
                    id,
                    run,
                    provider: to,
                    placed_at: now,
                    reserved: tokens,
                    owner,
                    state: State::Held,
                };
                self.model.entries.push(entry);
            }
        }
    }

    async fn settle(&mut self, handle: usize, hold: usize, end: &End, weighed: usize) {
        let Some(index) = self.pick(hold) else { return };
        let weights = weights(weighed);
        let (seen, quality) = match *end {
            End::Exact { input, output, cached } => {
                let total = input + output + cached;
                let seen = Usage { cache_read: cached, total, ..usage(input, output) };
                (Some(seen), Quality::Exact)
            }
            End::Recovered { input, output } => (Some(usage(input, output)), Quality::Recovered),
            End::Estimated { input, output } => (Some(usage(input, output)), Quality::Estimated),
            End::Unread => (None, Quality::Held),
        };
        let entry = &self.model.entries[index];
        let run = entry.run;
        let limits = self.model.world.limits(run, Some(entry.provider), &self.overrides, self.now);
        let done = Settlement {
            weights,
            quality,
            response_id: None,
            now: self.now,
            ..settlement(&entry.id, seen, &limits)
        };
        let settled = self.handle(handle).usage_settle(done).await;
        if !matches!(entry.state, State::Held | State::Charged { last: false, .. }) {
            assert!(matches!(settled, Err(LedgerError::Missing { .. })), "{settled:?}");
            return;
        }
        let charged = seen.map(|seen| weights.charged(&seen));
        let tokens = Model::charge(entry, charged, quality == Quality::Exact);
        self.model.entries[index].state = State::Charged { tokens, last: quality != Quality::Held };
        for Crossing { limit, spent } in settled.unwrap().crossings {
            let Limit { scope, provider, tokens, .. } = &limit.limit;
            assert_eq!(spent, self.model.spent(scope, provider, limit.window_start));
            assert!(spent >= *tokens);
        }
        // Every limit that is reached stops who is asked it.
        let governing = self.model.world.limits(run, None, &self.overrides, self.now);
        let block = self
            .handle(handle)
            .block_fetch(&id(&run_name(run)), &governing, self.now)
            .await
            .unwrap()
            .into_iter()
            .next();
        let reached: Vec<_> = limits.iter().filter(|asked| self.model.is_spent(asked)).collect();
        assert!(block.is_some() || reached.is_empty(), "not stopped: {reached:?}");
    }

    async fn reap(&mut self, handle: usize) {
        let living: BTreeSet<_> = self.handles.iter().map(|(owner, _)| *owner).collect();
        let reaped = self.handle(handle).holds_reap(self.now).await.unwrap();
        let mut dead = 0;
        for entry in &mut self.model.entries {
            if entry.state == State::Held && !living.contains(&entry.owner) {
                entry.state = State::Charged { tokens: entry.reserved, last: false };
                dead += 1;
            }
        }
        assert_eq!(reaped, dead);
    }

    /// What every process does that sees a change of limits.
    async fn limits_changed(&self, handle: usize, gone: &[BudgetOverride]) {
        let ledger = self.handle(handle);
        let mut known = ledger.budget_override_list().await.unwrap();
        let mut expected = self.overrides.clone();
        for sets in [&mut known, &mut expected] {
            sets.sort_by_key(|set| (set.scope.clone(), set.provider.clone()));
        }
        assert_eq!(known, expected);
        let in_force = self.model.world.in_force(&self.overrides, gone);
        ledger.block_reconsider(&in_force, self.now).await.unwrap();
        for run in 0..self.model.world.runs.len() {
            let governing = self.model.world.limits(run, None, &self.overrides, self.now);
            let review = LimitReview { governing, warn_at: vec![80] };
            ledger.budget_review(&id(&run_name(run)), review, self.now).await.unwrap();
        }
    }

    /// What must be so after every step.
    pub(crate) async fn check(&mut self) {
        let ledger = self.handle(self.model.entries.len()).clone();
        for scope in self.model.world.scopes() {
            self.compare(&*ledger, &scope, "any", 0).await;
        }
        let clock = WindowClock::new(self.model.world.zone).unwrap();
        for (scope, counted) in self.model.world.filed().into_keys() {
            let start = clock.start(self.model.world.window(&scope), self.now);
            self.compare(&*ledger, &scope, counted.as_str(), start).await;
        }
        self.check_ceilings(&clock);
        let in_force = self.model.world.in_force(&self.overrides, &[]);
        self.proof.follow(&*ledger, &in_force).await;
        assert_totals(self.dir.path());
    }

    /// No window of a hard limit, past or present, has more than the limit ever was and the stated bound.
    fn check_ceilings(&self, clock: &WindowClock) {
        for ((scope, counted), ceiling) in &self.ceilings {
            let window = self.model.world.window(scope);
            let mut seen = BTreeSet::new();
            for entry in &self.model.entries {
                let start = clock.start(window, entry.placed_at);
                if !seen.insert(start) {
                    continue;
                }
                let within = start..clock.end(window, entry.placed_at).unwrap_or(i64::MAX);
                let taken = self.model.taken(scope, counted, within.clone());
                let excess = self.model.excess(scope, counted, within);
                assert!(taken <= ceiling + excess, "{scope} {counted}: {taken} > {ceiling} + {excess}");
            }
        }
    }

    /// Every scope, provider and kind of window, read through every ledger in turn.
    pub(crate) async fn check_everything(&self) {
        let clock = WindowClock::new(self.model.world.zone).unwrap();
        for (turn, scope) in self.model.world.scopes().into_iter().enumerate() {
            let ledger = self.handle(turn);
            for window in WINDOWS {
                let start = clock.start(window, self.now);
                let mut sums = Vec::new();
                for counted in COUNTED {
                    sums.push(self.compare(&**ledger, &scope, counted, start).await);
                }
                assert_eq!(sums[0] + sums[1], sums[2], "the providers of {scope} are `any`");
            }
        }
        let any = async |scope: Scope| self.compare(&**self.handle(0), &scope, "any", 0).await;
        let mut bottles = 0;
        for bottle in 0..self.model.world.parents.len() {
            bottles += any(Scope::new(ScopeKind::Bottle, bottle_name(bottle))).await;
        }
        assert_eq!(bottles, any(Scope::global()).await, "the bottles together are the host");
        Proof::whole(&**self.handle(1)).await;
    }

    /// The ledger's sum, spent and held, which must be the model's.
    async fn compare(&self, ledger: &dyn Ledger, scope: &Scope, counted: &str, since: i64) -> u64 {
        let counted = provider(counted);
        let Balance { spent, held } = ledger.budget_fetch(scope, &counted, since).await.unwrap();
        let expected = (self.model.spent(scope, &counted, since), self.model.held(scope, &counted, since));
        assert_eq!((spent, held), expected, "{scope} {counted} since {since}");
        spent + held
    }

    fn handle(&self, index: usize) -> &SharedLedger {
        &self.handles[index % HANDLES].1
    }

    /// Any hold; mostly one that may still be settled.
    fn pick(&self, hold: usize) -> Option<usize> {
        let is_open = |entry: &Entry| matches!(entry.state, State::Held | State::Charged { last: false, .. });
        let entries = self.model.entries.iter().enumerate();
        let open: Vec<_> = entries
            .filter(|(_, entry)| hold.is_multiple_of(8) || is_open(entry))
            .map(|(index, _)| index)
            .collect();
        (!open.is_empty()).then(|| open[hold / 8 % open.len()])
    }
}
