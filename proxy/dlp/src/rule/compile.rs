//! A rule made ready to run.
//!
//! Invariant: no rule of a file can use more memory than [`SIZE_LIMIT`]; the engine has no backtracking, so none can use
//! more than time proportional to what it looks at.

use super::{Boundary, Level, Rule};
use crate::finding::{Class, Confidence, Severity};
use crate::validate::Validator;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::{Arc, OnceLock};

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
    pub(crate) allow: Vec<Lazy>,
}

/// How the value is looked for.
#[derive(Debug)]
pub(crate) enum Shape {
    /// From the keyword on.
    Anchored(Lazy),
    /// In a window that begins so many bytes in front of the keyword.
    Window(Lazy, usize),
    /// Behind a name; group 1 is what stands between, group 2 the value.
    Assigned(Lazy),
    /// In everything, since the rule names no keyword.
    Everywhere(Lazy),
}

/// A regex that is compiled when it is first needed: most rules never meet their keyword, and all of them together take
/// longer than a process may take to start.
#[derive(Debug)]
pub(crate) struct Lazy {
    text: String,
    ignore_case: bool,
    built: OnceLock<Option<Regex>>,
}

impl Compiled {
    /// The rule made ready with its regexes compiled; what is wrong with it otherwise.
    pub(crate) fn proven(rule: &Rule) -> Result<Self, String> {
        let compiled = Self::new(rule)?;
        compiled.allow.iter().try_for_each(Lazy::prove)?;
        let regex = compiled.shape.lazy();
        regex.prove()?;
        let groups = regex.regex().map_or(0, Regex::captures_len);
        if compiled.group >= groups {
            let last = groups.saturating_sub(1);
            return Err(format!("secret_group is {}, but the regex has {last} groups", compiled.group));
        }
        Ok(compiled)
    }

    /// The rule made ready, its regexes not compiled yet.
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
        let checked = rule.validator.is_some_and(|validator| !validator.decides());
        let valid = if checked { Level::Confirmed } else { Level::Likely };
        let decides = rule.validator.is_some_and(Validator::decides);
        let invalid = if decides { Level::None } else { Level::Likely };
        let level = |given: Option<Level>, usual: Level| given.unwrap_or(usual).confidence();
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
            allow: rule.allow.iter().map(|text| Lazy::new(text.clone(), false)).collect(),
        })
    }
}

impl Shape {
    fn lazy(&self) -> &Lazy {
        let (Self::Anchored(regex)
        | Self::Window(regex, _)
        | Self::Assigned(regex)
        | Self::Everywhere(regex)) = self;
        regex
    }

    /// The regex; `None` where it is not valid, which no rule is that was read.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.lazy().regex()
    }
}

impl Lazy {
    fn new(text: String, ignore_case: bool) -> Self {
        Self { text, ignore_case, built: OnceLock::new() }
    }

    /// The regex; `None` where it is not valid, which no rule is that was read.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.built.get_or_init(|| build(&self.text, self.ignore_case).ok()).as_ref()
    }

    /// Compiles it; what is wrong with it otherwise.
    fn prove(&self) -> Result<(), String> {
        let built = build(&self.text, self.ignore_case)?;
        // Another thread cannot have come first: nothing is shared yet.
        let _ = self.built.set(Some(built));
        Ok(())
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
        return Ok((Shape::Assigned(Lazy::new(text, false)), assigned.names.clone()));
    }
    let regex = rule.regex.as_deref().unwrap_or_default();
    let shape = match (rule.keywords.is_empty(), rule.before) {
        (true, _) => Shape::Everywhere(Lazy::new(regex.to_owned(), rule.ignore_case)),
        (false, 0) => Shape::Anchored(Lazy::new(format!(r"\A(?:{regex})"), rule.ignore_case)),
        (false, before) => Shape::Window(Lazy::new(regex.to_owned(), rule.ignore_case), before),
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
