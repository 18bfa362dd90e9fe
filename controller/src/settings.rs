//! settings.yml as this version may use it: read, refused where it asks for what is not enforced, and checked for
//! providers that do not exist.

use crate::exit::Exit;
use anyhow::Result;
use hudson_meter::{Catalogue, Model};
use hudson_proxy::policy::judge;
use hudson_schema::Provider;
use hudson_schema::budget::BudgetMap;
use hudson_schema::config::{
    Authority, ConfigError, LedgerSetting, ModelPattern, ModelSettings, Problem, Routes, Settings,
    Synchronous, load_settings,
};
use hudson_schema::home::Home;
use hudson_schema::ledger::SharedLedger;
use hudson_schema::ledger::sqlite::SqliteLedger;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

/// settings.yml, refused when it asks for what this version does not enforce.
pub fn read(home: &Home) -> Result<Settings> {
    let settings = load_settings(&home.settings())?;
    refuse_unsupported(settings.unsupported())?;
    let place = home.settings().display().to_string();
    // Models of a provider without hosts of its own are those of one that is built in.
    let hostless = settings.providers.iter().filter(|(_, provider)| provider.hosts.is_empty());
    check_known(&Catalogue::builtin(), hostless.map(|(name, _)| name), &format!("{place}: providers"))?;
    check_providers(&settings, &settings.budget, &format!("{place}: budget"))?;
    for (name, scope) in &settings.agents {
        check_providers(&settings, &scope.budget, &format!("{place}: agents.{name}.budget"))?;
    }
    for (name, scope) in &settings.bottles {
        check_providers(&settings, &scope.budget, &format!("{place}: bottles.{name}.budget"))?;
    }
    Ok(settings)
}

/// Opens the ledger for writing as the settings want it.
pub fn ledger(home: &Home, settings: &Settings) -> Result<SharedLedger> {
    let (path, owners) = (home.ledger(), home.owners());
    Ok(Arc::new(match settings.ledger {
        LedgerSetting::Sqlite { synchronous: Synchronous::Full } => {
            SqliteLedger::open_synchronous(&path, &owners)?
        }
        // Any other was refused when the settings were read.
        _ => SqliteLedger::open(&path, &owners)?,
    }))
}

/// The built-in providers and the operator's own.
pub fn catalogue(settings: &Settings) -> Catalogue {
    settings.providers.iter().fold(Catalogue::builtin(), |catalogue, (name, provider)| {
        let hosts = provider.hosts.iter().map(ToString::to_string).collect();
        let catalogue = match provider.format {
            Some(format) => catalogue.with_provider(name.clone(), hosts, format),
            None => catalogue,
        };
        catalogue.with_models(name.clone(), provider.models.iter().map(model).collect())
    })
}

fn model((pattern, settings): (&ModelPattern, &ModelSettings)) -> Model {
    Model {
        pattern: pattern.to_string(),
        output_maximum: settings.max_output.map(NonZeroU64::get),
        output_field: settings.output_field,
        input_maximum: settings.max_input.map(NonZeroU64::get),
    }
}

/// A key whose enforcement does not exist must not be taken for one that protects.
pub fn refuse_unsupported(problems: Vec<Problem>) -> Result<(), ConfigError> {
    ConfigError::check(problems)
}

/// A metered host behind an opaque tunnel, whose usage nobody would count: the route's line, and why. What a wildcard
/// names is found by the proxy, when a tunnel is opened.
pub fn hidden_usage(catalogue: &Catalogue, routes: &Routes) -> Option<(usize, String)> {
    routes.routes.iter().filter(|route| !route.intercept).find_map(|route| {
        let authority = Authority::parse_or(&route.host.to_string(), route.port).ok()?;
        judge::opaque(catalogue, &authority).err().map(|refusal| (route.line, refusal.message))
    })
}

/// A budget for a provider that no host belongs to would never be asked: most likely a slip of the pen.
pub fn check_providers(settings: &Settings, budget: &BudgetMap, place: &str) -> Result<()> {
    check_known(&catalogue(settings), budget.keys(), place)
}

/// Each of these has a host in this catalogue.
fn check_known<'a>(
    catalogue: &Catalogue,
    mut providers: impl Iterator<Item = &'a Provider>,
    place: &str,
) -> Result<()> {
    let known: BTreeSet<&str> =
        catalogue.providers().iter().map(|name| name.as_str()).chain([Provider::ANY]).collect();
    match providers.find(|provider| !known.contains(provider.as_str())) {
        Some(provider) => {
            let known: Vec<&str> = known.into_iter().collect();
            let known = known.join(", ");
            Err(Exit::usage(format!("{place}: there is no provider {provider}; expected one of {known}"))
                .into())
        }
        None => Ok(()),
    }
}
