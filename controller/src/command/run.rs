//! `hudson run`: the main job in one command. Everything that can be wrong is found before anything is written or
//! started; the run's end is its summary and its exit code.

mod container;

use self::container::Contained;
use super::Context;
use crate::approvals::keep;
use crate::budgets;
use crate::callbacks;
use crate::cgroup::Cgroup;
use crate::cli::{IsolationMode, RunArgs};
use crate::confirm::{Doors, Listening};
use crate::control::{self, Identity, Served};
use crate::controller::{self, Told};
use crate::enforce;
use crate::environment;
use crate::events::EventLog;
use crate::exit::{self, Exit};
use crate::instance::{self, Instance, Options, now};
use crate::isolate::{self, Isolated, Isolation, Plan, Wish};
use crate::launch::{Prepared, Request};
use crate::network;
use crate::notify;
use crate::place::Place;
use crate::process::Process;
use crate::register::{self, Registered};
use crate::runs::{Manner, Runs};
use crate::supervise::{self, Ended, Program};
use anyhow::{Context as _, Result};
use hudson_proxy::RunPolicy;
use hudson_schema::RunId;
use hudson_schema::config::{ListenAddress, Settings};
use hudson_schema::ledger::{Block, SharedLedger, UsageColumn, UsageQuery, UsageSum};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long what the command left in flight may go on after its end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a command as a bottle.
pub async fn execute(context: &Context, arguments: RunArgs) -> Result<u8> {
    let isolation = match arguments.isolation {
        IsolationMode::None => Isolation::Unenforced,
        IsolationMode::Auto | IsolationMode::Full => Isolation::Isolated,
    };
    let request = Request {
        bottle: arguments.bottle.clone(),
        agent: arguments.agent.clone(),
        parent: arguments.parent.clone(),
        provider: arguments.provider.clone(),
        routes: arguments.routes.clone(),
        budget: arguments.budget.clone(),
        on_exhausted: arguments.on_exhausted,
        program: arguments.command.first().cloned(),
        supervised: true,
        isolation,
    };
    let mut prepared = Prepared::new(&context.home, request)?;
    let variable = |name: &str| std::env::var(name).ok();
    let own = environment::expanded(&prepared.resolved.bottle.env, &variable, &prepared.secret_values())
        .map_err(|error| Exit::usage(format!("bottle {}: {error}", prepared.bottle)))?;
    let mut contained = Contained::plan(context, &arguments, &prepared).await?;
    let mut plan = match contained {
        Some(_) => None,
        None => plan(context, &arguments, &prepared, &own)?,
    };
    instance::make_home(&context.home)?;
    let proxy = Proxy::find(context, &arguments, &prepared).await?;
    take_down_orphans(&proxy).await;
    let cgroup = match contained {
        Some(_) => None,
        None => Cgroup::make(&prepared.run),
    };
    let path = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
    prepared.launch.place = match &contained {
        Some(contained) => contained.place.clone(),
        None => Place::Process { cgroup: path.clone() },
    };
    if let Some(plan) = &mut plan {
        plan.cgroup = path;
    }
    let room = Wanted { plan: plan.as_ref(), cgroup: cgroup.clone(), contained: contained.as_mut() };
    let outcome = in_bottle(context, &arguments, &prepared, &own, &proxy, room).await;
    if let Some(cgroup) = cgroup {
        cgroup.disband().await;
    }
    outcome
}

/// What earlier runs have left behind is ended, where nobody has done it: no controller may be there.
async fn take_down_orphans(proxy: &Proxy) {
    match enforce::take_down_orphans(proxy.ledger()).await {
        Ok(taken) => {
            for enforce::TakenDown { run, outcome } in taken {
                let what = outcome.unwrap_or_else(|error| format!("what is left of it stays: {error:#}"));
                eprintln!("hudson: run {} of bottle {} had lost its hudson: {what}", run.id, run.bottle);
            }
        }
        Err(error) => eprintln!("hudson: what earlier runs have left was not looked for: {error}"),
    }
}

async fn in_bottle(
    context: &Context,
    arguments: &RunArgs,
    prepared: &Prepared,
    own: &BTreeMap<String, OsString>,
    proxy: &Proxy,
    wanted: Wanted<'_>,
) -> Result<u8> {
    let Wanted { plan, cgroup, mut contained } = wanted;
    // Where the kernel refuses it, before there is a run.
    let isolated = plan.map(Isolated::make).transpose()?;
    let registered = register::register(proxy.ledger(), prepared).await?;
    let run = &registered.record.id;
    let room = Room { isolated, cgroup, contained: contained.as_deref_mut() };
    let outcome = supervised(context, arguments, prepared, own, proxy, &registered, room).await;
    if let Some(contained) = contained {
        contained.remove().await;
    }
    // However it ended, its credentials end with it, and what it left in flight is settled.
    proxy.stop().await;
    let policy = proxy.policy(prepared, run)();
    let blocks = proxy.ledger().block_fetch(run, &policy.governing(now()), now()).await?;
    let code = outcome.as_ref().map_or(None, |ended| Some(i32::from(ended.code)));
    proxy.ledger().run_finish(run, now(), code).await?;
    keep::run_ended(proxy.ledger(), &prepared.bottle).await?;
    let ended = outcome?;
    let ordered = blocks.iter().any(|block| block.budget.is_none());
    let spent = |block: &Block| block.budget.is_some() && block.stops(policy.cutoff, None);
    let stopped = (ended.killed && !ordered)
        || blocks.iter().any(spent)
        || (!ordered && proxy.budget_stopped(run, &ended).await?);
    let report = report(proxy.ledger(), prepared, &policy, run, &ended, stopped).await?;
    finish(context, arguments, &report)?;
    Ok(if stopped { exit::BUDGET } else { ended.code })
}

/// What the command is to be started in, before any of it is made but the cgroup.
struct Wanted<'a> {
    plan: Option<&'a Plan>,
    cgroup: Option<Cgroup>,
    contained: Option<&'a mut Contained>,
}

/// What the command is started in; nothing where nothing isolates it.
struct Room<'a> {
    isolated: Option<Isolated>,
    cgroup: Option<Cgroup>,
    contained: Option<&'a mut Contained>,
}

/// A socket that listens where the command is, for the proxy.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    /// Whether the socket is in a network namespace of its own.
    elsewhere: bool,
}

impl Room<'_> {
    /// `None` where the command finds the proxy where everybody does.
    async fn door(&mut self, context: &Context, proxy: &Proxy) -> Result<Option<Door>> {
        if let Some(contained) = &mut self.contained {
            return contained.open(context, proxy.ledger()).await.map(Some);
        }
        let Some(isolated) = &mut self.isolated else { return Ok(None) };
        let (listener, address) = (isolated.take_listener()?, isolated.address);
        Ok(Some(Door { listener, address, elsewhere: true }))
    }
}

async fn supervised(
    context: &Context,
    arguments: &RunArgs,
    prepared: &Prepared,
    own: &BTreeMap<String, OsString>,
    proxy: &Proxy,
    registered: &Registered,
    mut room: Room<'_>,
) -> Result<Ended> {
    let door = room.door(context, proxy).await?;
    let address = proxy.serve(context, prepared, registered, door).await?;
    let run = &registered.record.id;
    let policy = proxy.policy(prepared, run);
    for block in proxy.ledger().block_fetch(run, &policy().governing(now()), now()).await? {
        if block.budget.is_none() {
            let (bottle, cause) = (&prepared.bottle, &block.cause);
            let why = format!(
                "not started, bottle {bottle} is stopped: {cause}; `hudson bottle resume {bottle}` lifts that"
            );
            return Err(Exit::conflict(why).into());
        }
        if block.stops(policy().cutoff, None) {
            eprintln!("hudson: not started, the budget is spent already: {}", block.cause);
            return Ok(Ended { code: exit::BUDGET, killed: true });
        }
        eprintln!("hudson: {}", block.cause);
    }
    announce(prepared, run);
    if let Some(path) = &arguments.network.ready_file {
        network::write_ready(
            path,
            &json!({"addresses": [address], "ca_file": context.home.ca_bundle(), "run": run}),
        )?;
    }
    let hangup = matches!(proxy, Proxy::Shared { .. });
    let mut variables = own.clone();
    variables.extend(prepared.environment());
    if let Some(contained) = room.contained.take() {
        return contained.run(registered, variables, address, hangup, proxy.ledger(), &*policy).await;
    }
    let Room { isolated, cgroup, .. } = room;
    // What makes the traffic go through the proxy has the last word.
    variables.extend(registered.variables(address, &context.home));
    let mut withheld =
        environment::withheld(std::env::vars_os(), &prepared.secret_names(), &prepared.secret_values());
    if isolated.is_some() {
        environment::isolate(&mut variables, &mut withheld);
    }
    let program = Program {
        argv: &arguments.command,
        withheld: &withheld,
        variables: &variables,
        isolated,
        cgroup,
        hangup,
    };
    supervise::run(program, run, proxy.ledger(), &*policy).await
}

fn announce(prepared: &Prepared, run: &RunId) {
    eprintln!("hudson: run {run} in bottle {}", prepared.bottle);
    for preset in &prepared.presets {
        eprintln!("hudson: preset {} ({})", preset.variant, preset.found);
    }
    if prepared.resolved.policy.routes.routes.is_empty() {
        eprintln!(
            "hudson: no routes and no preset: everything is refused; add routes or name a preset with --provider"
        );
    }
    match prepared.launch.isolation {
        _ if matches!(prepared.launch.place, Place::Container { .. }) => container::announce(prepared),
        Isolation::Isolated => {
            eprintln!("hudson: this bottle is isolated: only the proxy is reachable from inside");
        }
        Isolation::Unenforced => eprintln!(
            "hudson: this bottle is unenforced: a process that ignores its proxy variables is not held back \
             (--isolation none)"
        ),
    }
}

/// What an isolated run will see; `None` where nothing isolates it.
fn plan(
    context: &Context,
    arguments: &RunArgs,
    prepared: &Prepared,
    own: &BTreeMap<String, OsString>,
) -> Result<Option<Plan>> {
    if prepared.launch.isolation == Isolation::Unenforced {
        return match arguments.show.is_empty() {
            true => Ok(None),
            false => {
                Err(Exit::usage("--show has no meaning with --isolation none, which hides nothing").into())
            }
        };
    }
    let program = arguments.command.first().context("there is no command to run")?;
    let path = own.get("PATH").cloned().or_else(|| std::env::var_os("PATH"));
    let made = prepared.environment().into_values().map(PathBuf::from);
    let plan = Plan::new(&Wish {
        home: std::env::var_os("HOME").map(PathBuf::from),
        hudson: context.home.path(),
        directory: std::env::current_dir().context("the working directory")?,
        show: &arguments.show,
        // A preset names a folder by a variable only where it has made one for this launch.
        made: made.filter(|path| path.is_absolute() && path.is_dir()).collect(),
        program,
        path: path.unwrap_or_default(),
    })?;
    Ok(Some(plan))
}

/// The proxy that serves the run: a running `hudson up`, or one embedded here for this run alone.
enum Proxy {
    Embedded {
        process: Process,
        instance: Box<Instance>,
        told: Told,
        /// Where approvals are asked for over HTTP, for as long as this is.
        _listening: Listening,
    },
    Shared {
        ledger: SharedLedger,
        runs: Arc<Runs>,
    },
}

impl Proxy {
    async fn find(context: &Context, arguments: &RunArgs, prepared: &Prepared) -> Result<Self> {
        let network = &arguments.network;
        // What changes the dial can only be had from a proxy of one's own.
        let own = arguments.embedded || !network.connect_to.is_empty() || !network.upstream_ca.is_empty();
        if !own && control::status(&context.home).await?.as_ref().is_some_and(Identity::serves) {
            let ledger = crate::settings::ledger(&context.home, &prepared.settings)?;
            let manner = Manner { closed: true, ..Manner::default() };
            let runs = Runs::new(context.home.clone(), ledger.clone(), prepared.settings.clone(), manner);
            runs.set_overrides(ledger.budget_override_list().await?);
            tokio::spawn(budgets::follow(runs.clone(), ledger.clone(), None));
            return Ok(Self::Shared { ledger, runs });
        }
        let log = context.home.event_log();
        let events =
            EventLog::to_file(&log).with_context(|| format!("opening the event log {}", log.display()))?;
        // A run that is isolated or in a container comes by a network of its own, and needs no door in this one.
        let listen = match prepared.launch.isolation {
            _ if arguments.container.image.is_some() => Vec::new(),
            Isolation::Isolated => Vec::new(),
            Isolation::Unenforced => vec![ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))],
        };
        // What cannot be told outside is said before anything listens.
        notify::channels(&prepared.settings)?;
        let manner = Manner { closed: true, notifies: true, apart: false };
        let options = Options { listen, network, manner, rate: None };
        let process = Process::start(context.home.clone(), &prepared.settings, events).await?;
        // Another hudson of this host may decide there, whatever this one's settings say of itself.
        Doors::of_settings(&prepared.settings).keep_from(&process.own);
        let instance = Box::new(Instance::start(&process, prepared.settings.clone(), options).await?);
        instance.keep_current()?;
        let told = controller::tell(&process, &instance.runs, &prepared.settings, network)?;
        hear(&process, &told, &prepared.settings).await;
        let listening = Doors::of_embedded(&prepared.settings).listen(&instance.desk, &process, true).await?;
        tokio::spawn(keep::run(process.ledger.clone(), instance.runs.clone(), process.events.clone()));
        Ok(Self::Embedded { process, instance, told, _listening: listening })
    }

    fn ledger(&self) -> &SharedLedger {
        match self {
            Self::Embedded { instance, .. } => &instance.ledger,
            Self::Shared { ledger, .. } => ledger,
        }
    }

    /// Has the run served; where its proxy listens.
    async fn serve(
        &self,
        context: &Context,
        prepared: &Prepared,
        registered: &Registered,
        door: Option<Door>,
    ) -> Result<SocketAddr> {
        let addresses = match self {
            Self::Embedded { instance, .. } => {
                instance.runs.insert(&registered.record, prepared.secrets())?;
                instance.addresses.clone()
            }
            Self::Shared { runs, .. } => {
                // Not to serve it: to know its limits as the process that does knows them.
                runs.insert(&registered.record, HashMap::new())?;
                let Served { addresses, .. } =
                    control::hand_over(&context.home, &registered.record.id, &prepared.secrets(), None)
                        .await?;
                addresses
            }
        };
        let Some(Door { listener, address, elsewhere }) = door else {
            return network::first_tcp(&addresses);
        };
        match self {
            Self::Embedded { instance, .. } if elsewhere => instance.serve_inside(listener)?,
            Self::Embedded { instance, .. } => instance.serve_here(listener)?,
            Self::Shared { .. } => isolate::relay(listener, network::first_tcp(&addresses)?)?,
        }
        Ok(address)
    }

    /// What the run may do, read anew each time.
    fn policy(&self, prepared: &Prepared, run: &RunId) -> Box<dyn Fn() -> Arc<RunPolicy> + Send + Sync> {
        let launched = Arc::new(prepared.resolved.policy.clone());
        let run = run.clone();
        let runs = match self {
            Self::Embedded { instance, .. } => instance.runs.clone(),
            Self::Shared { runs, .. } => runs.clone(),
        };
        Box::new(move || runs.policy(&run).unwrap_or_else(|| launched.clone()))
    }

    /// Whether the command failed by a budget that does not stop it any more: one that was spent and then raised, or one
    /// that refused something.
    async fn budget_stopped(&self, run: &RunId, ended: &Ended) -> Result<bool> {
        if ended.code == 0 {
            return Ok(false);
        }
        Ok(match self {
            Self::Embedded { instance, .. } if instance.events.budget_refusal(run).is_some() => true,
            // Where the refusals were given in another process, only what it journalled can be told.
            _ => self.ledger().enforcement_list(Some(run)).await?.iter().any(|row| !row.ordered),
        })
    }

    async fn stop(&self) {
        if let Self::Embedded { process, instance, told, .. } = self {
            instance.stop(GRACE).await;
            // What that brought is told outside.
            told.deliverer.finish(GRACE).await;
            process.flush().await;
        }
    }
}

/// Listens for what services send of people's answers, unless another process of this host does: whoever hears them writes
/// into the same ledger.
async fn hear(process: &Process, told: &Told, settings: &Settings) {
    let listening = callbacks::listen(settings.control.callbacks, &process.own, told.hearing.clone()).await;
    if let Err(error) = listening {
        process.events.write("callbacks_not_heard_here", json!({"error": format!("{error:#}")}));
    }
}

async fn report(
    ledger: &SharedLedger,
    prepared: &Prepared,
    policy: &RunPolicy,
    run: &RunId,
    ended: &Ended,
    stopped: bool,
) -> Result<Value> {
    let query =
        UsageQuery { run: Some(run.clone()), by: vec![UsageColumn::Provider], ..UsageQuery::default() };
    let usage: Vec<Value> = ledger.usage_sum(query).await?.into_iter().map(provider_line).collect();
    let limits: Vec<Value> = policy
        .budgets
        .iter()
        .flat_map(|scope| {
            scope.budget.iter().map(|(provider, amount)| {
                json!({"scope": scope.scope.kind.name(), "provider": provider, "limit": amount.0})
            })
        })
        .collect();
    Ok(json!({
        "run": run,
        "bottle": prepared.bottle,
        "agent": prepared.agent,
        "exit_code": ended.code,
        "budget_stopped": stopped,
        "isolation": prepared.launch.isolation,
        "limits": limits,
        "usage": usage,
    }))
}

fn provider_line(sum: UsageSum) -> Value {
    json!({
        "provider": sum.group.first(),
        "requests": sum.requests,
        "inexact": sum.inexact,
        "tokens": sum.usage,
        "charged": sum.charged,
    })
}

fn finish(context: &Context, arguments: &RunArgs, report: &Value) -> Result<()> {
    if let Some(path) = &arguments.report {
        write_report(path, report)?;
    }
    if context.json {
        eprintln!("{report}");
        return Ok(());
    }
    let usage = report.get("usage").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if usage.is_empty() {
        eprintln!("hudson: no tokens were used");
    }
    for line in usage {
        let number = |name| line.get(name).and_then(Value::as_u64).unwrap_or_default();
        let provider = line.get("provider").and_then(Value::as_str).unwrap_or_default();
        let limit = report.get("limits").and_then(Value::as_array).into_iter().flatten().find(|limit| {
            limit.get("provider").and_then(Value::as_str).is_some_and(|of| of == provider || of == "any")
        });
        let of = match limit.and_then(|limit| limit.get("limit")).and_then(Value::as_u64) {
            Some(limit) => format!(" of {limit}"),
            None => String::new(),
        };
        let inexact = match number("inexact") {
            0 => String::new(),
            count => format!(" ({count} of them not exact)"),
        };
        eprintln!(
            "hudson: {provider}: {} tokens{of} in {} requests{inexact}",
            number("charged"),
            number("requests")
        );
    }
    if report.get("budget_stopped").and_then(Value::as_bool) == Some(true) {
        eprintln!("hudson: stopped by its budget");
    }
    Ok(())
}

fn write_report(path: &Path, report: &Value) -> Result<()> {
    std::fs::write(path, format!("{report:#}\n"))
        .with_context(|| format!("cannot write the report {}", path.display()))
}
