//! The configuration files: routes.yaml, settings.yml, bottle.yml and bot-bottle's manifests (DESIGN sections 3 to 5).
//!
//! A value of a type in this module is valid: everything that can be wrong with a file is found when it is read and
//! reported with file, line, column, a snippet and what was expected. No secret is ever stored here, only where it
//! comes from. Keys whose enforcement this version lacks are parsed and validated like all others and reported by
//! `unsupported()`, so that a caller refuses to start rather than run with less protection than was asked for.

mod bottle;
mod env_names;
mod error;
mod files;
mod host;
mod manifest;
mod matches;
mod mcp;
mod network;
mod pattern;
mod resolve;
mod route;
mod route_check;
mod route_file;
mod rules;
mod schemas;
mod settings;
mod tree;
mod unsupported;
mod values;
pub mod yaml;

pub use bottle::{AgentProvider, BottleFile, EnvValue};
pub use error::{ConfigError, Problem, nearest};
pub use files::{
    load_bottle_file, load_routes, load_settings, parse_bottle_file, parse_routes, parse_settings,
    settings_problem,
};
pub use host::{Authority, Host, HostFault};
pub use manifest::{Manifest, load_manifest, parse_manifest};
pub use matches::{HeaderMatch, HeaderTest, Match, PathMatch};
pub use mcp::{Mcp, Tool};
pub use network::IpNetwork;
pub use pattern::{HostPattern, Pattern};
pub use resolve::{Ancestor, BottleConfig, load_bottle};
pub use route::{
    Allowance, ClientCertificate, Credential, Detectors, Dlp, InboundDetector, InboundOnMatch, LogLevel,
    MeterSetting, OnMatch, OutboundDetector, ProxyCredentials, Route, Routes, Scheme, Source, Unmetered,
    Upstream, UpstreamProxy,
};
pub use rules::{
    ApprovalMode, Bind, Compiled, Condition, CounterScope, CounterWindow, Literal, Number, Operator,
    RollbackOn, Rule, RuleAction, StateRule, Subject, Test,
};
pub use schemas::{SchemaFile, schemas};
pub use settings::{
    ApprovalProfile, ApprovalSettings, Approvers, BottleAddress, ControlListen, ControlSettings,
    CrisisBypass, DiscordSetting, DlpProfile, DlpSettings, EnforcementCommands, EnforcementSettings,
    Estimate, Fatigue, FatigueAction, LedgerSetting, ListenAddress, ListenSetting, ModelPattern,
    ModelSettings, NotifySetting, NotifyStrategy, NtfySetting, OnTimeout, OnUnscannable, ProviderSettings,
    ProxySettings, RefuseAt, ReviewApi, ReviewSetting, ScopeSettings, Settings, SlackSetting, Suppression,
    Synchronous, TelegramSetting, TokenSource, UnknownHosts, WebhookSetting, WebhookUrl,
};
pub use tree::Trail;
pub use values::{EnvName, Period, RateLimit};
