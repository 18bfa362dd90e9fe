//! Time: the zone of the budgets' windows, and a clock that has not been set back.

use super::Finding;
use crate::command::output;
use crate::instance::now;
use hudson_schema::home::Home;
use hudson_schema::ledger::Ledger;
use hudson_schema::ledger::sqlite::SqliteLedger;

const ZONE: &str = "time zone";
const CLOCK: &str = "clock";
/// A clock that is further behind the ledger than this, in milliseconds, was set back.
const BEHIND: i64 = 5_000;
/// Before this nothing of this program existed: 2026-01-01.
const EARLIEST: i64 = 1_767_225_600_000;

/// Looks at both.
pub(super) async fn look(home: &Home) -> Vec<Finding> {
    let settings = hudson_schema::config::load_settings(&home.settings());
    let zone = settings.map(|settings| settings.timezone).unwrap_or_else(|_| "UTC".to_owned());
    vec![judge_zone(&zone), judge_clock(now(), latest(home).await)]
}

/// When the last decision was recorded.
async fn latest(home: &Home) -> Option<i64> {
    let ledger = SqliteLedger::open_read_only(&home.ledger()).ok()?;
    let last = ledger.audit_last().await.ok()?;
    ledger.audit_list(last - 1, 1).await.ok()?.first().map(|row| row.ts)
}

fn judge_zone(zone: &str) -> Finding {
    let places = jiff::tz::db().available().count();
    match jiff::tz::TimeZone::get(zone) {
        Err(error) => Finding::failed(
            ZONE,
            format!("{zone}: {error}"),
            "install the time zone database (Debian: tzdata), or set `timezone` in settings.yml to one that exists",
        ),
        Ok(_) if places < 10 => Finding::warning(
            ZONE,
            format!("{zone} is known, but there is no time zone database"),
            "install it (Debian: tzdata) before `timezone` in settings.yml is set to another one",
        ),
        Ok(_) => Finding::ok(ZONE, format!("windows of budgets are in {zone}; {places} zones are known")),
    }
}

fn judge_clock(now: i64, latest: Option<i64>) -> Finding {
    let fix = "set the clock, and have it kept (Debian: systemd-timesyncd or chrony)";
    let at = output::instant(now);
    match latest {
        _ if now < EARLIEST => {
            Finding::failed(CLOCK, format!("it says {at}, which is before this program was made"), fix)
        }
        Some(latest) if latest - now > BEHIND => {
            let last = output::instant(latest);
            let found = format!("it says {at}, and the ledger was written to at {last}: it was set back");
            Finding::failed(CLOCK, format!("{found}, so that budgets count in a window that is over"), fix)
        }
        _ => Finding::ok(CLOCK, format!("it says {at}, and the ledger says nothing else")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_is_found() {
        let now = EARLIEST + 1_000_000;
        assert_eq!(judge_clock(now, None).state, State::Ok);
        assert_eq!(judge_clock(now, Some(now + 1_000)).state, State::Ok);
        assert_eq!(judge_clock(now, Some(now + 60_000)).state, State::Failed);
        assert_eq!(judge_clock(0, None).state, State::Failed);
        assert_eq!(judge_zone("Mars/Olympus").state, State::Failed);
    }
}
