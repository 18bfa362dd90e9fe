//! What must not leave, for the whole host (`dlp:` in settings.yml): values that are known, rules beside those that come
//! with Hudson, and findings that the operator has looked at.

use crate::Policy;
use crate::config::HostPattern;
use crate::config::tree::Trail;
use crate::config::values::EnvName;
use crate::config::yaml::Document;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Digits of a finding's hash, as reports show it.
const HASH_DIGITS: usize = 32;

/// What must not leave, whatever the bottle.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DlpSettings {
    /// Rules beside those that come with Hudson: a TOML file of gitleaks or betterleaks, or a YAML file of ours. A
    /// relative path stands beside settings.yml; so do those below.
    pub rules_file: Option<PathBuf>,
    /// Values that must not leave: `NAME=VALUE` in each line, as in a `.env` file.
    pub secrets_file: Option<PathBuf>,
    /// Values that nobody uses, in the same form: who sends one has read what is not for them, and is stopped.
    pub canary_file: Option<PathBuf>,
    /// What a canary does to the bottle that sent it.
    pub on_canary: Policy,
    /// Variables of Hudson's own environment and of the bottles whose names begin so hold values that must not leave.
    pub env_prefixes: Vec<EnvName>,
    /// Whether values from documentation (`AKIAIOSFODNN7EXAMPLE`, the card 4242…) count as real ones.
    pub strict_examples: bool,
    /// Sets of rules that are off by default.
    pub profiles: Vec<DlpProfile>,
    /// From how many values of a rule on one part of a request is refused, by the rule's id; fewer are only told of. For
    /// data of persons, of which single ones are everywhere.
    pub thresholds: BTreeMap<String, NonZeroU32>,
    /// What becomes of a body that cannot be read: of an unknown encoding, or decoded to too much.
    pub on_unscannable: OnUnscannable,
    /// The largest body that is held back until all of it was looked at, in bytes. A larger one streams, and is broken
    /// off where something is found.
    pub buffer_limit: NonZeroU32,
    /// Findings that the operator has looked at.
    pub suppressions: Vec<Suppression>,
}

impl Default for DlpSettings {
    fn default() -> Self {
        Self {
            rules_file: None,
            secrets_file: None,
            canary_file: None,
            on_canary: Policy::Freeze,
            env_prefixes: vec![EnvName("EGRESS_TOKEN_".to_owned())],
            strict_examples: false,
            profiles: Vec::new(),
            thresholds: BTreeMap::new(),
            on_unscannable: OnUnscannable::default(),
            buffer_limit: NonZeroU32::MIN.saturating_add(32 * 1024 * 1024 - 1),
            suppressions: Vec::new(),
        }
    }
}

/// A set of rules that is off by default.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DlpProfile {
    /// Data of persons: e-mail addresses, telephone and social security numbers.
    Pii,
    /// Keys and addresses of crypto currencies.
    Crypto,
}

/// What becomes of a body that cannot be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnscannable {
    /// The request is refused.
    #[default]
    Block,
    /// It passes, with a warning.
    Warn,
}

/// A finding that the operator has looked at: by its hash, or by rule, host and location. Known values and canaries
/// cannot be suppressed.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// The finding's hash, as reports show it.
    pub finding: Option<String>,
    /// The rule's id; goes with `host`.
    pub rule: Option<String>,
    /// The host to which it may go.
    pub host: Option<HostPattern>,
    /// Where in the request, as reports show it; everywhere where it is not set.
    pub location: Option<String>,
    /// Why.
    pub reason: String,
    /// Until when it counts, `2027-01-31`: that day, UTC, is the last.
    pub expires: String,
}

impl Suppression {
    /// When it ends, in unix milliseconds; `None` where `expires` is no date.
    pub fn ends(&self) -> Option<i64> {
        let day: jiff::civil::Date = self.expires.parse().ok()?;
        let end = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(end.timestamp().as_millisecond())
    }
}

pub(super) fn check(document: &mut Document<'_>, trail: &Trail, settings: &DlpSettings) {
    let suppressions = trail.key("suppressions");
    for (index, suppression) in settings.suppressions.iter().enumerate() {
        let trail = suppressions.index(index);
        match suppression {
            Suppression { finding: Some(hash), rule: None, host: None, location: None, .. } => {
                let digits = hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if hash.len() != HASH_DIGITS || !digits {
                    let message = format!(
                        "expected the {HASH_DIGITS} digits that a report shows as the finding's hash"
                    );
                    document.value(&trail.key("finding"), message);
                }
            }
            Suppression { finding: None, rule: Some(_), host: Some(_), .. } => {}
            _ => document.value(&trail, "a suppression has either finding, or rule and host"),
        }
        if suppression.reason.trim().is_empty() {
            document.value(&trail.key("reason"), "say why, for whoever reads this later");
        }
        if suppression.ends().is_none() {
            document.value(&trail.key("expires"), "expected a date such as 2027-01-31");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_settings;
    use std::path::Path;

    fn parse(text: &str) -> Result<DlpSettings, String> {
        let settings = parse_settings(Path::new("settings.yml"), text).map_err(|error| error.to_string())?;
        assert_eq!(settings.unsupported(), []);
        Ok(settings.dlp)
    }

    #[test]
    fn every_key_is_read() {
        let dlp = parse(concat!(
            "dlp:\n  rules_file: team.toml\n  secrets_file: secrets.env\n  canary_file: canaries.env\n",
            "  on_canary: kill\n  env_prefixes: [SECRET_]\n  strict_examples: true\n  profiles: [pii, crypto]\n",
            "  thresholds: {email-address: 20}\n  on_unscannable: warn\n  buffer_limit: 65536\n  suppressions:\n",
            "    - {finding: 0123456789abcdef0123456789abcdef, reason: a fixture, expires: 2027-01-31}\n",
            "    - {rule: jwt, host: '*.example.com', location: /a/b, reason: public, expires: 2027-01-31}\n",
        ))
        .unwrap();
        assert_eq!((dlp.on_canary, dlp.strict_examples), (Policy::Kill, true));
        assert_eq!(dlp.profiles, [DlpProfile::Pii, DlpProfile::Crypto]);
        assert_eq!((dlp.buffer_limit.get(), dlp.on_unscannable), (65536, OnUnscannable::Warn));
        assert_eq!(dlp.suppressions.len(), 2);
        // The first moment of the day after.
        assert_eq!(dlp.suppressions[0].ends(), Some(1_801_440_000_000));
        assert_eq!(parse("").unwrap().on_canary, Policy::Freeze);
        assert_eq!(parse("").unwrap().buffer_limit.get(), 32 << 20);
    }

    #[test]
    fn a_suppression_that_says_too_little_is_refused() {
        for (entry, expected) in [
            ("{reason: x, expires: 2027-01-31}", "a suppression has either finding, or rule and host"),
            (
                "{rule: jwt, reason: x, expires: 2027-01-31}",
                "a suppression has either finding, or rule and host",
            ),
            ("{finding: abc, reason: x, expires: 2027-01-31}", "expected the 32 digits"),
            ("{rule: jwt, host: a.b.c, reason: '', expires: 2027-01-31}", "say why"),
            ("{rule: jwt, host: a.b.c, reason: x, expires: soon}", "expected a date such as 2027-01-31"),
            ("{rule: jwt, host: a.b.c, reason: x}", "the key \"expires\" is missing here"),
        ] {
            let error = parse(&format!("dlp: {{suppressions: [{entry}]}}\n")).unwrap_err();
            assert!(error.contains(expected), "{entry}\n{error}");
        }
    }
}
