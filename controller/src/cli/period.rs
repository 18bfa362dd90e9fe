//! `--since`, `--until` and `--watch`: times and periods as options are written.

use clap::Args;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use std::time::Duration;

/// The shortest and the longest time between two looks, in seconds.
const SECONDS: (f64, f64) = (0.1, 86_400.0);

/// `--since` and `--until`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PeriodArgs {
    /// Only what began on or after this day (UTC) or instant, such as 2026-11-01 or 2026-11-01T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = beginning)]
    pub since: Option<i64>,
    /// Only what began before the end of this day (UTC), or before this instant
    #[arg(long, value_name = "TIME", value_parser = end)]
    pub until: Option<i64>,
}

impl PeriodArgs {
    /// Reads what stands elsewhere than on the command line; what is wrong names the field.
    pub fn read(since: Option<&str>, until: Option<&str>) -> Result<Self, String> {
        let read = |name: &str, text: Option<&str>, read: fn(&str) -> Result<i64, String>| {
            text.map(|text| read(text).map_err(|why| format!("{name} {text:?}: {why}"))).transpose()
        };
        Ok(Self { since: read("since", since, beginning)?, until: read("until", until, end)? })
    }
}

/// `--watch`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct WatchArgs {
    /// Go on and show it anew whenever it has changed, which is looked at every SECONDS too [default: 1]
    ///
    /// On a terminal it is redrawn in place; elsewhere, and with --json, it is printed again. Ctrl-C ends it.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    pub watch: Option<Duration>,
}

/// A day (its beginning in UTC, as `--by day` counts) or an instant, in unix milliseconds.
fn beginning(text: &str) -> Result<i64, String> {
    match day(text) {
        Some(day) => start(day),
        None => instant(text),
    }
}

/// A day (its end in UTC) or an instant, in unix milliseconds.
fn end(text: &str) -> Result<i64, String> {
    match day(text) {
        Some(day) => start(day.checked_add(1.day()).map_err(|error| error.to_string())?),
        None => instant(text),
    }
}

/// Seconds, such as `5` or `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
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
        assert_eq!((beginning("1970-01-02"), end("1970-01-02")), (Ok(DAY), Ok(2 * DAY)));
        for bound in [beginning, end] {
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
