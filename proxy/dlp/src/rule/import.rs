//! Rules of gitleaks and betterleaks, read as they are.
//!
//! What can be judged on traffic is taken: keywords, regex, `secretGroup`, entropy, allowlists of regexes and stopwords. Paths
//! and commits do not exist on the wire, expressions and live checks are not run: each is named in the report, and a rule that
//! is nothing without them is left out. Imported rules ask for what ours do, except those that name no vendor: a generic
//! rule warns.

mod go;

use super::{Boundary, Compiled, Placed, Profile, Rule, RuleError, RuleSet};
use crate::finding::Class;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Bytes around a keyword in which an imported regex is tried.
const WINDOW: usize = 512;

/// What an import gave.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The rules.
    pub rules: RuleSet,
    /// What was left out, one line a rule and key.
    pub unsupported: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rules: Vec<Foreign>,
    #[serde(default, alias = "allowlist")]
    allowlists: OneOrMany,
    #[serde(flatten)]
    rest: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Foreign {
    id: String,
    #[serde(default)]
    description: String,
    regex: Option<String>,
    #[serde(default, rename = "secretGroup")]
    secret_group: Option<usize>,
    #[serde(default)]
    entropy: Option<f64>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default, alias = "allowlist")]
    allowlists: OneOrMany,
    path: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, toml::Value>,
}

#[derive(Clone, Deserialize)]
struct Allowlist {
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    commits: Vec<String>,
    #[serde(default)]
    condition: Option<String>,
    #[serde(default, rename = "regexTarget")]
    regex_target: Option<String>,
    #[serde(default, rename = "targetRules")]
    target_rules: Vec<String>,
}

/// Older files have one table where newer ones have a list.
#[derive(Clone, Default, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    #[default]
    None,
    One(Box<Allowlist>),
    Many(Vec<Allowlist>),
}

impl OneOrMany {
    fn all(self) -> Vec<Allowlist> {
        match self {
            Self::None => Vec::new(),
            Self::One(list) => vec![*list],
            Self::Many(lists) => lists,
        }
    }
}

/// Reads a gitleaks or betterleaks file; `file` is its name in errors and reports.
pub fn gitleaks(file: &str, text: &str) -> Result<Imported, RuleError> {
    let failed = |error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() as u64 + 1;
        RuleError { file: file.to_owned(), line, rule: None, message: error.message().to_owned() }
    };
    let read: File = toml::from_str(text).map_err(failed)?;
    let mut imported = Imported::default();
    let known = ["title", "description", "minVersion", "betterleaksMinVersion"];
    for key in read.rest.keys().filter(|key| !known.contains(&key.as_str())) {
        imported.unsupported.push(format!("{file}: `{key}` is not supported"));
    }
    let mut shared = Rule::empty();
    let (general, targeted): (Vec<Allowlist>, Vec<Allowlist>) =
        read.allowlists.all().into_iter().partition(|list| list.target_rules.is_empty());
    take_allowlists(general, &mut shared, file, "the file", &mut imported.unsupported);
    for mut foreign in read.rules {
        let line = line_of(text, &foreign.id);
        let id = foreign.id.clone();
        let meant = targeted.iter().filter(|list| list.target_rules.contains(&id)).cloned();
        foreign.allowlists = OneOrMany::Many(foreign.allowlists.all().into_iter().chain(meant).collect());
        if let Some(rule) = convert(foreign, &shared, file, &mut imported.unsupported) {
            // A regex that does not compile here is one rule less, not a file less.
            match Compiled::proven(&rule) {
                Ok(_) => imported
                    .rules
                    .merge(RuleSet { rules: vec![Placed { file: file.to_owned(), line, rule }] })?,
                Err(message) => imported.unsupported.push(format!("{file}:{line}: rule {id:?}: {message}")),
            }
        }
    }
    Ok(imported)
}

fn convert(foreign: Foreign, shared: &Rule, file: &str, unsupported: &mut Vec<String>) -> Option<Rule> {
    let name = format!("rule {:?}", foreign.id);
    let mut rule = shared.clone();
    for key in foreign.rest.keys().filter(|key| !["tags", "skipReport"].contains(&key.as_str())) {
        unsupported.push(format!("{file}: {name}: `{key}` is not supported"));
    }
    if foreign.path.is_some() {
        unsupported.push(format!("{file}: {name}: `path` is not supported: traffic has no file names"));
    }
    let Some(regex) = foreign.regex else {
        unsupported.push(format!("{file}: {name} is left out: it has no regex"));
        return None;
    };
    let regex = go::translated(&regex);
    take_allowlists(foreign.allowlists.all(), &mut rule, file, &name, unsupported);
    let (short, keywords): (Vec<String>, Vec<String>) =
        foreign.keywords.into_iter().partition(|word| word.len() < 3);
    // One keyword that is too short to be looked for would have to be met everywhere, as would none.
    let keywords = if short.is_empty() { keywords } else { Vec::new() };
    if keywords.is_empty() {
        unsupported.push(format!(
            "{file}: {name} has no keywords of three bytes or more: it is tried on every byte, which is slow"
        ));
    }
    let groups = regex::bytes::RegexBuilder::new(&regex)
        .unicode(false)
        .build()
        .map_or(1, |regex| regex.captures_len());
    rule.id = foreign.id;
    rule.description = foreign.description;
    // gitleaks takes the first group where none is named.
    rule.secret_group = foreign.secret_group.unwrap_or(usize::from(groups > 1));
    rule.class = if rule.id.contains("generic") { Class::Warn } else { Class::Act };
    rule.entropy = foreign.entropy.unwrap_or(0.0);
    rule.regex = Some(regex);
    rule.keywords = keywords;
    Some(rule)
}

fn take_allowlists(
    lists: Vec<Allowlist>,
    rule: &mut Rule,
    file: &str,
    name: &str,
    unsupported: &mut Vec<String>,
) {
    for list in lists {
        if !list.paths.is_empty() || !list.commits.is_empty() {
            unsupported
                .push(format!("{file}: {name}: allowlists of paths and commits do not apply to traffic"));
        }
        if list.condition.as_deref().is_some_and(|condition| condition.eq_ignore_ascii_case("and")) {
            unsupported.push(format!("{file}: {name}: an allowlist with the condition AND is left out"));
            continue;
        }
        if list.regex_target.as_deref() == Some("line") {
            unsupported
                .push(format!("{file}: {name}: an allowlist of lines is matched against the match alone"));
        }
        for regex in list.regexes {
            let here = go::translated(&regex);
            // One that cannot be used is one exception less, not a rule less.
            match regex::bytes::RegexBuilder::new(&here).unicode(false).build() {
                Ok(_) => rule.allow.push(here),
                Err(_) => {
                    unsupported.push(format!("{file}: {name}: the allowed regex {regex:?} is left out"))
                }
            }
        }
        rule.stopwords.extend(list.stopwords);
    }
}

/// The line on which a rule's id stands.
fn line_of(text: &str, id: &str) -> u64 {
    let quoted = [format!("\"{id}\""), format!("'{id}'")];
    let named = |line: &str| line.trim_start().starts_with("id") && quoted.iter().any(|id| line.contains(id));
    text.lines().position(named).map_or(0, |at| at as u64 + 1)
}

impl Rule {
    /// A rule that finds nothing yet, with the window in which foreign regexes are tried.
    fn empty() -> Self {
        Self {
            id: String::new(),
            description: String::new(),
            keywords: Vec::new(),
            regex: None,
            assigned: None,
            secret_group: 0,
            max_len: WINDOW,
            before: WINDOW,
            ignore_case: false,
            boundary: Boundary::None,
            valued: false,
            entropy: 0.0,
            validator: None,
            confidence: super::Levels::default(),
            severity: crate::finding::Severity::High,
            class: Class::Act,
            near: Vec::new(),
            stopwords: Vec::new(),
            home_hosts: Vec::new(),
            profile: Profile::TokenPatterns,
            examples: super::Examples::default(),
            allow: Vec::new(),
            // gitleaks looks for keywords in small letters.
            any_case: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Detectors, HashKey, Part, Policy};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    const FILE: &str = r#"
title = "mine"
[extend]
useDefault = true
[allowlist]
paths = ['''vendor/''']
stopwords = ["sample"]
[[rules]]
id = "acme-token"
description = "Acme"
regex = '''(?i)acme[^\n]{0,20}?\b([a-z0-9]{24})\b'''
keywords = ["acme"]
entropy = 3
[[rules.allowlists]]
regexes = ['''^000''']
[[rules]]
id = "no-regex"
path = '''\.p12$'''
[[rules]]
id = "broken"
regex = '''a(?=b)'''
keywords = ["abc"]
[[rules]]
id = "checked"
regex = '''chk_[a-z]{20}'''
keywords = ["chk_"]
validate = "https://x"
"#;

    #[test]
    fn a_file_is_read_unchanged_and_what_is_left_out_is_named() {
        let imported = gitleaks("mine.toml", FILE).unwrap();
        let ids: Vec<&str> = imported.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["acme-token", "checked"]);
        let told = imported.unsupported.join("\n");
        for word in ["`extend`", "paths", "\"no-regex\" is left out", "\"broken\": the regex", "`validate`"] {
            assert!(told.contains(word), "{word} in {told}");
        }
        assert!(gitleaks("mine.toml", "a = [").unwrap_err().to_string().starts_with("mine.toml:1:"));
    }

    #[test]
    fn exceptions_are_read_as_go_reads_them_and_are_for_whom_they_name() {
        let file = concat!(
            "[[allowlists]]\nregexes = ['''^\\$(?:\\d+|{\\d+})$''', 'a(?=b)']\n",
            "[[allowlists]]\ntargetRules = ['two']\nregexes = ['^x']\n",
            "[[rules]]\nid = 'one'\nregex = 'one_[a-z]+'\nkeywords = ['one_']\n",
            "[[rules]]\nid = 'two'\nregex = 'two_{[a-z]+}'\nkeywords = ['two_']\n",
        );
        let imported = gitleaks("mine.toml", file).unwrap();
        let allowed: Vec<usize> = imported.rules.iter().map(|rule| rule.allow.len()).collect();
        assert_eq!(allowed, [1, 2], "{:?}", imported.unsupported);
        assert_eq!(imported.unsupported, ["mine.toml: the file: the allowed regex \"a(?=b)\" is left out"]);
    }

    #[test]
    fn an_imported_rule_finds_what_it_did() {
        let policy = Policy {
            rules: gitleaks("mine.toml", FILE).unwrap().rules,
            profiles: BTreeSet::from([Profile::TokenPatterns]),
            known: Vec::new(),
            strict_examples: false,
            key: HashKey::new([3; 32]),
        };
        let detectors = Arc::new(Detectors::new(policy).unwrap());
        let found = |text: &str| {
            let found = detectors.scan(Part::Body, "h", text.as_bytes());
            found.iter().map(|finding| text[finding.start..finding.end].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("ACME key: q8w7e6r5t4y3u2i1o0p9a8s7"), ["q8w7e6r5t4y3u2i1o0p9a8s7"]);
        assert!(found("acme key: 000w7e6r5t4y3u2i1o0p9a8s").is_empty(), "an allowed regex");
        assert!(found("acme key: sample7e6r5t4y3u2i1o0p9a").is_empty(), "a stopword of the file");
        assert!(found("acme key: aaaaaaaaaaaaaaaaaaaaaaaa").is_empty(), "entropy");
    }
}
