//! The ids of approvals and grants: 128 random bits in base32, so that nobody guesses one, after a prefix that says what
//! it is. And the fingerprint that binds an approval to what was approved.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Five bits each: RFC 4648, in small letters.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What 128 bits take.
const LENGTH: usize = 26;

/// A text that cannot be an id, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} cannot be the id of {what}: expected {prefix} and 26 of a-z and 2-7")]
pub struct InvalidId {
    what: &'static str,
    prefix: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $what:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// A new one, of 128 random bits.
            pub fn of_random(bits: [u8; 16]) -> Self {
                Self(format!("{}{}", $prefix, base32(u128::from_be_bytes(bits))))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).map(str::as_bytes).unwrap_or_default();
                match digits.len() == LENGTH && digits.iter().all(|digit| matches!(digit, b'a'..=b'z' | b'2'..=b'7')) {
                    true => Ok(Self(text.to_owned())),
                    // A person's typing may be long.
                    false => Err(InvalidId {
                        what: $what,
                        prefix: $prefix,
                        text: text.chars().take(2 * LENGTH).collect(),
                    }),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// The id of an approval.
    ApprovalId,
    "an approval",
    "apr_"
);
id!(
    /// The id of a grant.
    GrantId,
    "a grant",
    "grt_"
);

fn base32(bits: u128) -> String {
    let digit = |place: usize| {
        let value = (bits >> (5 * place)) & 31;
        // Five bits are below 32.
        usize::try_from(value).ok().and_then(|value| ALPHABET.get(value)).copied().map(char::from)
    };
    (0..LENGTH).rev().filter_map(digit).collect()
}

/// A keyed digest of what is to be approved. Opaque here: who makes it has the key, and says what goes into it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_in_the_id() {
        let first = ApprovalId::of_random([0; 16]);
        assert_eq!(first.as_str(), "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa");
        let mut seen = std::collections::BTreeSet::from([first]);
        for bit in 0..128 {
            let id = ApprovalId::of_random((1_u128 << bit).to_be_bytes());
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert!(seen.insert(id));
        }
    }

    #[test]
    fn what_is_no_id_is_told_what_one_is() {
        let right = ApprovalId::of_random([7; 16]);
        for wrong in ["", "apr_", "apr_aaa", &right.as_str().to_uppercase(), &format!("{right}a"), "grt_aa"] {
            let error = wrong.parse::<ApprovalId>().unwrap_err().to_string();
            assert!(
                error.ends_with("cannot be the id of an approval: expected apr_ and 26 of a-z and 2-7"),
                "{error}"
            );
        }
        assert!(right.as_str().parse::<GrantId>().is_err());
        assert!("x".repeat(9_999).parse::<GrantId>().unwrap_err().to_string().len() < 200);
    }
}
