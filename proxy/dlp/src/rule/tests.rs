//! Promises of the rules that come with Hudson, and of rules files.

use super::*;
use crate::detect::{Detectors, Policy};
use crate::finding::{HashKey, Part};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Detectors of one rule, in which documentation's examples count.
fn only(placed: &Placed) -> Arc<Detectors> {
    let policy = Policy {
        rules: RuleSet { rules: vec![placed.clone()] },
        profiles: BTreeSet::from([placed.rule.profile]),
        known: Vec::new(),
        strict_examples: true,
        key: HashKey::new([7; 32]),
    };
    Arc::new(Detectors::new(policy).unwrap())
}

fn finds(detectors: &Arc<Detectors>, text: &str) -> bool {
    !detectors.scan(Part::Body, "host.invalid", text.as_bytes()).is_empty()
}

/// The example as a real one would be.
fn whole(example: &str) -> String {
    example.replacen('|', "", 1)
}

#[test]
fn every_rule_keeps_its_examples() {
    let set = RuleSet::builtin().unwrap();
    let mut wrong = Vec::new();
    for placed in &set.rules {
        let detectors = only(placed);
        let Rule { id, examples, .. } = &placed.rule;
        if examples.matching.is_empty() || examples.no_match.is_empty() {
            wrong.push(format!("{}: {id} lacks examples", placed.file));
        }
        for text in &examples.matching {
            if !finds(&detectors, &whole(text)) {
                wrong.push(format!("{}: {id} does not find {text:?}", placed.file));
            }
        }
        for text in &examples.no_match {
            if finds(&detectors, &whole(text)) {
                wrong.push(format!("{}: {id} finds {text:?}", placed.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} rules:\n{}", wrong.len(), set.len(), wrong.join("\n"));
}

#[test]
fn at_least_250_rules_are_precise() {
    let precise = RuleSet::builtin().unwrap().iter().filter(|rule| rule.class == Class::Act).count();
    assert!(precise >= 250, "{precise}");
}

#[test]
fn examples_are_not_tokens_as_they_stand() {
    let set = RuleSet::builtin().unwrap();
    let split = |rule: &Rule| rule.examples.matching.iter().all(|text| text.contains('|'));
    let plain: Vec<&str> = set.iter().filter(|rule| !split(rule)).map(|rule| rule.id.as_str()).collect();
    assert!(plain.is_empty(), "these have an example without a `|` inside: {plain:?}");
}

#[test]
fn the_rules_that_come_with_hudson_are_those_of_the_files_and_sound() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut read = RuleSet::default();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        read.merge(RuleSet::parse(name, &std::fs::read_to_string(&file).unwrap()).unwrap()).unwrap();
    }
    let builtin = RuleSet::builtin().unwrap();
    assert!(read.len() > 500 && read.len() == builtin.len(), "{} and {}", read.len(), builtin.len());
    for (one, other) in read.rules.iter().zip(&builtin.rules) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

#[test]
fn an_error_names_the_file_the_line_and_the_rule() {
    let broken = [
        ("- id: one\n  keywords: [abcd]\n  regex: 'abcd('\n", 1, "one", "regex"),
        (
            "- id: one\n  keywords: [abcd]\n  regex: abcd\n- id: two\n  keywords: [ab]\n  regex: ab\n",
            4,
            "two",
            "shorter",
        ),
        ("- id: one\n  regexp: abcd\n", 2, "one", "regexp"),
        ("- id: one\n  id: two\n", 2, "two", "duplicate"),
        ("- id: one\n", 1, "one", "one of"),
        ("- id: one\n  keywords: [abcd]\n  regex: abcd\n  validator: crc\n", 4, "one", "crc"),
        (
            "- id: one\n  keywords: [abcd]\n  regex: abcd\n- id: one\n  keywords: [abcd]\n  regex: abcd\n",
            4,
            "one",
            "taken",
        ),
    ];
    for (text, line, rule, word) in broken {
        let error = RuleSet::parse("mine.yaml", text).unwrap_err();
        assert_eq!(
            (error.file.as_str(), error.line, error.rule.as_deref()),
            ("mine.yaml", line, Some(rule)),
            "{error}"
        );
        assert!(error.to_string().contains(word) && error.to_string().starts_with("mine.yaml:"), "{error}");
    }
}
