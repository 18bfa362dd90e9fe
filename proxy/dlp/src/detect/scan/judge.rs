//! What a match is worth: what stands around it, what its validator and its context say.

use super::{Pass, Said};
use crate::detect::prefilter::{is_word, runs_on_before};
use crate::detect::{Detectors, Known, context};
use crate::finding::{
    CANARY, Class, Confidence, Encoding, Finding, KNOWN, KNOWN_SPLIT, Lowered, Part, Preview, Severity,
};
use crate::known::KnownKind;
use crate::rule::{Compiled, Lazy};
use crate::validate::{Verdict, distinct, is_placeholder, shannon};
use crate::view::Frame;
use crate::view::runs::{self, Runs};
use secrecy::ExposeSecret as _;

/// Words between a vendor's name and a value that say what the value is.
const WORDS: &[&[u8]] = &[
    b"key", b"token", b"secret", b"passw", b"pwd", b"auth", b"pat", b"access", b"private", b"cred", b"api",
    b"dsn", b"sid", b"bearer", b"license", b"webhook",
];

/// A match of a rule in a view.
pub(super) struct Match<'a> {
    pub(super) text: &'a [u8],
    pub(super) frame: &'a Frame<'a>,
    pub(super) runs: &'a Runs,
    /// All of it.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The value.
    pub(super) value: (usize, usize),
    /// What stands between a name and the value.
    pub(super) link: Option<&'a [u8]>,
}

impl Pass<'_> {
    /// Judges a match, and keeps it if it stands.
    pub(super) fn accept(&mut self, rule: &Compiled, found: &Match<'_>) {
        let Some(value) = found.text.get(found.value.0..found.value.1).filter(|value| !value.is_empty())
        else {
            return;
        };
        let border = |at: usize| found.frame.depth == 1 && self.borders.contains(&at);
        let runs_on = |at: usize| found.text.get(at).is_some_and(|byte| is_word(*byte)) && !border(at);
        if (rule.left && runs_on_before(found.text, found.start))
            || (rule.right
                && found.text.get(found.end - 1).is_some_and(|byte| is_word(*byte))
                && runs_on(found.end))
            || (rule.entropy > 0.0 && shannon(value) < rule.entropy)
            || is_stopped(rule, value, found)
            || is_filler(rule, value)
        {
            return;
        }
        let verdict = rule.validator.map(|validator| validator.judge(value));
        let Some(confidence) = self.confidence(rule, found, value, verdict.as_ref()) else { return };
        let asks = if confidence >= Confidence::Likely { rule.class } else { rule.class.min(Class::Warn) };
        let opaque = confidence == Confidence::Possible && asks == Class::Warn && rule.class == Class::Act;
        let in_run = runs::in_opaque(&found.runs.long, found.value.0, found.value.1);
        let whole = found.text.get(found.start..found.end).unwrap_or_default();
        let address = rule.id.ends_with("address-with-password") && context::is_example_address(whole);
        let (class, lowered) = match &verdict {
            _ if !self.detectors.strict_examples && (address || context::is_example(value)) => {
                (Class::Note, Some(Lowered::Example))
            }
            Some(Verdict { harmless: true, .. }) if !self.detectors.strict_examples => {
                (Class::Note, Some(Lowered::Harmless))
            }
            _ if context::is_home(self.host, &rule.home_hosts) => (Class::Note, Some(Lowered::HomeHost)),
            _ => (asks, (opaque && in_run).then_some(Lowered::InOpaque)),
        };
        let said = Said {
            rule: rule.id.clone(),
            confidence,
            severity: rule.severity,
            class,
            lowered,
            validated: verdict.as_ref().map(|verdict| verdict.valid),
            detail: verdict.and_then(|verdict| verdict.detail),
        };
        self.push(self.finding(found.frame, found.value, value, said));
    }

    fn confidence(
        &self,
        rule: &Compiled,
        found: &Match<'_>,
        value: &[u8],
        verdict: Option<&Verdict>,
    ) -> Option<Confidence> {
        let valid = verdict.is_none_or(|verdict| verdict.valid);
        let level = if valid { rule.valid } else { rule.invalid }?;
        let checked = valid && level == Confidence::Confirmed;
        let level = match found.link {
            Some(link) => assigned(link, value, found)?.min(level),
            None if rule.class == Class::Warn
                && context::is_hash(found.text, found.value.0, found.value.1) =>
            {
                return None;
            }
            None => level,
        };
        if !checked && runs::in_opaque(&found.runs.long, found.value.0, found.value.1) {
            return Some(rule.in_opaque?.min(level));
        }
        Some(level)
    }
}

impl Known {
    /// The finding of this value at a place.
    pub(crate) fn finding(
        &self,
        detectors: &Detectors,
        part: &Part,
        host: &str,
        (start, end): (usize, usize),
        encodings: Vec<Encoding>,
        split: bool,
    ) -> Finding {
        let value = self.value.value.expose_secret().as_bytes();
        let canary = self.value.kind == KnownKind::Canary;
        let home = !canary && context::is_home(host, &self.value.home_hosts);
        let class = match (canary, home) {
            (true, _) => Class::Trip,
            (false, true) => Class::Note,
            (false, false) => Class::Act,
        };
        let rule = match (canary, split) {
            (true, _) => CANARY,
            (false, true) => KNOWN_SPLIT,
            (false, false) => KNOWN,
        };
        Finding {
            rule: rule.into(),
            confidence: if split { Confidence::Likely } else { Confidence::Confirmed },
            severity: Severity::Critical,
            class,
            lowered: home.then_some(Lowered::HomeHost),
            part: part.clone(),
            location: None,
            encodings,
            start,
            end,
            hash: detectors.key.hash(value),
            preview: Preview::of(value),
            validated: None,
            detail: Some(self.value.name.clone()),
        }
    }
}

/// Whether the value is one character over and over behind the vendor's prefix.
fn is_filler(rule: &Compiled, value: &[u8]) -> bool {
    let place = |keyword: &String| Some((memchr::memmem::find(value, keyword.as_bytes())?, keyword.len()));
    let (at, length) =
        rule.keywords.iter().filter_map(place).max_by_key(|(_, length)| *length).unwrap_or((0, 0));
    let (front, back) = value.split_at_checked(at).unwrap_or((value, &[]));
    let back = back.get(length..).unwrap_or_default();
    front.len() + back.len() >= 8 && distinct(&[front, back].concat()) <= 3
}

fn is_stopped(rule: &Compiled, value: &[u8], found: &Match<'_>) -> bool {
    let lower = value.to_ascii_lowercase();
    let whole = found.text.get(found.start..found.end).unwrap_or_default();
    rule.stopwords.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some())
        || rule
            .allow
            .iter()
            .filter_map(Lazy::regex)
            .any(|allow| allow.is_match(value) || allow.is_match(whole))
        || (!rule.near.is_empty() && !context::is_near(found.text, found.start, found.end, &rule.near))
}

/// How sure it is that a value belongs to the name in front of it.
fn assigned(link: &[u8], value: &[u8], found: &Match<'_>) -> Option<Confidence> {
    let lower = link.to_ascii_lowercase();
    let named = WORDS.iter().any(|word| memchr::memmem::find(&lower, word).is_some());
    let given = lower.iter().any(|byte| matches!(byte, b'=' | b':'));
    let digits = value.iter().any(u8::is_ascii_digit) || value.len() >= 40;
    if is_placeholder(value) || shannon(value) < 2.0 || !(named || given) {
        return None;
    }
    if context::is_hash(found.text, found.value.0, found.value.1) {
        return None;
    }
    let near = !lower.contains(&b'\n') && !lower.windows(2).any(|pair| pair == b"//");
    Some(if named && given && near && digits && shannon(value) >= 3.0 {
        Confidence::Likely
    } else {
        Confidence::Possible
    })
}
