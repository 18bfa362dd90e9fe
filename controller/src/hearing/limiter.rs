//! How many refused answers are written down. What anybody on the network can cause, anybody can cause without end: the
//! rows of one minute are bounded, and the rest is a number in the next.

use hudson_schema::ledger::DecidedVia;
use std::collections::HashMap;

/// Rows in a minute, of each way and kind.
const ROWS: u32 = 10;
/// That minute, in milliseconds.
const WINDOW: i64 = 60_000;

/// Counts refusals. Those whose author was proved are counted apart, so that a flood of forged ones does not hide them.
#[derive(Debug, Default)]
pub struct Limiter(HashMap<(DecidedVia, bool), Count>);

#[derive(Debug)]
struct Count {
    since: i64,
    rows: u32,
    more: u64,
}

impl Limiter {
    /// One more: how many before it have no row, where this one gets one.
    pub fn take(&mut self, via: DecidedVia, is_proved: bool, now: i64) -> Option<u64> {
        let count = self.0.entry((via, is_proved)).or_insert(Count { since: now, rows: 0, more: 0 });
        if !(0..WINDOW).contains(&now.saturating_sub(count.since)) {
            (count.since, count.rows) = (now, 0);
        }
        if count.rows >= ROWS {
            count.more = count.more.saturating_add(1);
            return None;
        }
        count.rows += 1;
        Some(std::mem::take(&mut count.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_rows_and_a_number() {
        let mut limiter = Limiter::default();
        let rows = (0..10_000).filter_map(|at| limiter.take(DecidedVia::Slack, false, at)).count();
        assert_eq!(rows, 10);
        assert_eq!(
            limiter.take(DecidedVia::Slack, true, 10_000),
            Some(0),
            "who is known is not hidden by it"
        );
        assert_eq!(limiter.take(DecidedVia::Discord, false, 10_000), Some(0));
        assert_eq!(limiter.take(DecidedVia::Slack, false, WINDOW), Some(9_990));
        assert_eq!(limiter.take(DecidedVia::Slack, false, WINDOW), Some(0));
    }

    #[test]
    fn a_clock_that_is_put_back_silences_nobody() {
        let mut limiter = Limiter::default();
        let rows = (0..20).filter_map(|_| limiter.take(DecidedVia::Ntfy, true, 10 * WINDOW)).count();
        assert_eq!(rows, 10);
        assert_eq!(limiter.take(DecidedVia::Ntfy, true, 0), Some(10));
    }
}
