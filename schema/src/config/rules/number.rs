//! A decimal number, exactly as it was written: no float stands between two numbers that are compared.
//!
//! Invariant: equal numbers are equal here however they are spelled (`5`, `5.0`, `50e-1`), and no two others are.

use std::cmp::Ordering;

/// A number of any size: `0.DIGITS` times ten to the power of its point.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Number {
    negative: bool,
    /// Without zeros at either end; none for zero.
    digits: Vec<u8>,
    point: i64,
}

impl Number {
    /// Reads a number as JSON writes it; zeros may stand in front. `None` for anything else, also for an exponent that
    /// nobody means.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, self::exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        if !is_digits(whole) {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let mut digits = all.get(zeros..).unwrap_or_default().to_vec();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self { negative: false, digits, point: 0 });
        }
        let length = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(zeros).ok()?)?;
        Some(Self { negative, digits, point: exponent.checked_add(length)? })
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The greatest integer that is not above it; `None` where that is no 64-bit integer.
    pub fn floor(&self) -> Option<i64> {
        let (whole, exact) = self.truncated()?;
        if self.negative && !exact { whole.checked_sub(1) } else { Some(whole) }
    }

    /// The least integer that is not below it; `None` where that is no 64-bit integer.
    pub fn ceiling(&self) -> Option<i64> {
        let (whole, exact) = self.truncated()?;
        if !self.negative && !exact { whole.checked_add(1) } else { Some(whole) }
    }

    /// Without what is behind the point, and whether there was nothing.
    fn truncated(&self) -> Option<(i64, bool)> {
        // A 64-bit integer has nineteen digits at most.
        let Ok(point) = usize::try_from(self.point) else { return Some((0, self.digits.is_empty())) };
        if point > 19 {
            return None;
        }
        let mut whole: i128 = 0;
        for place in 0..point {
            let digit = self.digits.get(place).map_or(0, |digit| digit - b'0');
            whole = whole * 10 + i128::from(digit);
        }
        let whole = if self.negative { -whole } else { whole };
        Some((i64::try_from(whole).ok()?, self.digits.len() <= point))
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        let zero = Self { negative: false, digits: Vec::new(), point: 0 };
        Self::parse(&value.to_string()).unwrap_or(zero)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let size = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if sign(self) < 0 => size().reverse(),
            Ordering::Equal if sign(self) > 0 => size(),
            unequal => unequal,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // Far above what any program can hold, and far below where sums of places overflow.
    let exponent: i64 = digits.parse().ok().filter(|value| is_digits(digits) && *value < 1_000_000_000)?;
    Some(if negative { -exponent } else { exponent })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn a_number_is_its_value_and_not_its_spelling() {
        for spelled in ["5", "5.0", "5e0", "50e-1", "0.5E+1", "0.05e2", "005"] {
            assert_eq!(number(spelled), number("5"), "{spelled}");
        }
        assert_eq!(number("-0.0e9"), number("0"));
        for no in
            ["", "-", "+5", "5.", ".5", "1e", "0x5", "NaN", "Infinity", "5 ", "1_0", "1e9999999999", "٥"]
        {
            assert_eq!(Number::parse(no), None, "{no}");
        }
    }

    #[test]
    fn order_is_exact_where_floats_lose_it() {
        let rising = [
            "-1e30",
            "-9007199254740993",
            "-9007199254740992",
            "-1",
            "-0.1",
            "0",
            "1e-300",
            "0.1",
            "0.10000000000000001",
            "1",
            "49999.999999999999999999",
            "50000",
            "50000.000000000000000001",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "1e999",
        ];
        for (place, one) in rising.iter().enumerate() {
            for (other_place, other) in rising.iter().enumerate() {
                assert_eq!(number(one).cmp(&number(other)), place.cmp(&other_place), "{one} {other}");
            }
        }
    }

    #[test]
    fn an_integer_is_on_either_side() {
        for (text, floor, ceiling) in [
            ("5", Some(5), Some(5)),
            ("5.1", Some(5), Some(6)),
            ("-5.1", Some(-6), Some(-5)),
            ("0.001", Some(0), Some(1)),
            ("-1e-9", Some(-1), Some(0)),
            ("9223372036854775807", Some(i64::MAX), Some(i64::MAX)),
            ("9223372036854775808", None, None),
            ("-9223372036854775808", Some(i64::MIN), Some(i64::MIN)),
            ("1e40", None, None),
            ("12e3", Some(12_000), Some(12_000)),
        ] {
            assert_eq!((number(text).floor(), number(text).ceiling()), (floor, ceiling), "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_ordered_as_integers(one in any::<i64>(), other in any::<i64>(), places in 0..9_u32) {
            prop_assert_eq!(Number::from(one).cmp(&Number::from(other)), one.cmp(&other));
            let shifted = Number::parse(&format!("{one}e-{places}")).unwrap();
            let power = 10_i128.pow(places);
            prop_assert_eq!(shifted.floor().map(i128::from), Some(i128::from(one).div_euclid(power)));
        }
    }
}
