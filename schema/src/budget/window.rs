//! Calendar windows, computed from the clock value they are asked for: nothing is reset by a job, so nothing is
//! missed by one that did not run.
//!
//! Invariant: the windows of a zone tile time. Each begins with the first instant of a local day, whatever daylight
//! saving does to midnight, and ends where the next begins.

use super::Window;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// A time zone that the host does not know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown time zone {0:?}; expected an IANA name such as UTC or Europe/Berlin")]
pub struct InvalidTimeZone(String);

/// Turns clock values into windows of one time zone.
#[derive(Clone, Debug)]
pub struct WindowClock {
    zone: TimeZone,
}

impl WindowClock {
    /// A clock for the IANA zone of this name.
    pub fn new(zone: &str) -> Result<Self, InvalidTimeZone> {
        match TimeZone::get(zone) {
            Ok(zone) => Ok(Self { zone }),
            Err(_) => Err(InvalidTimeZone(zone.to_owned())),
        }
    }

    /// When the window that holds `now` began, in unix milliseconds; 0 for [`Window::Lifetime`].
    pub fn start(&self, window: Window, now: i64) -> i64 {
        self.bounds(window, now).map_or(0, |(start, _)| start)
    }

    /// When the window that holds `now` ends, in unix milliseconds; `None` for [`Window::Lifetime`].
    pub fn end(&self, window: Window, now: i64) -> Option<i64> {
        self.bounds(window, now).map(|(_, end)| end)
    }

    /// An instant as people of the zone write it, RFC 3339.
    pub fn display(&self, at: i64) -> String {
        match Timestamp::from_millisecond(at) {
            Ok(instant) => instant.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            Err(_) => format!("{at} ms"),
        }
    }

    fn bounds(&self, window: Window, now: i64) -> Option<(i64, i64)> {
        let local = Timestamp::from_millisecond(now).ok()?.to_zoned(self.zone.clone());
        let today = local.date();
        let (first, span) = match window {
            Window::Lifetime => return None,
            Window::Day => (today, 1.day()),
            Window::Week => {
                let since_monday = today.weekday().to_monday_zero_offset();
                (today.checked_sub(i64::from(since_monday).days()).ok()?, 7.days())
            }
            Window::Month => (today.first_of_month(), 1.month()),
        };
        let next = first.checked_add(span).ok()?;
        let (start, end) = (self.first_instant(first)?, self.first_instant(next)?);
        if now < end {
            return Some((start, end));
        }
        // The clock went back over a midnight that had struck: the date is yesterday's again, the window is not.
        Some((end, self.first_instant(next.checked_add(span).ok()?)?))
    }

    /// When a day begins: at the first of two midnights; where midnight is skipped, when the clock resumes.
    fn first_instant(&self, day: Date) -> Option<i64> {
        let midnight = self.zone.to_ambiguous_timestamp(day.to_datetime(Time::midnight()));
        let skipped = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        let instant = midnight.compatible().ok()?;
        if !skipped {
            return Some(instant.as_millisecond());
        }
        // What was skipped may have begun before midnight.
        let resumed = self.zone.preceding(instant.checked_add(1.nanosecond()).ok()?).next()?;
        Some(resumed.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn windows_follow_the_calendar_of_their_zone() {
        let berlin = WindowClock::new("Europe/Berlin").unwrap();
        let now = at("2026-03-29T12:00:00Z");
        assert_eq!(berlin.start(Window::Day, now), at("2026-03-28T23:00:00Z"));
        assert_eq!(
            berlin.end(Window::Day, now),
            Some(at("2026-03-29T22:00:00Z")),
            "23 hours: the clock went forward"
        );
        assert_eq!(berlin.start(Window::Week, now), at("2026-03-22T23:00:00Z"));
        assert_eq!(berlin.start(Window::Month, now), at("2026-02-28T23:00:00Z"));
        assert_eq!(berlin.start(Window::Lifetime, now), 0);
        assert_eq!(berlin.end(Window::Lifetime, now), None);
    }

    #[test]
    fn an_unknown_zone_is_an_error() {
        assert!(WindowClock::new("Mars/Olympus").is_err());
    }
}
