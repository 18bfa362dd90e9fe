//! What a button carries: a verdict on one approval, with a mark that only Hudson can make.
//!
//! Invariant: a mark is good for one place, one verdict and one digest of what was shown. It says nothing of who presses:
//! that is the service's to say.

use super::sign;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hudson_schema::ledger::{ApprovalId, Fingerprint, Verdict};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::str::FromStr;

/// Bytes of a mark.
const MARK: usize = 16;
/// What every id begins with, and no button needs to say.
const PREFIX: &str = "apr_";

/// Makes marks, and knows them again.
#[derive(Clone)]
pub struct ButtonKey(Zeroizing<[u8; 32]>);

impl ButtonKey {
    /// The key that belongs to a channel's secret.
    pub fn of(secret: &SecretString) -> Self {
        Self(Zeroizing::new(sign::hmac(secret.expose_secret().as_bytes(), &[b"hudson buttons v1"])))
    }

    /// What a button carries: at most 64 bytes that stand in any URL as they are.
    pub fn data(&self, place: &str, verdict: Verdict, id: &ApprovalId, fingerprint: &Fingerprint) -> String {
        let letter = match verdict {
            Verdict::Approve => 'a',
            Verdict::Deny => 'd',
        };
        let id_digits = id.as_str().trim_start_matches(PREFIX);
        format!("{letter}:{id_digits}:{}", self.mark(place, verdict, id, fingerprint))
    }

    /// Whether this was made here, in this place, for this very action.
    pub fn fits(&self, place: &str, pressed: &Pressed, fingerprint: &Fingerprint) -> bool {
        sign::same(&self.mark(place, pressed.verdict, &pressed.id, fingerprint), &pressed.mark)
    }

    fn mark(&self, place: &str, verdict: Verdict, id: &ApprovalId, fingerprint: &Fingerprint) -> String {
        // An id and a verdict have no zero byte, and the fingerprint has one length: no two inputs are one.
        let parts: [&[u8]; 6] = [
            id.as_str().as_bytes(),
            b"\0",
            verdict.name().as_bytes(),
            b"\0",
            &fingerprint.0,
            place.as_bytes(),
        ];
        let mac = sign::hmac(&*self.0, &parts);
        URL_SAFE_NO_PAD.encode(mac.get(..MARK).unwrap_or(&mac))
    }
}

/// What a button that was pressed carries, if anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pressed {
    /// What it says.
    pub verdict: Verdict,
    /// About what.
    pub id: ApprovalId,
    mark: String,
}

impl FromStr for Pressed {
    type Err = ();

    fn from_str(data: &str) -> Result<Self, ()> {
        let mut parts = data.split(':');
        let (Some(letter), Some(id), Some(mark), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let verdict = match letter {
            "a" => Verdict::Approve,
            "d" => Verdict::Deny,
            _ => return Err(()),
        };
        let id = format!("{PREFIX}{id}").parse().map_err(drop)?;
        Ok(Self { verdict, id, mark: mark.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ButtonKey {
        ButtonKey::of(&"123:tests-only".into())
    }

    #[test]
    fn a_button_is_read_back_and_fits_nothing_else() {
        let (id, other) = (ApprovalId::of_random([7; 16]), ApprovalId::of_random([8; 16]));
        let shown = Fingerprint([1; 32]);
        let data = key().data("telegram:5", Verdict::Approve, &id, &shown);
        assert!(data.len() <= 64, "{data}");
        assert!(data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_".contains(&byte)), "{data}");
        let pressed: Pressed = data.parse().unwrap();
        assert_eq!((pressed.verdict, &pressed.id), (Verdict::Approve, &id));
        assert!(key().fits("telegram:5", &pressed, &shown));

        assert!(!key().fits("telegram:6", &pressed, &shown), "another place");
        assert!(!key().fits("telegram:5", &pressed, &Fingerprint([2; 32])), "another action");
        assert!(!ButtonKey::of(&"123:other".into()).fits("telegram:5", &pressed, &shown), "another key");
        let denied = Pressed { verdict: Verdict::Deny, ..pressed.clone() };
        assert!(!key().fits("telegram:5", &denied, &shown), "another verdict");
        assert!(
            !key().fits("telegram:5", &Pressed { id: other, ..pressed.clone() }, &shown),
            "another approval"
        );
        for mark in ["", "A", &"A".repeat(22), &"A".repeat(900)] {
            assert!(!key().fits("telegram:5", &Pressed { mark: mark.to_owned(), ..pressed.clone() }, &shown));
        }
    }

    #[test]
    fn what_is_no_button_of_ours_is_nothing() {
        let id = "a".repeat(26);
        for data in [
            "",
            "a",
            "a:b",
            "a::",
            &format!("a:{id}"),
            &format!("x:{id}:m"),
            &format!("a:{id}:m:n"),
            &format!("a:apr_{id}:m"),
            &format!("A:{id}:m"),
            "a:\u{202e}:m",
        ] {
            assert_eq!(data.parse::<Pressed>(), Err(()), "{data}");
        }
        assert!(format!("d:{id}:").parse::<Pressed>().is_ok());
    }
}
