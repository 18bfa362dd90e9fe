//! What must not leave: the detectors of this process, with every value that it knows, and what becomes of what they find.
//!
//! One set of detectors serves all runs, so that no bottle lets out what another one must not. Invariant: a run's first
//! request waits until the credentials of its routes are among what is looked for.

mod cleaned;
mod rings;
pub(crate) mod sealed;
mod setup;
mod values;
mod verdict;

use crate::run::Run;
use arc_swap::ArcSwap;
pub(crate) use cleaned::Cleaned;
use hudson_dlp::{Class, Detectors, HashKey, Part, RuleError, Scanner};
use hudson_schema::BottleName;
use hudson_schema::config::{Credential, HostPattern};
pub(crate) use rings::Ring;
use rings::Rings;
use secrecy::SecretString;
pub use setup::{Setup, Suppressed, SuppressedFinding};
use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;
use values::{Known, Values};
pub(crate) use values::{Learned, RunValues};
pub(crate) use verdict::{Judge, Judged};

/// Findings whose events are remembered, so that what a conversation sends again at each turn is told once.
const TOLD: u64 = 10_000;
/// For how long.
const TOLD_FOR: Duration = Duration::from_secs(10 * 60);

/// The detectors of a process.
pub struct Dlp {
    /// What is looked for now.
    loaded: ArcSwap<Loaded>,
    /// The values of the runs; who changes what is looked for holds it.
    values: tokio::sync::Mutex<Values>,
    told: moka::sync::Cache<u64, ()>,
    /// Nobody outside knows what it takes for the same.
    hasher: RandomState,
    rings: Rings,
}

/// What is looked for at one moment.
pub(crate) struct Loaded {
    pub(crate) setup: Arc<Setup>,
    /// The rules, with the operator's values alone.
    base: Detectors,
    /// With every value.
    pub(crate) detectors: Arc<Detectors>,
    /// The same, and words that look random.
    pub(crate) with_entropy: Arc<Detectors>,
    /// Whether there are canaries, which are looked for whatever a route says.
    pub(crate) canaries: bool,
    /// The hashes of the values of runs.
    hashes: HashSet<String>,
}

impl Dlp {
    /// The detectors of what the operator's files say.
    pub fn new(setup: Setup) -> Result<Self, RuleError> {
        let base = Detectors::new(setup.policy.clone())?;
        let told = moka::sync::Cache::builder().max_capacity(TOLD).time_to_live(TOLD_FOR).build();
        let loaded = ArcSwap::from_pointee(Loaded::new(Arc::new(setup), base, Known::default()));
        Ok(Self {
            loaded,
            values: tokio::sync::Mutex::default(),
            told,
            hasher: RandomState::new(),
            rings: Rings::new(),
        })
    }

    /// Goes by other files from now on; what runs have is kept.
    pub async fn replace(&self, setup: Setup) -> Result<(), RuleError> {
        let base = Detectors::new(setup.policy.clone())?;
        let values = self.values.lock().await;
        self.load(Arc::new(setup), base, values.known()).await;
        Ok(())
    }

    /// Takes the credentials of a run's routes among what is looked for, if they are not yet.
    pub async fn know(&self, run: &Arc<Run>) {
        self.of(run).await;
    }

    /// A text for people, such as a path in a log, without what must not be shown.
    pub fn clean(&self, text: &str) -> String {
        self.cleaned(text).unwrap_or_else(|| text.to_owned())
    }

    /// The same; `None` where it may stay as it is.
    fn cleaned(&self, text: &str) -> Option<String> {
        let loaded = self.loaded.load_full();
        let mut scanner = Scanner::new(loaded.detectors.clone(), Part::Target, "");
        let mut found = scanner.feed(text.as_bytes());
        found.extend(scanner.finish());
        found.extend(loaded.detectors.scan_target("", text));
        if found.iter().all(|finding| finding.class < Class::Act) {
            return None;
        }
        let mut bytes = text.as_bytes().to_vec();
        for finding in found.iter().filter(|finding| finding.class >= Class::Act) {
            // What is in pieces has no place of its own.
            let place = match bytes.get(finding.start..finding.end) {
                Some(_) if !finding.encodings.contains(&hudson_dlp::Encoding::Split) => {
                    finding.start..finding.end
                }
                _ => 0..bytes.len(),
            };
            bytes.get_mut(place).into_iter().flatten().for_each(|byte| *byte = b'*');
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What is looked for on behalf of a run: everything, its own credentials among it.
    pub(crate) async fn of(&self, run: &Arc<Run>) -> (Arc<Loaded>, Arc<RunValues>) {
        let policy = run.policy();
        let seen = run.known().filter(|known| Arc::ptr_eq(&known.policy, &policy));
        let known = match seen {
            Some(known) => known,
            None => self.learn(run, values::of_run(run, &policy, &self.key()).await).await,
        };
        (self.loaded.load_full(), known)
    }

    /// Takes a credential that was read for a request among what is looked for, if it is another than before.
    pub(crate) async fn note(
        &self,
        run: &Arc<Run>,
        host: &HostPattern,
        entries: &[(Credential, SecretString)],
    ) {
        let Some(known) = run.known() else { return };
        let loaded = self.loaded.load_full();
        let learned = values::of_credentials(
            &loaded.setup.policy.key,
            entries.iter().map(|(credential, value)| (credential, value)),
            host,
        );
        let new: Vec<Learned> =
            learned.into_iter().filter(|value| !known.homes.contains(&value.home())).collect();
        if !new.is_empty() {
            self.learn(run, new).await;
        }
    }

    async fn learn(&self, run: &Arc<Run>, learned: Vec<Learned>) -> Arc<RunValues> {
        let mut values = self.values.lock().await;
        let key = self.key();
        let known = Arc::new(values.add(run, learned, &key));
        let loaded = self.loaded.load_full();
        let now = values.known();
        if now.hashes != loaded.hashes {
            self.load(loaded.setup.clone(), loaded.base.clone(), now).await;
        }
        run.set_known(known.clone());
        known
    }

    /// Looks for these from now on. Thousands of forms take milliseconds to sort, which nobody else should wait for.
    async fn load(&self, setup: Arc<Setup>, base: Detectors, known: Known) {
        let made = tokio::task::spawn_blocking(move || Loaded::new(setup, base, known)).await;
        // A runtime that is shutting down makes nothing any more, and answers nobody either.
        if let Ok(loaded) = made {
            self.loaded.store(Arc::new(loaded));
        }
    }

    /// What a bottle has sent to a host lately.
    pub(crate) fn ring(&self, bottle: &BottleName, host: &str, loaded: &Loaded) -> Arc<Ring> {
        self.rings.of(bottle, host, &loaded.detectors)
    }

    /// Whether this was not told in the last minutes.
    pub(crate) fn is_news(&self, what: &impl Hash) -> bool {
        self.told.entry(self.hasher.hash_one(what)).or_insert(()).is_fresh()
    }

    pub(crate) fn key(&self) -> HashKey {
        self.loaded.load().setup.policy.key.clone()
    }
}

impl Loaded {
    fn new(setup: Arc<Setup>, base: Detectors, runs: Known) -> Self {
        let mut known = setup.policy.known.clone();
        let canaries = known.iter().any(|value| value.kind == hudson_dlp::KnownKind::Canary);
        known.extend(runs.values);
        let detectors = base.with_known(known);
        Self {
            with_entropy: Arc::new(detectors.with_entropy(true)),
            detectors: Arc::new(detectors),
            hashes: runs.hashes,
            canaries,
            setup,
            base,
        }
    }
}

impl std::fmt::Debug for Dlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dlp").finish_non_exhaustive()
    }
}
