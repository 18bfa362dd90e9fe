//! The control plane's listeners.

use crate::config::HostPattern;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Listeners of the control plane.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// The operator's own way in: the socket in the home.
    pub listen: ControlListen,
    /// Where approvals are asked for over HTTP, and decided by who has a token of [`super::Approvers`]: an address of
    /// loopback. Where nothing is said, `hudson up` and `hudson controller` take 127.0.0.1:6000 if nobody else has it.
    pub confirm: Option<ListenSetting>,
    /// Where approvals are only decided, and seen, over HTTP: an address of loopback, such as 127.0.0.1:9111.
    pub admin: ListenSetting,
    /// Where Slack, Discord, ntfy and other systems send people's decisions. What comes has to be signed.
    pub callbacks: ListenSetting,
    /// The URL by which the same is reached from outside: what a button leads to.
    pub callback_url: Option<String>,
    /// Metrics in the Prometheus text format, to whoever can reach this address.
    pub metrics: ListenSetting,
    /// Names by which metrics may be asked for, beside `localhost` and any IP address: what a scraper has in its URL.
    pub metrics_hosts: Vec<HostPattern>,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            listen: ControlListen::Unix,
            confirm: None,
            admin: ListenSetting::Off,
            callbacks: ListenSetting::Off,
            callback_url: None,
            metrics: ListenSetting::Off,
            metrics_hosts: Vec::new(),
        }
    }
}

impl ControlSettings {
    /// Where approvals are asked for over HTTP when nothing is said.
    pub const CONFIRM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6000);
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

impl ListenSetting {
    /// The address, if it is one.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::On(address) => Some(address),
        }
    }
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
