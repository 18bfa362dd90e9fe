//! settings.yml: what the operator decides for the whole host. Every key has a default, so that an empty file and no
//! file mean the same; bot-bottle's flat `budget:` and `shutdown:` are valid as they stand.

mod approvals;
mod check;
mod control;
mod dlp;
mod enforcement;
mod listen;
mod models;
mod notify;
mod proxy;
mod scopes;

use super::HostPattern;
use super::unsupported::Unsupported;
use super::values::{NOT_THE_SECRET, Period};
use crate::budget::{BudgetMap, Cutoff, InvalidTimeZone, Mode, Precedence, Weights, Window, WindowClock};
use crate::{AgentName, BottleName, Format, Policy, Provider};
pub use approvals::{
    ApprovalProfile, ApprovalSettings, Approvers, CrisisBypass, Fatigue, FatigueAction, NotifyStrategy,
    OnTimeout, ReviewApi, ReviewSetting, TokenSource, UnknownHosts,
};
pub(super) use check::check;
pub use control::{ControlListen, ControlSettings, ListenSetting};
pub use dlp::{DlpProfile, DlpSettings, OnUnscannable, Suppression};
pub use enforcement::{EnforcementCommands, EnforcementSettings};
pub use listen::{BottleAddress, ListenAddress};
pub use models::{ModelPattern, ModelSettings};
pub use notify::{
    DiscordSetting, NotifySetting, NtfySetting, SlackSetting, TelegramSetting, WebhookSetting, WebhookUrl,
};
pub use proxy::ProxySettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Host settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Hudson settings.yml")]
pub struct Settings {
    /// The global budget of this host, tokens by provider; `any` counts every provider together.
    pub budget: BudgetMap,
    /// What a spent budget does to a bottle.
    pub shutdown: Policy,
    /// Whether the most specific budget governs alone or every scope is a ceiling.
    pub precedence: Precedence,
    /// Whether tokens are reserved before a request is sent.
    pub mode: Mode,
    /// A request is refused rather than its output lowered below this many tokens.
    pub min_output: u64,
    /// How a cutoff is done.
    pub cutoff: Cutoff,
    /// How input is estimated.
    pub estimate: Estimate,
    /// The window in which the global budget counts, and the default of every other scope.
    pub window: Window,
    /// The IANA time zone of the windows.
    #[serde(deserialize_with = "time_zone")]
    pub timezone: String,
    /// At which percentages of a budget a warning is given.
    #[serde(deserialize_with = "percentages")]
    #[schemars(inner(range(min = 1, max = 100)))]
    pub warn_at: Vec<u8>,
    /// Whether a metered response says in `x-hudson-budget-remaining` how many tokens are left.
    pub budget_header: bool,
    /// How a budget counts kinds of tokens.
    pub weights: Weights,
    /// Budgets of named agents.
    pub agents: BTreeMap<AgentName, ScopeSettings>,
    /// Budgets of bottles; what is set here wins over the bottle's own file.
    pub bottles: BTreeMap<BottleName, ScopeSettings>,
    /// Hosts of providers that the catalogue does not know, and models of any provider.
    pub providers: BTreeMap<Provider, ProviderSettings>,
    /// The data plane's listeners and limits.
    pub proxy: ProxySettings,
    /// The control plane's listeners.
    pub control: ControlSettings,
    /// How approvals work.
    pub approvals: ApprovalSettings,
    /// What must not leave.
    pub dlp: DlpSettings,
    /// How bottles are acted on that another tool holds.
    pub enforcement: EnforcementSettings,
    /// Who is told about approvals and budgets.
    pub notify: Vec<NotifySetting>,
    /// Where the ledger is.
    pub ledger: LedgerSetting,
    /// Where a CONNECT to a host that is not allowed is refused.
    pub refuse: RefuseAt,
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) unsupported: Vec<Unsupported>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budget: BudgetMap::new(),
            shutdown: Policy::default(),
            precedence: Precedence::default(),
            mode: Mode::default(),
            min_output: 256,
            cutoff: Cutoff::default(),
            estimate: Estimate::default(),
            window: Window::default(),
            timezone: "UTC".to_owned(),
            warn_at: vec![80, 90, 95],
            budget_header: false,
            weights: Weights::default(),
            agents: BTreeMap::new(),
            bottles: BTreeMap::new(),
            providers: BTreeMap::new(),
            proxy: ProxySettings::default(),
            control: ControlSettings::default(),
            approvals: ApprovalSettings::default(),
            dlp: DlpSettings::default(),
            enforcement: EnforcementSettings::default(),
            notify: Vec::new(),
            ledger: LedgerSetting::default(),
            refuse: RefuseAt::default(),
            unsupported: Vec::new(),
        }
    }
}

impl Settings {
    /// The clock of the budget windows. Fails only for a `timezone` that was set in code.
    pub fn clock(&self) -> Result<WindowClock, InvalidTimeZone> {
        WindowClock::new(&self.timezone)
    }
}

/// What a named agent or bottle sets.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScopeSettings {
    /// Its budget.
    pub budget: BudgetMap,
    /// What its spent budget does.
    pub shutdown: Option<Policy>,
    /// The window its budget counts in.
    pub window: Option<Window>,
}

/// How input is estimated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Estimate {
    /// Whether a request's exact input is asked of the provider's free counting endpoint before it is held under a hard
    /// budget: one round trip more for each request. Anthropic Messages, OpenAI Responses and Gemini have such an
    /// endpoint; elsewhere, and without an answer in time, the estimate is held.
    pub count_tokens: bool,
    /// How long a request waits for that answer, dialling included; its own time-outs begin after it.
    pub timeout: Period,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { count_tokens: false, timeout: Period::seconds(2) }
    }
}

/// Hosts and models of a provider. One that Hudson knows may have models alone.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSettings {
    /// The hosts that are this provider's.
    pub hosts: Vec<HostPattern>,
    /// The format they speak.
    pub format: Option<Format>,
    /// What holds for its models, by their names: an exact one before a beginning, a longer beginning before a shorter.
    pub models: BTreeMap<ModelPattern, ModelSettings>,
}

/// Where a CONNECT to a host that is not allowed is refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefuseAt {
    /// Inside the tunnel, as the answer to the request, where clients show it.
    #[default]
    Inside,
    /// As the answer to CONNECT.
    Connect,
}

/// Where the ledger is: `sqlite`, `{sqlite: {synchronous: full}}` or `postgres://host/database`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LedgerSetting {
    /// `bot-bottle.db` in the home.
    Sqlite {
        /// How hard a commit is pressed to disk.
        synchronous: Synchronous,
    },
    /// A PostgreSQL server; the password comes from its usual variables.
    Postgres {
        /// The URL, without a password.
        url: String,
    },
}

impl Default for LedgerSetting {
    fn default() -> Self {
        Self::Sqlite { synchronous: Synchronous::Normal }
    }
}

/// How hard SQLite presses a commit to disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Survives kill -9.
    #[default]
    Normal,
    /// Survives power loss.
    Full,
}

/// How the SQLite ledger is kept.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SqliteFile {
    /// How hard a commit is pressed to disk.
    synchronous: Synchronous,
}

impl<'de> Deserialize<'de> for LedgerSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LedgerVisitor;

        impl<'de> Visitor<'de> for LedgerVisitor {
            type Value = LedgerSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("sqlite, {sqlite: {synchronous: full}} or postgres://host/database")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LedgerSetting, E> {
                if text == "sqlite" {
                    return Ok(LedgerSetting::default());
                }
                let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
                match rest {
                    None => Err(E::custom("expected sqlite or postgres://host/database")),
                    Some(rest) if has_password(rest) => Err(E::custom(format_args!(
                        "this names the server, {NOT_THE_SECRET}; give the password in PGPASSWORD or PGPASSFILE"
                    ))),
                    Some(_) => Ok(LedgerSetting::Postgres { url: text.to_owned() }),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LedgerSetting, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("sqlite") => {}
                    Some(other) => return Err(A::Error::unknown_field(other, &["sqlite"])),
                    None => return Err(A::Error::missing_field("sqlite")),
                }
                let SqliteFile { synchronous } = map.next_value()?;
                match map.next_key::<String>()? {
                    Some(other) => Err(A::Error::unknown_field(&other, &["sqlite"])),
                    None => Ok(LedgerSetting::Sqlite { synchronous }),
                }
            }
        }

        deserializer.deserialize_any(LedgerVisitor)
    }
}

/// Whether what follows `postgres://` carries a password, before the host or as a parameter.
fn has_password(rest: &str) -> bool {
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || authority.contains(":@") || rest.to_ascii_lowercase().contains("password=")
}

impl JsonSchema for LedgerSetting {
    fn schema_name() -> Cow<'static, str> {
        "LedgerSetting".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sqlite = generator.subschema_for::<SqliteFile>();
        json_schema!({
            "description": "sqlite (the default), {sqlite: {synchronous: full}} or postgres://host/database",
            "anyOf": [
                {"type": "string", "pattern": "^(sqlite|postgres(ql)?://.*)$"},
                {"type": "object", "properties": {"sqlite": sqlite}, "required": ["sqlite"], "additionalProperties": false},
            ],
        })
    }
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    WindowClock::new(&name).map_err(D::Error::custom)?;
    Ok(name)
}

fn percentages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let mut percentages = Vec::<u8>::deserialize(deserializer)?;
    match percentages.iter().find(|percentage| !(1..=100).contains(*percentage)) {
        Some(bad) => Err(D::Error::custom(format_args!("{bad} is not a percentage from 1 to 100"))),
        None => {
            percentages.sort_unstable();
            percentages.dedup();
            Ok(percentages)
        }
    }
}
