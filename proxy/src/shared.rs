//! What a proxy is made of and what all of its connections share: ledger, runs, events, limits, and the registries by
//! which things are counted and ended.

use crate::approval::{ApprovalSetup, Desk};
use crate::confirm::Confirm;
use crate::dial::Dialer;
use crate::dlp::sealed::Sealed;
use crate::dlp::{Cleaned, Dlp};
use crate::event::EventSink;
use crate::mcp::Streams;
use crate::places::{PlaceLimits, Places};
use crate::request::Counts;
use crate::run::RunSource;
pub(crate) use crate::tasks::Tasks;
use crate::tls::LeafCache;
use crate::tunnel::{TunnelLimits, Tunnels};
use arc_swap::ArcSwap;
use hudson_meter::Catalogue;
use hudson_schema::ledger::SharedLedger;
use hyper::server::conn::http1;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What bodies that are read whole may take together, in KiB: many of any size, a few dozen of the largest.
pub(crate) const BODIES_KIB: usize = 1 << 20;
/// How many settlements and charged reads wait for a ledger that cannot be written.
const LATE: usize = 4096;
/// The headers for which hyper has room without asking for memory at each request.
const HEADERS_ON_STACK: usize = 100;

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
    /// What must not leave.
    pub dlp: Arc<Dlp>,
    /// How people are asked; without it nobody is, and what would need them is refused.
    pub approvals: Option<ApprovalSetup>,
    /// Who answers what runs ask people about; `None` where nobody does.
    pub confirm: Option<Arc<dyn Confirm>>,
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
    /// Open connections that are no tunnel.
    pub places: PlaceLimits,
    /// Reading a request head: from its first byte, or from the beginning of a connection to the proxy itself.
    pub header: Duration,
    /// Reading a body that has to be read whole.
    pub body: Duration,
    /// The client's TLS handshake.
    pub tls: Duration,
    /// From sending a request to its response head.
    pub response: Duration,
    /// A connection without a byte in either direction.
    pub idle: Duration,
    /// A request head, in bytes.
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Open streams of one HTTP/2 connection.
    pub streams: u32,
    /// Streams of one HTTP/2 connection that were reset before they were looked at.
    pub pending_resets: usize,
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
    pub(crate) dlp: Arc<Dlp>,
    /// Where people are asked.
    pub(crate) desk: Desk,
    pub(crate) confirm: Option<Arc<dyn Confirm>>,
    pub(crate) leaves: LeafCache,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) limits: ProxyLimits,
    pub(crate) tunnels: Arc<Tunnels>,
    /// What providers said a request's input is.
    pub(crate) counts: Counts,
    /// What providers have sealed, as it came in their answers.
    pub(crate) sealed: Sealed,
    /// Streams on which the answers to other requests come (MCP's older transport).
    pub(crate) mcp: Arc<Streams>,
    /// Responses being read on without a client.
    pub(crate) detached: Arc<Semaphore>,
    /// KiB of bodies that are being read whole, over all bottles.
    pub(crate) bodies: Arc<Semaphore>,
    /// What waits for the ledger to take it.
    pub(crate) late: Arc<Semaphore>,
    /// Work that must end before the process does: settlements and detached reading.
    pub(crate) tasks: Tasks,
    /// The first step of shutting down: ends listening and idle connections.
    pub(crate) shutdown: CancellationToken,
    /// The second: ends reading on without a client, and what can tell its client that it ends.
    pub(crate) abort: CancellationToken,
    /// The third: ends connections that are still open.
    pub(crate) ended: CancellationToken,
    /// Connections that are no tunnel.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) places: Arc<Places>,
}

impl Shared {
    pub(crate) fn new(parts: ProxyParts) -> Self {
        let limits = parts.limits;
        let events: Arc<dyn EventSink> = Arc::new(Cleaned::new(parts.dlp.clone(), parts.events));
        let desk = Desk::new(parts.ledger.clone(), events.clone(), parts.approvals);
        Self {
            desk,
            ledger: parts.ledger,
            runs: parts.runs,
            catalogue: ArcSwap::from_pointee(parts.catalogue),
            tasks: Tasks::new(events.clone()),
            events,
            dlp: parts.dlp,
            confirm: parts.confirm,
            leaves: parts.leaves,
            dialer: Arc::new(parts.dialer),
            limits,
            tunnels: Tunnels::new(limits.tunnels),
            counts: Counts::new(),
            sealed: Sealed::new(),
            mcp: Arc::default(),
            detached: Arc::new(Semaphore::new(limits.detached)),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
            late: Arc::new(Semaphore::new(LATE)),
            shutdown: CancellationToken::new(),
            abort: CancellationToken::new(),
            ended: CancellationToken::new(),
            connections: Arc::new(Semaphore::new(limits.tunnels.total.saturating_add(limits.places.total))),
            places: Places::new(limits.places),
        }
    }
}

impl ProxyLimits {
    /// An HTTP/1.1 server that keeps these limits.
    pub(crate) fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder.max_header_size(self.header_bytes).max_buf_size(self.header_bytes.max(8192));
        if self.headers != HEADERS_ON_STACK {
            builder.max_headers(self.headers);
        }
        builder
    }
}

/// The clock, in unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
