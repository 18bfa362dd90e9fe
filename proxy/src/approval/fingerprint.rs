//! What an approval is bound to: a keyed digest of everything that makes the action what it is.
//!
//! Invariant: two actions have one fingerprint only where everything that was bound is the same, and who has no key
//! learns nothing of it: an amount of money cannot be found by trying all of them.

use hmac::{Hmac, KeyInit, Mac};
use hudson_schema::ledger::{ApprovalKind, Fingerprint};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

/// What goes in front of everything: another version, or another use of the key, is another digest.
const VERSION: &[u8] = b"hudson approval v1";

/// The key of a home's fingerprints.
pub struct FingerprintKey(SecretBox<[u8; 32]>);

impl FingerprintKey {
    /// A key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// The digest of an action: its kind, and the parts that it is bound to, by name. Their order counts, and no part
    /// can be taken for another, nor two for one.
    pub fn bind<'a>(
        &self,
        kind: ApprovalKind,
        parts: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<Fingerprint> {
        // A key of any length is taken: that there is none does not happen, and would approve nothing.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        let mut part = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        part(VERSION);
        part(kind.name().as_bytes());
        for (name, value) in parts {
            part(name.as_bytes());
            part(value);
        }
        Some(Fingerprint(mac.finalize().into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_part_counts_and_none_runs_into_the_next() {
        let key = FingerprintKey::new([1; 32]);
        let bind = |kind, parts: &[(&str, &str)]| {
            key.bind(kind, parts.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap()
        };
        let different: &[&[(&str, &str)]] = &[
            &[],
            &[("host", "")],
            &[("host", "a"), ("path", "b")],
            &[("host", "ab"), ("path", "")],
            &[("path", "b"), ("host", "a")],
            &[("host", "apathb")],
            &[("hosta", "pathb")],
        ];
        let mut seen = HashSet::new();
        for kind in ApprovalKind::ALL {
            assert!(different.iter().all(|parts| seen.insert(bind(*kind, parts).0)));
        }
        assert_eq!(bind(ApprovalKind::Http, different[2]), bind(ApprovalKind::Http, different[2]));
        let other = FingerprintKey::new([2; 32]);
        assert!(seen.insert(other.bind(ApprovalKind::Http, []).unwrap().0));
    }
}
