//! How random a text is.

/// Runs of a keyboard or an alphabet that people type where a value belongs.
const SEQUENCES: [&[u8]; 4] =
    [b"abcdefghijklmnopqrstuvwxyz", b"01234567890", b"qwertyuiop", b"0123456789abcdef"];
/// Words that say that the value stands elsewhere.
const PLACEHOLDERS: &[&[u8]] = &[
    b"example",
    b"your",
    b"placeholder",
    b"changeme",
    b"change_me",
    b"change-me",
    b"replace",
    b"insert",
    b"dummy",
    b"redacted",
    b"xxxx",
    b"****",
    b"....",
    b"____",
    b"todo",
    b"sample",
    b"<",
    b"${",
    b"{{",
    b"%s",
    b"not-a",
    b"not_a",
    b"fake-",
    b"_here",
    b"-here",
];

/// Shannon's entropy in bits a byte.
pub(crate) fn shannon(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = value.len() as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

/// Whether a person put this where a value belongs.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| memchr::memmem::find(&lower, word).is_some())
        || distinct(&lower) <= 3
        || SEQUENCES.iter().any(|sequence| sequence.starts_with(&lower) && lower.len() >= 8)
}

/// How many different bytes there are.
pub(crate) fn distinct(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(place) = seen.get_mut(usize::from(*byte)) {
            *place = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_measured_in_bits() {
        assert!(shannon(b"") == 0.0 && shannon(b"aaaa") == 0.0);
        assert!((shannon(b"0123456789abcdef") - 4.0).abs() < 1e-9);
    }

    #[test]
    fn what_a_person_writes_in_a_values_place_is_told() {
        for text in ["xxxxxxxxxxxx", "<your-key>", "YOUR_API_KEY", "${TOKEN}", "0000000000", "changeme123"] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
        assert!(!is_placeholder(b"8f3Kd02mPq7ZrT51"));
    }
}
