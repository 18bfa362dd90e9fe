//! Windows are a calendar's: whatever the zone does to its clocks, they tile time, begin with a local day and are a
//! function of the clock value alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use hudson_schema::budget::{Window, WindowClock};
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use proptest::prelude::*;

const HOUR: i64 = 3600 * 1000;
const WINDOWS: [Window; 3] = [Window::Day, Window::Week, Window::Month];
const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "America/Nuuk",
    // Daylight saving of half an hour.
    "Australia/Lord_Howe",
    // Midnight itself is skipped, or comes twice.
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Havana",
    // A minute after midnight the clock went back into the day before, until 2011.
    "America/St_Johns",
    // From 23:30 to 00:30, in 1919.
    "America/Toronto",
    // A whole day is skipped, in 2011 and 1993.
    "Pacific/Apia",
    "Pacific/Kwajalein",
    // Summer time all year round but for a month that wanders.
    "Africa/El_Aaiun",
];

fn zone() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(ZONES.as_slice())
}

/// Any instant of two centuries, and more often one close to where its zone moves the clock.
fn instant(zone: &'static str) -> impl Strategy<Value = i64> {
    let any = at("1900-01-01T00:00:00Z")..at("2100-01-01T00:00:00Z");
    let beside = prop_oneof![-26 * HOUR..26 * HOUR, -HOUR..HOUR];
    let near = (any.clone(), beside).prop_map(move |(somewhere, beside)| {
        let somewhere = Timestamp::from_millisecond(somewhere).unwrap();
        let moved = TimeZone::get(zone).unwrap().following(somewhere).next().map(|next| next.timestamp());
        moved.unwrap_or(somewhere).as_millisecond() + beside
    });
    prop_oneof![1 => any, 3 => near]
}

fn case() -> impl Strategy<Value = (&'static str, Window, i64)> {
    let window = proptest::sample::select(WINDOWS.as_slice());
    zone().prop_flat_map(move |zone| (Just(zone), window.clone(), instant(zone)))
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn local(zone: &str, at: i64) -> Zoned {
    Timestamp::from_millisecond(at).unwrap().in_tz(zone).unwrap()
}

fn bounds(clock: &WindowClock, window: Window, now: i64) -> (i64, i64) {
    (clock.start(window, now), clock.end(window, now).unwrap())
}

/// `start` is the first instant of `date`, or of the first day behind it where the zone has no such day.
fn assert_begins(zone: &str, date: Date, start: i64) {
    let first = local(zone, start);
    assert!(local(zone, start - 1).date() < date, "{zone}: {first} is not the first instant of {date}");
    assert!(first.date() >= date, "{zone}: {first} is before {date}");
    let midnight = date.to_datetime(Time::midnight());
    if first.datetime() != midnight {
        let skipped = TimeZone::get(zone).unwrap().to_ambiguous_timestamp(midnight).offset();
        assert!(matches!(skipped, AmbiguousOffset::Gap { .. }), "{zone}: {first} begins {date}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_tile_time((zone, window, now) in case(), within in 0.0..1.0) {
        let clock = WindowClock::new(zone).unwrap();
        let (start, end) = bounds(&clock, window, now);
        prop_assert!(start <= now && now < end, "{start} {now} {end}");
        let inside = start + ((end - start) as f64 * within) as i64;
        for same in [start, inside, end - 1] {
            prop_assert_eq!(bounds(&clock, window, same), (start, end), "at {}", same);
        }
        prop_assert_eq!(clock.end(window, start - 1), Some(start), "no gap and no overlap before");
        prop_assert_eq!(clock.start(window, end), end, "no gap and no overlap behind");
    }

    #[test]
    fn windows_begin_with_a_local_day((zone, window, now) in case()) {
        let clock = WindowClock::new(zone).unwrap();
        let (start, end) = bounds(&clock, window, now);
        let first = local(zone, start).date();
        let next = match window {
            Window::Day => first.checked_add(1.day()),
            Window::Week => {
                assert_eq!(first.weekday(), Weekday::Monday, "{zone}: {first}");
                first.checked_add(7.days())
            }
            _ => {
                assert_eq!(first.day(), 1, "{zone}: {first}");
                first.checked_add(1.month())
            }
        };
        assert_begins(zone, first, start);
        assert_begins(zone, next.unwrap(), end);
    }

    #[test]
    fn a_day_is_as_long_as_its_zone_makes_it((zone, _, now) in case()) {
        let clock = WindowClock::new(zone).unwrap();
        let (start, end) = bounds(&clock, Window::Day, now);
        // Earlier, zones moved by odd minutes, and one by two hours.
        if start > at("1990-01-01T00:00:00Z") {
            let halves = (end - start) / (HOUR / 2);
            prop_assert_eq!(halves * (HOUR / 2), end - start);
            prop_assert!((46..=50).contains(&halves), "{} half hours", halves);
        }
    }

    #[test]
    fn a_clock_that_steps_lands_where_it_would_have_been(
        zone in zone(),
        window in proptest::sample::select(WINDOWS.as_slice()),
        instants in proptest::collection::vec(at("2000-01-01T00:00:00Z")..at("2040-01-01T00:00:00Z"), 2..20),
    ) {
        let stepping = WindowClock::new(zone).unwrap();
        let seen: Vec<_> = instants.iter().map(|now| (*now, bounds(&stepping, window, *now))).collect();
        let mut forwards = seen.clone();
        forwards.sort_unstable();
        let steady = WindowClock::new(zone).unwrap();
        for (now, stepped) in &forwards {
            prop_assert_eq!(bounds(&steady, window, *now), *stepped);
        }
        for pair in forwards.windows(2) {
            prop_assert!(pair[0].1 == pair[1].1 || pair[0].1.1 <= pair[1].1.0, "windows are in the order of time");
        }
    }

    #[test]
    fn a_lifetime_has_no_end((zone, _, now) in case()) {
        let clock = WindowClock::new(zone).unwrap();
        prop_assert_eq!((clock.start(Window::Lifetime, now), clock.end(Window::Lifetime, now)), (0, None));
    }
}

#[test]
fn days_where_the_clock_is_moved_are_told_by_name() {
    for (zone, now, start, hours) in [
        ("UTC", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00Z", 24.0),
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", 23.0),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", 25.0),
        ("America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", 25.0),
        ("Asia/Kolkata", "2026-03-29T12:00:00Z", "2026-03-28T18:30:00Z", 24.0),
        ("Australia/Lord_Howe", "2026-10-04T00:00:00Z", "2026-10-03T13:30:00Z", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T00:00:00Z", "2026-04-04T13:00:00Z", 24.5),
        // 00:00 to 00:59 do not exist: the day begins at 01:00.
        ("Africa/Cairo", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", 23.0),
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", 23.0),
        // Neither is there any 30 December 2011.
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", 24.0),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 24.0),
        // 23:01 comes again a minute into the new day, which does not end by that.
        ("America/St_Johns", "2010-11-07T02:30:30Z", "2010-11-07T02:30:00Z", 25.0),
        ("America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T02:30:00Z", 25.0),
        // From 23:30 to 00:30: the day begins at 00:30.
        ("America/Toronto", "1919-03-31T04:45:00Z", "1919-03-31T04:30:00Z", 23.5),
    ] {
        let clock = WindowClock::new(zone).unwrap();
        let (found, end) = bounds(&clock, Window::Day, at(now));
        assert_eq!(local("UTC", found), local("UTC", at(start)), "{zone} at {now}");
        assert_eq!((end - found) as f64 / HOUR as f64, hours, "{zone} at {now}");
    }
}
