//! The values of runs that must not leave: what their routes put on, and variables of their bottles.
//!
//! Invariant: values live in `SecretString`, and are told apart by their keyed hashes. A credential that changes while a
//! run lives is looked for in its last few forms: the ones before may still be valid.

use super::{HashKey, Run};
use crate::request::credential_parts;
use crate::run::RunPolicy;
use crate::secret;
use hudson_dlp::KnownValue;
use hudson_schema::RunId;
use hudson_schema::config::{Credential, HostPattern, Route, Source};
use secrecy::{ExposeSecret, SecretString};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

/// Forms of one credential that are remembered.
const FORMS: usize = 8;

/// The values of all runs.
#[derive(Default)]
pub(super) struct Values {
    runs: HashMap<RunId, (Weak<Run>, Vec<Learned>)>,
}

/// Values of runs, each once, and their hashes.
#[derive(Default)]
pub(super) struct Known {
    pub(super) values: Vec<KnownValue>,
    pub(super) hashes: HashSet<String>,
}

/// A value that a run has.
#[derive(Clone)]
pub(crate) struct Learned {
    hash: String,
    value: KnownValue,
    /// Where it is put on.
    home: Option<HostPattern>,
}

/// A run's values, as of one policy.
pub(crate) struct RunValues {
    pub(super) policy: Arc<RunPolicy>,
    /// The hash of each value, and where it belongs.
    pub(super) homes: HashSet<(String, Option<HostPattern>)>,
}

impl RunValues {
    /// Whether the value of this hash belongs to a host.
    pub(crate) fn is_home(&self, hash: &str, host: &hudson_schema::config::Host) -> bool {
        let belongs = |(value, home): &(String, Option<HostPattern>)| {
            value == hash && home.as_ref().is_some_and(|home| home.matches(host))
        };
        self.homes.iter().any(belongs)
    }
}

impl Learned {
    fn new(key: &HashKey, value: KnownValue, home: Option<HostPattern>) -> Self {
        Self { hash: key.hash(value.value.expose_secret().as_bytes()), value, home }
    }

    /// What it is known by.
    pub(super) fn home(&self) -> (String, Option<HostPattern>) {
        (self.hash.clone(), self.home.clone())
    }
}

impl Values {
    /// Adds what a run has; what it has then.
    pub(super) fn add(&mut self, run: &Arc<Run>, learned: Vec<Learned>, key: &HashKey) -> RunValues {
        // Runs that have ended are forgotten here: there is no other place that would be sure to know.
        self.runs.retain(|_, (run, _)| run.strong_count() > 0);
        let policy = run.policy();
        let place = self.runs.entry(run.id.clone()).or_insert_with(|| (Arc::downgrade(run), Vec::new()));
        let own = policy.known.iter().map(|value| Learned::new(key, value.clone(), None));
        for value in own.chain(learned) {
            if place.1.iter().any(|known| known.home() == value.home()) {
                continue;
            }
            let of_it = |known: &Learned| known.value.name == value.value.name && known.home == value.home;
            if place.1.iter().filter(|known| of_it(known)).count() >= FORMS
                && let Some(oldest) = place.1.iter().position(of_it)
            {
                place.1.remove(oldest);
            }
            place.1.push(value);
        }
        RunValues { policy, homes: place.1.iter().map(Learned::home).collect() }
    }

    /// Every value, each once.
    pub(super) fn known(&self) -> Known {
        let mut known = Known::default();
        for value in self.runs.values().flat_map(|(_, values)| values) {
            if known.hashes.insert(value.hash.clone()) {
                known.values.push(value.value.clone());
            }
        }
        known
    }
}

/// The credentials of a run's routes, as far as they can be read without an effect: what a command prints is learned when
/// a request needs it.
pub(super) async fn of_run(run: &Run, policy: &RunPolicy, key: &HashKey) -> Vec<Learned> {
    let mut learned = Vec::new();
    for route in &policy.routes.routes {
        for credential in &route.credentials {
            if matches!(credential.source(), Source::Command(_)) {
                continue;
            }
            // One that cannot be read is put on nowhere.
            if let Ok(value) = secret::read(run, credential.source()).await {
                learned.extend(of_credentials(key, [(credential, &value)], &route.host));
            }
        }
        if let Some((source, home)) = proxy_password(route)
            && let Ok(value) = secret::read(run, source).await
        {
            learned.push(Learned::new(key, KnownValue::secret(name(source), value), home));
        }
    }
    learned
}

/// What these credentials are made of, each at home where it is put on.
pub(super) fn of_credentials<'a>(
    key: &HashKey,
    entries: impl IntoIterator<Item = (&'a Credential, &'a SecretString)>,
    home: &HostPattern,
) -> Vec<Learned> {
    let mut learned = Vec::new();
    for (credential, value) in entries {
        for part in credential_parts(credential, value) {
            let known = KnownValue::secret(name(credential.source()), part);
            learned.push(Learned::new(key, known, Some(home.clone())));
        }
    }
    learned
}

/// The password of a corporate proxy, which belongs to no host behind it.
fn proxy_password(route: &Route) -> Option<(&Source, Option<HostPattern>)> {
    let proxy = route.upstream.as_ref()?.proxy.as_ref()?;
    Some((&proxy.credentials.as_ref()?.from, None))
}

/// What a value is called: where it comes from.
fn name(source: &Source) -> String {
    match source {
        Source::Env(name) => name.clone(),
        Source::File(path) => path.display().to_string(),
        Source::Command(argv) => format!("the command {}", argv.first().map_or("", String::as_str)),
    }
}
