//! CRC-32 in the two spellings that tokens carry.

/// Digits, capitals, small letters: the order in which the vendors count.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of the checksum in base 62.
const SUM_CHARACTERS: usize = 6;

/// Whether `prefix_` + body + six characters holds, the six being the body's CRC-32.
pub(super) fn crc32_base62(value: &[u8]) -> bool {
    let Some(prefix) = value.iter().position(|byte| *byte == b'_') else { return false };
    let rest = value.get(prefix + 1..).unwrap_or_default();
    let Some((body, sum)) = rest.len().checked_sub(SUM_CHARACTERS).and_then(|at| rest.split_at_checked(at))
    else {
        return false;
    };
    !body.is_empty() && base62(crc32fast::hash(body)) == sum
}

/// Whether the last eight characters are the CRC-32 of all before.
pub(super) fn crc32_hex(value: &[u8]) -> bool {
    let Some((body, sum)) = value.len().checked_sub(8).and_then(|at| value.split_at_checked(at)) else {
        return false;
    };
    format!("{:08x}", crc32fast::hash(body)).as_bytes().eq_ignore_ascii_case(sum)
}

fn base62(mut number: u32) -> [u8; SUM_CHARACTERS] {
    let mut out = [b'0'; SUM_CHARACTERS];
    for place in out.iter_mut().rev() {
        *place = BASE62.get((number % 62) as usize).copied().unwrap_or(b'0');
        number /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_published_sample_holds_and_a_changed_one_does_not() {
        // A revoked token of GitHub's own documentation, in two pieces.
        let sample = ["ghp_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx"].concat();
        assert!(crc32_base62(sample.as_bytes()));
        assert!(!crc32_base62(sample.replace("wWPw", "wWPx").as_bytes()));
        assert!(!crc32_base62(b"ghp_"));
        assert!(!crc32_base62(b"none"));
    }

    #[test]
    fn a_checksum_in_hexadecimal_digits_is_that_of_all_before() {
        let body = "ATBBexampleexample";
        let token = format!("{body}{:08X}", crc32fast::hash(body.as_bytes()));
        assert!(crc32_hex(token.as_bytes()));
        assert!(!crc32_hex(token.replace("ATBB", "ATBC").as_bytes()));
        assert!(!crc32_hex(b"short"));
    }
}
