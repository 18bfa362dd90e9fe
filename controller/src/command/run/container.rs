//! `hudson run --container`: what is checked before anything is made, what is made, and that it goes again.

use super::{Door, Ended};
use crate::cli::{IsolationMode, RunArgs};
use crate::command::Context;
use crate::container::{self, Bottle, Engine, Forbidden, Names, Network, Session, Signals, Wish, firewall};
use crate::enforce::{ContainerBackEnd, Enforcer};
use crate::environment;
use crate::exit::{self, Exit};
use crate::launch::Prepared;
use crate::place::Place;
use crate::register::Registered;
use crate::supervise::{self, CurrentPolicy, Told};
use anyhow::{Context as _, Result};
use bollard::models::{ImageInspect, Mount};
use hudson_schema::RunId;
use hudson_schema::home::Home;
use hudson_schema::ledger::{Action, Enforcement, EnforcementState, SharedLedger};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the network is still closed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A container that a run is started in.
pub(super) struct Contained {
    engine: Engine,
    names: Names,
    image: ImageInspect,
    wish: Wish,
    /// Variables that were named on the command line.
    named: BTreeMap<String, OsString>,
    /// Whether the packet filter closes its network.
    closed: bool,
    /// What the launch tells of it.
    pub(super) place: Place,
    bottle: String,
    run: RunId,
}

impl Contained {
    /// What is asked for, with everything that can be wrong found; `None` where no container is.
    pub(super) async fn plan(
        context: &Context,
        arguments: &RunArgs,
        prepared: &Prepared,
    ) -> Result<Option<Self>> {
        let wanted = &arguments.container;
        let Some(name) = &wanted.image else { return Ok(None) };
        refuse_private_home(prepared)?;
        let named = named(&wanted.env, prepared)?;
        let engine = Engine::find().await?;
        let image = container::image(&engine, name).await?;
        let mounts = mounts(&engine, arguments, context.home.path()).await?;
        let closed = arguments.isolation != IsolationMode::None;
        if closed {
            firewall::probe().await.map_err(unclosed)?;
        }
        let names = Names::of(&context.home, &prepared.run);
        let place = Place::Container {
            socket: engine.socket().to_owned(),
            id: names.container.clone(),
            network: Some(names.container.clone()),
            tied: false,
        };
        let command = arguments.command.iter().map(|word| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| Exit::usage("the engine takes no command that is not UTF-8"))
        });
        let wish = Wish {
            image: name.clone(),
            command: command.collect::<Result<_, _>>()?,
            directory: wanted.workdir.clone(),
            user: wanted.user.clone(),
            environment: BTreeMap::new(),
            mounts,
            terminal: Session::has_terminal(),
            certificates: vec![
                (context.home.ca_certificate(), "ca.pem"),
                (context.home.ca_bundle(), "bundle.pem"),
            ],
            host: prepared.bottle.to_string(),
            labels: labels(&context.home, prepared),
        };
        Ok(Some(Self {
            engine,
            names,
            image,
            wish,
            named,
            closed,
            place,
            bottle: prepared.bottle.to_string(),
            run: prepared.run.clone(),
        }))
    }

    /// Makes the network, closes it, and listens on it.
    pub(super) async fn open(&mut self, context: &Context, ledger: &SharedLedger) -> Result<Door> {
        if let Err(error) = container::remove_leftovers(&self.engine, &context.home, ledger).await {
            eprintln!("hudson: what earlier runs have left could not be removed: {error:#}");
        }
        let network = Network::make(&self.engine, &self.names, self.wish.labels.clone()).await?;
        let listener = network.listen(&self.engine)?;
        let address = SocketAddrV4::new(network.gateway, listener.local_addr()?.port());
        if self.closed {
            firewall::close(&self.names.table, &self.names.bridge, address).await.map_err(unclosed)?;
        }
        Ok(Door { listener, address: SocketAddr::from(address), elsewhere: false })
    }

    /// Runs the container to its end.
    pub(super) async fn run(
        &mut self,
        registered: &Registered,
        mut variables: BTreeMap<String, OsString>,
        address: SocketAddr,
        hangup: bool,
        ledger: &SharedLedger,
        policy: &CurrentPolicy,
    ) -> Result<Ended> {
        variables.append(&mut self.named);
        // What makes the traffic go through the proxy has the last word.
        variables
            .extend(environment::variables(&registered.proxy_url(address), Path::new(container::BUNDLE)));
        self.wish.environment = variables;
        // Before there is a container, so that no signal can end this process and leave it behind.
        let signals = Signals::new(hangup)?;
        container::create(&self.engine, &self.names, &self.wish, &self.image).await?;
        let hint = format!("`hudson bottle resume {}` continues it", self.bottle);
        let bridge = self.closed.then(|| self.names.bridge.clone());
        let (session, driver) = Session::new(
            self.engine.clone(),
            self.run.clone(),
            self.names.container.clone(),
            bridge,
            hint,
            signals,
        );
        let guarded = self.closed.then_some(address);
        let enforcer = Enforcer::new(ledger.clone(), Box::new(Told));
        let changed = Box::new(move || driver.look());
        let record = registered.record.clone();
        let bottle = Arc::new(ContainerBackEnd::new(self.place.clone(), record, ledger.clone(), changed));
        let ended = tokio::select! {
            ended = session.run() => ended,
            error = kept_closed(&self.names, guarded) => Err(error),
            () = supervise::attend(&enforcer, &bottle, &self.run, ledger, policy) => {
                // The ledger is gone, and with it any word of a budget: what runs is removed with this run's end.
                Ok(container::Ended { code: 137, frozen: None })
            }
        };
        bottle.ended();
        // A crossing by the very last request is acted on as well.
        supervise::plan(&self.run, ledger, policy).await;
        let last = enforcer.finish(&self.run, &*bottle).await;
        let ended = ended?;
        last.context("carrying out what was decided about the run")?;
        let rows = ledger.enforcement_list(Some(&self.run)).await?;
        let is_kill = |row: &Enforcement| row.action == Action::Kill && row.state == EnforcementState::Done;
        Ok(Ended { code: ended.code, killed: rows.iter().any(is_kill) })
    }

    /// Removes all that was made. What cannot be removed now is by the next run of this home.
    pub(super) async fn remove(&self) {
        let Some(bottle) = Bottle::new(self.engine.clone(), &self.place) else { return };
        let removed = async {
            bottle.kill().await?;
            match self.closed {
                // Also where the network was never made, or is gone.
                true => firewall::open(&self.names.table).await,
                false => Ok(()),
            }
        };
        if let Err(error) = removed.await {
            eprintln!("hudson: the container or its network could not be removed: {error:#}");
        }
    }
}

/// Puts a run's table back where somebody took it away, as the restart of a host's own firewall does; ends, with what
/// stood in the way, only where it cannot.
async fn kept_closed(names: &Names, listener: Option<SocketAddr>) -> anyhow::Error {
    let Some(SocketAddr::V4(listener)) = listener else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if firewall::is_closed(&names.table).await.is_ok_and(|closed| closed) {
            continue;
        }
        if let Err(error) = firewall::close(&names.table, &names.bridge, listener).await {
            return error.context("the container's network is closed no more, and the container was ended");
        }
        eprintln!("hudson: something took the rules away that close the container's network; they are back");
    }
}

/// Says where the command runs, and what holds it there.
pub(super) fn announce(prepared: &Prepared) {
    let Place::Container { id, .. } = &prepared.launch.place else { return };
    match prepared.launch.isolation {
        crate::isolate::Isolation::Isolated => {
            eprintln!("hudson: container {id}: only the proxy is reachable from inside");
        }
        crate::isolate::Isolation::Unenforced => eprintln!(
            "hudson: container {id} is unenforced: services of this host can be reached from inside (--isolation none)"
        ),
    }
}

fn unclosed(error: anyhow::Error) -> anyhow::Error {
    Exit {
        code: exit::FAILED,
        message: format!(
            "the container's network cannot be closed here: {error:#}; `--isolation none` starts it unenforced, which \
             an agent that you do not trust should not be"
        ),
    }
    .into()
}

fn labels(home: &Home, prepared: &Prepared) -> HashMap<String, String> {
    container::labels(home, &prepared.run, &prepared.bottle, prepared.agent.as_ref())
}

/// The private home of a Codex login is links into the operator's own, which lead nowhere in a container.
fn refuse_private_home(prepared: &Prepared) -> Result<(), Exit> {
    match prepared.presets.iter().find(|preset| preset.codex_home.is_some()) {
        Some(preset) => Err(Exit::usage(format!(
            "the preset codex has a login only ({}), which needs files of this host that a container does not see; set \
             OPENAI_API_KEY instead",
            preset.found
        ))),
        None => Ok(()),
    }
}

/// `--env`, with values of the operator's environment where none is given.
fn named(written: &[String], prepared: &Prepared) -> Result<BTreeMap<String, OsString>, Exit> {
    let secrets = prepared.secret_values();
    let mut variables = BTreeMap::new();
    for text in written {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = std::env::var(text).map_err(|_| {
                    Exit::usage(format!("--env {text}: the variable is not set, or not UTF-8"))
                })?;
                (text.as_str(), value)
            }
        };
        if name.is_empty() {
            return Err(Exit::usage("--env takes NAME=VALUE or NAME"));
        }
        if environment::holds_secret(&value, &secrets) {
            return Err(Exit::usage(format!(
                "--env {name} holds a credential that Hudson puts on itself; leave it out"
            )));
        }
        variables.insert(name.to_owned(), OsString::from(value));
    }
    Ok(variables)
}

async fn mounts(engine: &Engine, arguments: &RunArgs, home: &Path) -> Result<Vec<Mount>> {
    let variable = |name: &str| std::env::var(name).ok();
    let forbidden = Forbidden::new(home, engine, &variable);
    let mut mounts = Vec::new();
    for volume in &arguments.container.volume {
        let device = match volume.named() {
            Some(name) => engine.volume_device(name).await.with_context(|| format!("the volume {name}"))?,
            None => None,
        };
        mounts.push(volume.mount(&forbidden, device.as_deref())?);
    }
    Ok(mounts)
}
