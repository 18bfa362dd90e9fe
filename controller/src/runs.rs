//! The live runs that this process serves: found by their id, made from their launch, kept current with the files.
//!
//! Invariant: a run is served only while the ledger says that it lives; a file that cannot be read leaves a run with
//! what it had, and the error stands in `hudson status` until it is mended.

use crate::dlp::{self, Loaded, Seen};
use crate::launch::{self, Launch};
use anyhow::Result;
use async_trait::async_trait;
use hudson_proxy::identity::Presented;
use hudson_proxy::traffic::Traffic;
use hudson_proxy::{LaunchSecret, Run, RunPolicy, RunSource};
use hudson_schema::budget::{BudgetOverride, ScopeBudget, with_overrides};
use hudson_schema::config::Settings;
use hudson_schema::home::Home;
use hudson_schema::ledger::{LedgerError, RunRecord, SharedLedger};
use hudson_schema::{AgentName, BottleName, RunId};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Bottles whose requests are counted each by itself.
const COUNTED: usize = 1000;

/// How runs come to be here, and how they are kept current.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether runs are only those given to [`Runs::insert`]: an embedded proxy serves its own run and no other.
    pub closed: bool,
    /// Whether this process delivers notifications, so that settings without their secrets cannot be used.
    pub notifies: bool,
    /// Whether each run is read by itself, as a controller does: the files of a run that others serve, or that died with
    /// its process, are no reason to leave the rest as it was.
    pub apart: bool,
}

/// The runs of this process.
pub struct Runs {
    home: Home,
    ledger: SharedLedger,
    manner: Manner,
    // A std mutex: never held over an await.
    state: Mutex<State>,
}

struct State {
    settings: Arc<Settings>,
    /// What the operator has set while Hudson runs.
    overrides: Vec<BudgetOverride>,
    live: HashMap<RunId, Live>,
    /// The requests of each bottle since this process started, also of runs that have ended. Bottles past the first
    /// [`COUNTED`] are counted together.
    traffic: BTreeMap<Option<BottleName>, Arc<Traffic>>,
    /// What was wrong with the files at the last reload.
    fault: Option<String>,
    /// What must not leave, as of the last reload.
    dlp: Option<Loaded>,
    /// What the operator has to keep an eye on of what the proxy here takes; none where there is no proxy.
    seen: Option<Seen>,
}

impl State {
    fn traffic_of(&mut self, bottle: &BottleName) -> Arc<Traffic> {
        let named = Some(bottle.clone());
        let key = match self.traffic.len() < COUNTED || self.traffic.contains_key(&named) {
            true => named,
            false => None,
        };
        self.traffic.entry(key).or_default().clone()
    }
}

#[derive(Clone)]
struct Live {
    run: Arc<Run>,
    agent: Option<AgentName>,
    launch: Launch,
    files: Vec<PathBuf>,
    /// Its budgets as files and launch have them.
    budgets: Vec<ScopeBudget>,
}

impl Runs {
    /// No runs yet.
    pub fn new(home: Home, ledger: SharedLedger, settings: Settings, manner: Manner) -> Arc<Self> {
        let state = State {
            settings: Arc::new(settings),
            overrides: Vec::new(),
            live: HashMap::new(),
            traffic: BTreeMap::new(),
            fault: None,
            dlp: None,
            seen: None,
        };
        Arc::new(Self { home, ledger, manner, state: Mutex::new(state) })
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.lock().settings.clone()
    }

    /// What is wrong with the files, if anything: the configuration in force is older than they are.
    pub fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    /// What must not leave, where it was read anew since this was last asked.
    pub fn take_dlp(&self) -> Option<Loaded> {
        self.lock().dlp.take()
    }

    /// What the operator has to keep an eye on of what the proxy here takes.
    pub fn seen(&self) -> Option<Seen> {
        self.lock().seen.clone()
    }

    /// Says what that is.
    pub fn set_seen(&self, seen: Seen) {
        self.lock().seen = Some(seen);
    }

    /// Serves a run from now on.
    pub fn insert(&self, record: &RunRecord, secrets: HashMap<String, LaunchSecret>) -> Result<Arc<Run>> {
        let launch: Launch = serde_json::from_value(record.launch.clone())?;
        let resolved = launch::resolve(
            &self.home,
            &self.settings(),
            &record.bottle,
            record.agent.as_ref(),
            &record.id,
            &launch,
        )?;
        let budgets = resolved.policy.budgets.clone();
        let traffic = self.lock().traffic_of(&record.bottle);
        let run = Run::new(
            record.id.clone(),
            record.bottle.clone(),
            record.credential_hash,
            secrets,
            resolved.policy,
        );
        let run = Arc::new(run.counted_in(traffic));
        let live =
            Live { run: run.clone(), agent: record.agent.clone(), launch, files: resolved.files, budgets };
        let mut state = self.lock();
        let State { live: runs, overrides, .. } = &mut *state;
        match runs.entry(record.id.clone()) {
            Entry::Vacant(place) => {
                // Under the lock, so that no change of theirs passes it by.
                run.set_budgets(with_overrides(&live.budgets, overrides));
                place.insert(live);
                Ok(run)
            }
            // Two of one run would mean one that nothing can stop: the first stays.
            Entry::Occupied(place) => Ok(place.get().run.clone()),
        }
    }

    /// What a run may do now; `None` when it is not served here.
    pub fn policy(&self, id: &RunId) -> Option<Arc<RunPolicy>> {
        self.lock().live.get(id).map(|live| live.run.policy())
    }

    /// Takes over what the operator has set; whether that is anything new.
    pub fn set_overrides(&self, overrides: Vec<BudgetOverride>) -> bool {
        let mut state = self.lock();
        if state.overrides == overrides {
            return false;
        }
        for live in state.live.values() {
            live.run.set_budgets(with_overrides(&live.budgets, &overrides));
        }
        state.overrides = overrides;
        true
    }

    /// The requests of each bottle since this process started; of those past the first [`COUNTED`] under no name.
    pub fn traffic(&self) -> Vec<(Option<BottleName>, Arc<Traffic>)> {
        self.lock().traffic.iter().map(|(bottle, traffic)| (bottle.clone(), traffic.clone())).collect()
    }

    /// Every run served.
    pub fn live(&self) -> Vec<Arc<Run>> {
        self.lock().live.values().map(|live| live.run.clone()).collect()
    }

    /// Stops serving a run and ends all it has open.
    pub fn remove(&self, id: &RunId) {
        if let Some(live) = self.lock().live.remove(id) {
            live.run.token.cancel();
        }
    }

    /// Stops serving those that the ledger says have ended, and takes over credentials that were changed.
    pub async fn follow_ledger(&self) {
        for run in self.live() {
            match self.ledger.run_fetch(&run.id).await {
                Ok(Some(record)) if record.finished_at.is_some() => self.remove(&run.id),
                Ok(Some(record)) => run.set_credential_hash(record.credential_hash),
                _ => {}
            }
        }
    }

    /// Every file that the runs depend on.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let state = self.lock();
        let mut files: BTreeSet<_> = state.live.values().flat_map(|live| live.files.clone()).collect();
        files.insert(self.home.settings());
        files.extend(dlp::files(&self.home, &state.settings));
        files
    }

    /// Reads all files anew. What cannot be read keeps its old configuration.
    pub fn reload(&self) -> Result<(), String> {
        let result = self.try_reload().map_err(|error| format!("{error:#}"));
        self.lock().fault = result.clone().err();
        result
    }

    /// All or nothing, but where runs are apart: no run changes when one of the files is wrong.
    fn try_reload(&self) -> Result<()> {
        let settings = crate::settings::read(&self.home)?;
        if self.manner.notifies {
            // Settings whose secrets are missing are settings that cannot be read.
            crate::notify::channels(&settings)?;
        }
        let dlp = dlp::load(&self.home, &settings)?;
        let live: Vec<Live> = self.lock().live.values().cloned().collect();
        let mut resolved = Vec::with_capacity(live.len());
        for live in &live {
            let run = &live.run;
            let read = launch::resolve(
                &self.home,
                &settings,
                &run.bottle,
                live.agent.as_ref(),
                &run.id,
                &live.launch,
            );
            match read {
                Err(_) if self.manner.apart => {}
                read => resolved.push((run.id.clone(), read?)),
            }
        }
        let mut state = self.lock();
        let State { live: runs, overrides, .. } = &mut *state;
        for (id, resolved) in resolved {
            let Some(live) = runs.get_mut(&id) else { continue };
            live.files = resolved.files;
            live.budgets = resolved.policy.budgets;
            let budgets = with_overrides(&live.budgets, overrides);
            live.run.set_policy(RunPolicy { budgets, ..resolved.policy });
        }
        state.settings = Arc::new(settings);
        state.dlp = Some(dlp);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RunSource for Runs {
    async fn run(&self, presented: &Presented) -> Result<Option<Arc<Run>>, LedgerError> {
        let id = &presented.run;
        if let Some(live) = self.lock().live.get(id) {
            return Ok(live.run.is_named_by(presented).then(|| live.run.clone()));
        }
        if self.manner.closed {
            return Ok(None);
        }
        // Launched through the ledger, or before this process started.
        match self.ledger.run_fetch(id).await? {
            // A run whose files cannot be read has no policy, so nothing may pass for it.
            Some(record) if record.finished_at.is_none() && presented.matches(&record.credential_hash) => {
                Ok(self.insert(&record, HashMap::new()).ok())
            }
            _ => Ok(None),
        }
    }
}
