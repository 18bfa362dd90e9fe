//! A rule made ready to run.
//!
//! Invariant: no rule of a file can use more memory than [`SIZE_LIMIT`]; the engine has no backtracking, so none can use
//! more than time proportional to what it looks at.

use super::{Boundary, Level, Rule};
use crate::finding::{Class, Confidence, Severity};
use crate::validate::Validator;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;

/// Bytes that one compiled regex may take.
const SIZE_LIMIT: usize = 16 << 20;
/// Bytes that its lazily built automaton may take.
const DFA_LIMIT: usize = 4 << 20;
/// Shorter keywords would be met everywhere.
const SHORTEST_KEYWORD: usize = 3;
/// Bytes that a rule may look at around a keyword: the carry-over between blocks is not longer.
const LONGEST_WINDOW: usize = 6 << 10;
/// Between a vendor's name and the value.
const LINK: usize = 40;

/// A rule that runs.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) id: Arc<str>,
    pub(crate) keywords: Vec<String>,
    pub(crate) ignore_case: bool,
    pub(crate) shape: Shape,
    /// Whether a match needs a value that looks random behind its keyword.
    pub(crate) valued: bool,
    pub(crate) group: usize,
    pub(crate) max_len: usize,
    pub(crate) left: bool,
    pub(crate) right: bool,
    pub(crate) entropy: f64,
    pub(crate) validator: Option<Validator>,
    pub(crate) valid: Option<Confidence>,
    pub(crate) invalid: Option<Confidence>,
    pub(crate) in_opaque: Option<Confidence>,
    pub(crate) severity: Severity,
    pub(crate) class: Class,
    pub(crate) near: Vec<String>,
    pub(crate) stopwords: Vec<String>,
    pub(crate) home_hosts: Vec<String>,
    pub(crate) allow: Vec<Regex>,
}

/// How the value is looked for.
#[derive(Debug)]
pub(crate) enum Shape {
    /// From the keyword on.
    Anchored(Regex),
    /// In a window that begins so many bytes in front of the keyword.
    Window(Regex, usize),
    /// Behind a name; group 1 is what stands between, group 2 the value.
    Assigned(Regex),
    /// In everything, since the rule names no keyword.
    Everywhere(Regex),
}

impl Compiled {
    /// The rule made ready; what is wrong with it otherwise.
    pub(crate) fn new(rule: &Rule) -> Result<Self, String> {
        let (shape, keywords) = shape(rule)?;
        for keyword in &keywords {
            if keyword.len() < SHORTEST_KEYWORD {
                return Err(format!("the keyword {keyword:?} is shorter than {SHORTEST_KEYWORD} bytes"));
            }
        }
        if rule.max_len + rule.before > LONGEST_WINDOW {
            return Err(format!("max_len and before are together more than {LONGEST_WINDOW} bytes"));
        }
        let assigned = matches!(shape, Shape::Assigned(_));
        let group = if assigned { 2 } else { rule.secret_group };
        let groups = shape.regex().captures_len();
        if group >= groups {
            return Err(format!("secret_group is {group}, but the regex has {} groups", groups - 1));
        }
        let checked = rule.validator.is_some_and(|validator| !validator.decides());
        let valid = if checked { Level::Confirmed } else { Level::Likely };
        let decides = rule.validator.is_some_and(Validator::decides);
        let invalid = if decides { Level::None } else { Level::Likely };
        let level = |given: Option<Level>, usual: Level| given.unwrap_or(usual).confidence();
        let allow = rule.allow.iter().map(|text| build(text, false));
        Ok(Self {
            id: rule.id.as_str().into(),
            keywords,
            ignore_case: rule.ignore_case || rule.any_case || assigned,
            shape,
            valued: assigned || rule.valued,
            group,
            max_len: rule.max_len,
            left: matches!(rule.boundary, Boundary::Both | Boundary::Left) && !assigned,
            right: matches!(rule.boundary, Boundary::Both | Boundary::Right) && !assigned,
            entropy: rule.entropy,
            validator: rule.validator,
            valid: level(rule.confidence.valid, valid),
            invalid: level(rule.confidence.invalid, invalid),
            in_opaque: level(rule.confidence.in_opaque, Level::Possible),
            severity: rule.severity,
            class: rule.class,
            near: rule.near.iter().map(|word| word.to_ascii_lowercase()).collect(),
            stopwords: rule.stopwords.iter().map(|word| word.to_ascii_lowercase()).collect(),
            home_hosts: rule.home_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            allow: allow.collect::<Result<_, _>>()?,
        })
    }
}

impl Shape {
    pub(crate) fn regex(&self) -> &Regex {
        let (Self::Anchored(regex)
        | Self::Window(regex, _)
        | Self::Assigned(regex)
        | Self::Everywhere(regex)) = self;
        regex
    }
}

impl Level {
    fn confidence(self) -> Option<Confidence> {
        match self {
            Self::None => None,
            Self::Possible => Some(Confidence::Possible),
            Self::Likely => Some(Confidence::Likely),
            Self::Confirmed => Some(Confidence::Confirmed),
        }
    }
}

fn shape(rule: &Rule) -> Result<(Shape, Vec<String>), String> {
    if let Some(assigned) = &rule.assigned {
        if !rule.keywords.is_empty() {
            return Err("`assigned` has its names as keywords; remove `keywords`".to_owned());
        }
        // Names of the same value are tried one by one where a keyword was met; the name itself is the keyword.
        let names: Vec<String> = assigned.names.iter().map(|name| regex::escape(name)).collect();
        let (names, value) = (names.join("|"), &assigned.value);
        let text =
            format!(r"\A(?i:{names})((?s:.){{0,{LINK}}}?[^0-9A-Za-z+/])({value})(?:[^0-9A-Za-z_\-+/]|\z)");
        return Ok((Shape::Assigned(build(&text, false)?), assigned.names.clone()));
    }
    let regex = rule.regex.as_deref().unwrap_or_default();
    let shape = match (rule.keywords.is_empty(), rule.before) {
        (true, _) => Shape::Everywhere(build(regex, rule.ignore_case)?),
        (false, 0) => Shape::Anchored(build(&format!(r"\A(?:{regex})"), rule.ignore_case)?),
        (false, before) => Shape::Window(build(regex, rule.ignore_case)?, before),
    };
    Ok((shape, rule.keywords.clone()))
}

fn build(text: &str, ignore_case: bool) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).case_insensitive(ignore_case).size_limit(SIZE_LIMIT).dfa_size_limit(DFA_LIMIT);
    builder.build().map_err(|error| {
        let error = error.to_string();
        format!("the regex is not valid: {}", error.lines().last().unwrap_or(&error).trim())
    })
}
