//! A launch: what a run is started with, and how its files, flags and presets become what it may do.

use crate::exit::Exit;
use crate::isolate::Isolation;
use crate::place::Place;
use crate::presets::{self, Preset};
use anyhow::{Context, Result};
use hudson_proxy::{LaunchSecret, RunPolicy};
use hudson_schema::budget::BudgetMap;
use hudson_schema::config::{BottleConfig, Routes, Settings, Source, load_bottle, load_routes};
use hudson_schema::home::Home;
use hudson_schema::{AgentName, BottleName, Policy, RunId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;

/// What a run was launched with; kept in the ledger, so that a proxy can serve the run after a restart. No secrets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Launch {
    /// `--parent`.
    pub parent: Option<BottleName>,
    /// The presets added, by variant: `claude` or `claude-login`.
    pub presets: Vec<String>,
    /// `--routes`, absolute.
    pub routes: Option<PathBuf>,
    /// `--budget`.
    pub budget: BudgetMap,
    /// `--on-exhausted`.
    pub on_exhausted: Option<Policy>,
    /// Whether a `hudson run` stands by to act on its process.
    pub supervised: bool,
    /// What holds it back beside its proxy variables.
    pub isolation: Isolation,
    /// Where it is.
    pub place: Place,
}

/// A bottle as a launch finds it.
#[derive(Debug)]
pub struct Resolved {
    /// The bottle's files.
    pub bottle: BottleConfig,
    /// What the run may do, without what the operator has set while Hudson runs.
    pub policy: RunPolicy,
    /// Every file this depends on.
    pub files: Vec<PathBuf>,
}

/// Reads everything that decides what a run may do.
pub fn resolve(
    home: &Home,
    settings: &Settings,
    name: &BottleName,
    agent: Option<&AgentName>,
    run: &RunId,
    launch: &Launch,
) -> Result<Resolved> {
    let bottle = load_bottle(home, name, launch.parent.as_ref())?;
    crate::settings::check_providers(settings, &bottle.own.budget, &format!("the budget of bottle {name}"))?;
    for ancestor in &bottle.ancestors {
        crate::settings::check_providers(
            settings,
            &ancestor.own.budget,
            &format!("the budget of bottle {}", ancestor.name),
        )?;
    }
    let mut files = bottle.files.clone();
    let own = match &launch.routes {
        Some(path) => {
            files.push(path.clone());
            load_routes(path)?
        }
        None => bottle.routes.clone(),
    };
    crate::settings::refuse_unsupported(own.unsupported())?;
    if let Some((line, why)) = crate::settings::hidden_usage(&crate::settings::catalogue(settings), &own) {
        return Err(Exit::usage(format!("the routes of bottle {name}, line {line}: {why}")).into());
    }
    let mut routes = Routes::new(own.log, Vec::new());
    for preset in &launch.presets {
        // Only the routes matter here; where the credentials come from was decided at the launch.
        routes.routes.extend(presets::routes(preset)?.routes);
    }
    routes.routes.extend(own.routes);
    let policy = RunPolicy {
        budgets: settings.scope_budgets(Some((run, &launch.budget)), agent, &bottle),
        precedence: settings.precedence,
        mode: settings.mode,
        on_exhausted: settings.policy(launch.on_exhausted, agent, &bottle),
        cutoff: settings.cutoff,
        min_output: settings.min_output,
        count_tokens: settings.estimate.count_tokens.then_some(settings.estimate.timeout.0),
        weights: settings.weights,
        warn_at: settings.warn_at.clone(),
        budget_header: settings.budget_header,
        clock: settings.clock().context("settings.yml: timezone")?,
        known: crate::dlp::bottle_values(settings, &bottle),
        routes,
    };
    Ok(Resolved { bottle, policy, files })
}

/// The presets of a launch: named, guessed from the command, or from the providers that its budget names.
pub fn choose_presets(
    named: Option<&str>,
    program: Option<&std::ffi::OsStr>,
    budget: &BudgetMap,
) -> Vec<String> {
    match named {
        Some("none") => Vec::new(),
        Some(name) => vec![name.to_owned()],
        None => match program.and_then(|program| presets::guess(program.as_ref())) {
            Some(name) => vec![name.to_owned()],
            None => budget
                .keys()
                .filter(|provider| presets::NAMES.contains(&provider.as_str()))
                .map(ToString::to_string)
                .collect(),
        },
    }
}

/// Loads presets for this process's environment.
pub fn load_presets(names: &[String]) -> Result<Vec<Preset>> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    names.iter().map(|name| presets::load(name, &variable, home.as_deref())).collect()
}

/// What a launch asks for on the command line.
#[derive(Debug, Default)]
pub struct Request {
    /// `--bottle`.
    pub bottle: Option<BottleName>,
    /// `--agent`.
    pub agent: Option<AgentName>,
    /// `--parent`.
    pub parent: Option<BottleName>,
    /// `--provider`.
    pub provider: Option<String>,
    /// `--routes`.
    pub routes: Option<PathBuf>,
    /// `--budget`, once for each time it was given.
    pub budget: Vec<BudgetMap>,
    /// `--on-exhausted`.
    pub on_exhausted: Option<Policy>,
    /// The command, to guess the provider by.
    pub program: Option<OsString>,
    /// Whether a `hudson run` stands by.
    pub supervised: bool,
    /// What holds it back beside its proxy variables.
    pub isolation: Isolation,
}

/// A launch whose every input was found right; nothing was written yet.
pub struct Prepared {
    /// The settings in force.
    pub settings: Settings,
    /// The run's id.
    pub run: RunId,
    /// The bottle.
    pub bottle: BottleName,
    /// The agent.
    pub agent: Option<AgentName>,
    /// What goes into the ledger.
    pub launch: Launch,
    /// The presets, with where their credentials come from.
    pub presets: Vec<Preset>,
    /// The bottle's files and policy.
    pub resolved: Resolved,
}

impl Prepared {
    /// Reads and checks everything that a launch depends on.
    pub fn new(home: &Home, request: Request) -> Result<Self> {
        let settings = crate::settings::read(home)?;
        let budget = merge(request.budget)?;
        crate::settings::check_providers(&settings, &budget, "--budget")?;
        // The bottle's own word comes before the guess: its agent_provider names a preset too.
        let named = request.provider.or_else(|| {
            let bottle = request.bottle.as_ref()?;
            let config = load_bottle(home, bottle, request.parent.as_ref()).ok()?;
            config.agent_provider.map(|provider| provider.template)
        });
        let names = choose_presets(named.as_deref(), request.program.as_deref(), &budget);
        let presets = load_presets(&names)?;
        let bottle = match (request.bottle, names.first()) {
            (Some(bottle), _) => bottle,
            (None, Some(name)) => name.parse().context("naming the bottle by its preset")?,
            (None, None) => "default".parse().context("naming the bottle")?,
        };
        let routes = match request.routes {
            Some(path) => Some(existing(path)?),
            None => None,
        };
        let launch = Launch {
            parent: request.parent,
            presets: presets.iter().map(|preset| preset.variant.to_owned()).collect(),
            routes,
            budget,
            on_exhausted: request.on_exhausted,
            supervised: request.supervised,
            isolation: request.isolation,
            place: Place::default(),
        };
        let run: RunId = uuid::Uuid::now_v7().to_string().parse().context("making a run id")?;
        let resolved = resolve(home, &settings, &bottle, request.agent.as_ref(), &run, &launch)?;
        Ok(Self { settings, run, bottle, agent: request.agent, launch, presets, resolved })
    }

    /// The launch's credentials, by the variable that names them.
    pub fn secrets(&self) -> HashMap<String, LaunchSecret> {
        self.presets.iter().flat_map(|preset| preset.secrets.clone()).collect()
    }

    /// The variables that the presets set for the bottle.
    pub fn environment(&self) -> BTreeMap<String, OsString> {
        let pairs = self.presets.iter().flat_map(|preset| preset.environment.clone());
        pairs.map(|(name, value)| (name, OsString::from(value))).collect()
    }

    /// Variables that must not reach the bottle, by name.
    pub fn secret_names(&self) -> BTreeSet<String> {
        let mut names = self.resolved.policy.routes.env_names();
        names.extend(self.settings.env_names());
        names.extend(
            self.presets.iter().flat_map(|preset| preset.removed.iter().map(|name| (*name).to_owned())),
        );
        names
    }

    /// The secrets that Hudson holds for this launch, as far as they can be read now.
    pub fn secret_values(&self) -> Vec<SecretString> {
        let mut values: Vec<SecretString> = self
            .secret_names()
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .filter(|value| !value.is_empty())
            .map(SecretString::from)
            .collect();
        values.extend(self.presets.iter().flat_map(|preset| preset.secrets.values()).filter_map(current));
        for source in self.resolved.policy.routes.sources() {
            match source {
                // Its value is among the variables above.
                Source::Env(_) => {}
                Source::File(path) => {
                    let text = std::fs::read_to_string(path).unwrap_or_default();
                    values.push(SecretString::from(text.trim().to_owned()));
                }
                // Not known before a request asks for it: running it at the launch would have its effects (a
                // token issued, a person prompted) for nothing, and most give another value each time.
                Source::Command(_) => {}
            }
        }
        values
    }
}

/// What a launch's secret is at this moment, if it can be read.
fn current(secret: &LaunchSecret) -> Option<SecretString> {
    match secret {
        LaunchSecret::Value(value) => Some(value.clone()),
        LaunchSecret::JsonFile { path, keys } => {
            let root: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            let member = keys.iter().try_fold(&root, |value, key| value.get(key))?.as_str()?;
            Some(SecretString::from(member.trim().to_owned()))
        }
    }
}

/// `--budget a=1 --budget b=2` is `--budget a=1,b=2`.
pub fn merge(budgets: Vec<BudgetMap>) -> Result<BudgetMap> {
    let mut merged = BudgetMap::new();
    for (provider, amount) in budgets.into_iter().flatten() {
        if merged.insert(provider.clone(), amount).is_some() {
            return Err(Exit::usage(format!("the budget gives {provider} twice")).into());
        }
    }
    Ok(merged)
}

/// A routes file that is named has to be there; only a bottle's own may be missing.
fn existing(path: PathBuf) -> Result<PathBuf> {
    match path.is_file() {
        true => Ok(std::path::absolute(&path)?),
        false => Err(Exit::usage(format!("--routes: there is no file {}", path.display())).into()),
    }
}
