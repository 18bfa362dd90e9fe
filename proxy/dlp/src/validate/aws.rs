//! What Amazon's ids say: the account they belong to is in the id.

use super::Verdict;
use super::entropy::shannon;

/// Characters of a secret access key.
const SECRET_CHARACTERS: usize = 40;
/// Bits a character that a random secret does not fall below.
const SECRET_ENTROPY: f64 = 4.25;

/// The account of an access key id, where the id is of the kind that holds it.
pub(super) fn key_id(value: &[u8]) -> Verdict {
    let Some(rest) = value.get(4..).filter(|rest| rest.len() == 16) else { return Verdict::of(false) };
    let mut bits: u64 = 0;
    for byte in rest.iter().take(10) {
        let Some(five) = base32(*byte) else { return Verdict::of(false) };
        bits = bits << 5 | u64::from(five);
    }
    if !rest.iter().all(|byte| base32(*byte).is_some()) {
        return Verdict::of(false);
    }
    // Fifty bits were read; the first 48 are the six bytes that hold the number.
    let account = ((bits >> 2) & 0x7fff_ffff_ff80) >> 7;
    let old = matches!(rest.first(), Some(b'I' | b'J'));
    let detail = (!old).then(|| format!("account {account:012}"));
    Verdict { valid: true, harmless: false, detail }
}

/// Whether forty characters can be a secret access key.
pub(super) fn secret(value: &[u8]) -> bool {
    value.len() == SECRET_CHARACTERS
        && !value.iter().all(u8::is_ascii_hexdigit)
        && value.iter().any(u8::is_ascii_digit)
        && shannon(value) >= SECRET_ENTROPY
}

fn base32(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'2'..=b'7' => Some(byte - b'2' + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_account() {
        let id = ["AKIAYVP4", "CIPPERUVIFXG"].concat();
        assert_eq!(key_id(id.as_bytes()).detail.as_deref(), Some("account 595918472158"));
        assert!(!key_id(b"AKIA0189000000000000").valid, "0, 1, 8 and 9 are not base32");
        assert!(!key_id(b"AKIA").valid);
    }

    #[test]
    fn a_hash_is_no_secret() {
        assert!(!secret(b"2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"));
        assert!(!secret(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        assert!(secret(b"h7Rq2Wv9/kLm3Xp+Zt8Yb5Nc1Jf6Gd4Ss0Aa7UeO"));
    }
}
