//! Who speaks: the run's credentials in `Proxy-Authorization: Basic` (RFC 7617), as clients send them from a proxy
//! URL `http://<run id>:<password>@…`.
//!
//! Invariant: the password is 256 random bits, exists in clear only in the run's environment, is stored as a SHA-256
//! hash and compared in constant time. A fast hash is right here: there is nothing to guess in 256 bits.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, header};
use hudson_schema::RunId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The bytes of a run's password before encoding.
const PASSWORD_BYTES: usize = 32;

/// A run's password and the hash that is stored of it.
pub struct Password {
    /// The password, for the proxy URL.
    pub secret: SecretString,
    /// What the ledger keeps.
    pub hash: [u8; 32],
}

impl Password {
    /// A new password from the system's randomness.
    pub fn generate() -> Result<Self, rand_error::RandomnessUnavailable> {
        let mut bytes = [0; PASSWORD_BYTES];
        rand_error::fill(&mut bytes)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let hash = digest(&text);
        Ok(Self { secret: SecretString::from(text), hash })
    }
}

/// What a client presented.
pub struct Presented {
    /// The user name: a run's id.
    pub run: RunId,
    hash: [u8; 32],
}

impl Presented {
    /// Reads the credentials of a request to the proxy; `None` without them or when they are not Basic.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        Self::read_in(headers, &header::PROXY_AUTHORIZATION)
    }

    /// The same where they are in another header: a server of Hudson's own takes them in `Authorization`.
    pub fn read_in(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = SecretString::from(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
        let (user, password) = decoded.expose_secret().split_once(':')?;
        Some(Self { run: user.parse().ok()?, hash: digest(password) })
    }

    /// Whether the password is the one of which `hash` is stored.
    pub fn matches(&self, hash: &[u8; 32]) -> bool {
        self.hash.ct_eq(hash).into()
    }
}

fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

mod rand_error {
    //! The system's randomness, with an error a person can read.

    /// The system gives no randomness; nothing secret can be made.
    #[derive(Clone, Copy, Debug, thiserror::Error)]
    #[error("the system's random number generator is not available")]
    pub struct RandomnessUnavailable;

    pub(super) fn fill(bytes: &mut [u8]) -> Result<(), RandomnessUnavailable> {
        getrandom::fill(bytes).map_err(|_| RandomnessUnavailable)
    }
}

pub use rand_error::RandomnessUnavailable;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::PROXY_AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn basic(text: &str) -> HeaderMap {
        headers(&format!("Basic {}", STANDARD.encode(text)))
    }

    #[test]
    fn only_the_password_itself_matches() {
        let password = Password::generate().unwrap();
        let right = Presented::read(&basic(&format!("run1:{}", password.secret.expose_secret()))).unwrap();
        assert_eq!(right.run.as_str(), "run1");
        assert!(right.matches(&password.hash));
        assert!(!Presented::read(&basic("run1:")).unwrap().matches(&password.hash));
        assert!(!Presented::read(&basic("run1:guess")).unwrap().matches(&password.hash));
    }

    #[test]
    fn what_is_not_basic_credentials_is_none() {
        assert!(Presented::read(&HeaderMap::new()).is_none());
        assert!(Presented::read(&headers("Bearer abc")).is_none());
        assert!(Presented::read(&headers("Basic !!!")).is_none());
        assert!(Presented::read(&basic("nocolon")).is_none());
        assert!(Presented::read(&basic("../x:y")).is_none());
        let mut twice = basic("a:b");
        twice.append(header::PROXY_AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert!(Presented::read(&twice).is_none());
    }
}
