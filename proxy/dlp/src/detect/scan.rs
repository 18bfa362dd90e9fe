//! One block and all views of it, through the prefilter, the rules and what is known.

mod judge;
mod wordless;

use super::numbers;
use super::prefilter::{Hit, Target};
use super::{Detectors, Known};
use crate::finding::{Class, Confidence, Encoding, Finding, Lowered, Part, Preview, Severity};
use crate::known::Pieces;
use crate::rule::{Compiled, Shape};
use crate::view::runs::{self, Runs};
use crate::view::{Budget, Frame, MAX_DEPTH, Map, escape, quoted, unicode};
use judge::Match;
use std::sync::Arc;

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

/// What is said of a value, wherever it stands.
struct Said {
    rule: Arc<str>,
    confidence: Confidence,
    severity: Severity,
    class: Class,
    lowered: Option<Lowered>,
    validated: Option<bool>,
    detail: Option<String>,
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
        for rule in detectors.rules.everywhere() {
            self.window(rule, text, frame, &runs, 0, text.len());
        }
        if detectors.financial {
            numbers::find(text, |number| self.number(text, frame, &runs, number));
            self.wallet_keys(text, frame, &runs);
            self.seed_phrases(text, frame);
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
        for window in quoted::windows(text) {
            self.rewritten(text, frame, window, Encoding::Escaped, quoted::undo);
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
                let Some(rule) = detectors.rules.compiled.get(index) else { return };
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
                let Some(regex) = regex.regex() else { return };
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
                let Some(found) = regex.regex().and_then(|regex| regex.captures(part)) else { return };
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
        let said = Said {
            confidence: Confidence::Possible,
            severity: Severity::Medium,
            class: Class::Act,
            ..Said::of(FLOODED.into())
        };
        let finding = self.finding(frame, (start, end), FLOODED.as_bytes(), said);
        let detail = Some("more encodings or beginnings of secrets than can be looked at".to_owned());
        self.findings.push(Finding { preview: Preview::of(b""), detail, ..finding });
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
        let Some(regex) = rule.shape.regex() else { return };
        for found in regex.captures_iter(part) {
            let Some(whole) = found.get(0) else { continue };
            let value = found.get(rule.group).unwrap_or(whole);
            let value = (from + value.start(), from + value.end());
            let (start, end) = (from + whole.start(), from + whole.end());
            self.accept(rule, &Match { text, frame, runs, start, end, value, link: None });
        }
    }

    /// The finding of a value at a place of a view.
    fn finding(&self, frame: &Frame<'_>, (start, end): (usize, usize), value: &[u8], said: Said) -> Finding {
        let (start, end) = frame.outermost(start, end);
        Finding {
            rule: said.rule,
            confidence: said.confidence,
            severity: said.severity,
            class: said.class,
            lowered: said.lowered,
            part: self.part.clone(),
            location: None,
            encodings: frame.encodings(),
            start,
            end,
            hash: self.detectors.key.hash(value),
            preview: Preview::of(value),
            validated: said.validated,
            detail: said.detail,
        }
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

impl Said {
    /// A rule's word, that asks for what a likely one does.
    fn of(rule: Arc<str>) -> Self {
        Self {
            rule,
            confidence: Confidence::Likely,
            severity: Severity::High,
            class: Class::Act,
            lowered: None,
            validated: None,
            detail: None,
        }
    }
}
