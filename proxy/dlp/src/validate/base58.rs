//! Base58 with a checksum, as Bitcoin writes keys.

use sha2::{Digest as _, Sha256};

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Bytes of a key with its version, its flag of compression and its checksum.
const LONGEST: usize = 38;

/// Whether this is a private key in wallet import format.
pub(super) fn wif(value: &[u8]) -> bool {
    let Some(bytes) = decode(value) else { return false };
    let Some((payload, sum)) = bytes.len().checked_sub(4).and_then(|at| bytes.split_at_checked(at)) else {
        return false;
    };
    let sound = Sha256::digest(Sha256::digest(payload)).starts_with(sum);
    // Version 0x80 is the main network, 0xef the test one.
    sound && matches!(payload.first(), Some(0x80 | 0xef)) && matches!(payload.len(), 33 | 34)
}

fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let mut little: Vec<u8> = Vec::with_capacity(LONGEST);
    for byte in value {
        let mut carry = ALPHABET.iter().position(|digit| digit == byte)?;
        for place in &mut little {
            carry += 58 * usize::from(*place);
            *place = u8::try_from(carry & 0xff).unwrap_or(0);
            carry >>= 8;
        }
        while carry > 0 {
            little.push(u8::try_from(carry & 0xff).unwrap_or(0));
            carry >>= 8;
        }
        if little.len() > LONGEST {
            return None;
        }
    }
    little.extend(value.iter().take_while(|byte| **byte == b'1').map(|_| 0));
    little.reverse();
    Some(little)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_from_the_formats_own_description_holds() {
        assert!(wif(b"5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"));
        assert!(!wif(b"5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTK"));
        assert!(!wif(b"0OIl"));
    }
}
