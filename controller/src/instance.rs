//! The proxy's part of a process: listeners, the proxy behind them, and the runs it serves, kept current.

use crate::approvals::desk::{Desk, Parts};
use crate::cli::NetworkArgs;
use crate::events::EventLog;
use crate::process::Process;
use crate::reload::{self, Reload};
use crate::runs::{Manner, Runs};
use crate::{budgets, network};
use anyhow::{Context, Result};
use hudson_proxy::dlp::Dlp;
use hudson_proxy::tls::{CertificateAuthority, LeafCache};
use hudson_proxy::{Listener, OwnListeners, Proxy, ProxyParts, Run};
use hudson_schema::config::{BottleAddress, ListenAddress, RateLimit, Settings};
use hudson_schema::home::Home;
use hudson_schema::ledger::SharedLedger;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A running proxy with the runs it serves.
pub struct Instance {
    /// Its home.
    pub home: Home,
    /// Its ledger.
    pub ledger: SharedLedger,
    /// The runs it serves.
    pub runs: Arc<Runs>,
    /// Its events.
    pub events: Arc<EventLog>,
    /// Where it listens.
    pub addresses: Vec<ListenAddress>,
    /// Where its runs ask people.
    pub desk: Arc<Desk>,
    own: OwnListeners,
    proxy: Proxy,
}

/// How to start one.
pub struct Options<'a> {
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// How upstreams are reached.
    pub network: &'a NetworkArgs,
    /// Which runs it serves, and how.
    pub manner: Manner,
    /// The rate of questions to people that the environment sets.
    pub rate: Option<RateLimit>,
}

impl Instance {
    /// Starts one: everything that can be wrong is found before anything is served.
    pub async fn start(process: &Process, settings: Settings, options: Options<'_>) -> Result<Self> {
        let Process { home, ledger, events, own } = process.clone();
        let authority = CertificateAuthority::open(&home)?;
        let mut listeners = Vec::new();
        for address in &options.listen {
            listeners.push(network::listen(address, &own).await?);
        }
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        let dialer = network::dialer(options.network, &settings.proxy, own.clone())?;
        let limits = network::limits(&settings);
        let catalogue = crate::settings::catalogue(&settings);
        let loaded = crate::dlp::load(&home, &settings)?;
        let dlp = Arc::new(Dlp::new(loaded.setup.clone()).context("compiling the rules of DLP")?);
        crate::dlp::tell(&events, &loaded.notices);
        let approvals = crate::approvals::setup::of(&home, &settings)?;
        let runs = Runs::new(home.clone(), ledger.clone(), settings, options.manner);
        runs.set_seen(loaded.seen());
        // Before any run is served, so that none is by the files alone.
        runs.set_overrides(ledger.budget_override_list().await?);
        let desk = Desk::new(Parts {
            process: process.clone(),
            runs: runs.clone(),
            dlp: dlp.clone(),
            dialer: dialer.clone(),
            rate: options.rate,
        })?;
        let proxy = Proxy::new(ProxyParts {
            ledger: ledger.clone(),
            runs: runs.clone(),
            catalogue,
            events: events.clone(),
            dlp,
            approvals: Some(approvals),
            confirm: Some(desk.clone()),
            leaves: LeafCache::new(authority).context("making the leaf key")?,
            dialer,
            limits,
        });
        for listener in listeners {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.serve(listener).await });
        }
        let instance = Self { home, ledger, runs, events, addresses, desk, own, proxy };
        instance.notice_ends();
        Ok(instance)
    }

    /// Keeps files and limits current without a controller in this process.
    pub fn keep_current(&self) -> Result<()> {
        let reload = Reload { runs: vec![self.runs.clone()], proxy: Some(self.proxy.clone()) };
        let reloading = reload::watch(reload, self.ledger.clone(), self.events.clone());
        tokio::spawn(reloading.context("waiting for SIGHUP")?);
        let following = budgets::follow(self.runs.clone(), self.ledger.clone(), Some(self.events.clone()));
        tokio::spawn(following);
        Ok(())
    }

    /// Keeps them current beside a controller's own runs, which is who acts on a change of limits.
    pub fn keep_current_with(&self, known: &Arc<Runs>) -> Result<()> {
        let runs = vec![self.runs.clone(), known.clone()];
        let reload = Reload { runs, proxy: Some(self.proxy.clone()) };
        let reloading = reload::watch(reload, self.ledger.clone(), self.events.clone());
        tokio::spawn(reloading.context("waiting for SIGHUP")?);
        tokio::spawn(budgets::follow(self.runs.clone(), self.ledger.clone(), None));
        Ok(())
    }

    /// How many tunnels are open.
    pub fn tunnels(&self) -> usize {
        self.proxy.tunnels().len()
    }

    /// Stops serving runs that ended elsewhere.
    fn notice_ends(&self) {
        let (ledger, runs) = (self.ledger.clone(), self.runs.clone());
        tokio::spawn(async move {
            let mut changes = ledger.changes();
            while changes.changed().await.is_ok() {
                runs.follow_ledger().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// Serves a run at an address of its own too, for clients that cannot send credentials, until the run ends; where
    /// that is. `run` is asked for only when the address could be bound.
    pub async fn serve_at(
        &self,
        address: &BottleAddress,
        run: impl FnOnce() -> Result<Arc<Run>>,
    ) -> Result<ListenAddress> {
        let listener = network::listen(address.address(), &self.own).await?;
        let (run, bound) = (run()?, listener.address().clone());
        let proxy = self.proxy.clone();
        tokio::spawn(async move { proxy.serve_run(listener, run).await });
        Ok(bound)
    }

    /// Serves at a socket that listens in a network namespace of a bottle's own. Who comes by it has to show credentials
    /// all the same.
    pub fn serve_inside(&self, listener: std::net::TcpListener) -> Result<()> {
        let listener = Listener::elsewhere(listener).context("listening in the bottle's network")?;
        let proxy = self.proxy.clone();
        tokio::spawn(async move { proxy.serve(listener).await });
        Ok(())
    }

    /// Serves at a socket of this host's that listens in a bottle's own network. Who comes by it has to show credentials
    /// all the same.
    pub fn serve_here(&self, listener: std::net::TcpListener) -> Result<()> {
        let listener = Listener::here(listener, &self.own).context("listening in the bottle's network")?;
        let proxy = self.proxy.clone();
        tokio::spawn(async move { proxy.serve(listener).await });
        Ok(())
    }

    /// Ends it: streams may finish for this long, then usage is settled.
    pub async fn stop(&self, grace: Duration) {
        self.proxy.shutdown(grace).await;
    }
}

/// The home: `--home`, `$BOT_BOTTLE_HOME`, `~/.bot-bottle`.
pub fn home(flag: Option<PathBuf>) -> Result<Home> {
    let path = flag
        .or_else(|| std::env::var_os("BOT_BOTTLE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from))
        .or_else(|| {
            std::env::var_os("HOME")
                .filter(|value| !value.is_empty())
                .map(|home| PathBuf::from(home).join(".bot-bottle"))
        })
        .context("there is no home directory: set HOME or BOT_BOTTLE_HOME, or name one with --home")?;
    Ok(Home::new(std::path::absolute(&path).with_context(|| format!("the home {}", path.display()))?))
}

/// Makes the home where it is missing, readable by nobody else.
pub fn make_home(home: &Home) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home.path())
        .with_context(|| format!("cannot create the home {}", home.path().display()))
}

/// The clock, in unix milliseconds.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
