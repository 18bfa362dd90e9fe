//! What the proxy reports while it works: one JSON line an event, for people and for the control plane.
//!
//! Invariant: an event is made from names, codes, counts and paths without their query; it never carries a header
//! value, a query or a body.

use hudson_dlp::{Confidence, Finding, Part, Preview, Signal};
use hudson_schema::budget::WindowClock;
use hudson_schema::ledger::Warning;
use hudson_schema::{BottleName, Policy, Provider, Quality, RefusalCode, RunId, Usage};
use serde::Serialize;

/// Takes events; handed to the proxy by whoever runs it. Must not block.
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The listener cannot take connections for now and backs off.
    AcceptFailed {
        /// The system's words.
        error: String,
    },
    /// Somebody holds more connections open than one address may have that does not say whose it is; its oldest was
    /// closed.
    ConnectionDisplaced {
        /// Where they come from.
        peer: String,
    },
    /// A task met a fault of Hudson's own and ended; whatever it served was closed, and nothing else.
    TaskPanicked {
        /// The run, if it was one's.
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// The host that was spoken to.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// The ledger failed where nobody could be answered.
    LedgerFailed {
        /// What was being done.
        what: &'static str,
        /// The cause, naming the file.
        error: String,
    },
    /// A request or tunnel was refused.
    Refusal {
        /// The run, once identified.
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// Its bottle.
        #[serde(skip_serializing_if = "Option::is_none")]
        bottle: Option<BottleName>,
        /// Which refusal.
        code: RefusalCode,
        /// What happened.
        reason: String,
        /// The method; `CONNECT` for a tunnel.
        method: String,
        /// The host asked for.
        host: String,
        /// The path without its query.
        path: String,
        /// The status it was answered with; absent when the connection was closed instead.
        #[serde(skip_serializing_if = "Option::is_none")]
        response_status: Option<u16>,
    },
    /// A request was refused, as bot-bottle's log has it (`log: 1`).
    EgressBlock {
        /// What happened.
        reason: String,
        /// The host asked for.
        host: String,
        /// The method.
        method: String,
        /// The path without its query.
        path: String,
        /// The status it was answered with.
        response_status: u16,
    },
    /// Something that must not leave was found in what would leave.
    DlpFinding {
        /// The run.
        run: RunId,
        /// Its bottle.
        bottle: BottleName,
        /// The host it would go to.
        host: String,
        /// The method; `CONNECT` for a tunnel.
        method: String,
        /// The path without its query.
        path: String,
        /// What was done: `allow`, `warn`, `redact`, `supervise` or `block`.
        action: &'static str,
        /// Where it is, in words.
        place: String,
        /// What was found, without the value.
        #[serde(flatten)]
        finding: Box<Finding>,
        /// The operator's reason, where it is suppressed.
        #[serde(skip_serializing_if = "Option::is_none")]
        suppressed: Option<String>,
    },
    /// A body that cannot be looked at was let pass (`dlp.on_unscannable: warn`).
    DlpUnscannable {
        /// The run.
        run: RunId,
        /// Its bottle.
        bottle: BottleName,
        /// The host it went to.
        host: String,
        /// The path without its query.
        path: String,
        /// Why it cannot.
        reason: String,
    },
    /// A bottle has sent a canary, and was ordered stopped.
    CanaryTripped {
        /// The run.
        run: RunId,
        /// The bottle.
        bottle: BottleName,
        /// The host it would have gone to.
        host: String,
        /// How it is stopped.
        policy: Policy,
    },
    /// A request was let through (`log: 2`). Headers, queries and bodies are left out rather than redacted.
    EgressRequest {
        /// The run.
        run: RunId,
        /// The method.
        method: String,
        /// The host.
        host: String,
        /// The path without its query.
        path: String,
        /// The upstream's status.
        response_status: u16,
    },
    /// A tool of an MCP server was called, and let through (`log: 2`). Its arguments are left out.
    ToolCalled {
        /// The run.
        run: RunId,
        /// The host.
        host: String,
        /// The path without its query.
        path: String,
        /// The tool's name.
        tool: String,
    },
    /// A provider did not say in time what a request's input is (`estimate: {count_tokens: true}`): its estimate was held.
    CountFailed {
        /// The run.
        run: RunId,
        /// The host.
        host: String,
        /// What happened instead of an answer.
        reason: String,
    },
    /// An answer has signs of instructions to the agent. Told once for an answer, when they are found.
    InjectionFound {
        /// The run.
        run: RunId,
        /// Its bottle.
        bottle: BottleName,
        /// The host that answered.
        host: String,
        /// The path without its query.
        path: String,
        /// Which signs.
        signals: Vec<Signal>,
        /// What the route does: `annotate` or `block`.
        action: &'static str,
        /// Bytes of the body that had gone on when they were found; 0 when they are in its first part.
        passed: u64,
    },
    /// An answer cannot be looked at, or not to its end; it goes on all the same.
    AnswerUnread {
        /// The run.
        run: RunId,
        /// Its bottle.
        bottle: BottleName,
        /// The host that answered.
        host: String,
        /// The path without its query.
        path: String,
        /// What is in the way.
        reason: String,
    },
    /// An answer holds a secret. Told once for a value in an answer, which goes on as it is.
    SecretReceived {
        /// The run.
        run: RunId,
        /// Its bottle.
        bottle: BottleName,
        /// The host that answered.
        host: String,
        /// The path without its query.
        path: String,
        /// The rule that found it.
        rule: String,
        /// How sure that is.
        confidence: Confidence,
        /// Where in the answer.
        place: String,
        /// What may be shown of it.
        preview: Preview,
        /// Its keyed hash.
        hash: String,
    },
    /// A stream was ended because it had used what was reserved for it.
    StreamCut {
        /// The run.
        run: RunId,
        /// The host.
        host: String,
        /// Output tokens that were granted.
        granted: u64,
        /// Output tokens counted when it was cut.
        counted: u64,
    },
    /// A tunnel ended because what was in it was not TLS to its host, or not WebSocket where it had become one.
    TunnelFailed {
        /// The run.
        run: RunId,
        /// The tunnel's host.
        host: String,
        /// Which refusal it would be.
        code: RefusalCode,
        /// What was found.
        reason: String,
    },
    /// An opaque tunnel ended (`log: 2`).
    OpaqueTunnel {
        /// The run.
        run: RunId,
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Bytes that were sent and received, when both sides ended it.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<(u64, u64)>,
        /// What ended it otherwise.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A WebSocket was opened (`log: 2`).
    WebsocketOpened {
        /// The run.
        run: RunId,
        /// The host.
        host: String,
        /// The path without its query.
        path: String,
    },
    /// A WebSocket ended (`log: 2`).
    WebsocketClosed {
        /// The run.
        run: RunId,
        /// The host.
        host: String,
        /// The path without its query.
        path: String,
        /// Messages that the client sent.
        messages_sent: u64,
        /// Bytes in them.
        bytes_sent: u64,
        /// Messages that the upstream sent.
        messages_received: u64,
        /// Bytes in them.
        bytes_received: u64,
        /// What ended it.
        cause: &'static str,
        /// The code it was closed with, by whom it was closed first; absent when there was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    },
    /// Usage has passed a threshold of a limit: told once for each limit, window and threshold, by one process.
    BudgetWarning {
        /// Where the limit stands, such as `bottle ci`.
        scope: String,
        /// The provider it counts, or `any`.
        provider: Provider,
        /// The tokens allowed.
        limit: u64,
        /// The tokens used in the window.
        spent: u64,
        /// The threshold, in per cent of the limit.
        percent: u8,
        /// When the window ends, RFC 3339; absent for lifetime.
        #[serde(skip_serializing_if = "Option::is_none")]
        resets_at: Option<String>,
    },
    /// Usage was settled.
    UsageSettled {
        /// The run.
        run: RunId,
        /// The provider.
        provider: Provider,
        /// The host.
        host: String,
        /// The model, if known.
        model: Option<String>,
        /// The numbers; absent when the hold stood for them.
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// How they were come by.
        quality: Quality,
        /// Why they are not exact, if they are not.
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
}

impl Event {
    /// The texts of which an agent can choose a part: names of hosts below a wildcard, paths, methods, and what is said of
    /// them. Texts of the operator's and of Hudson's own are not among them.
    pub(crate) fn chosen(&mut self) -> Vec<&mut String> {
        match self {
            Self::AcceptFailed { .. }
            | Self::ConnectionDisplaced { .. }
            | Self::LedgerFailed { .. }
            | Self::BudgetWarning { .. } => Vec::new(),
            Self::TaskPanicked { host, .. } => host.iter_mut().collect(),
            Self::Refusal { reason, method, host, path, .. }
            | Self::EgressBlock { reason, method, host, path, .. } => vec![reason, method, host, path],
            Self::DlpFinding { host, method, path, place, finding, .. } => {
                let mut texts = vec![host, method, path, place];
                let Finding { part, location, .. } = &mut **finding;
                texts.extend(location);
                if let Part::Header(name) = part {
                    texts.push(name);
                }
                texts
            }
            Self::EgressRequest { method, host, path, .. } => vec![method, host, path],
            Self::ToolCalled { host, path, tool, .. } => vec![host, path, tool],
            Self::CanaryTripped { host, .. } | Self::StreamCut { host, .. } => vec![host],
            Self::InjectionFound { host, path, .. }
            | Self::WebsocketOpened { host, path, .. }
            | Self::WebsocketClosed { host, path, .. } => vec![host, path],
            Self::SecretReceived { host, path, place, .. } => vec![host, path, place],
            Self::DlpUnscannable { host, path, reason, .. }
            | Self::AnswerUnread { host, path, reason, .. } => {
                vec![host, path, reason]
            }
            Self::CountFailed { host, reason, .. } | Self::TunnelFailed { host, reason, .. } => {
                vec![host, reason]
            }
            Self::OpaqueTunnel { host, error, .. } => std::iter::once(host).chain(error).collect(),
            Self::UsageSettled { host, model, fault, .. } => {
                std::iter::once(host).chain(model).chain(fault).collect()
            }
        }
    }

    /// A warning that the ledger found.
    pub fn budget_warning(warning: Warning, clock: &WindowClock) -> Self {
        let Warning { limit: asked, spent, percent } = warning;
        Self::BudgetWarning {
            scope: asked.limit.scope.to_string(),
            provider: asked.limit.provider,
            limit: asked.limit.tokens,
            spent,
            percent,
            resets_at: asked.window_end.map(|end| clock.display(end)),
        }
    }
}
