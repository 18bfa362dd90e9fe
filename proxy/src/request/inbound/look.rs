//! One answer being looked at: its encodings undone, then the watch for injections and the scanner for secrets.
//!
//! Invariant: memory is bounded whatever comes, and what cannot be read ends the looking and is told, once.

use super::super::{LOGGED_PATH, Origin, Target};
use super::kind;
use crate::event::Event;
use hudson_dlp::{Class, Detectors, Finding, InjectionWatch, Part, Scanner, Signal, Transport, Unscannable};
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes in clear within which secrets are looked for: what an agent reads, not what it downloads.
const SECRETS_WITHIN: u64 = 1 << 20;
/// Secrets of one answer that are told of; more are no news.
const SECRETS: usize = 64;

/// Which answer events are about.
pub(super) struct About {
    origin: Arc<Origin>,
    /// Without its query, as far as it is logged.
    path: String,
}

impl About {
    pub(super) fn new(origin: &Arc<Origin>, target: &Target) -> Self {
        let path = origin.shared.dlp.clean(&target.path);
        Self { origin: origin.clone(), path: path.chars().take(LOGGED_PATH).collect() }
    }

    /// The answer has signs of instructions: whether it is blocked, and how many bytes had gone on.
    pub(super) fn injection(&self, signals: &[Signal], blocks: bool, passed: u64) {
        let Origin { shared, run, authority, .. } = &*self.origin;
        shared.events.emit(Event::InjectionFound {
            run: run.id.clone(),
            bottle: run.bottle.clone(),
            host: authority.host.to_string(),
            path: self.path.clone(),
            signals: signals.to_vec(),
            action: if blocks { "block" } else { "annotate" },
            passed,
        });
    }

    /// The answer cannot be looked at, or not to its end.
    pub(super) fn unread(&self, why: &Unscannable) {
        let Origin { shared, run, authority, .. } = &*self.origin;
        shared.events.emit(Event::AnswerUnread {
            run: run.id.clone(),
            bottle: run.bottle.clone(),
            host: authority.host.to_string(),
            path: self.path.clone(),
            reason: why.to_string(),
        });
    }

    fn secret(&self, finding: Finding) {
        let Origin { shared, run, authority, .. } = &*self.origin;
        shared.events.emit(Event::SecretReceived {
            run: run.id.clone(),
            bottle: run.bottle.clone(),
            host: authority.host.to_string(),
            path: self.path.clone(),
            rule: finding.rule.to_string(),
            confidence: finding.confidence,
            place: finding.place(),
            preview: finding.preview,
            hash: finding.hash,
        });
    }
}

/// Looks at one answer.
pub(super) struct Look {
    pub(super) about: About,
    transport: Transport,
    eyes: Eyes,
}

/// What sees the bytes in clear; either is taken away when it has nothing to look for any more.
struct Eyes {
    /// Whether the answer may turn out not to be text.
    unsure: bool,
    watch: Option<InjectionWatch>,
    secrets: Option<Secrets>,
    /// Bytes in clear that came.
    came: u64,
    /// Secrets that were found before it was not looked for them any more.
    last: Vec<Finding>,
}

/// The secrets of one answer, each once.
struct Secrets {
    scanner: Scanner,
    /// By their hashes.
    told: HashSet<String>,
    /// What is to be told.
    news: Vec<Finding>,
}

impl Look {
    /// At an answer that may be no text where it is `unsure`.
    pub(super) fn new(
        about: About,
        transport: Transport,
        unsure: bool,
        watch: Option<InjectionWatch>,
        secrets: Option<Arc<Detectors>>,
    ) -> Self {
        let host = about.origin.authority.host.to_string();
        let secrets = secrets.map(|detectors| Secrets::new(detectors, &host));
        Self { about, transport, eyes: Eyes { unsure, watch, secrets, came: 0, last: Vec::new() } }
    }

    /// Takes the next bytes as they came.
    pub(super) fn feed(&mut self, data: &[u8]) {
        let Self { transport, eyes, .. } = self;
        if eyes.are_shut() {
            return;
        }
        if let Err(error) = transport.feed(data, |clear| eyes.see(clear)) {
            self.stop(&error);
        }
        self.tell();
    }

    /// Looks at what has come so far.
    pub(super) fn look(&mut self) {
        if let Some(watch) = &mut self.eyes.watch {
            watch.look();
        }
    }

    /// Looks at what was left; the answer has come to its end.
    pub(super) fn finish(&mut self) {
        let Self { transport, eyes, .. } = self;
        if eyes.are_shut() {
            return;
        }
        let ended = transport.finish(|clear| eyes.see(clear));
        self.look();
        if let Some(secrets) = &mut self.eyes.secrets {
            secrets.finish();
        }
        self.tell();
        if let (Err(error), false) = (ended, self.eyes.has_found()) {
            self.stop(&error);
        }
    }

    /// Bytes in clear that came.
    pub(super) fn came(&self) -> u64 {
        self.eyes.came
    }

    /// How many of them, from the front on, were looked at or need not be.
    pub(super) fn looked(&self) -> u64 {
        self.eyes.watch.as_ref().map_or(u64::MAX, InjectionWatch::looked)
    }

    /// What was found, once.
    pub(super) fn found(&mut self) -> Option<Vec<Signal>> {
        if !self.eyes.has_found() {
            return None;
        }
        self.eyes.watch.take().map(|watch| watch.found().to_vec())
    }

    fn stop(&mut self, why: &Unscannable) {
        self.about.unread(why);
        // What it has found already stands.
        self.look();
        if !self.eyes.has_found() {
            self.eyes.watch = None;
        }
        self.eyes.secrets = None;
    }

    fn tell(&mut self) {
        let Self { about, eyes, .. } = self;
        let news = eyes.secrets.iter_mut().flat_map(|secrets| secrets.news.drain(..));
        eyes.last.drain(..).chain(news).for_each(|finding| about.secret(finding));
    }
}

impl Secrets {
    fn new(detectors: Arc<Detectors>, host: &str) -> Self {
        let scanner = Scanner::new(detectors, Part::Body, host);
        Self { scanner, told: HashSet::new(), news: Vec::new() }
    }

    fn feed(&mut self, clear: &[u8]) {
        let found = self.scanner.feed(clear);
        self.found(found);
    }

    fn finish(&mut self) {
        let found = self.scanner.finish();
        self.found(found);
    }

    fn found(&mut self, found: Vec<Finding>) {
        for finding in found {
            let acts = matches!(finding.class, Class::Act | Class::Trip);
            if acts && self.told.len() < SECRETS && self.told.insert(finding.hash.clone()) {
                self.news.push(finding);
            }
        }
    }
}

impl Eyes {
    fn see(&mut self, clear: &[u8]) {
        if clear.is_empty() {
            return;
        }
        if std::mem::take(&mut self.unsure) && !kind::is_text(clear) {
            (self.watch, self.secrets) = (None, None);
        }
        self.came += clear.len() as u64;
        if let Some(watch) = &mut self.watch {
            watch.feed(clear);
        }
        if let Some(secrets) = &mut self.secrets {
            secrets.feed(clear);
        }
        if self.came > SECRETS_WITHIN
            && let Some(mut secrets) = self.secrets.take()
        {
            secrets.finish();
            self.last = secrets.news;
        }
    }

    fn are_shut(&self) -> bool {
        self.watch.is_none() && self.secrets.is_none()
    }

    fn has_found(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| !watch.found().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_dlp::{HashKey, KnownValue, Policy};

    #[test]
    fn a_secret_that_comes_in_is_told_once_for_an_answer() {
        let mut policy = Policy::builtin(HashKey::new([0; 32])).unwrap();
        policy.known.push(KnownValue::secret("DEPLOY_KEY", "h7Rq2Wv9kLm3XpZt8Yb5".to_owned().into()));
        let detectors = Arc::new(Detectors::new(policy).unwrap());
        let mut secrets = Secrets::new(detectors, "pages.example.net");
        for _ in 0..3 {
            secrets.feed(b"key: h7Rq2Wv9kLm");
            secrets.feed(b"3XpZt8Yb5\n");
            secrets.feed(&b"text\n".repeat(30_000));
        }
        secrets.finish();
        let told: Vec<String> = secrets.news.iter().map(|finding| finding.rule.to_string()).collect();
        assert_eq!(told, ["known-value"]);
        assert_eq!(secrets.news[0].preview.head, "h7Rq");
    }
}
