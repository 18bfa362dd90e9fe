//! One allowed host and everything about it, as the data plane uses it. These values are complete: defaults are
//! filled in, both spellings of a key are one field, and nothing has to be checked again.

use super::{Authority, HostPattern, IpNetwork, Match, Mcp, Rule};
use crate::{Format, Provider};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// How much a bottle's egress writes to the event log; always redacted.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Nothing (`0`).
    #[default]
    Off,
    /// Refusals (`1`).
    Blocks,
    /// Every request and response (`2`).
    Full,
}

/// A routes file: what a bottle may reach. The default is empty and allows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes {
    /// How much is logged.
    pub log: LogLevel,
    /// The routes in the order of the file.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which hosts it is for.
    pub host: HostPattern,
    /// How the upstream is spoken to.
    pub scheme: Scheme,
    /// The upstream's port.
    pub port: u16,
    /// What is put on a request before it leaves; `auth_scheme` with `token_env` is one of these.
    pub credentials: Vec<Credential>,
    /// Which requests it allows, OR-ed; empty allows every request to the host.
    pub matches: Vec<Match>,
    /// How tokens are counted.
    pub meter: MeterSetting,
    /// What happens to an endpoint of a metered host that cannot be metered.
    pub unmetered: Unmetered,
    /// Tokens reserved on top for what no estimate can see.
    pub allowance: Allowance,
    /// Private ranges the host may resolve to.
    pub allow_addresses: Vec<IpNetwork>,
    /// Which detectors run.
    pub dlp: Dlp,
    /// What an outbound finding does.
    pub outbound_on_match: OnMatch,
    /// Whether `git fetch` over HTTPS is let through; push never is.
    pub git_fetch: bool,
    /// Rules on the content of requests.
    pub rules: Arc<[Rule]>,
    /// Rules on the tools of an MCP server; every request of such a route is read as MCP.
    pub mcp: Option<Mcp>,
    /// Whether TLS is terminated; `false` is an opaque tunnel.
    pub intercept: bool,
    /// Where and how the host is dialled, when not by its name and the system's roots.
    pub upstream: Option<Upstream>,
    /// Whether credentials may go to a host that a wildcard names.
    pub wildcard_credentials: bool,
    /// The 1-based line of the route in its file; 0 when it comes from no file.
    pub line: usize,
}

impl Routes {
    /// Routes that come from no file.
    pub fn new(log: LogLevel, routes: Vec<Route>) -> Self {
        Self { log, routes }
    }
}

impl Route {
    /// A route with every default: HTTPS, any request, no credentials.
    pub fn new(host: HostPattern) -> Self {
        Self {
            host,
            scheme: Scheme::Https,
            port: Scheme::Https.port(),
            credentials: Vec::new(),
            matches: Vec::new(),
            meter: MeterSetting::Default,
            unmetered: Unmetered::Deny,
            allowance: Allowance::default(),
            allow_addresses: Vec::new(),
            dlp: Dlp::default(),
            outbound_on_match: OnMatch::default(),
            git_fetch: false,
            rules: Arc::default(),
            mcp: None,
            intercept: true,
            upstream: None,
            wildcard_credentials: false,
            line: 0,
        }
    }

    /// What is sent with each request to the proxy that forwards it (RFC 9112 section 3.2.2), as plain HTTP is; through
    /// a tunnel, the proxy is told once, when the tunnel is opened.
    pub fn forwarding_credentials(&self) -> Option<&ProxyCredentials> {
        let upstream = self.upstream.as_ref().filter(|_| self.scheme == Scheme::Http)?;
        upstream.proxy.as_ref()?.credentials.as_ref()
    }
}

/// The scheme of a route's upstream.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// TLS, verified.
    #[default]
    Https,
    /// Plain HTTP.
    Http,
}

impl Scheme {
    /// The scheme's default port.
    pub fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }

    /// The name as in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// What a route puts on a request. Only where the value comes from, never the value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credential {
    /// A header, `prefix` and value together.
    Header {
        /// The header's name, lower case.
        name: String,
        /// What stands in front of the value, such as `Bearer ` (with its space).
        prefix: Option<String>,
        /// Where the value comes from.
        from: Source,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// Where the value comes from.
        from: Source,
    },
    /// HTTP basic authentication.
    Basic {
        /// The user name, not secret.
        username: String,
        /// Where the password comes from.
        from: Source,
    },
    /// AWS Signature Version 4, signed after Hudson's own rewrites.
    AwsSigv4 {
        /// The region signed for.
        region: String,
        /// The service signed for.
        service: String,
        /// Where the keys come from.
        from: Source,
    },
}

impl Credential {
    /// Where the secret comes from.
    pub fn source(&self) -> &Source {
        match self {
            Self::Header { from, .. } | Self::Query { from, .. } | Self::Basic { from, .. } => from,
            Self::AwsSigv4 { from, .. } => from,
        }
    }
}

/// Where a secret comes from: `{env: NAME}`, `{file: PATH}` or `{command: [PROGRAM, ARGUMENT…]}`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Source {
    /// A variable of Hudson's own environment.
    Env(String),
    /// A file; a relative path stands beside the file that names it.
    File(PathBuf),
    /// What a program prints, started without a shell.
    Command(Vec<String>),
}

/// How a route's tokens are counted (`meter:`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum MeterSetting {
    /// By the catalogue, from host and path.
    #[default]
    Default,
    /// Not at all (`off`).
    Off,
    /// As this provider in this format.
    As {
        /// The key that budgets use.
        provider: Provider,
        /// How usage is read.
        format: Format,
    },
}

/// What happens to an endpoint of a metered host that Hudson cannot meter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmetered {
    /// It is refused.
    #[default]
    Deny,
    /// It passes uncounted.
    Allow,
}

/// Tokens reserved on top of a hold for what no estimate can see. 0 refuses such work under a hard budget.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allowance {
    /// For tools that run at the provider, such as web search.
    pub server_tools: u64,
    /// For background and batch work.
    pub background: u64,
}

/// Which DLP detectors run on a route (`dlp:`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dlp {
    /// On what leaves.
    pub outbound: Detectors<OutboundDetector>,
    /// On what comes back.
    pub inbound: Detectors<InboundDetector>,
    /// What they do.
    pub inbound_on_match: InboundOnMatch,
}

/// A choice of detectors.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Detectors<T> {
    /// Not mentioned: the default detectors.
    #[default]
    Default,
    /// `false`: none.
    Off,
    /// Exactly these.
    Only(Vec<T>),
}

/// A detector of what must not leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutboundDetector {
    /// The forms of well-known keys and tokens.
    TokenPatterns,
    /// The values of secrets that Hudson knows.
    KnownSecrets,
    /// Text that looks random; never on by default.
    Entropy,
}

/// A detector of what must not reach the agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InboundDetector {
    /// Plain prompt injections.
    NaiveInjectionDetection,
}

/// What an inbound finding does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InboundOnMatch {
    /// The answer says so in a header, and the log in an event.
    #[default]
    Annotate,
    /// The answer does not reach the agent.
    Block,
}

/// What an outbound finding does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnMatch {
    /// The request is refused.
    Block,
    /// The finding is replaced.
    Redact,
    /// A person decides; it is refused where nobody can.
    #[default]
    Supervise,
    /// It is only logged.
    Warn,
}

/// Where and how a host is dialled (`upstream:`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Upstream {
    /// Dialled instead of the route's host; names and policy stay.
    pub connect_to: Option<Authority>,
    /// PEM file with the only certificate authorities trusted for this host.
    pub ca_file: Option<PathBuf>,
    /// The client certificate that is shown to the host.
    pub client_certificate: Option<ClientCertificate>,
    /// An HTTP proxy to go through.
    pub proxy: Option<UpstreamProxy>,
}

/// A certificate by which Hudson says who it is to a host that asks for one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ClientCertificate {
    /// PEM file with the certificate and what it was signed by.
    pub certificate_file: PathBuf,
    /// PEM file with its private key.
    pub key_file: PathBuf,
}

/// An HTTP proxy between Hudson and the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamProxy {
    /// Where it listens.
    pub authority: Authority,
    /// By what Hudson says who it is to the proxy.
    pub credentials: Option<ProxyCredentials>,
}

/// Basic authentication at an HTTP proxy (RFC 7617).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyCredentials {
    /// The user name, not secret.
    pub username: String,
    /// Where the password comes from.
    pub from: Source,
}
