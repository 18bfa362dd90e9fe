//! What a value says about itself: checksums, alphabets and structures, all without asking anyone.
//!
//! A checksum that is right raises the confidence. One that is wrong does not hide a token whose form is right, except
//! where numbers of that form are everywhere (cards, account numbers).

mod aws;
mod bank;
mod base58;
mod checksum;
mod entropy;
mod jwt;
mod structure;

pub(crate) use bank::{card, iban};
pub(crate) use entropy::{distinct, is_placeholder, shannon};
pub(crate) use structure::base64_any as base64;

use serde::{Deserialize, Serialize};

/// A check of a value.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// The last six characters are the CRC-32 of those between the prefix and them, in base 62.
    Crc32Base62,
    /// The last eight characters are the CRC-32 of all before, in hexadecimal digits.
    Crc32Hex,
    /// An AWS access key id: base32, holds the account's number.
    AwsKeyId,
    /// Forty characters that are not a hash, of high entropy.
    AwsSecret,
    /// A JSON Web Token with a header that names its algorithm.
    Jwt,
    /// Base64 of a JSON object.
    Base64Json,
    /// A card's number: a known range, its length and Luhn's digit.
    Card,
    /// An international bank account number: its country's length and mod 97.
    Iban,
    /// A Bitcoin private key in wallet import format.
    Wif,
    /// An armoured private key with a body and an end.
    Pem,
    /// A US social security number outside of the areas that were never given out.
    Ssn,
    /// A US bank routing number: its district and the 3-7-1 digit.
    Aba,
    /// Letters and digits, both.
    Mixed,
    /// A number and random bytes behind a colon, in base64.
    Base64Colon,
    /// A password in a connection string that is not a variable.
    Password,
    /// The same with a letter and a digit, where words stand too.
    StrongPassword,
}

/// What a validator says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Verdict {
    /// Whether the check holds.
    pub(crate) valid: bool,
    /// Whether the value is well formed and yet opens nothing.
    pub(crate) harmless: bool,
    /// What was read out of it.
    pub(crate) detail: Option<String>,
}

impl Verdict {
    const fn of(valid: bool) -> Self {
        Self { valid, harmless: false, detail: None }
    }
}

impl Validator {
    /// What it says of a value.
    pub(crate) fn judge(self, value: &[u8]) -> Verdict {
        match self {
            Self::Crc32Base62 => Verdict::of(checksum::crc32_base62(value)),
            Self::Crc32Hex => Verdict::of(checksum::crc32_hex(value)),
            Self::AwsKeyId => aws::key_id(value),
            Self::AwsSecret => Verdict::of(aws::secret(value)),
            Self::Jwt => jwt::judge(value),
            Self::Base64Json => Verdict::of(structure::base64_json(value)),
            Self::Card => Verdict::of(bank::card(value)),
            Self::Iban => Verdict::of(bank::iban(value)),
            Self::Wif => Verdict::of(base58::wif(value)),
            Self::Pem => Verdict::of(structure::pem(value)),
            Self::Ssn => Verdict::of(bank::ssn(value)),
            Self::Aba => Verdict::of(bank::aba(value)),
            Self::Mixed => Verdict::of(structure::mixed(value)),
            Self::Base64Colon => Verdict::of(structure::base64_colon(value)),
            Self::StrongPassword => Verdict::of(structure::mixed(value) && structure::password(value)),
            Self::Password => Verdict::of(structure::password(value)),
        }
    }

    /// Whether a value that fails is none at all.
    pub(crate) fn decides(self) -> bool {
        !matches!(self, Self::Crc32Base62 | Self::Crc32Hex | Self::AwsKeyId | Self::Jwt | Self::Pem)
    }
}
