//! `hudson dlp import`: rules of gitleaks and betterleaks as YAML of ours, to be edited and tested.

use super::Context;
use crate::command::output;
use crate::dlp::read_rules;
use crate::exit::{self, Exit};
use anyhow::{Context as _, Result};
use hudson_dlp::{Boundary, Rule};
use serde::Serialize;
use std::path::Path;

/// Prints the rules; what could not be taken goes to standard error.
pub(super) fn execute(context: &Context, path: &Path) -> Result<u8> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("toml")) {
        let message = format!("{}: expected a TOML file of gitleaks or betterleaks", path.display());
        return Err(Exit::usage(message).into());
    }
    let (rules, unsupported) = read_rules(path)?;
    for line in unsupported {
        eprintln!("hudson: {line}");
    }
    let written: Vec<Written<'_>> = rules.iter().map(Written::of).collect();
    match context.json {
        true => output::json(&written)?,
        false => output::text(&yaml(&written)?)?,
    }
    Ok(exit::OK)
}

fn yaml(written: &[Written<'_>]) -> Result<String> {
    // A regex is copied and compared: it stays in one line.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, &written, options)
        .context("cannot write the rules as YAML")?;
    Ok(text)
}

/// What an imported rule can have. gitleaks meets keywords in any case and leaves the case of the value to the regex.
#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    keywords: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignore_case: bool,
    regex: String,
    #[serde(skip_serializing_if = "is_default")]
    secret_group: usize,
    max_len: usize,
    #[serde(skip_serializing_if = "is_default")]
    before: usize,
    boundary: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    entropy: f64,
    class: hudson_dlp::Class,
    severity: hudson_dlp::Severity,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stopwords: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow: &'a [String],
}

impl<'a> Written<'a> {
    fn of(rule: &'a Rule) -> Self {
        let regex = rule.regex.as_deref().unwrap_or_default();
        let ignore_case = rule.ignore_case || (rule.any_case && !rule.keywords.is_empty());
        let widened = ignore_case && !rule.ignore_case && !regex.starts_with("(?i)");
        Self {
            id: &rule.id,
            description: &rule.description,
            keywords: &rule.keywords,
            ignore_case,
            regex: if widened { format!("(?-i:{regex})") } else { regex.to_owned() },
            secret_group: rule.secret_group,
            max_len: rule.max_len,
            before: rule.before,
            boundary: match rule.boundary {
                Boundary::Both => "both",
                Boundary::Left => "left",
                Boundary::Right => "right",
                Boundary::None => "none",
            },
            entropy: rule.entropy,
            class: rule.class,
            severity: rule.severity,
            stopwords: &rule.stopwords,
            allow: &rule.allow,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_dlp::{Detectors, HashKey, Part, Policy, Profile, RuleSet, import};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    const FILE: &str = r#"
[allowlist]
stopwords = ["sample"]
[[rules]]
id = "acme-token"
description = "Acme: it's \"theirs\" # not a comment"
regex = '''\b(acme_[A-Z0-9]{24})(?:['"\s\x60]|\\n|$)'''
keywords = ["acme_"]
entropy = 3
[[rules.allowlists]]
regexes = ['''^acme_000''']
[[rules]]
id = "generic-thing"
regex = '''(?i)(?:thing|other)(?:[0-9a-z\-_\t .]{0,20})(?:[\s'"]{0,3})(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)(?:['"\s]{0,5})([0-9a-z]{32})(?:[;'"\s]|$)'''
keywords = ["thing", "OTHER"]
"#;

    fn found(rules: RuleSet, text: &str) -> Vec<(String, String)> {
        let policy = Policy {
            rules,
            profiles: BTreeSet::from([Profile::TokenPatterns]),
            known: Vec::new(),
            strict_examples: false,
            key: HashKey::new([3; 32]),
        };
        let findings = Arc::new(Detectors::new(policy).unwrap()).scan(Part::Body, "h", text.as_bytes());
        findings.iter().map(|one| (one.rule.to_string(), text[one.start..one.end].to_owned())).collect()
    }

    #[test]
    fn what_is_printed_finds_what_the_file_found() {
        let rules = import::gitleaks("team.toml", FILE).unwrap().rules;
        let text = yaml(&rules.iter().map(Written::of).collect::<Vec<_>>()).unwrap();
        let again = RuleSet::parse("team.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for (sample, count) in [
            ("x acme_Q8W7E6R5T4Y3U2I1O0P9A8S7 ", 1),
            ("x acme_q8w7e6r5t4y3u2i1o0p9a8s7 ", 0),
            ("x acme_000W7E6R5T4Y3U2I1O0P9A8S ", 0),
            ("x acme_SAMPLE7E6R5T4Y3U2I1O0P9A ", 0),
            ("Other = 'q8w7e6r5t4y3u2i1o0p9a8s7q8w7e6r5'", 1),
        ] {
            let before = found(rules.clone(), sample);
            assert_eq!(before.len(), count, "{sample}");
            assert_eq!(found(again.clone(), sample), before, "{sample}\n{text}");
        }
        let of = |set: &RuleSet| set.iter().map(|rule| rule.description.clone()).collect::<Vec<_>>();
        assert_eq!(of(&again), of(&rules));
    }
}
