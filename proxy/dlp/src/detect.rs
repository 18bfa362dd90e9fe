//! All detectors, compiled once and shared.

pub(crate) mod context;
pub(crate) mod numbers;
pub(crate) mod prefilter;
pub(crate) mod scan;
mod seeds;

use crate::finding::{Encoding, Finding, HashKey, Part};
use crate::known::{KnownError, KnownValue};
use crate::rule::{Compiled, Profile, RuleError, RuleSet, Shape};
use crate::scanner::Scanner;
use prefilter::{Needle, Prefilter, Target};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is looked for, before it is compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The rules.
    pub rules: RuleSet,
    /// Which of them are on.
    pub profiles: BTreeSet<Profile>,
    /// Values that must not leave.
    pub known: Vec<KnownValue>,
    /// Whether values from documentation count as real ones.
    pub strict_examples: bool,
    /// The key of the hashes.
    pub key: HashKey,
}

/// The detectors of one policy. They keep no state but compiled regexes; a clone shares all of it.
#[derive(Clone, Debug)]
pub struct Detectors {
    pub(crate) rules: Arc<Rules>,
    pub(crate) known: Arc<[Known]>,
    pub(crate) prefilter: Arc<Prefilter>,
    pub(crate) strict_examples: bool,
    /// Whether numbers of cards and accounts are looked for.
    pub(crate) financial: bool,
    /// Whether words that look random are findings.
    pub(crate) entropy: bool,
    pub(crate) key: HashKey,
    unused: Arc<[KnownError]>,
}

/// The rules that are on, which all that comes from the same policy shares.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) compiled: Vec<Compiled>,
    /// Those that name no keyword.
    everywhere: Vec<usize>,
    /// What is looked for on their behalf.
    needles: Vec<Needle>,
}

/// A known value as it is looked for.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) value: KnownValue,
    pub(crate) encodings: Vec<Option<Encoding>>,
}

impl Policy {
    /// The rules that come with Hudson and no known values: token patterns, cards and account numbers.
    pub fn builtin(key: HashKey) -> Result<Self, RuleError> {
        let profiles = BTreeSet::from([Profile::TokenPatterns, Profile::Financial]);
        Ok(Self { rules: RuleSet::builtin()?, profiles, known: Vec::new(), strict_examples: false, key })
    }
}

impl Detectors {
    /// Compiles a policy. A known value that cannot be told from ordinary text is left out; see [`Self::unused`].
    pub fn new(policy: Policy) -> Result<Self, RuleError> {
        let mut rules = Vec::new();
        let mut needles = Vec::new();
        for placed in
            policy.rules.rules.iter().filter(|placed| policy.profiles.contains(&placed.rule.profile))
        {
            let at = |message| RuleError {
                file: placed.file.clone(),
                line: placed.line,
                rule: Some(placed.rule.id.clone()),
                message,
            };
            let compiled = Compiled::new(&placed.rule).map_err(at)?;
            rule_needles(&compiled, rules.len(), &mut needles);
            rules.push(compiled);
        }
        let everywhere = rules.iter().enumerate();
        let everywhere = everywhere.filter(|(_, rule)| matches!(rule.shape, Shape::Everywhere(_)));
        let everywhere = everywhere.map(|(index, _)| index).collect();
        let rules = Arc::new(Rules { compiled: rules, everywhere, needles });
        let (known, unused, prefilter) = look_for(policy.known, policy.strict_examples, &rules);
        Ok(Self {
            prefilter,
            entropy: policy.profiles.contains(&Profile::Entropy),
            financial: policy.profiles.contains(&Profile::Financial),
            rules,
            known,
            strict_examples: policy.strict_examples,
            key: policy.key,
            unused,
        })
    }

    /// The same rules with these known values in the place of the ones before. The rules and what was compiled of them are
    /// shared; only the filter is made anew.
    pub fn with_known(&self, known: Vec<KnownValue>) -> Self {
        let (known, unused, prefilter) = look_for(known, self.strict_examples, &self.rules);
        Self { known, unused, prefilter, ..self.clone() }
    }

    /// The same with words that look random as findings, or without. All is shared.
    pub fn with_entropy(&self, on: bool) -> Self {
        Self { entropy: on, ..self.clone() }
    }

    /// Known values that are not looked for, and why.
    pub fn unused(&self) -> &[KnownError] {
        &self.unused
    }

    /// How many rules are on.
    pub fn rules(&self) -> usize {
        self.rules.compiled.len()
    }

    /// All findings in a part that is there as a whole, with their places in its structure.
    pub fn scan(self: &Arc<Self>, part: Part, host: &str, bytes: &[u8]) -> Vec<Finding> {
        let mut scanner = Scanner::new(Arc::clone(self), part, host);
        let mut findings = scanner.feed(bytes);
        findings.extend(scanner.finish());
        for finding in &mut findings {
            finding.location = self.told(crate::structure::locate(bytes, finding.start));
        }
        findings
    }

    /// A place, unless its names hold what a finding is about.
    pub(crate) fn told(&self, location: Option<String>) -> Option<String> {
        location.filter(|location| self.scan_whole(&Part::Body, "", location.as_bytes()).is_empty())
    }
}

impl Rules {
    /// The rules that are tried on every byte.
    pub(crate) fn everywhere(&self) -> impl Iterator<Item = &Compiled> {
        self.everywhere.iter().filter_map(|index| self.compiled.get(*index))
    }
}

/// The values that can be told from ordinary text, those that cannot, and the filter of the values and the rules.
fn look_for(
    values: Vec<KnownValue>,
    strict_examples: bool,
    rules: &Rules,
) -> (Arc<[Known]>, Arc<[KnownError]>, Arc<Prefilter>) {
    let mut needles = rules.needles.clone();
    let (mut known, mut unused) = (Vec::new(), Vec::new());
    let examples = strict_examples.then(context::examples).into_iter().flatten();
    for value in values.into_iter().chain(examples) {
        match value.check() {
            Ok(()) => {
                let encodings = value.needles(known.len(), &mut needles);
                known.push(Known { value, encodings });
            }
            Err(error) => unused.push(error),
        }
    }
    (known.into(), unused.into(), Arc::new(Prefilter::new(needles)))
}

fn rule_needles(rule: &Compiled, index: usize, needles: &mut Vec<Needle>) {
    for keyword in &rule.keywords {
        let bytes = keyword.as_bytes().to_vec();
        let bytes = if rule.ignore_case { bytes.to_ascii_lowercase() } else { bytes };
        let left = rule.left && matches!(rule.shape, Shape::Anchored(_));
        needles.push(Needle { bytes, ignore_case: rule.ignore_case, left, target: Target::Rule(index) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Class;

    fn found(profile: Profile, text: &str) -> Vec<(String, Class)> {
        let mut policy = Policy::builtin(HashKey::new([1; 32])).unwrap();
        policy.profiles = BTreeSet::from([profile]);
        let detectors = Arc::new(Detectors::new(policy).unwrap());
        let found = detectors.scan(Part::Target, "h", text.as_bytes());
        found.iter().map(|finding| (finding.rule.to_string(), finding.class)).collect()
    }

    #[test]
    fn profiles_that_are_not_on_find_nothing() {
        let text = "/api/x7Kp2mQ9vR4sL8nW1bY6cT3fA0jH5dE/status ssn: 219-09-9998 card 4539578763621486";
        let warn = |rule: &str| vec![(rule.to_owned(), Class::Warn)];
        assert_eq!(found(Profile::Entropy, text), warn("generic-random-word"));
        assert_eq!(found(Profile::Financial, text), [("card-number".to_owned(), Class::Act)]);
        assert_eq!(found(Profile::Pii, text), [("us-social-security-number".to_owned(), Class::Act)]);
        assert!(found(Profile::Crypto, text).is_empty());
    }

    #[test]
    fn hashes_and_paths_are_not_random_words() {
        let text = "integrity sha512-q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1C2v3B4 /usr/lib/Some-Path_To/A-Thing_2/and/more";
        assert!(found(Profile::Entropy, text).is_empty());
    }
}
