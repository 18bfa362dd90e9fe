//! What an approval of the kind `confirm` is bound to, in one place: the desk that takes the question and the operator who
//! edits the answer must come to the same digest, or nothing that was edited could ever be used.
//!
//! Invariant: everything that says what the action is counts, the description too: many agents put all of it there and
//! leave the details empty, and an approval of one must not pass for the other.

use hudson_proxy::approval::{FingerprintKey, NotCanonical, canonical};
use hudson_schema::BottleName;
use hudson_schema::ledger::{ApprovalKind, Fingerprint};

/// An action that an agent itself asks about.
#[derive(Clone, Copy, Debug)]
pub struct Confirm<'a> {
    /// The bottle that asks.
    pub bottle: &'a BottleName,
    /// The session in it, if it said one.
    pub session: Option<&'a str>,
    /// The action, as it was asked for.
    pub action: &'a str,
    /// What it acts on, as it was asked for; empty where it is not said.
    pub target: &'a str,
    /// What it is, for people, as it was asked for.
    pub description: &'a str,
    /// The rest, as a JSON text, before anything is redacted; `{}` where there is none.
    pub details: &'a [u8],
}

/// Why an action has no digest. It is then not asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unbound {
    /// The details can be read in more than one way, or in none.
    #[error("the details cannot be bound to: {0}")]
    Details(#[from] NotCanonical),
    /// There is no digest with this key.
    #[error("the key of the fingerprints cannot be used")]
    Key,
}

/// The digest of the action.
pub fn confirm(key: &FingerprintKey, asked: &Confirm<'_>) -> Result<Fingerprint, Unbound> {
    let details = canonical(asked.details)?;
    let session = asked.session.map(|session| ("session", session.as_bytes()));
    let parts = [("bottle", asked.bottle.as_str().as_bytes())].into_iter().chain(session).chain([
        ("action", asked.action.as_bytes()),
        ("target", asked.target.as_bytes()),
        ("description", asked.description.as_bytes()),
        ("details", details.as_bytes()),
    ]);
    key.bind(ApprovalKind::Confirm, parts).ok_or(Unbound::Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn whatever_says_what_the_action_is_makes_another_digest() {
        let key = FingerprintKey::new([3; 32]);
        let (ci, dev): (BottleName, BottleName) = ("ci".parse().unwrap(), "dev".parse().unwrap());
        let asked = Confirm {
            bottle: &ci,
            session: None,
            action: "send_email",
            target: "a@example.com",
            description: "Send the report",
            details: br#"{"to": "a@example.com", "n": 5}"#,
        };
        let others = [
            asked,
            Confirm { bottle: &dev, ..asked },
            Confirm { session: Some(""), ..asked },
            Confirm { session: Some("s1"), ..asked },
            Confirm { action: "send_emails", ..asked },
            Confirm { target: "b@example.com", ..asked },
            Confirm { description: "Send the other report", ..asked },
            Confirm { details: br#"{"to": "a@example.com", "n": 5.0}"#, ..asked },
            Confirm { details: b"{}", ..asked },
        ];
        let digests: HashSet<_> = others.iter().map(|asked| confirm(&key, asked).unwrap()).collect();
        assert_eq!(digests.len(), others.len());
        let spelled = Confirm { details: br#"{"n":5,"to":"a\u0040example.com"}"#, ..asked };
        assert_eq!(confirm(&key, &spelled), confirm(&key, &asked));
    }

    #[test]
    fn details_that_can_be_read_in_two_ways_have_no_digest() {
        let key = FingerprintKey::new([3; 32]);
        let bottle = "ci".parse().unwrap();
        let of = |details: &[u8]| {
            let asked =
                Confirm { bottle: &bottle, session: None, action: "a", target: "", description: "", details };
            confirm(&key, &asked)
        };
        assert_eq!(of(br#"{"a":1,"a":2}"#), Err(Unbound::Details(NotCanonical::DuplicateKey)));
        assert_eq!(of(b""), Err(Unbound::Details(NotCanonical::NotJson)));
        assert!(of(b"{}").is_ok());
    }
}
