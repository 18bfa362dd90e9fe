//! `hudson dlp test`: each rule against its own examples, alone.
//!
//! Invariant: an example is told by its number: what somebody took for an example may be a secret.

use super::{Context, Scene};
use crate::command::output;
use crate::dlp::read_rules;
use crate::exit;
use anyhow::Result;
use hudson_dlp::{Detectors, HashKey, Part, Policy, Rule, RuleSet};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Tests the rules of these files, or those in force.
pub(super) fn execute(context: &Context, files: &[PathBuf]) -> Result<u8> {
    let mut sets = Vec::new();
    for path in files {
        let (rules, unsupported) = read_rules(path)?;
        for line in unsupported {
            eprintln!("hudson: {line}");
        }
        sets.push(rules);
    }
    if files.is_empty() {
        sets.push(Scene::of(context)?.loaded.setup.policy.rules);
    }
    let mut tally = Tally::default();
    for set in &sets {
        tally.take(set)?;
    }
    match context.json {
        true => output::json(&tally)?,
        false => output::text(&tally.text())?,
    }
    Ok(if tally.failed.is_empty() { exit::OK } else { exit::FAILED })
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Tally {
    rules: usize,
    examples: usize,
    /// Rules that nothing is known of.
    without_examples: usize,
    failed: Vec<Failed>,
}

/// An example that a rule does not keep.
#[derive(Debug, Serialize)]
struct Failed {
    file: String,
    line: u64,
    rule: String,
    example: String,
    problem: &'static str,
}

impl Tally {
    fn take(&mut self, set: &RuleSet) -> Result<()> {
        for single in set.singles() {
            let Some(rule) = single.iter().next().cloned() else { continue };
            let (file, line) = single.place(&rule.id).map_or(("", 0), |(file, line)| (file, line));
            let place = (file.to_owned(), line);
            self.rules += 1;
            self.examples += rule.examples.matching.len() + rule.examples.no_match.len();
            self.without_examples += usize::from(rule.examples.matching.is_empty());
            let policy = Policy {
                profiles: BTreeSet::from([rule.profile]),
                rules: single,
                known: Vec::new(),
                strict_examples: false,
                key: HashKey::new([0; 32]),
            };
            self.examine(&rule, place, &Arc::new(Detectors::new(policy)?));
        }
        Ok(())
    }

    fn examine(&mut self, rule: &Rule, (file, line): (String, u64), detectors: &Arc<Detectors>) {
        let found = |text: &String| {
            // A bar keeps scanners from finding the example where it is written.
            let text = text.replacen('|', "", 1);
            let findings = detectors.scan(Part::Body, super::NOWHERE, text.as_bytes());
            findings.iter().any(|finding| *finding.rule == *rule.id)
        };
        let lists = [
            (&rule.examples.matching, "match", true, "is not found"),
            (&rule.examples.no_match, "no_match", false, "is found"),
        ];
        for (examples, list, wanted, problem) in lists {
            let wrong = examples.iter().enumerate().filter(|(_, text)| found(text) != wanted);
            self.failed.extend(wrong.map(|(index, _)| Failed {
                file: file.clone(),
                line,
                rule: rule.id.clone(),
                example: format!("{list}[{index}]"),
                problem,
            }));
        }
    }

    fn text(&self) -> String {
        let line = |Failed { file, line, rule, example, problem }: &Failed| {
            format!("{file}:{line}: rule {rule:?}: examples.{example} {problem}\n")
        };
        let lines: String = self.failed.iter().map(line).collect();
        let Self { rules, examples, without_examples, failed } = self;
        format!(
            "{lines}{rules} rules, {examples} examples: {} failed; {without_examples} rules have none that match\n",
            failed.len()
        )
    }
}
