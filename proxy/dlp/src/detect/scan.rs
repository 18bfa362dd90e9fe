//! One block and all views of it, through the prefilter, the rules and what is known.

mod wordless;

use super::context;
use super::numbers;
use super::prefilter::{Hit, Target, is_word, runs_on_before};
use super::{Detectors, Known};
use crate::finding::{Class, Confidence, Encoding, Finding, Lowered, Part, Preview, Severity};
use crate::known::{KnownKind, Pieces};
use crate::rule::{Compiled, Shape};
use crate::validate::{Verdict, distinct, is_placeholder, shannon};
use crate::view::runs::{self, Runs};
use crate::view::{Budget, Frame, MAX_DEPTH, Map, escape, unicode};
use secrecy::ExposeSecret as _;

/// The rule of a part that holds too many beginnings of secrets.
const FLOODED: &str = "flooded";
/// Findings that ask for no answer that one block may have; a block with more is told by the first ones.
const MOST: usize = 1000;
/// Bytes that regexes may look at for each byte of a block.
const WORK: usize = 200;
/// Bytes that they may look at whatever the block's size.
const FREE_WORK: usize = 4 << 20;
/// Bytes behind a name within which its value begins.
const REACH: usize = 64;
/// Words between a vendor's name and a value that say what the value is.
const WORDS: &[&[u8]] = &[
    b"key", b"token", b"secret", b"passw", b"pwd", b"auth", b"pat", b"access", b"private", b"cred", b"api",
    b"dsn", b"sid", b"bearer", b"license", b"webhook",
];

/// A view's bytes made into another's, with the points that lead back.
type Rewrite = fn(&[u8]) -> (Vec<u8>, Vec<(u32, u32)>);

/// A pass over one block.
pub(crate) struct Pass<'a> {
    detectors: &'a Detectors,
    part: &'a Part,
    host: &'a str,
    budget: Budget,
    /// Bytes that regexes may still look at.
    work: usize,
    /// Room for the places of one view, kept for the next.
    hits: Vec<Hit>,
    /// Places at which words end although the text goes on.
    pub(crate) borders: Vec<usize>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) pieces: Pieces,
}

/// A match of a rule in a view.
struct Match<'a> {
    text: &'a [u8],
    frame: &'a Frame<'a>,
    runs: &'a Runs,
    /// All of it.
    start: usize,
    end: usize,
    /// The value.
    value: (usize, usize),
    /// What stands between a name and the value.
    link: Option<&'a [u8]>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(detectors: &'a Detectors, part: &'a Part, host: &'a str, bytes: usize) -> Self {
        let pieces = Pieces::default();
        Self {
            detectors,
            part,
            host,
            budget: Budget::of(bytes),
            work: bytes * WORK + FREE_WORK,
            hits: Vec::new(),
            borders: Vec::new(),
            findings: Vec::new(),
            pieces,
        }
    }

    /// Looks at a view, and at all that it may be decoded to.
    pub(crate) fn view(&mut self, text: &[u8], frame: &Frame<'_>) {
        let runs = runs::find(text);
        let mut hits = std::mem::take(&mut self.hits);
        self.detectors.prefilter.scan(text, |hit| hits.push(hit));
        for hit in hits.drain(..) {
            self.hit(text, frame, &runs, hit);
        }
        self.hits = hits;
        let detectors = self.detectors;
        for rule in detectors.everywhere.iter().filter_map(|index| detectors.rules.get(*index)) {
            self.window(rule, text, frame, &runs, 0, text.len());
        }
        if detectors.financial {
            numbers::find(text, |number| self.number(text, frame, &runs, number));
            self.wallet_keys(text, frame, &runs);
        }
        if detectors.entropy {
            self.random_words(text, frame, &runs);
        }
        if frame.depth < MAX_DEPTH {
            self.children(text, frame, &runs);
        }
        if self.budget.exceeded {
            self.flooded(frame, 0, text.len().min(1));
        }
    }

    fn children(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs) {
        for window in escape::windows(text) {
            self.rewritten(text, frame, window, Encoding::Escaped, escape::undo);
        }
        if !text.is_ascii() {
            for window in unicode::windows(text) {
                self.rewritten(text, frame, window, Encoding::Unicode, unicode::fold);
            }
        }
        let mut found = runs::wrapped(text, &runs.long, &mut self.budget);
        let mut scratch = Vec::new();
        for run in &runs.long {
            runs::decode(text, *run, &mut self.budget, &mut found, &mut scratch);
        }
        for text in found {
            // Lines put together are looked at for what they decode to.
            let child =
                Frame { map: text.map, encoding: text.encoding, parent: Some(frame), depth: frame.depth + 1 };
            self.view(&text.bytes, &child);
        }
    }

    fn rewritten(
        &mut self,
        text: &[u8],
        frame: &Frame<'_>,
        window: escape::Window,
        encoding: Encoding,
        rewrite: Rewrite,
    ) {
        let part = text.get(window.start..window.end).unwrap_or_default();
        if !self.budget.take(part.len()) {
            return;
        }
        let (bytes, points) = rewrite(part);
        if bytes == part {
            return;
        }
        let cut =
            Frame { map: Map::Shift(window.start), encoding: None, parent: Some(frame), depth: frame.depth };
        let child = Frame {
            map: Map::Points(points),
            encoding: Some(encoding),
            parent: Some(&cut),
            depth: frame.depth + 1,
        };
        self.view(&bytes, &child);
    }

    fn hit(&mut self, text: &[u8], frame: &Frame<'_>, runs: &Runs, hit: Hit) {
        let detectors = self.detectors;
        match hit.target {
            Target::Rule(index) => {
                let Some(rule) = detectors.rules.get(index) else { return };
                self.rule(rule, text, frame, runs, hit);
            }
            Target::Known(index, form) => {
                let Some(known) = detectors.known.get(index) else { return };
                self.known(known, form, frame, hit);
            }
            Target::Piece(index, at) => {
                let place = frame.outermost(hit.start, hit.start + hit.length);
                self.pieces.note(index, at, place);
            }
        }
    }

    fn rule(&mut self, rule: &Compiled, text: &[u8], frame: &Frame<'_>, runs: &Runs, hit: Hit) {
        let until = (hit.start + rule.max_len + 1).min(text.len());
        // Most names of vendors and of secrets in a text have no value behind them.
        if rule.valued && !runs.has_word(hit.start + hit.length, until.min(hit.start + hit.length + REACH)) {
            return;
        }
        if !self.affords(until - hit.start, frame, hit) {
            return;
        }
        match &rule.shape {
            Shape::Anchored(regex) => {
                let part = text.get(hit.start..until).unwrap_or_default();
                let (whole, value) = match rule.group {
                    0 => {
                        let Some(found) = regex.find(part) else { return };
                        (found.range(), found.range())
                    }
                    group => {
                        let Some(found) = regex.captures(part) else { return };
                        let whole = found.get(0).map(|found| found.range()).unwrap_or_default();
                        (whole.clone(), found.get(group).map_or(whole, |found| found.range()))
                    }
                };
                let at = hit.start;
                let value = (at + value.start, at + value.end);
                let (start, end) = (at + whole.start, at + whole.end);
                self.accept(rule, &Match { text, frame, runs, start, end, value, link: None });
            }
            Shape::Assigned(regex) => {
                if hit.start.checked_sub(1).and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric)
                {
                    return;
                }
                let part = text.get(hit.start..until).unwrap_or_default();
                let Some(found) = regex.captures(part) else { return };
                let (Some(link), Some(value)) = (found.get(1), found.get(2)) else { return };
                let value = (hit.start + value.start(), hit.start + value.end());
                let (start, end, link) = (hit.start, value.1, Some(link.as_bytes()));
                self.accept(rule, &Match { text, frame, runs, start, end, value, link });
            }
            Shape::Window(_, before) => {
                self.window(rule, text, frame, runs, hit.start.saturating_sub(*before), until);
            }
            Shape::Everywhere(_) => {}
        }
    }

    /// Takes what a regex may look at from what is left. A part in which more places ask for a look than any honest one has
    /// is told as a finding, since not all of them were looked at.
    fn affords(&mut self, bytes: usize, frame: &Frame<'_>, hit: Hit) -> bool {
        if let Some(left) = self.work.checked_sub(bytes) {
            self.work = left;
            return true;
        }
        self.flooded(frame, hit.start, hit.start + hit.length);
        false
    }

    fn flooded(&mut self, frame: &Frame<'_>, start: usize, end: usize) {
        if self.findings.iter().any(|finding| &*finding.rule == FLOODED) {
            return;
        }
        let (start, end) = frame.outermost(start, end);
        self.findings.push(Finding {
            rule: FLOODED.into(),
            confidence: Confidence::Possible,
            severity: Severity::Medium,
            class: Class::Act,
            lowered: None,
            part: self.part.clone(),
            location: None,
            encodings: frame.encodings(),
            start,
            end,
            hash: self.detectors.key.hash(FLOODED.as_bytes()),
            preview: Preview::of(b""),
            validated: None,
            detail: Some("more encodings or beginnings of secrets than can be looked at".to_owned()),
        });
    }

    fn window(
        &mut self,
        rule: &Compiled,
        text: &[u8],
        frame: &Frame<'_>,
        runs: &Runs,
        from: usize,
        until: usize,
    ) {
        let part = text.get(from..until).unwrap_or_default();
        for found in rule.shape.regex().captures_iter(part) {
            let Some(whole) = found.get(0) else { continue };
            let value = found.get(rule.group).unwrap_or(whole);
            let value = (from + value.start(), from + value.end());
            let (start, end) = (from + whole.start(), from + whole.end());
            self.accept(rule, &Match { text, frame, runs, start, end, value, link: None });
        }
    }

    /// Judges a match, and keeps it if it stands.
    fn accept(&mut self, rule: &Compiled, found: &Match<'_>) {
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
        let (start, end) = found.frame.outermost(found.value.0, found.value.1);
        self.push(Finding {
            rule: rule.id.clone(),
            confidence,
            severity: rule.severity,
            class,
            lowered,
            part: self.part.clone(),
            location: None,
            encodings: found.frame.encodings(),
            start,
            end,
            hash: self.detectors.key.hash(value),
            preview: Preview::of(value),
            validated: verdict.as_ref().map(|verdict| verdict.valid),
            detail: verdict.and_then(|verdict| verdict.detail),
        });
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

    /// Keeps a finding, as long as there is room.
    fn push(&mut self, finding: Finding) {
        // What asks for an answer is never left out in favour of what does not.
        if self.findings.len() < MOST || finding.class >= Class::Act {
            self.findings.push(finding);
        }
    }

    fn known(&mut self, known: &Known, form: usize, frame: &Frame<'_>, hit: Hit) {
        let (start, end) = frame.outermost(hit.start, hit.start + hit.length);
        let mut encodings = frame.encodings();
        encodings.extend(known.encodings.get(form).copied().flatten());
        let finding = known.finding(self.detectors, self.part, self.host, (start, end), encodings, false);
        // Never dropped for want of room.
        self.findings.push(finding);
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
            (true, _) => "canary",
            (false, true) => "known-value-split",
            (false, false) => "known-value",
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
        || rule.allow.iter().any(|allow| allow.is_match(value) || allow.is_match(whole))
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
