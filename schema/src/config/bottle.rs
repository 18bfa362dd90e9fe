//! bottle.yml: what one bottle says about itself. All keys are optional; no file and an empty file mean the same.

use super::values::EnvName;
use crate::budget::{BudgetMap, Window};
use crate::{BottleName, Policy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A bottle's own file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Hudson bottle.yml")]
pub struct BottleFile {
    /// The parent bottle.
    pub extends: Option<BottleName>,
    /// Which agent runs in it; adds that provider's routes.
    pub agent_provider: Option<AgentProvider>,
    /// Its budget.
    pub budget: BudgetMap,
    /// What its spent budget does.
    pub shutdown: Option<Policy>,
    /// The window its budget counts in.
    pub window: Option<Window>,
    /// Variables of the agent's environment. They reach the agent as they stand: no place for secrets.
    pub env: BTreeMap<EnvName, EnvValue>,
}

/// The value of a variable; `${NAME}` takes it from Hudson's environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnvValue(pub String);

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for EnvValue {
    fn schema_name() -> Cow<'static, str> {
        "EnvValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Which agent runs in a bottle: its template's name, or bot-bottle's mapping.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentProvider {
    /// `claude`, `codex`, `gemini` or a plugin's name.
    pub template: String,
}

/// bot-bottle's mapping. Only the template means something here: Hudson puts no credentials into a bottle.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read to be accepted and described, not to be used")]
struct AgentProviderFile {
    /// `claude`, `codex`, `gemini` or a plugin's name.
    template: String,
    /// The image's file; not used.
    dockerfile: Option<String>,
    /// Not used.
    auth_token: Option<String>,
    /// Not used.
    forward_host_credentials: Option<bool>,
}

impl<'de> Deserialize<'de> for AgentProvider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ProviderVisitor;

        impl<'de> Visitor<'de> for ProviderVisitor {
            type Value = AgentProvider;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a provider's name such as claude, or a mapping with template")
            }

            fn visit_str<E: Error>(self, template: &str) -> Result<AgentProvider, E> {
                template_name(template)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AgentProvider, A::Error> {
                let file = AgentProviderFile::deserialize(MapAccessDeserializer::new(map))?;
                template_name(&file.template)
            }
        }

        deserializer.deserialize_any(ProviderVisitor)
    }
}

fn template_name<E: Error>(text: &str) -> Result<AgentProvider, E> {
    match text.is_empty() || text.contains(char::is_whitespace) {
        true => Err(E::custom("expected a provider's name such as claude, codex or gemini")),
        false => Ok(AgentProvider { template: text.to_owned() }),
    }
}

impl JsonSchema for AgentProvider {
    fn schema_name() -> Cow<'static, str> {
        "AgentProvider".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<AgentProviderFile>();
        json_schema!({
            "description": "A provider's name such as claude, or bot-bottle's mapping",
            "anyOf": [{"type": "string", "minLength": 1}, mapping],
        })
    }
}
