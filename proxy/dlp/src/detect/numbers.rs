//! Numbers of cards and bank accounts: no word announces them, so the digits themselves are looked for, eight bytes at a
//! time.

use crate::validate::{card, iban};

/// Digits that a number has at least.
const DIGITS: usize = 12;
/// Letters and digits of an account number in front of its digits.
const FRONT: usize = 12;

/// A number that holds its checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Number {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

/// What it is a number of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Card,
    Iban,
}

/// All numbers in a text. Groups have four digits or more and one separator between them, so of four bytes anywhere in a
/// number three are digits.
pub(crate) fn find(text: &[u8], mut found: impl FnMut(Number)) {
    let mut at = 0;
    while let Some(probe) = text.get(at..at + 4) {
        let digits = probe.iter().filter(|byte| byte.is_ascii_digit()).count();
        let whole = digits == 4 || (digits == 3 && probe.iter().any(|byte| matches!(byte, b' ' | b'-')));
        if !whole {
            at += 8;
            continue;
        }
        let first = if probe.first().is_some_and(u8::is_ascii_digit) { at } else { at + 1 };
        let (start, end) = span(text, first);
        if let Some(number) = judge(text, start, end) {
            found(number);
        }
        at = end.max(at) + 1;
    }
}

/// The digits around a place, with one space or hyphen between groups.
fn span(text: &[u8], at: usize) -> (usize, usize) {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let separator = |at: usize| matches!(text.get(at), Some(b' ' | b'-'));
    let mut end = at;
    while digit(end) || (separator(end) && digit(end + 1) && digit(end.wrapping_sub(1))) {
        end += 1;
    }
    let mut start = at;
    while let Some(before) = start.checked_sub(1) {
        let between = separator(before) && before.checked_sub(1).is_some_and(digit);
        if !digit(before) && !between {
            break;
        }
        start = before;
    }
    (start, end)
}

fn judge(text: &[u8], start: usize, end: usize) -> Option<Number> {
    let part = text.get(start..end)?;
    let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits < DIGITS {
        return None;
    }
    let joins =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_.-+/%".contains(byte));
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    if !joins(before) && !joins(text.get(end)) && groups(part) && card(part) {
        return Some(Number { start, end, kind: Kind::Card });
    }
    account(text, start, end)
}

/// Whether the digits stand alone or in the groups in which cards are printed.
fn groups(part: &[u8]) -> bool {
    let lengths: Vec<usize> = part.split(|byte| matches!(byte, b' ' | b'-')).map(<[u8]>::len).collect();
    matches!(*lengths, [13..=19] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3])
}

/// An account number whose digits these are: a country and two digits stand in front of its groups.
fn account(text: &[u8], start: usize, end: usize) -> Option<Number> {
    let from = start.saturating_sub(FRONT);
    (from..=start).find_map(|begin| {
        let value = text.get(begin..end)?;
        let [one, two, three, four, ..] = value else { return None };
        let head = one.is_ascii_uppercase()
            && two.is_ascii_uppercase()
            && three.is_ascii_digit()
            && four.is_ascii_digit();
        let before = begin.checked_sub(1).and_then(|at| text.get(at));
        let runs_on = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let whole = head && !runs_on(before) && !runs_on(text.get(end)) && iban(value);
        whole.then_some(Number { start: begin, end, kind: Kind::Iban })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Kind)> {
        let mut all = Vec::new();
        find(text.as_bytes(), |number| all.push((text[number.start..number.end].to_owned(), number.kind)));
        all
    }

    #[test]
    fn numbers_are_found_at_any_place_and_in_their_groups() {
        for front in 0..20 {
            let spaces = " ".repeat(front);
            for card in ["4539578763621486", "4539 5787 6362 1486", "4539-5787-6362-1486"] {
                assert_eq!(found(&format!("{spaces}{card},")), [(card.to_owned(), Kind::Card)]);
            }
            let iban = "GB82WEST12345698765432";
            assert_eq!(found(&format!("{spaces}{iban} ")), [(iban.to_owned(), Kind::Iban)]);
        }
        assert_eq!(
            found("DE89 3704 0044 0532 0130 00"),
            [("DE89 3704 0044 0532 0130 00".to_owned(), Kind::Iban)]
        );
    }

    #[test]
    fn other_numbers_are_none() {
        for text in [
            "1700000000000000",
            "4539578763621487",
            "0.4539578763621486",
            "a4539578763621486",
            "45 39 57 87 63 62 14 86",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
