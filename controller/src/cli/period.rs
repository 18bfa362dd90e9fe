//! Times and periods as options are written.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use std::time::Duration;

/// The shortest and the longest time between two looks, in seconds.
const SECONDS: (f64, f64) = (0.1, 86_400.0);

/// A day (its beginning in UTC, as `--by day` counts) or an instant, in unix milliseconds.
pub(super) fn since(text: &str) -> Result<i64, String> {
    match day(text) {
        Some(day) => start(day),
        None => instant(text),
    }
}

/// A day (its end in UTC) or an instant, in unix milliseconds.
pub(super) fn until(text: &str) -> Result<i64, String> {
    match day(text) {
        Some(day) => start(day.checked_add(1.day()).map_err(|error| error.to_string())?),
        None => instant(text),
    }
}

/// Seconds, such as `5` or `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let (least, most) = SECONDS;
    match text.parse::<f64>() {
        Ok(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected seconds from {least} to {most}")),
    }
}

/// A date and nothing else: jiff would take the date out of a longer text.
fn day(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|date| date.to_string() == text)
}

fn start(day: Date) -> Result<i64, String> {
    let start = day.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
    Ok(start.timestamp().as_millisecond())
}

fn instant(text: &str) -> Result<i64, String> {
    match text.parse::<Timestamp>() {
        Ok(instant) => Ok(instant.as_millisecond()),
        Err(_) => {
            Err("neither a day such as 2026-11-01 nor an instant such as 2026-11-01T09:30:00Z".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn times_are_days_and_instants() {
        assert_eq!((since("1970-01-02"), until("1970-01-02")), (Ok(DAY), Ok(2 * DAY)));
        for bound in [since, until] {
            assert_eq!(bound("1970-01-01T01:00:00+01:00"), Ok(0));
            for bad in ["", "yesterday", "2026-13-01", "2026-11-01T09:30", "2026-11-01 x"] {
                assert!(bound(bad).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn seconds_are_neither_none_nor_for_ever() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "inf", "NaN", "1e9", "5s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
