//! What the operator says of models that Hudson does not know, or knows otherwise (`providers.NAME.models`).

use crate::OutputField;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// The longest name of a model, in bytes.
const LONGEST: usize = 256;

/// The models of one name, or of all names that begin with it (a trailing `*`). Case does not matter.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ModelPattern(String);

impl ModelPattern {
    /// As it is written, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('*').unwrap_or(text);
        match name {
            "" => Err(format!("{text:?} names no model; expected a name, or its beginning and a `*`")),
            _ if name.contains('*') => Err(format!(
                "{text:?} has a `*` that is not at its end; expected one at most, as the last character"
            )),
            _ if text.len() > LONGEST || text.chars().any(|c| c.is_control() || c.is_whitespace()) => Err(
                format!("{text:?} cannot be a model's name; expected at most {LONGEST} bytes without spaces"),
            ),
            _ => Ok(Self(text.to_ascii_lowercase())),
        }
    }
}

impl<'de> Deserialize<'de> for ModelPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for ModelPattern {
    fn schema_name() -> Cow<'static, str> {
        "ModelPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A model's name, or its beginning with a trailing *",
            "type": "string",
            "pattern": r"^[^*\s]+\*?$",
        })
    }
}

/// What holds for a model, before what Hudson knows of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// The most output tokens of one answer, thinking included: what is reserved, and put in, for a request without a
    /// cap.
    pub max_output: Option<NonZeroU64>,
    /// The name under which chat/completions takes the cap. Other formats have one name only.
    pub output_field: Option<OutputField>,
    /// The most input tokens of one request: the model's context. No estimate is above it.
    pub max_input: Option<NonZeroU64>,
}
