//! What must not leave, from the operator's files to what a proxy takes: rules, known values, findings that were looked
//! at, and the key of the hashes.
//!
//! Invariant: no error, notice or debug output holds a value; nothing is written but the key, and that only once.

mod ids;
mod rules;
mod seen;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use ids::wordless;
pub(crate) use rules::read as read_rules;
pub use seen::{InForce, Seen, Summary};

use crate::environment;
use crate::events::EventLog;
use crate::key;
use anyhow::Result;
use hudson_dlp::{Detectors, HashKey, KnownKind, KnownValue, Policy, Profile, RuleSet};
use hudson_proxy::dlp::{Setup, Suppressed, SuppressedFinding};
use hudson_schema::config::{
    BottleConfig, ConfigError, DlpProfile, Problem, Settings, Suppression, Trail, settings_problem,
};
use hudson_schema::home::Home;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the files say, and what the operator has to know of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What a proxy takes.
    pub setup: Setup,
    /// Values that are not looked for, rules that were left out or have another name here, suppressions that have ended:
    /// a line each, without a value.
    pub notices: Vec<String>,
    /// Of these, values that are not looked for.
    pub not_looked_for: Vec<String>,
}

/// What a proxy of this home takes. Who has an operator to tell takes [`load`], and tells the notices.
pub fn setup(home: &Home, settings: &Settings) -> Result<Setup> {
    Ok(load(home, settings)?.setup)
}

/// The same with what the operator has to know. The key of the hashes is made where there is none.
pub fn load(home: &Home, settings: &Settings) -> Result<Loaded> {
    read(home, settings, std::env::vars_os(), key::hash_key(home)?, Vec::new())
}

/// Tells what the operator has to know of it.
pub fn tell(events: &EventLog, notices: &[String]) {
    for notice in notices {
        events.write("dlp_notice", json!({"notice": notice}));
    }
}

/// The same without writing anything, for commands that only look. Where there is no key yet the hashes are of a key
/// that nobody keeps. What is wrong with files is one [`ConfigError`] of all of them.
pub fn look(home: &Home, settings: &Settings) -> Result<Loaded> {
    let mut problems = Vec::new();
    let key = match note(&mut problems, key::existing_hash_key(home)).flatten() {
        Some(key) => key,
        None => key::random_hash_key()?,
    };
    read(home, settings, std::env::vars_os(), key, problems)
}

/// Whether the hashes of this home are those of a key that is kept.
pub fn has_key(home: &Home) -> bool {
    home.dlp_key().exists()
}

/// The values of a bottle's own environment that must not leave: those whose names begin as the settings say. What the
/// launch would refuse is left out, for then there is no bottle that could send it.
pub fn bottle_values(settings: &Settings, bottle: &BottleConfig) -> Vec<KnownValue> {
    let variable = |name: &str| std::env::var(name).ok();
    let prefixes = values::prefixes(settings, std::env::var(values::PREFIXES).ok().as_deref());
    bottle_values_of(&prefixes, &bottle.env, &variable)
}

/// The files that this depends on, there or not.
pub fn files(home: &Home, settings: &Settings) -> Vec<PathBuf> {
    let dlp = &settings.dlp;
    let named = [&dlp.rules_file, &dlp.secrets_file, &dlp.canary_file].into_iter().flatten();
    named.map(|path| beside(home, path)).chain([home.dlp_key()]).collect()
}

fn bottle_values_of(
    prefixes: &[String],
    written: &BTreeMap<String, String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Vec<KnownValue> {
    let named = written.iter().filter(|(name, _)| values::begins(name, prefixes));
    let expanded = named.filter_map(|(name, text)| {
        let one = BTreeMap::from([(name.clone(), text.clone())]);
        environment::expanded(&one, variable, &[]).ok()
    });
    let texts = expanded.flatten().filter_map(|(name, value)| Some((name, value.into_string().ok()?)));
    texts.map(|(name, value)| KnownValue::secret(name, value.into())).collect()
}

/// Everything but the key. One bad file hides no other.
fn read(
    home: &Home,
    settings: &Settings,
    environment: impl Iterator<Item = (OsString, OsString)>,
    key: HashKey,
    mut problems: Vec<Problem>,
) -> Result<Loaded> {
    let dlp = &settings.dlp;
    let mut notices = Vec::new();
    let mut rules = RuleSet::builtin()?;
    let merged =
        dlp.rules_file.as_ref().map(|path| rules::merge(&mut rules, &beside(home, path), &mut notices));
    // Without the rules of a file nobody knows which ids there are.
    if note(&mut problems, merged.unwrap_or(Ok(()))).is_some() {
        problems.extend(unknown_ids(home, settings, &rules));
    }
    let mut not_looked_for = Vec::new();
    let known = known(home, settings, environment, &mut not_looked_for, &mut problems);
    not_looked_for.extend(unused(&known, &key)?);
    let suppressions =
        note(&mut problems, dlp.suppressions.iter().map(|one| suppressed(one, home)).collect());
    let suppressions = suppressions.unwrap_or_default();
    ConfigError::check(problems)?;
    notices.extend(not_looked_for.iter().cloned());
    notices.extend(ended(&dlp.suppressions, &home.settings().display().to_string()));
    let mut profiles = BTreeSet::from([Profile::TokenPatterns, Profile::Financial]);
    profiles.extend(dlp.profiles.iter().map(|profile| match profile {
        DlpProfile::Pii => Profile::Pii,
        DlpProfile::Crypto => Profile::Crypto,
    }));
    let policy = Policy { rules, profiles, known, strict_examples: dlp.strict_examples, key };
    let setup = Setup {
        policy,
        suppressions,
        thresholds: dlp.thresholds.clone(),
        on_canary: dlp.on_canary,
        on_unscannable: dlp.on_unscannable,
        buffer_limit: usize::try_from(dlp.buffer_limit.get()).unwrap_or(usize::MAX),
    };
    Ok(Loaded { setup, notices, not_looked_for })
}

/// What was read; what is wrong is put beside the rest of that.
fn note<T>(problems: &mut Vec<Problem>, read: Result<T, ConfigError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            problems.extend_from_slice(error.problems());
            None
        }
    }
}

/// Ids in the settings that no rule has, each where it stands.
fn unknown_ids(home: &Home, settings: &Settings, rules: &RuleSet) -> Vec<Problem> {
    let (dlp, top) = (&settings.dlp, Trail::default().key("dlp"));
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    let thresholds = dlp.thresholds.keys().map(|id| (id, top.key("thresholds").key(id), "thresholds"));
    let suppressions = dlp.suppressions.iter().enumerate().filter_map(|(index, suppression)| {
        let place = top.key("suppressions").index(index).key("rule");
        Some((suppression.rule.as_ref()?, place, "suppressions"))
    });
    let wrong = |(id, place, key): (&String, Trail, &str)| {
        let message = ids::check(id, &ids).err()?;
        Some(settings_problem(&home.settings(), &place, format!("dlp.{key}: {message}")))
    };
    thresholds.chain(suppressions).filter_map(wrong).collect()
}

/// The values of the files and of Hudson's own environment.
fn known(
    home: &Home,
    settings: &Settings,
    environment: impl Iterator<Item = (OsString, OsString)>,
    notices: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> Vec<KnownValue> {
    let dlp = &settings.dlp;
    let mut known = Vec::new();
    for (key, path, kind) in [
        ("secrets_file", &dlp.secrets_file, KnownKind::Secret),
        ("canary_file", &dlp.canary_file, KnownKind::Canary),
    ] {
        let Some(path) = path else { continue };
        for (name, value) in note(problems, values::read(key, &beside(home, path))).unwrap_or_default() {
            known.push(match kind {
                KnownKind::Secret => KnownValue::secret(name, value),
                KnownKind::Canary => KnownValue::canary(name, value),
            });
        }
    }
    known.extend(values::of_environment(settings, environment, notices));
    known
}

/// Known values that cannot be told from ordinary text.
fn unused(known: &[KnownValue], key: &HashKey) -> Result<Vec<String>> {
    let policy = Policy {
        rules: RuleSet::default(),
        profiles: BTreeSet::new(),
        known: known.to_vec(),
        strict_examples: false,
        key: key.clone(),
    };
    Ok(Detectors::new(policy)?.unused().iter().map(ToString::to_string).collect())
}

fn suppressed(suppression: &Suppression, home: &Home) -> Result<Suppressed, ConfigError> {
    let wrong = |what: &str| {
        let problem = Problem::in_file(&home.settings(), 0, format!("dlp.suppressions: {what}"));
        ConfigError::one(problem)
    };
    let what = match suppression {
        Suppression { finding: Some(hash), .. } => SuppressedFinding::Hash(hash.clone()),
        Suppression { rule: Some(rule), host: Some(host), location, .. } => {
            SuppressedFinding::Place { rule: rule.clone(), host: host.clone(), location: location.clone() }
        }
        _ => return Err(wrong("a suppression has either finding, or rule and host")),
    };
    let ends = suppression.ends().ok_or_else(|| wrong("expires: expected a date such as 2027-01-31"))?;
    Ok(Suppressed { what, reason: suppression.reason.clone(), ends })
}

/// Suppressions that do nothing any more.
fn ended(suppressions: &[Suppression], place: &str) -> Vec<String> {
    let now = crate::instance::now();
    let over = suppressions.iter().filter(|suppression| suppression.ends().is_some_and(|ends| ends <= now));
    let line = |suppression: &Suppression| {
        let of = suppression.finding.as_ref().or(suppression.rule.as_ref()).map_or("", |what| what.as_str());
        format!(
            "{place}: dlp.suppressions: that of {of} has ended with {}; look at it again or remove it",
            suppression.expires
        )
    };
    over.map(line).collect()
}

/// Where a path of the settings is.
fn beside(home: &Home, path: &Path) -> PathBuf {
    home.path().join(path)
}
