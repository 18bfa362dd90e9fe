//! A run as the data plane sees it: who it is, what it may do at this moment, and the means to stop it.
//!
//! Invariant: everything that can change while a run lives (routes, limits, blocks) is read at each request from the
//! value that is current then; a run that ended or was stopped lets nothing more through.

use crate::dlp::RunValues;
use crate::identity::Presented;
use crate::request::outbound::Allowance;
use crate::traffic::Traffic;
use crate::upstream::UpstreamClient;
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use hudson_dlp::KnownValue;
use hudson_schema::budget::{Cutoff, Mode, Precedence, ScopeBudget, Weights, WindowClock, asked};
use hudson_schema::config::{Authority, Routes, Scheme};
use hudson_schema::ledger::{AskedLimit, Block, LedgerError, SharedLedger};
use hudson_schema::{AgentName, BottleName, Policy, Provider, RunId};
use secrecy::SecretString;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Finds runs; handed to the proxy by the control plane.
#[async_trait]
pub trait RunSource: Send + Sync + 'static {
    /// The live run whose credentials these are; `None` when there is none.
    async fn run(&self, presented: &Presented) -> Result<Option<Arc<Run>>, LedgerError>;
}

/// What a run is allowed, as its files and flags say at this moment.
#[derive(Clone, Debug)]
pub struct RunPolicy {
    /// Its routes.
    pub routes: Routes,
    /// The budgets of its scopes, from most to least specific.
    pub budgets: Vec<ScopeBudget>,
    /// Which of them are asked.
    pub precedence: Precedence,
    /// When they are asked.
    pub mode: Mode,
    /// What a crossing does.
    pub on_exhausted: Policy,
    /// What a cutoff drops, and what becomes of requests in flight.
    pub cutoff: Cutoff,
    /// The least output worth sending a request for, in tokens.
    pub min_output: u64,
    /// How long the provider's count of a request's input is waited for where a hard limit stands over it; `None` where
    /// it is not asked for.
    pub count_tokens: Option<Duration>,
    /// How a budget counts the kinds of tokens.
    pub weights: Weights,
    /// At which percentages of a limit a warning is given.
    pub warn_at: Vec<u8>,
    /// Whether metered responses say what is left.
    pub budget_header: bool,
    /// The calendar of the windows.
    pub clock: WindowClock,
    /// Values of its bottle that must not leave, beside the credentials of its routes.
    pub known: Vec<KnownValue>,
}

/// A credential that a launch provides in place of a variable of the proxy's own environment.
#[derive(Clone, Debug)]
pub enum LaunchSecret {
    /// The value itself.
    Value(SecretString),
    /// A member of a JSON file, read anew each time: a login file that its CLI refreshes.
    JsonFile {
        /// The file.
        path: PathBuf,
        /// The members to walk down.
        keys: Vec<String>,
    },
}

/// One live run.
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its bottle.
    pub bottle: BottleName,
    /// Its agent, if that has a name.
    pub agent: Option<AgentName>,
    /// SHA-256 of its password.
    credential_hash: ArcSwap<[u8; 32]>,
    /// Credentials that this run's launch provides, by the variable under which routes name them.
    pub secrets: HashMap<String, LaunchSecret>,
    /// Ends everything of the run.
    pub token: CancellationToken,
    /// Its requests, counted.
    pub traffic: Arc<Traffic>,
    policy: ArcSwap<RunPolicy>,
    /// Wakes who waits for another policy.
    policy_changed: Notify,
    upstream: ArcSwapOption<UpstreamClient>,
    /// What its bodies may take of the memory while they are looked at.
    pub(crate) allowance: Allowance,
    /// Its values that must not leave, once they were asked for.
    known: ArcSwapOption<RunValues>,
    blocks: Mutex<Option<SeenBlocks>>,
    /// Whether blocks stand that end what is in flight; said anew at every change of them.
    ending: watch::Sender<bool>,
    /// Whether any blocks stand, said likewise.
    stopped: watch::Sender<bool>,
    /// Whether somebody looks for those.
    watched: AtomicBool,
    /// Hosts on no route that requests may be sent to which a person has let through.
    openings: Mutex<Vec<(Scheme, Authority)>>,
}

/// A host on no route that one request may be sent to, for as long as this is kept.
pub(crate) struct Opening {
    run: Arc<Run>,
    place: (Scheme, Authority),
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut openings = self.run.openings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = openings.iter().position(|place| *place == self.place) {
            openings.swap_remove(place);
        }
    }
}

/// Blocks as of one state of the ledger.
struct SeenBlocks {
    change: u64,
    /// By which policy it was looked up.
    policy: Arc<RunPolicy>,
    until: Option<i64>,
    blocks: Arc<[Block]>,
}

impl Run {
    /// A live run.
    pub fn new(
        id: RunId,
        bottle: BottleName,
        credential_hash: [u8; 32],
        secrets: HashMap<String, LaunchSecret>,
        policy: RunPolicy,
    ) -> Self {
        Self {
            id,
            bottle,
            agent: None,
            credential_hash: ArcSwap::from_pointee(credential_hash),
            secrets,
            token: CancellationToken::new(),
            traffic: Arc::default(),
            policy: ArcSwap::from_pointee(policy),
            policy_changed: Notify::new(),
            upstream: ArcSwapOption::empty(),
            allowance: Allowance::default(),
            known: ArcSwapOption::empty(),
            blocks: Mutex::new(None),
            ending: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
            watched: AtomicBool::new(false),
            openings: Mutex::default(),
        }
    }

    /// The same, of a named agent.
    pub fn of_agent(self, agent: Option<AgentName>) -> Self {
        Self { agent, ..self }
    }

    /// The same, counted together with others.
    pub fn counted_in(self, traffic: Arc<Traffic>) -> Self {
        Self { traffic, ..self }
    }

    /// Whether these are its credentials.
    pub fn is_named_by(&self, presented: &Presented) -> bool {
        presented.run == self.id && presented.matches(&self.credential_hash.load())
    }

    /// Gives it other credentials. What is open with those of before stays open.
    pub fn set_credential_hash(&self, credential_hash: [u8; 32]) {
        if **self.credential_hash.load() != credential_hash {
            self.credential_hash.store(Arc::new(credential_hash));
        }
    }

    /// What it is allowed now.
    pub fn policy(&self) -> Arc<RunPolicy> {
        self.policy.load_full()
    }

    /// Changes what it is allowed. Pooled connections are dropped, so that none outlives the route it was made for.
    pub fn set_policy(&self, policy: RunPolicy) {
        self.policy.store(Arc::new(policy));
        self.upstream.store(None);
        self.policy_changed.notify_waiters();
    }

    /// Changes its budgets alone: no connection was made for one of them.
    pub fn set_budgets(&self, budgets: Vec<ScopeBudget>) {
        self.policy.rcu(|policy| RunPolicy { budgets: budgets.clone(), ..RunPolicy::clone(policy) });
        self.policy_changed.notify_waiters();
    }

    /// Waits for another policy than this one: for what goes on without requests that would be judged by it.
    pub(crate) async fn policy_after(&self, seen: &Arc<RunPolicy>) -> Arc<RunPolicy> {
        loop {
            let changed = self.policy_changed.notified();
            let policy = self.policy();
            if !Arc::ptr_eq(&policy, seen) {
                return policy;
            }
            changed.await;
        }
    }

    /// Its values that must not leave, as far as they were read.
    pub(crate) fn known(&self) -> Option<Arc<RunValues>> {
        self.known.load_full()
    }

    pub(crate) fn set_known(&self, known: Arc<RunValues>) {
        self.known.store(Some(known));
    }

    /// Its upstream client, made by `make` when there is none.
    pub(crate) fn upstream(&self, make: impl FnOnce() -> UpstreamClient) -> Arc<UpstreamClient> {
        if let Some(client) = self.upstream.load_full() {
            return client;
        }
        let client = Arc::new(make());
        self.upstream.store(Some(client.clone()));
        client
    }

    /// Lets one request be sent to a host that is on no route.
    pub(crate) fn open(self: &Arc<Self>, scheme: Scheme, authority: &Authority) -> Opening {
        let place = (scheme, authority.clone());
        self.openings.lock().unwrap_or_else(PoisonError::into_inner).push(place.clone());
        Opening { run: self.clone(), place }
    }

    /// Whether a request may be sent there although no route leads there.
    pub(crate) fn is_open(&self, scheme: Scheme, authority: &Authority) -> bool {
        let openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        openings.iter().any(|place| (place.0, &place.1) == (scheme, authority))
    }

    /// Whether somebody looks for the blocks that end what is in flight; who asks first is who has to.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed) || self.watched.swap(true, Ordering::Relaxed)
    }

    /// Whether there may be blocks that end what is in flight, now and later.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    pub(crate) fn set_ending(&self, ending: bool) {
        // Also where it is still so: there may be others now.
        self.ending.send_if_modified(|before| std::mem::replace(before, ending) || ending);
    }

    /// Whether any blocks may stand, now and later.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    pub(crate) fn set_stopped(&self, stopped: bool) {
        // Also where it is still so, as above.
        self.stopped.send_if_modified(|before| std::mem::replace(before, stopped) || stopped);
    }

    /// The blocks that stand against it, the most severe first. The ledger is asked only when it changed since the last
    /// time.
    pub(crate) async fn blocks(&self, ledger: &SharedLedger, now: i64) -> Result<Arc<[Block]>, LedgerError> {
        let change = *ledger.changes().borrow();
        let policy = self.policy();
        {
            let seen = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            let current = |seen: &&SeenBlocks| {
                seen.change == change
                    && Arc::ptr_eq(&seen.policy, &policy)
                    && seen.until.is_none_or(|until| now < until)
            };
            if let Some(seen) = seen.as_ref().filter(current) {
                return Ok(seen.blocks.clone());
            }
        }
        let governing = policy.governing(now);
        let blocks: Arc<[Block]> = ledger.block_fetch(&self.id, &governing, now).await?.into();
        // A block of a window ends with it, and so does the window it was looked up by.
        let until = governing.iter().filter_map(|limit| limit.window_end).min();
        *self.blocks.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(SeenBlocks { change, policy, until, blocks: blocks.clone() });
        Ok(blocks)
    }
}

impl RunPolicy {
    /// The limits that a request to `provider` is asked at `now`.
    pub fn limits(&self, provider: &Provider, now: i64) -> Vec<AskedLimit> {
        asked(&self.budgets, provider, self.precedence, self.on_exhausted)
            .into_iter()
            .map(|limit| AskedLimit {
                window_start: self.clock.start(limit.window, now),
                window_end: self.clock.end(limit.window, now),
                limit,
            })
            .collect()
    }

    /// Every limit that governs the run at `now`, whatever the provider: those by which a spent budget stops it.
    pub fn governing(&self, now: i64) -> Vec<AskedLimit> {
        let mut limits: Vec<AskedLimit> = Vec::new();
        // A provider that no budget names is governed by `any` alone, which is itself among the names.
        let providers: BTreeSet<&Provider> =
            self.budgets.iter().flat_map(|scope| scope.budget.keys()).collect();
        for limit in providers.into_iter().flat_map(|provider| self.limits(provider, now)) {
            if !limits.contains(&limit) {
                limits.push(limit);
            }
        }
        limits
    }
}
