//! Rules as people write them: YAML, one file a vendor, strict.
//!
//! A rule has keywords, without one of which nothing else is looked at, and either a `regex` or `assigned`: names of a
//! vendor and the form of the value that is given to them. Its examples are its tests.

mod compile;
pub mod import;
#[cfg(test)]
mod tests;

pub(crate) use compile::{Compiled, Lazy, Shape};

use crate::finding::{Class, Severity};
use crate::validate::Validator;
use serde::Deserialize;
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use std::collections::HashMap;

/// What the build script makes of the files in `rules`.
const BUILTIN: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.json"));

/// Rules, as read.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub(crate) rules: Vec<Placed>,
}

/// A rule and where it was read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Placed {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) rule: Rule,
}

/// A rules file that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {}{message}", .rule.as_ref().map(|rule| format!("rule {rule:?}: ")).unwrap_or_default())]
pub struct RuleError {
    /// The file's name.
    pub file: String,
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The rule's id, where one was read.
    pub rule: Option<String>,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// One rule of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique among all rules.
    pub id: String,
    /// What it finds, for people.
    #[serde(default)]
    pub description: String,
    /// Texts of three bytes or more, one of which stands in every match.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// The value's form; it begins at the keyword unless `before` is set.
    pub regex: Option<String>,
    /// The value's form where the value itself does not say whose it is.
    pub assigned: Option<Assigned>,
    /// The group of `regex` that is the value.
    #[serde(default)]
    pub secret_group: usize,
    /// Bytes that a match may have from the keyword on.
    #[serde(default = "Rule::default_max_len")]
    pub max_len: usize,
    /// Bytes in front of the keyword that are looked at; 0: the match begins at the keyword.
    #[serde(default)]
    pub before: usize,
    /// Whether keywords and regex take capitals for small letters.
    #[serde(default)]
    pub ignore_case: bool,
    /// At which ends a match must not run on in a word.
    #[serde(default)]
    pub boundary: Boundary,
    /// Bits a byte that the value has at least.
    #[serde(default)]
    pub entropy: f64,
    /// A check of the value.
    pub validator: Option<Validator>,
    /// Whether the value stands within 64 bytes behind the keyword and is, or holds, a word of twelve letters or more with a
    /// digit: then nothing else is looked at where there is none.
    #[serde(default)]
    pub valued: bool,
    /// How sure a match is.
    #[serde(default)]
    pub confidence: Levels,
    /// How bad it would be.
    #[serde(default)]
    pub severity: Severity,
    /// The most that it asks for: `act` or `warn`.
    #[serde(default = "Rule::default_class")]
    pub class: Class,
    /// A word that has to stand within 256 bytes of the match.
    #[serde(default)]
    pub near: Vec<String>,
    /// Values with one of these words, in any case, are none.
    #[serde(default)]
    pub stopwords: Vec<String>,
    /// Hosts to which such a value belongs; `*.` stands for any names in front.
    #[serde(default)]
    pub home_hosts: Vec<String>,
    /// The set it belongs to.
    #[serde(default)]
    pub profile: Profile,
    /// Its tests.
    #[serde(default)]
    pub examples: Examples,
    /// Regexes of values that are none; matched against the value or the whole match.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Whether keywords are met in any case although the regex may not be.
    #[serde(skip)]
    pub any_case: bool,
}

/// A value that is known by the name it is given to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// Names of the vendor or of the variable, in any case.
    pub names: Vec<String>,
    /// The form of the value, as a regex.
    pub value: String,
}

/// How sure a match is; `none` drops it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// With a validator that holds, or without any.
    pub valid: Option<Level>,
    /// With a validator that does not hold.
    pub invalid: Option<Level>,
    /// Without a checksum inside a long run of base64.
    pub in_opaque: Option<Level>,
}

/// A confidence, or none at all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is dropped.
    None,
    /// See [`crate::Confidence::Possible`].
    Possible,
    /// See [`crate::Confidence::Likely`].
    Likely,
    /// See [`crate::Confidence::Confirmed`].
    Confirmed,
}

/// At which ends of a match no letter, digit or underscore may follow.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Both.
    #[default]
    Both,
    /// Only in front.
    Left,
    /// Only behind.
    Right,
    /// None.
    None,
}

/// Which detector a rule belongs to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Forms that the vendors document; generic assignments.
    #[default]
    TokenPatterns,
    /// Anything that looks random.
    Entropy,
    /// Numbers of cards and bank accounts, which carry check digits.
    Financial,
    /// Data of persons.
    Pii,
    /// Addresses and keys of crypto currencies.
    Crypto,
}

/// A rule's tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Texts in which it finds something. `|` at a place where a real token has none keeps them from being found here.
    #[serde(default, rename = "match")]
    pub matching: Vec<String>,
    /// Texts in which it finds nothing.
    #[serde(default)]
    pub no_match: Vec<String>,
}

impl RuleSet {
    /// The rules that come with Hudson. The tests prove each of them, so that none is compiled here.
    pub fn builtin() -> Result<Self, RuleError> {
        let rules = serde_json::from_str(BUILTIN).map_err(|error| RuleError {
            file: "the rules that come with Hudson".to_owned(),
            line: error.line() as u64,
            rule: None,
            message: error.to_string(),
        })?;
        Ok(Self { rules })
    }

    /// The rules of one YAML file; `file` is its name in errors. Every regex is compiled once, so that what is returned
    /// can be used.
    pub fn parse(file: &str, text: &str) -> Result<Self, RuleError> {
        let at = |line, rule, message| RuleError { file: file.to_owned(), line, rule, message };
        let read: Vec<Spanned<Rule>> =
            serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
                let error = error.without_snippet();
                let line = error.location().map_or(0, |location| location.line());
                at(line, last_id(text, line), error.to_string())
            })?;
        let mut rules = Vec::new();
        for spanned in read {
            let line = spanned.referenced.line();
            let rule = spanned.value;
            rule.check().map_err(|message| at(line, Some(rule.id.clone()), message))?;
            rules.push(Placed { file: file.to_owned(), line, rule });
        }
        let mut set = Self::default();
        set.merge(Self { rules })?;
        Ok(set)
    }

    /// Adds other rules; an id that is there already is an error.
    pub fn merge(&mut self, other: Self) -> Result<(), RuleError> {
        let mut taken = HashMap::new();
        for placed in self.rules.iter().chain(&other.rules) {
            if let Some(first) = taken.insert(placed.rule.id.as_str(), placed) {
                return Err(RuleError {
                    file: placed.file.clone(),
                    line: placed.line,
                    rule: Some(placed.rule.id.clone()),
                    message: format!(
                        "the id is taken by {}:{}; give one of them another",
                        first.file, first.line
                    ),
                });
            }
        }
        self.rules.extend(other.rules);
        Ok(())
    }

    /// Adds other rules; an id that is there already gets the prefix in front. The ids that got it, as they were.
    pub fn merge_beside(&mut self, mut other: Self, prefix: &str) -> Result<Vec<String>, RuleError> {
        let mut renamed = Vec::new();
        for placed in &mut other.rules {
            if self.rules.iter().any(|known| known.rule.id == placed.rule.id) {
                let id = format!("{prefix}{}", placed.rule.id);
                renamed.push(std::mem::replace(&mut placed.rule.id, id));
            }
        }
        self.merge(other)?;
        Ok(renamed)
    }

    /// Each rule as a set of its own, so that its examples say something of it alone.
    pub fn singles(&self) -> impl Iterator<Item = Self> {
        self.rules.iter().map(|placed| Self { rules: vec![placed.clone()] })
    }

    /// The file and the line in which a rule was read.
    pub fn place(&self, id: &str) -> Option<(&str, u64)> {
        let placed = self.rules.iter().find(|placed| placed.rule.id == id)?;
        Some((&placed.file, placed.line))
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|placed| &placed.rule)
    }
}

impl Rule {
    const fn default_max_len() -> usize {
        512
    }

    const fn default_class() -> Class {
        Class::Act
    }

    /// What keeps it from being used.
    fn check(&self) -> Result<(), String> {
        if self.id.is_empty() {
            return Err("the id is empty".to_owned());
        }
        if self.regex.is_some() == self.assigned.is_some() {
            return Err("has to have one of `regex` and `assigned`".to_owned());
        }
        if !matches!(self.class, Class::Act | Class::Warn) {
            return Err("class is `act` or `warn`".to_owned());
        }
        Compiled::proven(self).map(|_| ())
    }
}

/// The id of the last rule that begins above a line, so that an error inside a rule can name it.
fn last_id(text: &str, line: u64) -> Option<String> {
    let above = text.lines().take(usize::try_from(line).unwrap_or(usize::MAX));
    let id =
        above.filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("id:")).last()?;
    Some(id.trim().trim_matches(['"', '\'']).to_owned())
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    options.strict_booleans = true;
    options.with_snippet = false;
    options
}
