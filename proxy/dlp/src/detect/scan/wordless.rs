//! Values that no keyword announces: numbers with check digits, keys of wallets, words that look random.

use super::Pass;
use crate::detect::context;
use crate::detect::numbers::{self, Number};
use crate::finding::{Class, Confidence, Finding, Lowered, Preview, Severity};
use crate::validate::{Validator, shannon};
use crate::view::Frame;
use crate::view::runs::{self, Runs};

impl Pass<'_> {
    /// A card or an account: sure where a word says so, since any number may hold a check digit by chance.
    pub(super) fn number(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs, number: Number) {
        const WORDS: &[&str] = &[
            "card",
            "visa",
            "mastercard",
            "amex",
            "cvv",
            "cvc",
            "expir",
            "pan\"",
            "payment",
            "iban",
            "bank",
            "bic",
            "swift",
            "account",
        ];
        let words: Vec<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
        let value = text.get(number.start..number.end).unwrap_or_default();
        let near = context::is_near(text, number.start, number.end, &words);
        let sure = near && !runs::in_opaque(&runs.long, number.start, number.end);
        let example = !self.detectors.strict_examples && context::is_example(value);
        let class = match (example, sure) {
            (true, _) => Class::Note,
            (false, true) => Class::Act,
            (false, false) => Class::Warn,
        };
        let (start, end) = frame.outermost(number.start, number.end);
        self.push(Finding {
            rule: if number.kind == numbers::Kind::Card { "card-number" } else { "iban" }.into(),
            confidence: if sure { Confidence::Likely } else { Confidence::Possible },
            severity: Severity::High,
            class,
            lowered: example.then_some(Lowered::Example),
            part: self.part.clone(),
            location: None,
            encodings: frame.encodings(),
            start,
            end,
            hash: self.detectors.key.hash(value),
            preview: Preview::of(value),
            validated: Some(true),
            detail: None,
        });
    }

    /// Private keys of wallets: no word announces them, their length, first letter and checksum do.
    pub(super) fn wallet_keys(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs) {
        for run in runs.long.iter().filter(|run| matches!(run.end - run.start, 51 | 52)) {
            let value = text.get(run.start..run.end).unwrap_or_default();
            if !matches!(value.first(), Some(b'5' | b'K' | b'L' | b'9' | b'c'))
                || !Validator::Wif.judge(value).valid
            {
                continue;
            }
            let example = !self.detectors.strict_examples && context::is_example(value);
            let (start, end) = frame.outermost(run.start, run.end);
            self.push(Finding {
                rule: "wallet-private-key".into(),
                confidence: Confidence::Confirmed,
                severity: Severity::Critical,
                class: if example { Class::Note } else { Class::Act },
                lowered: example.then_some(Lowered::Example),
                part: self.part.clone(),
                location: None,
                encodings: frame.encodings(),
                start,
                end,
                hash: self.detectors.key.hash(value),
                preview: Preview::of(value),
                validated: Some(true),
                detail: None,
            });
        }
    }

    /// Words that look random, for routes that ask for it: neither hashes nor ids, nor a part of something long.
    pub(super) fn random_words(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs) {
        const BITS: f64 = 4.3;
        for run in runs.long.iter().filter(|run| run.end - run.start <= runs::OPAQUE) {
            let value = text.get(run.start..run.end).unwrap_or_default();
            let kinds = [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase];
            let mixed = kinds.iter().all(|kind| value.iter().any(kind));
            let path =
                value.iter().filter(|byte| matches!(byte, b'/' | b'-' | b'_')).count() * 8 > value.len();
            if !mixed || path || shannon(value) < BITS || context::is_hash(text, run.start, run.end) {
                continue;
            }
            let (start, end) = frame.outermost(run.start, run.end);
            self.push(Finding {
                rule: "generic-random-word".into(),
                confidence: Confidence::Possible,
                severity: Severity::Low,
                class: Class::Warn,
                lowered: None,
                part: self.part.clone(),
                location: None,
                encodings: frame.encodings(),
                start,
                end,
                hash: self.detectors.key.hash(value),
                preview: Preview::of(value),
                validated: None,
                detail: None,
            });
        }
    }
}
