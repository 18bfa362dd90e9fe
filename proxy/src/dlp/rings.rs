//! What each bottle has sent to each destination lately, so that a value that leaves in several requests is seen.
//!
//! Invariant: what is kept is bounded in bytes and time, and only what needs two requests is told. Conversations with
//! models are not kept here: they are sent again at each turn.

use hudson_dlp::{Detectors, Finding, Fragments, Part};
use hudson_schema::BottleName;
use moka::sync::Cache;
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For how long a request is remembered.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Destinations that are remembered; each takes 64 KiB at most.
const DESTINATIONS: u64 = 256;
/// Parts that are known again when they are sent again.
const LAST: usize = 64;
/// Larger parts, in bytes, are no pieces of anything.
const LARGEST: usize = 64 << 10;

/// What bottles have sent.
pub(crate) struct Rings(Cache<(BottleName, String), Arc<Ring>>);

/// What one bottle has sent to one destination.
pub(crate) struct Ring {
    detectors: Arc<Detectors>,
    sent: Mutex<Sent>,
    /// Nobody outside knows which parts it takes for the same.
    hasher: RandomState,
}

struct Sent {
    fragments: Fragments,
    /// The last parts, by their hashes: what is sent again is no new piece of anything.
    last: VecDeque<u64>,
}

impl Rings {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(DESTINATIONS).time_to_idle(KEPT).build())
    }

    /// The ring of a bottle and a host. All names of a domain are one destination: whoever owns it reads them all.
    pub(super) fn of(&self, bottle: &BottleName, host: &str, detectors: &Arc<Detectors>) -> Arc<Ring> {
        let key = (bottle.clone(), domain(host).to_owned());
        match self.0.get(&key).filter(|ring| Arc::ptr_eq(&ring.detectors, detectors)) {
            Some(ring) => ring,
            None => {
                let ring = Arc::new(Ring::new(detectors, host));
                self.0.insert(key, ring.clone());
                ring
            }
        }
    }
}

impl Ring {
    fn new(detectors: &Arc<Detectors>, host: &str) -> Self {
        let keep = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
        let fragments = Fragments::new(detectors.clone(), Part::Body, host, keep);
        let sent = Mutex::new(Sent { fragments, last: VecDeque::new() });
        Self { detectors: detectors.clone(), sent, hasher: RandomState::new() }
    }

    /// What this part of a request shows together with those before it, at this moment in unix milliseconds.
    pub(crate) fn push(&self, part: Part, now: i64, bytes: &[u8]) -> Vec<Finding> {
        if bytes.len() > LARGEST {
            return Vec::new();
        }
        let (now, hash) = (u64::try_from(now).unwrap_or(0), self.hasher.hash_one(bytes));
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.last.contains(&hash) {
            return Vec::new();
        }
        sent.last.push_back(hash);
        if sent.last.len() > LAST {
            sent.last.pop_front();
        }
        let found = sent.fragments.push(now, bytes);
        found.into_iter().map(|finding| Finding { part: part.clone(), ..finding }).collect()
    }
}

/// The last two labels of a name. Where a registry sells names a label deeper, more is looked at together than has to be.
fn domain(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    match (host.parse::<std::net::IpAddr>(), dots.nth(1)) {
        (Err(_), Some(at)) => host.get(at + 1..).unwrap_or(host),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_two_labels_and_an_address_itself() {
        for (host, expected) in [
            ("a.b.example.com", "example.com"),
            ("example.com", "example.com"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(domain(host), expected);
        }
    }
}
