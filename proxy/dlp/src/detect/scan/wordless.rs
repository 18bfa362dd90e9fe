//! Values that no keyword announces: numbers with check digits, keys and seeds of wallets, words that look random.

use super::{Pass, Said};
use crate::detect::numbers::{self, Number};
use crate::detect::{context, seeds};
use crate::finding::{Class, Confidence, Lowered, Severity};
use crate::validate::{Validator, shannon};
use crate::view::Frame;
use crate::view::runs::{self, Runs};

/// Words beside a number that say what it is.
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
/// Bits a letter of a word that looks random.
const BITS: f64 = 4.3;

impl Pass<'_> {
    /// A card or an account: sure where a word says so, since any number may hold a check digit by chance.
    pub(super) fn number(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs, number: Number) {
        let words: Vec<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
        let near = context::is_near(text, number.start, number.end, &words);
        let sure = near && !runs::in_opaque(&runs.long, number.start, number.end);
        let rule = if number.kind == numbers::Kind::Card { "card-number" } else { "iban" };
        let confidence = if sure { Confidence::Likely } else { Confidence::Possible };
        let class = if sure { Class::Act } else { Class::Warn };
        let said = Said { confidence, class, validated: Some(true), ..Said::of(rule.into()) };
        self.wordless(text, frame, (number.start, number.end), said);
    }

    /// Private keys of wallets: no word announces them, their length, first letter and checksum do.
    pub(super) fn wallet_keys(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs) {
        for run in runs.long.iter().filter(|run| matches!(run.end - run.start, 51 | 52)) {
            let value = text.get(run.start..run.end).unwrap_or_default();
            let first = matches!(value.first(), Some(b'5' | b'K' | b'L' | b'9' | b'c'));
            if first && Validator::Wif.judge(value).valid {
                let said = Said {
                    confidence: Confidence::Confirmed,
                    severity: Severity::Critical,
                    validated: Some(true),
                    ..Said::of("wallet-private-key".into())
                };
                self.wordless(text, frame, (run.start, run.end), said);
            }
        }
    }

    /// The words from which a wallet's keys are made, which hold a checksum.
    pub(super) fn seed_phrases(&mut self, text: &[u8], frame: &Frame<'_>) {
        seeds::find(text, |start, end| {
            let severity = Severity::Critical;
            let said = Said { severity, validated: Some(true), ..Said::of("wallet-seed-phrase".into()) };
            self.wordless(text, frame, (start, end), said);
        });
    }

    /// Words that look random, for routes that ask for it: neither hashes nor ids, nor a part of something long.
    pub(super) fn random_words(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs) {
        for run in runs.long.iter().filter(|run| run.end - run.start <= runs::OPAQUE) {
            let value = text.get(run.start..run.end).unwrap_or_default();
            let kinds = [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase];
            let mixed = kinds.iter().all(|kind| value.iter().any(kind));
            let path =
                value.iter().filter(|byte| matches!(byte, b'/' | b'-' | b'_')).count() * 8 > value.len();
            if !mixed || path || shannon(value) < BITS || context::is_hash(text, run.start, run.end) {
                continue;
            }
            let said = Said {
                confidence: Confidence::Possible,
                severity: Severity::Low,
                class: Class::Warn,
                ..Said::of("generic-random-word".into())
            };
            self.push(self.finding(frame, (run.start, run.end), value, said));
        }
    }

    /// Keeps a value, unless documentation shows it.
    fn wordless(&mut self, text: &[u8], frame: &Frame<'_>, (start, end): (usize, usize), said: Said) {
        let value = text.get(start..end).unwrap_or_default();
        let example = !self.detectors.strict_examples && context::is_example(value);
        let class = if example { Class::Note } else { said.class };
        let said = Said { class, lowered: example.then_some(Lowered::Example), ..said };
        self.push(self.finding(frame, (start, end), value, said));
    }
}
