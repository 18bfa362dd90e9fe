//! `hudson bottle add`: an identity for a bottle that is started elsewhere, served by the running `hudson up`.
//!
//! Invariant: the proxy URL, which is the bottle's secret, is printed once and stored nowhere.

use super::super::output;
use super::Context;
use crate::cli::BottleAddArgs;
use crate::container::{Engine, Tied};
use crate::control::{self, Identity};
use crate::exit::{self, Exit};
use crate::isolate::Isolation;
use crate::launch::{Prepared, Request};
use crate::{environment, network, register};
use anyhow::{Result, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Registers a run and prints what its environment needs.
pub(super) async fn execute(context: &Context, arguments: BottleAddArgs) -> Result<u8> {
    let home = &context.home;
    let request = Request {
        bottle: Some(arguments.name),
        agent: arguments.agent,
        parent: arguments.parent,
        provider: arguments.provider,
        routes: None,
        budget: arguments.budget,
        on_exhausted: arguments.on_exhausted,
        program: None,
        supervised: false,
        isolation: Isolation::Unenforced,
    };
    let mut prepared = Prepared::new(home, request)?;
    refuse_private_home(&prepared)?;
    let variable = |name: &str| std::env::var(name).ok();
    let own = environment::expanded(&prepared.resolved.bottle.env, &variable, &prepared.secret_values())
        .map_err(|error| Exit::usage(format!("bottle {}: {error}", prepared.bottle)))?;
    let tied = match &arguments.container {
        Some(asked) => Some(Tied::find(&Engine::find().await?, home, asked).await?),
        None => None,
    };
    if let Some(tied) = &tied {
        prepared.launch.place = tied.place.clone();
        prepared.launch.isolation = isolation(tied);
    }
    // Asked before anything is recorded: a run that nobody serves would stay on the books.
    let up = control::status(home).await?.filter(Identity::serves).ok_or_else(|| Exit {
        code: exit::FAILED,
        message: format!(
            "no `hudson up` serves {}, so nothing would answer at the bottle's proxy URL; start it first",
            home.path().display()
        ),
    })?;
    let listen = arguments.listen.as_ref();
    let shared = match listen.and_then(|listen| listen.address().tcp()) {
        Some(_) => None,
        None => Some(network::first_tcp(&up.addresses)?),
    };
    let ledger = crate::settings::ledger(home, &prepared.settings)?;
    let registered = register::register(&ledger, &prepared).await?;
    let run = &registered.record.id;
    let served = control::hand_over(home, run, &prepared.secrets(), listen).await;
    let answer = match served {
        Ok(answer) => answer,
        Err(error) => {
            ledger.run_finish(run, crate::instance::now(), None).await?;
            return Err(error);
        }
    };
    let url = match (shared, &answer.own_address) {
        // Who connects there is the run, so that the URL needs no credentials and clients without them can use it.
        (None, Some(address)) => SecretString::from(format!("http://{address}")),
        (None, None) => {
            bail!("hudson up (process {}) did not say where it listens for the bottle", answer.pid)
        }
        (Some(address), _) => registered.proxy_url(address),
    };
    let mut environment = own;
    environment.extend(prepared.environment());
    // What makes the traffic go through the proxy has the last word.
    environment.extend(environment::variables(&url, &home.ca_bundle()));
    let environment: BTreeMap<String, String> =
        environment.into_iter().map(|(name, value)| (name, lossy(&value))).collect();
    if context.json {
        output::json(&json!({
            "bottle": prepared.bottle,
            "run": run,
            "proxy_url": url.expose_secret(),
            "listen": answer.own_address,
            "ca_file": home.ca_bundle(),
            "environment": environment,
            "container": tied.as_ref().map(|tied| json!({
                "id": tied.id,
                "name": tied.name,
                "isolation": isolation(tied),
            })),
        }))?;
    } else {
        output::text(&exports(&environment))?;
    }
    if let Some(Tied { name, is_closed: false, .. }) = tied {
        eprintln!(
            "hudson: container {name} is unenforced: it reaches what its networks let it; `hudson run --container` makes \
             one that reaches the proxy alone"
        );
    }
    Ok(exit::OK)
}

fn isolation(tied: &Tied) -> Isolation {
    match tied.is_closed {
        true => Isolation::Isolated,
        false => Isolation::Unenforced,
    }
}

/// The private home of a Codex login is this process's, and ends with it; the bottle would find none.
fn refuse_private_home(prepared: &Prepared) -> Result<(), Exit> {
    match prepared.presets.iter().find(|preset| preset.codex_home.is_some()) {
        Some(preset) => Err(Exit::usage(format!(
            "the preset codex has a login only ({}), which serves `hudson run` alone, as it needs a private CODEX_HOME \
             that ends with the command; set OPENAI_API_KEY for this command and for `hudson up` instead",
            preset.found
        ))),
        None => Ok(()),
    }
}

fn lossy(value: &std::ffi::OsStr) -> String {
    value.to_string_lossy().into_owned()
}

/// Lines that a POSIX shell evaluates.
fn exports(environment: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for (name, value) in environment {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "export {name}='{}'", value.replace('\'', r"'\''"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let environment =
            BTreeMap::from([("A".to_owned(), "it's $HOME `x`".to_owned()), ("B".to_owned(), String::new())]);
        assert_eq!(exports(&environment), "export A='it'\\''s $HOME `x`'\nexport B=''\n");
    }
}
