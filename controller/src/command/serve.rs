//! `hudson up` and `hudson proxy`: serving until told to stop. A first signal lets what is in flight finish for a while;
//! a second one ends it. Either way usage is settled.

use super::Context;
use crate::cli::ServeArgs;
use crate::control::{self, Place};
use crate::events::EventLog;
use crate::exit::{self, Exit};
use crate::instance::{self, Instance, Options};
use crate::{enforce, limits, network, sidecar};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Serves every bottle of this host, and the control socket by which they are added.
pub async fn up(context: &Context, arguments: ServeArgs) -> Result<u8> {
    let settings = crate::settings::read(&context.home)?;
    instance::make_home(&context.home)?;
    let place = Place::take(&context.home)?.ok_or_else(|| {
        Exit::conflict(format!("another `hudson up` serves {}; stop it first", context.home.path().display()))
    })?;
    let instance = start(context, &arguments, settings).await?;
    let listener = control::listen(&context.home, &place)?;
    tokio::spawn(control::serve(listener, instance.clone()));
    tokio::spawn(enforce::control(instance.ledger.clone(), instance.runs.clone(), instance.events.clone()));
    until_told(&instance, &arguments).await?;
    let _ = std::fs::remove_file(context.home.control_socket());
    Ok(exit::OK)
}

/// Serves one bottle as a sidecar: `EGRESS_ROUTES` names its routes, the ledger is shared.
pub async fn proxy(context: &Context, arguments: ServeArgs) -> Result<u8> {
    let settings = crate::settings::read(&context.home)?;
    let sidecar = sidecar::from_environment()?;
    instance::make_home(&context.home)?;
    let instance = start(context, &arguments, settings).await?;
    if let Some(sidecar) = sidecar {
        sidecar.serve(&instance).await?;
    }
    until_told(&instance, &arguments).await?;
    Ok(exit::OK)
}

async fn start(
    context: &Context,
    arguments: &ServeArgs,
    settings: hudson_schema::config::Settings,
) -> Result<Arc<Instance>> {
    limits::raise_open_files();
    let listen = match arguments.listen.is_empty() {
        true => settings.proxy.listen.clone(),
        false => arguments.listen.clone(),
    };
    let options = Options { listen, network: &arguments.network, closed: false };
    let events = EventLog::to_stderr().context("starting the event log")?;
    Ok(Arc::new(Instance::start(context.home.clone(), settings, events, options).await?))
}

async fn until_told(instance: &Instance, arguments: &ServeArgs) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for signals")?;
    if let Some(path) = &arguments.network.ready_file {
        let ready = json!({"addresses": instance.addresses, "ca_file": instance.home.ca_bundle(), "pid": std::process::id()});
        network::write_ready(path, &ready)?;
    }
    instance.events.write("listening", json!({"addresses": instance.addresses}));
    let mut told = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    told().await;
    let grace = instance.runs.settings().proxy.shutdown_grace.0;
    instance.events.write("stopping", json!({"grace_seconds": grace.as_secs_f64()}));
    tokio::select! {
        () = instance.stop(grace) => {}
        () = told() => instance.stop(Duration::ZERO).await,
    }
    Ok(())
}
