//! What a ledger costs the process that uses it, and how often it fails: numbers for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets that durations are counted in, in seconds; what is longer is in a last one.
pub const BOUNDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Since the ledger was opened here.
#[derive(Debug, Default)]
pub struct Measures {
    /// From asking for a write to the answer that it is durable.
    pub commits: Durations,
    /// Reads and writes that failed.
    pub errors: AtomicU64,
}

/// Durations, counted by how long they are. Counting is three additions, and never waits.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// Durations as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationCounts {
    /// Upper bound, in seconds, and how many are in that bucket and no earlier one. The last bound is [`f64::MAX`].
    pub buckets: Vec<(f64, u64)>,
    /// How many there are.
    pub count: u64,
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Measures {
    /// Takes note of a failure, and hands the outcome on.
    pub fn noted<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}

impl Durations {
    /// Counts one more.
    pub fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = BOUNDS.iter().take_while(|bound| seconds > **bound).count();
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> DurationCounts {
        let bounds = BOUNDS.into_iter().chain([f64::MAX]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64();
        DurationCounts { count: buckets.iter().map(|(_, count)| count).sum(), buckets, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_first_bucket_that_it_fits() {
        let durations = Durations::default();
        for milliseconds in [0, 1, 2, 5000, 9000] {
            durations.add(Duration::from_millis(milliseconds));
        }
        let read = durations.read();
        let filled: Vec<_> = read.buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0001, 1), (0.001, 1), (0.0025, 1), (5.0, 1), (f64::MAX, 1)]);
        assert_eq!((read.count, read.sum), (5, 14.003));
    }
}
