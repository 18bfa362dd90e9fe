//! The control plane's listeners and approvals.

use super::Period;
use crate::config::HostPattern;
use crate::config::values::RateLimit;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

/// Listeners of the control plane.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// The operator's own way in: the socket in the home.
    pub listen: ControlListen,
    /// Submit and status of approvals over HTTP.
    pub confirm: ListenSetting,
    /// The deciding HTTP interface.
    pub admin: ListenSetting,
    /// Metrics in the Prometheus text format, to whoever can reach this address.
    pub metrics: ListenSetting,
    /// Names by which metrics may be asked for, beside `localhost` and any IP address: what a scraper has in its URL.
    pub metrics_hosts: Vec<HostPattern>,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            listen: ControlListen::Unix,
            confirm: ListenSetting::Off,
            admin: ListenSetting::Off,
            metrics: ListenSetting::Off,
            metrics_hosts: Vec::new(),
        }
    }
}

/// How the operator reaches the control plane.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ControlListen {
    /// A Unix socket, mode 0600, with the peer's uid checked.
    #[default]
    Unix,
}

/// `off` or an address to listen on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ListenSetting {
    /// Not served.
    #[default]
    Off,
    /// Served here.
    On(SocketAddr),
}

impl<'de> Deserialize<'de> for ListenSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for ListenSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if matches!(text, "off" | "false") => Ok(Self::Off),
            Ok(address) => Ok(Self::On(address)),
            Err(_) => Err(format!("{text:?} is neither off nor ADDRESS:PORT such as 127.0.0.1:9464")),
        }
    }
}

impl JsonSchema for ListenSetting {
    fn schema_name() -> Cow<'static, str> {
        "ListenSetting".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "off, or ADDRESS:PORT such as 127.0.0.1:9464",
            "anyOf": [{"const": false}, {"type": "string", "pattern": "^(off|.*:[0-9]{1,5})$"}],
        })
    }
}

/// How approvals work.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalSettings {
    /// How long a request waits for a decision.
    pub decision_ttl: Period,
    /// How long an approval can be used.
    pub use_ttl: Period,
    /// How long an equal request joins one that waits.
    pub dedupe_window: Period,
    /// How long a denial answers an equal request.
    pub deny_memory: Period,
    /// How long a request is held for a decision at most.
    pub hold_max: Period,
    /// New requests for approval per bottle and action.
    pub rate_limit: RateLimit,
    /// Requests of one bottle that wait at the same time.
    pub max_pending_per_bottle: u32,
    /// What too many requests for approval do.
    pub fatigue: Option<Fatigue>,
    /// Actions that no grant answers for.
    pub non_bypassable: Vec<String>,
    /// Who may decide.
    pub approvers: Approvers,
    /// How many different people an action's tier needs.
    pub require_distinct_approvers: BTreeMap<Tier, u8>,
    /// What silence means. Only `deny`: silence is not consent.
    pub on_timeout: OnTimeout,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            decision_ttl: Period::seconds(300),
            use_ttl: Period::seconds(15 * 60),
            dedupe_window: Period::seconds(10 * 60),
            deny_memory: Period::seconds(300),
            hold_max: Period::seconds(55),
            rate_limit: RateLimit { count: 10, per: std::time::Duration::from_secs(3600) },
            max_pending_per_bottle: 20,
            fatigue: None,
            non_bypassable: Vec::new(),
            approvers: Approvers::default(),
            require_distinct_approvers: BTreeMap::new(),
            on_timeout: OnTimeout::Deny,
        }
    }
}

/// When a bottle asks too often.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fatigue {
    /// So many requests.
    pub threshold: u32,
    /// In this time.
    pub window: Period,
    /// Do this.
    pub then: FatigueAction,
}

/// What is done to a bottle that asks too often.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FatigueAction {
    /// It is cut off until the operator resumes it.
    PauseBottle,
}

/// Who may decide, by channel.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approvers {
    /// Telegram user numbers.
    pub telegram: Vec<i64>,
    /// Users of this host; empty means the user Hudson runs as.
    pub unix_uid: Vec<u32>,
    /// Names of deciding tokens.
    pub token: Vec<String>,
}

/// How dangerous an action is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Changes little.
    Low,
    /// Changes something.
    Medium,
    /// Changes much.
    High,
    /// Cannot be undone.
    Critical,
}

/// What silence means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTimeout {
    /// Not approved.
    #[default]
    Deny,
}
