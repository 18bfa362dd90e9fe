//! A routes file as it is written: both of bot-bottle's spellings (its wire file and its manifests) and ours, key by
//! key, before anything is checked across keys. The JSON Schema is generated from these types.

use super::mcp::McpFile;
use super::rules::Rule;
use super::values::EnvName;
use super::{
    Authority, HostPattern, InboundDetector, InboundOnMatch, IpNetwork, LogLevel, OnMatch, OutboundDetector,
    Scheme, Unmetered,
};
use crate::budget::Amount;
use crate::{Format, Provider};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

/// What a bottle may reach.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Hudson routes.yaml")]
pub(super) struct RoutesFile {
    /// What is logged, always redacted: 0 nothing (default), 1 refusals, 2 every request and response.
    pub(super) log: LogLevel,
    /// The allowed hosts. Where several routes fit a request, an exact host goes before a wildcard, then file order.
    pub(super) routes: Vec<RouteFile>,
}

/// One allowed host and everything about it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteFile {
    /// The host: exact, an IP address, or one leading wildcard label.
    pub(super) host: HostPattern,
    /// `https` (default) or `http`; plain HTTP to an https route is refused.
    pub(super) scheme: Option<Scheme>,
    /// The port; default is the scheme's.
    #[schemars(range(min = 1))]
    pub(super) port: Option<u16>,
    /// With `token_env`: `Authorization: <auth_scheme> <value>`.
    pub(super) auth_scheme: Option<String>,
    /// The variable that holds the token for `auth_scheme`.
    pub(super) token_env: Option<EnvName>,
    /// `auth_scheme` and `token_env` as in bot-bottle's manifests.
    pub(super) auth: Option<AuthFile>,
    /// Credentials put on every request of this route.
    #[serde(default)]
    pub(super) credentials: Vec<CredentialFile>,
    /// Which requests are allowed, OR-ed; without it every request to the host is.
    pub(super) matches: Option<Vec<MatchFile>>,
    /// How tokens are counted: `off`, or `{provider, format}`; default is the catalogue's.
    pub(super) meter: Option<MeterFile>,
    /// An endpoint of a metered host that cannot be metered: `deny` (default) or `allow`.
    #[serde(default)]
    pub(super) unmetered: Unmetered,
    /// Tokens reserved on top for what no estimate can see.
    #[serde(default)]
    pub(super) allowance: AllowanceFile,
    /// Private ranges this host may resolve to.
    #[serde(default)]
    pub(super) allow_addresses: Vec<IpNetwork>,
    /// Which detectors run.
    pub(super) dlp: Option<DlpFile>,
    /// What an outbound finding does; default is `supervise`.
    pub(super) outbound_on_match: Option<OnMatch>,
    /// Whether `git fetch` over HTTPS is let through; push never is.
    pub(super) git_fetch: Option<bool>,
    /// `git_fetch` as in bot-bottle's manifests.
    pub(super) git: Option<GitFile>,
    /// Rules on the content of requests.
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
    /// Rules on the tools of an MCP server.
    pub(super) mcp: Option<McpFile>,
    /// `false` makes an opaque tunnel; the TLS name must still be the host.
    #[serde(default = "yes")]
    pub(super) intercept: bool,
    /// Where and how the host is dialled.
    pub(super) upstream: Option<UpstreamFile>,
    /// Whether credentials may go to hosts that a wildcard names.
    #[serde(default)]
    pub(super) wildcard_credentials: bool,
    /// Reserved by bot-bottle; any value is refused.
    #[allow(dead_code, reason = "refused while it is read")]
    pub(super) role: Option<Reserved>,
}

fn yes() -> bool {
    true
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text, so that everything else gets the same answer.
        match String::deserialize(deserializer)?.as_str() {
            "0" => Ok(Self::Off),
            "1" => Ok(Self::Blocks),
            "2" => Ok(Self::Full),
            other => Err(D::Error::custom(format_args!(
                "{other:?} is no log level; expected 0 (off), 1 (blocks) or 2 (full)"
            ))),
        }
    }
}

impl JsonSchema for LogLevel {
    fn schema_name() -> Cow<'static, str> {
        "LogLevel".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [0, 1, 2], "description": "0 off, 1 blocks, 2 full; always redacted" })
    }
}

/// A token as in bot-bottle's manifests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthFile {
    /// The scheme, such as `Bearer`.
    pub(super) scheme: String,
    /// The variable that holds the token.
    pub(super) token_ref: EnvName,
}

/// A credential: exactly one of `header`, `query`, `basic` and `aws_sigv4`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialFile {
    /// Put on as this header.
    pub(super) header: Option<String>,
    /// What stands in front of the header's value, such as `"Bearer "`.
    pub(super) prefix: Option<String>,
    /// Put on as this query parameter.
    pub(super) query: Option<String>,
    /// Where the value of `header` or `query` comes from.
    pub(super) from: Option<SourceFile>,
    /// HTTP basic authentication.
    pub(super) basic: Option<BasicFile>,
    /// AWS Signature Version 4.
    pub(super) aws_sigv4: Option<SigV4File>,
}

/// HTTP basic authentication.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicFile {
    /// The user name.
    pub(super) username: String,
    /// Where the password comes from.
    pub(super) from: SourceFile,
}

/// AWS Signature Version 4.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SigV4File {
    /// The region.
    pub(super) region: String,
    /// The service.
    pub(super) service: String,
    /// Where the keys come from.
    pub(super) from: SourceFile,
}

/// Where a secret comes from: exactly one of `env`, `file` and `command`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct SourceFile {
    /// A variable of Hudson's environment.
    pub(super) env: Option<EnvName>,
    /// A file; a relative path stands beside this file.
    pub(super) file: Option<PathBuf>,
    /// A program and its arguments, started without a shell.
    pub(super) command: Option<Vec<String>>,
}

/// One entry of `matches`: paths OR, methods OR, headers AND.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(super) struct MatchFile {
    /// Allowed paths.
    pub(super) paths: Option<Vec<PathFile>>,
    /// Allowed methods.
    pub(super) methods: Option<Vec<String>>,
    /// Required headers.
    pub(super) headers: Option<Vec<HeaderFile>>,
}

/// A condition on the normalised path.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PathFile {
    /// How it is compared; default is `prefix`, by whole segments.
    #[serde(rename = "type", default)]
    pub(super) kind: PathKind,
    /// The path or expression.
    pub(super) value: String,
}

/// How a path is compared.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PathKind {
    /// The very path.
    Exact,
    /// Whole leading segments.
    #[default]
    Prefix,
    /// A regular expression that matches the whole path.
    Regex,
}

/// A condition on a header.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderFile {
    /// The header's name.
    pub(super) name: String,
    /// How it is compared; default is `exact`.
    #[serde(rename = "type", default)]
    pub(super) kind: HeaderKind,
    /// The value or expression.
    pub(super) value: String,
}

/// How a header's value is compared.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum HeaderKind {
    /// The very value.
    #[default]
    Exact,
    /// A regular expression that matches the whole value.
    Regex,
}

/// Tokens reserved on top.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AllowanceFile {
    /// For tools that run at the provider; 0 refuses them under a hard budget.
    pub(super) server_tools: Amount,
    /// For background and batch work; 0 refuses it under a hard budget.
    pub(super) background: Amount,
}

/// Which detectors run; not mentioned means the default ones.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DlpFile {
    /// `false`, or a list; default is token_patterns and known_secrets.
    pub(super) outbound_detectors: Option<OffOr<OutboundDetector>>,
    /// `false`, or a list.
    pub(super) inbound_detectors: Option<OffOr<InboundDetector>>,
    /// As the route's own `outbound_on_match`.
    pub(super) outbound_on_match: Option<OnMatch>,
    /// What an inbound finding does: `annotate` (default) or `block`.
    pub(super) inbound_on_match: InboundOnMatch,
}

/// `git_fetch` as in bot-bottle's manifests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GitFile {
    /// Whether `git fetch` over HTTPS is let through.
    pub(super) fetch: bool,
}

/// Where and how a host is dialled.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamFile {
    /// `HOST:PORT` dialled instead; names and policy stay.
    pub(super) connect_to: Option<Authority>,
    /// PEM file with the only authorities trusted for this host; a relative path stands beside this file.
    pub(super) ca_file: Option<PathBuf>,
    /// A certificate that is shown to the host.
    pub(super) client_certificate: Option<ClientCertificateFile>,
    /// An HTTP proxy to go through, `http://HOST:PORT`.
    pub(super) proxy: Option<String>,
    /// By what Hudson says who it is to that proxy.
    pub(super) proxy_credentials: Option<BasicFile>,
}

/// A client certificate; relative paths stand beside this file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCertificateFile {
    /// PEM file with the certificate and what it was signed by.
    pub(super) certificate_file: PathBuf,
    /// PEM file with its private key.
    pub(super) key_file: PathBuf,
}

/// `meter:`.
pub(super) enum MeterFile {
    Off,
    As(MeterAs),
}

/// Counted as this provider in this format.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MeterAs {
    /// The key that budgets use.
    pub(super) provider: Provider,
    /// How usage is read.
    pub(super) format: Format,
}

impl<'de> Deserialize<'de> for MeterFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MeterVisitor;

        impl<'de> Visitor<'de> for MeterVisitor {
            type Value = MeterFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off or {provider: NAME, format: NAME}")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<MeterFile, E> {
                match on {
                    false => Ok(MeterFile::Off),
                    true => Err(E::custom(
                        "expected off or {provider: NAME, format: NAME}; leave the key out for the catalogue",
                    )),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MeterFile, E> {
                match text {
                    "off" => Ok(MeterFile::Off),
                    other => Err(E::custom(format_args!(
                        "found {other:?}, expected off or {{provider: NAME, format: NAME}}"
                    ))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MeterFile, A::Error> {
                MeterAs::deserialize(MapAccessDeserializer::new(map)).map(MeterFile::As)
            }
        }

        deserializer.deserialize_any(MeterVisitor)
    }
}

impl JsonSchema for MeterFile {
    fn schema_name() -> Cow<'static, str> {
        "Meter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<MeterAs>();
        json_schema!({ "anyOf": [{"enum": ["off", false]}, mapping] })
    }
}

/// `false`, or a list of detectors.
pub(super) enum OffOr<T> {
    Off,
    Only(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OffOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OffOrVisitor<T> {
            type Value = OffOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false or a list of detectors")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<OffOr<T>, E> {
                match on {
                    false => Ok(OffOr::Off),
                    true => Err(E::custom(
                        "expected false or a list of detectors; leave the key out for the default ones",
                    )),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OffOr<T>, A::Error> {
                let mut detectors = Vec::new();
                while let Some(detector) = seq.next_element()? {
                    detectors.push(detector);
                }
                Ok(OffOr::Only(detectors))
            }
        }

        deserializer.deserialize_any(OffOrVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OffOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}s", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{"const": false}, {"type": "array", "items": item}] })
    }
}

/// A key that nothing may be written to.
pub(super) struct Reserved;

impl<'de> Deserialize<'de> for Reserved {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("role is reserved; remove the key"))
    }
}

impl JsonSchema for Reserved {
    fn schema_name() -> Cow<'static, str> {
        "Reserved".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(false)
    }
}
