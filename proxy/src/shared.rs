//! What a proxy is made of and what all of its connections share: ledger, runs, events, limits, and the registries by
//! which things are counted and ended.

use crate::dial::Dialer;
use crate::event::EventSink;
use crate::run::RunSource;
use crate::tls::LeafCache;
use crate::tunnel::{TunnelLimits, Tunnels};
use arc_swap::ArcSwap;
use hudson_meter::Catalogue;
use hudson_schema::ledger::SharedLedger;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What bodies that are read whole may take together, in KiB: many of any size, a few dozen of the largest.
pub(crate) const BODIES_KIB: usize = 1 << 20;
/// Connections beyond the tunnels: clients that have not opened theirs yet, and plain HTTP.
const UNIDENTIFIED: usize = 1024;

/// What a proxy is made of.
pub struct ProxyParts {
    /// Where usage goes.
    pub ledger: SharedLedger,
    /// Who may speak.
    pub runs: Arc<dyn RunSource>,
    /// What is metered.
    pub catalogue: Catalogue,
    /// Where events go.
    pub events: Arc<dyn EventSink>,
    /// The certificates of intercepted hosts.
    pub leaves: LeafCache,
    /// The way out.
    pub dialer: Dialer,
    /// Limits.
    pub limits: ProxyLimits,
}

/// Limits and manners, each with a default in settings.yml.
#[derive(Clone, Copy, Debug)]
pub struct ProxyLimits {
    /// Open tunnels.
    pub tunnels: TunnelLimits,
    /// Reading a request head from a client that is not identified yet.
    pub header: Duration,
    /// The client's TLS handshake.
    pub tls: Duration,
    /// From sending a request to its response head.
    pub response: Duration,
    /// A tunnel without a request.
    pub idle: Duration,
    /// A request head, in bytes.
    pub header_bytes: usize,
    /// A body that has to be read whole, in bytes.
    pub body_bytes: usize,
    /// Responses read on after their client left.
    pub detached: usize,
    /// How long such a response is read on.
    pub detached_time: Duration,
    /// Whether a CONNECT to a host without a route is itself refused (`refuse: connect`), not the request inside.
    pub refuse_connect: bool,
}

/// What every connection shares.
pub(crate) struct Shared {
    pub(crate) ledger: SharedLedger,
    pub(crate) runs: Arc<dyn RunSource>,
    pub(crate) catalogue: ArcSwap<Catalogue>,
    pub(crate) events: Arc<dyn EventSink>,
    pub(crate) leaves: LeafCache,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) limits: ProxyLimits,
    pub(crate) tunnels: Arc<Tunnels>,
    /// Responses being read on without a client.
    pub(crate) detached: Arc<Semaphore>,
    /// KiB of bodies that are being read whole, over all bottles.
    pub(crate) bodies: Arc<Semaphore>,
    /// Work that must end before the process does: settlements and detached reading.
    pub(crate) tasks: TaskTracker,
    /// Ends listening and idle connections.
    pub(crate) shutdown: CancellationToken,
    /// Ends reading on without a client.
    pub(crate) abort: CancellationToken,
    /// Connections, identified or not.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) last_unidentified: AtomicI64,
}

impl Shared {
    pub(crate) fn new(parts: ProxyParts) -> Self {
        let limits = parts.limits;
        Self {
            ledger: parts.ledger,
            runs: parts.runs,
            catalogue: ArcSwap::from_pointee(parts.catalogue),
            events: parts.events,
            leaves: parts.leaves,
            dialer: Arc::new(parts.dialer),
            limits,
            tunnels: Tunnels::new(limits.tunnels),
            detached: Arc::new(Semaphore::new(limits.detached)),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            abort: CancellationToken::new(),
            connections: Arc::new(Semaphore::new(limits.tunnels.total.saturating_add(UNIDENTIFIED))),
            last_unidentified: AtomicI64::new(0),
        }
    }
}

/// The clock, in unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
