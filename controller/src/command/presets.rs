//! `hudson presets`: what `--provider` adds, as routes to copy.

use super::Context;
use super::output;
use crate::cli::PresetsCommand;
use crate::exit::{self, Exit};
use crate::presets;
use anyhow::Result;
use hudson_schema::config::{Route, Source};
use serde_json::{Value, json};

/// Lists the presets or prints one.
pub(super) fn execute(context: &Context, command: PresetsCommand) -> Result<u8> {
    match command {
        PresetsCommand::List => list(context),
        PresetsCommand::Show { name } => show(context, &name),
    }
}

fn list(context: &Context) -> Result<u8> {
    let mut rows = Vec::new();
    for name in presets::NAMES {
        let routes = presets::routes(name)?.routes;
        let hosts: Vec<String> = routes.iter().map(|route| route.host.to_string()).collect();
        rows.push((name, hosts, routes.iter().flat_map(variables).collect::<Vec<_>>()));
    }
    if context.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(name, hosts, variables)| json!({"name": name, "hosts": hosts, "variables": variables}))
            .collect();
        output::json(&rows)?;
    } else {
        let rows = rows.into_iter().map(|(name, hosts, variables)| {
            vec![name.into(), hosts.join(", ").into(), variables.join(", ").into()]
        });
        output::table(&["NAME", "HOSTS", "CREDENTIAL"], rows.collect())?;
    }
    Ok(exit::OK)
}

fn show(context: &Context, name: &str) -> Result<u8> {
    let yaml = presets::yaml(name).map_err(|error| Exit::not_found(error.to_string()))?;
    match context.json {
        true => output::json(&json!({"name": name, "yaml": yaml}))?,
        false => output::text(&yaml)?,
    }
    Ok(exit::OK)
}

/// The variables that a route's credentials are named by.
fn variables(route: &Route) -> Vec<String> {
    let named = route.credentials.iter().filter_map(|credential| match credential.source() {
        Source::Env(name) => Some(name.clone()),
        Source::File(_) | Source::Command(_) => None,
    });
    named.collect()
}
