//! `hudson up`, `hudson controller` and `hudson proxy`: serving until told to stop. A first signal lets what is in flight
//! finish for a while; a second one ends it. Either way usage is settled.

mod api;
mod stream;
mod watch;

use super::Context;
use crate::approvals::desk::Desk;
use crate::approvals::keep;
use crate::cli::{ControllerArgs, PlaceArgs, ProxyArgs, ServeArgs, UpArgs};
use crate::confirm::{Addresses, Doors, Listening};
use crate::control::{self, Place};
use crate::controller::Controller;
use crate::events::EventLog;
use crate::exit::{self, Exit};
use crate::instance::{self, Instance, Options};
use crate::process::Process;
use crate::runs::{Manner, Runs};
use crate::{limits, network, notify, sidecar};
use anyhow::{Context as _, Result};
use api::Api;
use hudson_schema::config::{ListenSetting, RateLimit, Settings};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// Serves every bottle of this host, and the control socket by which they are added.
pub async fn up(context: &Context, arguments: UpArgs) -> Result<u8> {
    let mut signals = Signals::new()?;
    let Some(place) = take_place(context, &arguments.place, &mut signals).await? else { return Ok(exit::OK) };
    let settings = crate::settings::read(&context.home)?;
    notify::channels(&settings)?;
    let wanted = Doors::read(&settings)?;
    let process = process(context, &settings).await?;
    wanted.keep_from(&process.own);
    let instance = Arc::new(start(&process, &arguments.serve, &settings, true, wanted.rate).await?);
    let network = &arguments.serve.network;
    let controller = Arc::new(Controller::start(&process, settings.clone(), network, &place).await?);
    instance.keep_current_with(&controller.runs)?;
    let metrics = arguments.metrics.metrics.unwrap_or(settings.control.metrics);
    let desk = instance.desk.clone();
    let listening = serve_approvals(&process, &desk, controller.runs.clone(), &wanted).await?;
    let (instance, controller) = (Some(instance), Some(controller));
    let parts = Parts { process, instance, controller, metrics, listening: Some(listening) };
    parts.serve("up", &settings, Some(&place), network.ready_file.as_deref(), &mut signals).await
}

/// Acts on budgets and orders for every bottle of this host, whoever serves it.
pub async fn controller(context: &Context, arguments: ControllerArgs) -> Result<u8> {
    let mut signals = Signals::new()?;
    let Some(place) = take_place(context, &arguments.place, &mut signals).await? else { return Ok(exit::OK) };
    let settings = crate::settings::read(&context.home)?;
    let wanted = Doors::read(&settings)?;
    let process = process(context, &settings).await?;
    let controller = Controller::start(&process, settings.clone(), &arguments.network, &place).await?;
    controller.keep_current()?;
    let desk = controller.desk(&arguments.network, wanted.rate)?;
    let listening = serve_approvals(&process, &desk, controller.runs.clone(), &wanted).await?;
    let metrics = arguments.metrics.metrics.unwrap_or(settings.control.metrics);
    let controller = Some(Arc::new(controller));
    let parts = Parts { process, instance: None, controller, metrics, listening: Some(listening) };
    let ready_file = arguments.network.ready_file.as_deref();
    parts.serve("controller", &settings, Some(&place), ready_file, &mut signals).await
}

/// Serves one bottle as a sidecar: `EGRESS_ROUTES` names its routes, the ledger is shared.
pub async fn proxy(context: &Context, arguments: ProxyArgs) -> Result<u8> {
    let mut signals = Signals::new()?;
    let settings = crate::settings::read(&context.home)?;
    let sidecar = sidecar::from_environment()?;
    instance::make_home(&context.home)?;
    let wanted = Doors::read(&settings)?;
    let process = process(context, &settings).await?;
    // It does not listen there; a controller beside it does.
    wanted.keep_from(&process.own);
    let instance = Arc::new(start(&process, &arguments.serve, &settings, false, wanted.rate).await?);
    instance.keep_current()?;
    tokio::spawn(keep::run(process.ledger.clone(), instance.runs.clone(), process.events.clone()));
    if let Some(sidecar) = sidecar {
        sidecar.serve(&instance).await?;
    }
    let metrics = arguments.metrics;
    let parts = Parts { process, instance: Some(instance), controller: None, metrics, listening: None };
    let ready_file = arguments.serve.network.ready_file.as_deref();
    parts.serve("proxy", &settings, None, ready_file, &mut signals).await
}

/// The place of the one controller; `None` when told to stop while waiting for it.
async fn take_place(
    context: &Context,
    arguments: &PlaceArgs,
    signals: &mut Signals,
) -> Result<Option<Place>> {
    // What is wrong is said now, not when the other one has ended.
    crate::settings::read(&context.home)?;
    instance::make_home(&context.home)?;
    if let Some(place) = Place::take(&context.home)? {
        return Ok(Some(place));
    }
    if !arguments.standby {
        return Err(Exit::conflict(format!(
            "another `hudson up` or `hudson controller` serves {}; stop it first, or wait for its end with --standby",
            context.home.path().display()
        ))
        .into());
    }
    eprintln!("hudson: standing by: another controller serves {}", context.home.path().display());
    tokio::select! {
        place = Place::wait(&context.home) => place.map(Some),
        () = signals.told() => Ok(None),
    }
}

async fn process(context: &Context, settings: &Settings) -> Result<Process> {
    limits::raise_open_files();
    let events = EventLog::to_stderr().context("starting the event log")?;
    Process::start(context.home.clone(), settings, events).await
}

async fn start(
    process: &Process,
    arguments: &ServeArgs,
    settings: &Settings,
    notifies: bool,
    rate: Option<RateLimit>,
) -> Result<Instance> {
    let listen = match arguments.listen.is_empty() {
        true => settings.proxy.listen.clone(),
        false => arguments.listen.clone(),
    };
    let manner = Manner { notifies, ..Manner::default() };
    let options = Options { listen, network: &arguments.network, manner, rate };
    Instance::start(process, settings.clone(), options).await
}

/// Has bottles ask people, and people decide, over HTTP; and keeps what they asked going.
async fn serve_approvals(
    process: &Process,
    desk: &Arc<Desk>,
    known: Arc<Runs>,
    wanted: &Doors,
) -> Result<Listening> {
    desk.refuse_faults()?;
    let listening = wanted.listen(desk, process, false).await?;
    tokio::spawn(keep::run(process.ledger.clone(), known, process.events.clone()));
    Ok(listening)
}

/// What a process serves.
struct Parts {
    process: Process,
    instance: Option<Arc<Instance>>,
    controller: Option<Arc<Controller>>,
    metrics: ListenSetting,
    /// Where approvals are, for as long as this is.
    listening: Option<Listening>,
}

impl Parts {
    /// Opens what it is asked and watched by, says that it is ready, and goes on until it is told to stop.
    async fn serve(
        self,
        role: &'static str,
        settings: &Settings,
        place: Option<&Place>,
        ready_file: Option<&Path>,
        signals: &mut Signals,
    ) -> Result<u8> {
        let Self { process, instance, controller, metrics, listening } = self;
        let approvals = listening.as_ref().map(|listening| listening.addresses).unwrap_or_default();
        let watch = Watch::new(role, &process, instance.clone(), controller.clone());
        let metrics = match metrics {
            ListenSetting::Off => None,
            ListenSetting::On(address) => Some(watch.listen(address, settings).await?),
        };
        let callbacks = match &controller {
            Some(controller) => controller.listen(settings).await?,
            None => None,
        };
        let end = CancellationToken::new();
        if let Some(place) = place {
            let listener = control::listen(&process.home, place)?;
            let listens = Listens { metrics, approvals };
            let api = Api::new(role, process.clone(), instance.clone(), watch, listens, end.clone());
            tokio::spawn(control::serve(listener, Arc::new(api), process.events.clone(), end.clone()));
        }
        let addresses = instance.as_ref().map(|instance| instance.addresses.clone()).unwrap_or_default();
        if let Some(path) = ready_file {
            let ready = json!({
                "addresses": addresses,
                "ca_file": process.home.ca_bundle(),
                "metrics": metrics,
                "confirm": approvals.confirm,
                "admin": approvals.admin,
                "callbacks": callbacks,
                "pid": std::process::id(),
            });
            network::write_ready(path, &ready)?;
        }
        process.events.write(
            "listening",
            json!({
                "addresses": addresses,
                "metrics": metrics,
                "confirm": approvals.confirm,
                "admin": approvals.admin,
                "callbacks": callbacks,
            }),
        );
        signals.told().await;
        let settings = match (&controller, &instance) {
            (Some(controller), _) => controller.runs.settings(),
            (None, Some(instance)) => instance.runs.settings(),
            (None, None) => Arc::new(settings.clone()),
        };
        let grace = settings.proxy.shutdown_grace.0;
        process.events.write("stopping", json!({"grace_seconds": grace.as_secs_f64()}));
        let stop = async |grace: Duration| {
            if let Some(instance) = &instance {
                instance.stop(grace).await;
            }
            if let Some(controller) = &controller {
                controller.stop(grace).await;
            }
            process.flush().await;
        };
        tokio::select! {
            () = stop(grace) => {}
            () = signals.told() => stop(Duration::ZERO).await,
        }
        end.cancel();
        if place.is_some() {
            let _ = std::fs::remove_file(process.home.control_socket());
        }
        Ok(exit::OK)
    }
}

/// Where a process is watched and asked, beside its proxy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listens {
    /// Metrics.
    pub(super) metrics: Option<SocketAddr>,
    /// Approvals.
    pub(super) approvals: Addresses,
}

/// The signals that tell a process to stop, taken from the beginning on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("waiting for signals")?,
            terminate: signal(SignalKind::terminate()).context("waiting for signals")?,
        })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
