//! One body on its way through the scanner, and what only a whole one shows: places in its structure, values made of its
//! parts, regions that are no text.
//!
//! Invariant: a JSON body is held as long as a proxy would hold it, any other as long as its parts are looked at together;
//! a longer one streams.

use hudson_dlp::{Detectors, Finding, Part, Scanner, locate, regions, spare};
use hudson_proxy::dlp::Setup;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Bytes of a body that is no JSON and is held.
const FORM: usize = 64 << 10;
/// Bytes that are gone through at most to say where findings stand.
const STEPS: usize = 1 << 30;

/// A body.
pub(in crate::command::dlp) struct Body<'a> {
    detectors: &'a Arc<Detectors>,
    setup: &'a Setup,
    host: String,
    scanner: Scanner,
    /// All of it, and what was found in it so far; `None` once it streams.
    held: Option<(Vec<u8>, Vec<Finding>)>,
    counts: BTreeMap<Arc<str>, Count>,
}

/// Values of a rule that is a finding only where there are many.
#[derive(Default)]
struct Count {
    values: HashSet<String>,
    waiting: Vec<Finding>,
}

impl<'a> Body<'a> {
    pub(in crate::command::dlp) fn new(detectors: &'a Arc<Detectors>, setup: &'a Setup, host: &str) -> Self {
        Self {
            detectors,
            setup,
            host: host.to_owned(),
            scanner: Scanner::new(Arc::clone(detectors), Part::Body, host),
            held: Some((Vec::new(), Vec::new())),
            counts: BTreeMap::new(),
        }
    }

    /// Takes the next bytes; what can be told by now.
    pub(in crate::command::dlp) fn feed(&mut self, bytes: &[u8]) -> Vec<Finding> {
        let found = self.scanner.feed(bytes);
        let Some((body, kept)) = &mut self.held else { return self.counted(found) };
        kept.extend(found);
        let first = body.iter().chain(bytes).find(|byte| !byte.is_ascii_whitespace());
        let limit = match first {
            Some(b'{' | b'[') => self.setup.buffer_limit,
            _ => FORM.min(self.setup.buffer_limit),
        };
        if body.len() + bytes.len() <= limit {
            body.extend_from_slice(bytes);
            return Vec::new();
        }
        let kept = std::mem::take(kept);
        self.held = None;
        self.counted(kept)
    }

    /// The rest.
    pub(in crate::command::dlp) fn finish(&mut self) -> Vec<Finding> {
        let last = self.scanner.finish();
        let Some((body, mut found)) = self.held.take() else { return self.counted(last) };
        found.extend(last);
        let joined = self.detectors.scan_joined(&self.host, &body);
        let new = |joined: &Finding| !found.iter().any(|finding| finding.hash == joined.hash);
        let joined: Vec<Finding> = joined.into_iter().filter(new).collect();
        found.extend(joined);
        // Nothing came back from a provider here.
        spare(&mut found, &regions(&body, |_| false));
        let mut steps = STEPS;
        for finding in &mut found {
            let Some(left) = steps.checked_sub(finding.start) else { break };
            steps = left;
            finding.location = locate(&body, finding.start);
        }
        self.counted(found)
    }

    /// Leaves out what is not a finding yet, and lets it come when it is.
    fn counted(&mut self, found: Vec<Finding>) -> Vec<Finding> {
        let mut told = Vec::new();
        for finding in found {
            let Some(threshold) = self.setup.thresholds.get(&*finding.rule) else {
                told.push(finding);
                continue;
            };
            let count = self.counts.entry(finding.rule.clone()).or_default();
            let most = usize::try_from(threshold.get()).unwrap_or(usize::MAX);
            if count.values.len() > most {
                told.push(finding);
                continue;
            }
            // The same value again says nothing new, and would fill the memory.
            if count.values.insert(finding.hash.clone()) {
                count.waiting.push(finding);
            }
            if count.values.len() > most {
                told.append(&mut count.waiting);
            }
        }
        told
    }
}
