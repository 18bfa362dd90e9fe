//! Reading a home for the dashboard: files, ledger and what was refused. The running controller does it for every
//! dashboard; without one each does it for itself.
//!
//! Invariant: nothing is written; a fault of the files hides the limits, and nothing else.

use super::measure::{RECENT, Recent, most_first};
use super::refusals::Refusals;
use super::{Context, bottle, budget, check, ledger};
use crate::dashboard::{
    Bottle, BottleState, EventRow, Limit, Origin, Run, Snapshot, Spent, Waiting, sentence,
};
use crate::instance::now;
use crate::launch::Launch;
use anyhow::Result;
use hudson_schema::budget::{BudgetOverride, WindowClock, asked, with_overrides};
use hudson_schema::config::{Settings, load_bottle};
use hudson_schema::ledger::{
    Action, Approval, ApprovalQuery, ApprovalStatus, AskedLimit, Block, Enforcement, EnforcementState,
    RunRecord, SharedLedger, UsageColumn, UsageQuery, is_frozen,
};
use hudson_schema::prompt;
use hudson_schema::{BottleName, Policy, Provider, Scope, ScopeKind};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Characters of an agent's word in a line.
const CUT: usize = 80;
/// Rows of the audit that are shown.
const EVENTS: i64 = 300;
/// Rows of enforcement that are shown of a bottle.
const ENFORCEMENTS: usize = 5;
/// Approvals that wait and are shown, of more the newest.
const WAITING: usize = 100;

/// Reads, again and again.
pub(in super::super) struct Reader {
    context: Arc<Context>,
    ledger: Option<SharedLedger>,
    /// Whether the ledger was opened since that was last asked.
    opened: bool,
    /// When each bottle was last seen to be active.
    active: BTreeMap<String, i64>,
    // A std mutex: a file is read and lines are taken in, never over an await.
    refusals: Arc<Mutex<Refusals>>,
}

/// What every bottle is looked at with.
struct Whole {
    settings: Option<(Settings, WindowClock)>,
    overrides: Vec<BudgetOverride>,
    rows: Vec<budget::Row>,
    runs: Vec<RunRecord>,
    blocks: Vec<Block>,
    enforcements: Vec<Enforcement>,
    /// Usage by provider, and the last day of it, of each bottle.
    used: BTreeMap<String, (BTreeMap<String, Spent>, String)>,
    recent: Recent,
    /// What waits for a decision, the first that was asked for first, and how many there are.
    waiting: Vec<Approval>,
    waiting_in_all: u64,
}

impl Reader {
    /// A reader that has not read yet, beside whoever else takes refusals in.
    pub(in super::super) fn new(context: Arc<Context>, refusals: Arc<Mutex<Refusals>>) -> Self {
        Self { context, ledger: None, opened: false, active: BTreeMap::new(), refusals }
    }

    /// Changes of the ledger, where it was opened since this was last asked.
    pub(super) fn opened(&mut self) -> Option<watch::Receiver<u64>> {
        let opened = std::mem::take(&mut self.opened);
        self.ledger.as_ref().filter(|_| opened).map(|ledger| ledger.changes())
    }

    /// Lets the ledger go until the next reading.
    pub(super) fn close(&mut self) {
        self.ledger = None;
    }

    /// Reads everything once, for this origin, with a fault that its process knows of.
    pub(in super::super) async fn read(&mut self, origin: Origin, fault: Option<String>) -> Result<Snapshot> {
        let outcome = self.look(origin, fault).await;
        if outcome.is_err() {
            // The file may have been replaced: the next reading opens it anew.
            self.ledger = None;
        }
        outcome
    }

    async fn look(&mut self, origin: Origin, fault: Option<String>) -> Result<Snapshot> {
        let mut faults = check::home_faults(&self.context.home)?;
        faults.extend(fault);
        let mut snapshot = Snapshot { now: now(), origin, faults, ..Snapshot::default() };
        let settings = match crate::settings::read(&self.context.home) {
            Ok(settings) => Some(settings),
            Err(error) => {
                snapshot.faults.push(format!("{error:#}"));
                None
            }
        };
        snapshot.warn_at = settings.as_ref().and_then(|settings| settings.warn_at.first().copied());
        if self.ledger.is_none() {
            self.ledger = ledger::open(&self.context)?;
            self.opened = self.ledger.is_some();
        }
        let rows = match &settings {
            Some(settings) => budget::every_row(&self.context, settings, self.ledger.as_ref(), None).await,
            None => Ok(Vec::new()),
        };
        let rows = rows.unwrap_or_else(|error| {
            snapshot.faults.push(format!("{error:#}"));
            Vec::new()
        });
        let settings = settings.and_then(|settings| Some((settings.clone(), settings.clock().ok()?)));
        self.refusals().read(&self.context.home.event_log());
        let whole = self.whole(settings, rows, snapshot.now).await?;
        let mut names = bottle::on_disk(&self.context.home)?;
        names.extend(whole.runs.iter().map(|run| run.bottle.clone()));
        names.extend(whole.waiting.iter().map(|waiting| waiting.bottle.clone()));
        names.extend(whole.used.keys().filter_map(|name| name.parse::<BottleName>().ok()));
        for name in names {
            let bottle = self.bottle(name, &whole, snapshot.now).await?;
            snapshot.held = snapshot.held.saturating_add(bottle.held);
            let spent = bottle.spent();
            snapshot.spent.add(spent.tokens, spent.requests, spent.inexact);
            snapshot.bottles.push(bottle);
        }
        let percent = u128::from(snapshot.warn_at.unwrap_or(u8::MAX));
        let warned = whole.rows.iter().filter(|row| row.percent().is_some_and(|spent| spent >= percent));
        snapshot.warnings = warned.filter_map(|row| limit(row, &whole.recent, true)).collect();
        snapshot.rate = whole.recent.rate(None);
        snapshot.waiting = whole.waiting_in_all;
        snapshot.approvals = whole.waiting.iter().map(|approval| waiting(approval, snapshot.now)).collect();
        snapshot.events = self.audit(whole.settings.as_ref().map(|(_, clock)| clock), snapshot.now).await?;
        Ok(snapshot)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn whole(
        &self,
        settings: Option<(Settings, WindowClock)>,
        rows: Vec<budget::Row>,
        now: i64,
    ) -> Result<Whole> {
        let recent = Recent { rows: Vec::new(), now };
        let (overrides, runs, blocks, enforcements, used, waiting) = <_>::default();
        let mut whole = Whole {
            settings,
            overrides,
            rows,
            runs,
            blocks,
            enforcements,
            used,
            recent,
            waiting,
            waiting_in_all: 0,
        };
        let Some(ledger) = &self.ledger else { return Ok(whole) };
        whole.overrides = ledger.budget_override_list().await?;
        whole.runs = ledger.run_list(false).await?;
        whole.blocks = ledger.block_list().await?;
        whole.enforcements = ledger.enforcement_list(None).await?;
        whole.recent.rows =
            ledger.usage_list(UsageQuery { since: Some(now - RECENT), ..UsageQuery::default() }).await?;
        let pending = ApprovalQuery {
            status: Some(ApprovalStatus::Pending),
            most: WAITING,
            now,
            ..ApprovalQuery::default()
        };
        whole.waiting = ledger.approval_list(pending).await?;
        whole.waiting.reverse();
        let counts = ledger.approval_count(now).await?;
        let pending = counts.iter().filter(|count| count.status == ApprovalStatus::Pending);
        whole.waiting_in_all = pending.map(|count| count.count).sum();
        let by = vec![UsageColumn::Bottle, UsageColumn::Provider, UsageColumn::Day];
        for sum in ledger.usage_sum(UsageQuery { by, ..UsageQuery::default() }).await? {
            let [bottle, provider, day] = sum.group.as_slice() else { continue };
            let (providers, last) = whole.used.entry(bottle.clone()).or_default();
            let spent = providers.entry(provider.clone()).or_default();
            spent.of.clone_from(provider);
            spent.add(sum.usage.total, sum.requests, sum.inexact);
            if day > last {
                last.clone_from(day);
            }
        }
        Ok(whole)
    }

    async fn bottle(&mut self, name: BottleName, whole: &Whole, now: i64) -> Result<Bottle> {
        let runs: Vec<&RunRecord> = whole.runs.iter().filter(|run| run.bottle == name).collect();
        let live: Vec<&RunRecord> = runs.iter().copied().filter(|run| run.finished_at.is_none()).collect();
        let ended = runs.iter().copied().find(|run| run.finished_at.is_some());
        let mut scopes = BTreeSet::from([Scope::new(ScopeKind::Bottle, name.as_str()), Scope::global()]);
        let mut governing: Vec<AskedLimit> = Vec::new();
        let mut blocks: Vec<Block> = Vec::new();
        let each: Vec<Option<&RunRecord>> = match live.is_empty() {
            true => vec![None],
            false => live.iter().copied().map(Some).collect(),
        };
        for run in each {
            let limits = self.governing(&name, run, whole, &mut scopes, now);
            let standing = match (run, &self.ledger) {
                (Some(run), Some(ledger)) => ledger.block_fetch(&run.id, &limits, now).await?,
                _ => without_run(&whole.blocks, &scopes, &limits, now),
            };
            blocks.extend(standing.into_iter().filter(|block| !blocks.contains(block)).collect::<Vec<_>>());
            governing.extend(limits);
        }
        let governs = |row: &budget::Row| {
            governing.iter().any(|asked| {
                row.scope == asked.limit.scope.kind.name()
                    && row.name == asked.limit.scope.key
                    && row.provider == asked.limit.provider
            })
        };
        let of = |row: &&budget::Row| {
            scopes.iter().any(|scope| row.scope == scope.kind.name() && row.name == scope.key)
        };
        let limits = whole.rows.iter().filter(of);
        let limits = limits.filter_map(|row| limit(row, &whole.recent, governs(row))).collect();
        let enforcements = whole.enforcements.iter().rev().filter(|row| row.bottle == name);
        let (providers, last_day) = whole.used.get(name.as_str()).cloned().unwrap_or_default();
        let mut shown = Vec::new();
        for run in live.iter().copied().chain(ended) {
            shown.push(self.run(run, whole).await?);
        }
        let times = runs.iter().flat_map(|run| [Some(run.started_at), run.finished_at]).flatten().max();
        let used_at = self.used_at(&name, &last_day, &whole.recent).await?;
        Ok(Bottle {
            state: match shown.iter().any(|run: &Run| run.frozen && run.finished_at.is_none()) {
                true => BottleState::Frozen,
                false => state(&blocks, whole, &live, ended),
            },
            providers: most_first(providers.into_values().collect()),
            hosts: whole.recent.hosts(name.as_str()),
            rate: whole.recent.rate(Some(name.as_str())),
            held: self.held(&Scope::new(ScopeKind::Bottle, name.as_str())).await?,
            active_at: times.max(used_at),
            limits,
            runs: shown,
            blocks,
            enforcements: enforcements.take(ENFORCEMENTS).cloned().collect(),
            refusals: self.refusals().of(name.as_str()),
            name,
        })
    }

    /// The limits that govern a run of a bottle, or that would; its scopes are added.
    fn governing(
        &self,
        name: &BottleName,
        run: Option<&RunRecord>,
        whole: &Whole,
        scopes: &mut BTreeSet<Scope>,
        now: i64,
    ) -> Vec<AskedLimit> {
        // A fault of the files is told at the top; without them nobody knows the limits.
        let Some((settings, clock)) = &whole.settings else { return Vec::new() };
        let launch = run.and_then(|run| serde_json::from_value::<Launch>(run.launch.clone()).ok());
        let launch = launch.unwrap_or_default();
        let Ok(bottle) = load_bottle(&self.context.home, name, launch.parent.as_ref()) else {
            return Vec::new();
        };
        let agent = run.and_then(|run| run.agent.as_ref());
        let own = settings.scope_budgets(run.map(|run| (&run.id, &launch.budget)), agent, &bottle);
        let budgets = with_overrides(&own, &whole.overrides);
        scopes.extend(budgets.iter().map(|budget| budget.scope.clone()));
        let policy = settings.policy(launch.on_exhausted, agent, &bottle);
        let providers: BTreeSet<&Provider> = budgets.iter().flat_map(|scope| scope.budget.keys()).collect();
        let mut limits: Vec<AskedLimit> = Vec::new();
        for limit in providers.into_iter().flat_map(|each| asked(&budgets, each, settings.precedence, policy))
        {
            let limit = AskedLimit {
                window_start: clock.start(limit.window, now),
                window_end: clock.end(limit.window, now),
                limit,
            };
            if !limits.contains(&limit) {
                limits.push(limit);
            }
        }
        limits
    }

    async fn run(&self, run: &RunRecord, whole: &Whole) -> Result<Run> {
        let rows = whole.enforcements.iter().filter(|row| row.run_id == run.id);
        let frozen = is_frozen(&rows.cloned().collect::<Vec<_>>());
        Ok(Run {
            held: self.held(&Scope::new(ScopeKind::Run, run.id.as_str())).await?,
            id: run.id.clone(),
            agent: run.agent.clone(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            exit_code: run.exit_code,
            frozen,
        })
    }

    async fn held(&self, scope: &Scope) -> Result<u64> {
        let every: Provider = Provider::ANY.parse()?;
        match &self.ledger {
            Some(ledger) => Ok(ledger.budget_fetch(scope, &every, 0).await?.held),
            None => Ok(0),
        }
    }

    /// When a bottle last used tokens. Where that is long ago its last day is read, once.
    async fn used_at(&mut self, name: &BottleName, day: &str, recent: &Recent) -> Result<Option<i64>> {
        let known = self.active.get(name.as_str()).copied();
        let mut at = recent.last(name.as_str()).max(known);
        if let (None, Ok(day), Some(ledger)) = (at, day.parse::<Date>(), &self.ledger) {
            let since = day.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond();
            let query =
                UsageQuery { bottle: Some(name.clone()), since: Some(since), ..UsageQuery::default() };
            at = ledger.usage_list(query).await?.iter().map(|row| row.finished_at).max();
        }
        self.active.extend(at.map(|at| (name.to_string(), at)));
        Ok(at)
    }

    async fn audit(&self, clock: Option<&WindowClock>, now: i64) -> Result<Vec<EventRow>> {
        let Some(ledger) = &self.ledger else { return Ok(Vec::new()) };
        let after = ledger.audit_last().await?.saturating_sub(EVENTS).max(0);
        let rows = ledger.audit_list(after, usize::try_from(EVENTS)?).await?;
        let utc = WindowClock::new("UTC")?;
        let clock = clock.unwrap_or(&utc);
        let today = clock.display(now);
        let row = |row: &hudson_schema::ledger::AuditRecord| EventRow {
            seq: row.seq,
            at: moment(&clock.display(row.ts), &today),
            bottle: row.bottle.clone().unwrap_or_default(),
            text: sentence(row),
        };
        Ok(rows.iter().map(row).collect())
    }
}

/// The time of an RFC 3339 instant of today, the day and time of another.
fn moment(at: &str, today: &str) -> String {
    let part = |text: &str, from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    match part(at, 0, 10) == part(today, 0, 10) {
        true => part(at, 11, 19),
        false => part(at, 5, 16).replace('T', " "),
    }
}

/// What would stand against a run that began now.
fn without_run(blocks: &[Block], scopes: &BTreeSet<Scope>, limits: &[AskedLimit], now: i64) -> Vec<Block> {
    let stands = |block: &&Block| match &block.budget {
        None => true,
        Some(spent) => {
            let counted = |asked: &AskedLimit| {
                asked.limit.scope == block.scope && asked.limit.provider == spent.provider
            };
            spent.window_end.is_none_or(|end| now < end) && limits.iter().any(counted)
        }
    };
    blocks.iter().filter(|block| scopes.contains(&block.scope)).filter(stands).cloned().collect()
}

fn state(blocks: &[Block], whole: &Whole, live: &[&RunRecord], ended: Option<&RunRecord>) -> BottleState {
    let cutoff = whole.settings.as_ref().map(|(settings, _)| settings.cutoff).unwrap_or_default();
    let killed = |run: &RunRecord| {
        let of = whole.enforcements.iter().filter(|row| row.run_id == run.id);
        of.into_iter().any(|row| row.action == Action::Kill && row.state == EnforcementState::Done)
    };
    let only_kills = blocks.iter().all(|block| block.policy == Policy::Kill);
    if live.is_empty() && only_kills && ended.is_some_and(killed) {
        return BottleState::Killed;
    }
    match (blocks.is_empty(), live.is_empty()) {
        (false, _) if blocks.iter().any(|block| block.stops(cutoff, None)) => BottleState::CutOff,
        (false, _) => BottleState::Partly,
        (true, false) => BottleState::Running,
        (true, true) => BottleState::Idle,
    }
}

fn waiting(approval: &Approval, now: i64) -> Waiting {
    let lines = prompt::lines(approval, now);
    Waiting {
        id: approval.id.clone(),
        fingerprint: approval.fingerprint.to_string(),
        bottle: approval.bottle.clone(),
        tier: approval.tier,
        what: format!("{} {}", approval.kind, prompt::cleaned(&approval.action, CUT)),
        target: prompt::cleaned(&approval.target, CUT),
        expires_at: approval.decision_expires_at,
        lines: lines.into_iter().map(|(label, value)| (Cow::Borrowed(label), value)).collect(),
    }
}

fn limit(row: &budget::Row, recent: &Recent, governs: bool) -> Option<Limit> {
    let scope = Scope::new(row.scope.parse().ok()?, row.name.clone());
    Some(Limit {
        rate: recent.charge_rate(&scope, &row.provider),
        scope,
        provider: row.provider.to_string(),
        limit: row.limit,
        spent: row.spent,
        held: row.held,
        resets_at: row
            .resets_at
            .as_deref()
            .and_then(|at| at.parse::<jiff::Timestamp>().ok())
            .map(|at| at.as_millisecond()),
        source: Cow::Borrowed(row.source.name()),
        governs,
    })
}
