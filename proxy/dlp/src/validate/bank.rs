//! Numbers of banks and states that carry a check digit or have forbidden ranges.

/// Countries with the length of their account numbers (ISO 13616 registry).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// Whether a card of a known range has this number.
pub(crate) fn card(value: &[u8]) -> bool {
    let digits: Vec<u8> = value.iter().filter(|byte| byte.is_ascii_digit()).copied().collect();
    in_range(&digits) && luhn(&digits) && digits.iter().any(|digit| Some(digit) != digits.first())
}

/// Luhn's digit over ASCII digits.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = (digits.iter().rev().enumerate())
        .map(|(place, digit)| match (place % 2, u32::from(digit.saturating_sub(b'0'))) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Whether an account number has its country's length and its check digits.
pub(crate) fn iban(value: &[u8]) -> bool {
    let compact: Vec<u8> = value.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    let Some((head, rest)) = compact.split_first_chunk::<4>() else { return false };
    let known =
        IBAN_LENGTHS.iter().any(|(country, length)| head.starts_with(*country) && compact.len() == *length);
    let mut remainder: u32 = 0;
    for byte in rest.iter().chain(head) {
        remainder = match byte {
            b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
            b'A'..=b'Z' => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
            _ => return false,
        };
    }
    known && remainder == 1
}

/// Whether a social security number is outside of what was never given out.
pub(super) fn ssn(value: &[u8]) -> bool {
    let digits: Vec<u8> = value.iter().filter(|byte| byte.is_ascii_digit()).copied().collect();
    let number = |from: usize, to: usize| -> u32 {
        digits
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    let (area, group, serial) = (number(0, 3), number(3, 5), number(5, 9));
    digits.len() == 9 && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Whether a routing number is of a Federal Reserve district and has its check digit.
pub(super) fn aba(value: &[u8]) -> bool {
    let Ok(digits) = <[u8; 9]>::try_from(value) else { return false };
    let [a, b, c, d, e, f, g, h, i] = digits.map(|digit| u32::from(digit.wrapping_sub(b'0')));
    let district = a * 10 + b;
    let given = matches!(district, 1..=12 | 21..=32 | 61..=72 | 80);
    value.iter().all(u8::is_ascii_digit)
        && given
        && (3 * (a + d + g) + 7 * (b + e + h) + (c + f + i)).is_multiple_of(10)
}

/// Issuers' ranges with the lengths they give out (ISO/IEC 7812).
fn in_range(digits: &[u8]) -> bool {
    let head = |count: usize| -> u32 {
        digits.iter().take(count).fold(0, |sum, digit| sum * 10 + u32::from(digit.saturating_sub(b'0')))
    };
    match digits.len() {
        16 if head(1) == 4 => true,
        16 if matches!(head(2), 51..=55) || matches!(head(4), 2221..=2720) => true,
        16 if head(4) == 6011 || head(2) == 65 || matches!(head(3), 644..=649) => true,
        16 if matches!(head(4), 3528..=3589) => true,
        16..=19 if head(2) == 62 => true,
        15 if matches!(head(2), 34 | 37) => true,
        14 if matches!(head(3), 300..=305) || matches!(head(2), 36 | 38) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_needs_its_range_its_length_and_its_digit() {
        assert!(card(b"4111 1111 1111 1111"));
        assert!(card(b"378282246310005"));
        assert!(!card(b"4111111111111112"), "the digit");
        assert!(!card(b"9111111111111113"), "the range");
        assert!(!card(b"0000000000000000"));
    }

    #[test]
    fn an_account_needs_its_countrys_length_and_mod_97() {
        assert!(iban(b"GB82WEST12345698765432"));
        assert!(iban(b"DE89 3704 0044 0532 0130 00"));
        assert!(!iban(b"GB82WEST12345698765433"));
        assert!(!iban(b"DE893704004405320130001"));
        assert!(!iban(b"ZZ82WEST12345698765432"));
    }

    #[test]
    fn numbers_of_the_united_states() {
        assert!(ssn(b"219-09-9999") && !ssn(b"000-12-3456") && !ssn(b"900-12-3456") && !ssn(b"666-12-3456"));
        assert!(aba(b"021000021") && !aba(b"021000022") && !aba(b"991000021"));
    }
}
