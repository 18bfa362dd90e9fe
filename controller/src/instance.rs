//! A running Hudson: home, CA, ledger, listeners, proxy and the tasks that keep them current.

use crate::cli::NetworkArgs;
use crate::events::EventLog;
use crate::notify::{self, Deliverer};
use crate::runs::Runs;
use crate::{budgets, network, reload};
use anyhow::{Context, Result};
use hudson_proxy::tls::{CertificateAuthority, LeafCache};
use hudson_proxy::{Listener, OwnListeners, Proxy, ProxyParts, Run};
use hudson_schema::config::{BottleAddress, ListenAddress, Settings};
use hudson_schema::home::Home;
use hudson_schema::ledger::SharedLedger;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the holds of owners that died are looked for.
const REAP_EVERY: Duration = Duration::from_secs(10);

/// A running proxy with everything around it.
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
    own: OwnListeners,
    proxy: Proxy,
    deliverer: Arc<Deliverer>,
}

/// How to start one.
pub struct Options<'a> {
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// How upstreams are reached.
    pub network: &'a NetworkArgs,
    /// Whether it serves only the runs it is given.
    pub closed: bool,
}

impl Instance {
    /// Starts one: everything that can be wrong is found before anything is served.
    pub async fn start(
        home: Home,
        settings: Settings,
        events: EventLog,
        options: Options<'_>,
    ) -> Result<Self> {
        let channels = notify::channels(&settings)?;
        let authority = CertificateAuthority::open(&home)?;
        let ledger = crate::settings::ledger(&home, &settings)?;
        ledger.holds_reap(now()).await?;
        let own = OwnListeners::default();
        let mut listeners = Vec::new();
        for address in &options.listen {
            listeners.push(network::listen(address, &own).await?);
        }
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        let dialer = network::dialer(options.network, &settings.proxy, own.clone())?;
        let limits = network::limits(&settings);
        let catalogue = crate::settings::catalogue(&settings);
        let runs = Runs::new(home.clone(), ledger.clone(), settings, options.closed);
        // Before any run is served, so that none is by the files alone.
        runs.set_overrides(ledger.budget_override_list().await?);
        let events = Arc::new(events);
        let deliverer =
            Deliverer::new(ledger.clone(), runs.clone(), events.clone(), dialer.share(), channels);
        let proxy = Proxy::new(ProxyParts {
            ledger: ledger.clone(),
            runs: runs.clone(),
            catalogue,
            events: events.clone(),
            leaves: LeafCache::new(authority).context("making the leaf key")?,
            dialer,
            limits,
        });
        for listener in listeners {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.serve(listener).await });
        }
        let instance = Self { home, ledger, runs, events, addresses, own, proxy, deliverer };
        instance.keep_current()?;
        Ok(instance)
    }

    /// The background: reloading, delivering, reaping, noticing runs that ended elsewhere.
    fn keep_current(&self) -> Result<()> {
        let reloading =
            reload::watch(self.runs.clone(), self.ledger.clone(), self.proxy.clone(), self.events.clone());
        tokio::spawn(reloading.context("waiting for SIGHUP")?);
        let following = budgets::follow(self.runs.clone(), self.ledger.clone(), Some(self.events.clone()));
        tokio::spawn(following);
        tokio::spawn(self.deliverer.clone().run());
        let (ledger, events) = (self.ledger.clone(), self.events.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REAP_EVERY).await;
                if let Err(error) = ledger.holds_reap(now()).await {
                    events.write(
                        "ledger_failed",
                        serde_json::json!({"what": "reaping holds", "error": error.to_string()}),
                    );
                }
            }
        });
        let (ledger, runs) = (self.ledger.clone(), self.runs.clone());
        tokio::spawn(async move {
            let mut changes = ledger.changes();
            while changes.changed().await.is_ok() {
                for run in runs.live() {
                    match ledger.run_fetch(&run.id).await {
                        Ok(Some(record)) if record.finished_at.is_some() => runs.remove(&run.id),
                        Ok(Some(record)) => run.set_credential_hash(record.credential_hash),
                        _ => {}
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Ok(())
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

    /// Ends it: streams may finish for this long, then usage is settled, what that brought is told outside for as long
    /// again at most, and the event log written.
    pub async fn stop(&self, grace: Duration) {
        self.proxy.shutdown(grace).await;
        self.deliverer.finish(grace).await;
        let events = self.events.clone();
        // A panic there would be a log that cannot be written, which stops nothing.
        let _ = tokio::task::spawn_blocking(move || events.flush()).await;
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
