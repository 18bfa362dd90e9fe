//! Waiting for another process's transaction. SQLite's own busy handler backs off to 100 ms and starves whoever is
//! unlucky (331 ms measured with four writers); short random sleeps share the lock fairly.

use rusqlite::ErrorCode;
use std::time::{Duration, Instant};

/// How long a lock is waited for before it is an error.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest single sleep, in microseconds.
const JITTER: u32 = 5_000;

/// Runs `attempt` until it is not refused for a lock, or until patience ends.
pub(super) fn retry<T>(attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    retry_when(is_busy, attempt)
}

/// The same for any error of which `again` says that it may pass.
pub(super) fn retry_when<T, E>(
    again: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(error) if again(&error) && Instant::now() < deadline => std::thread::sleep(jitter()),
            result => return result,
        }
    }
}

/// Whether trying again later may help.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
    )
}

fn jitter() -> Duration {
    // Without randomness the longest sleep is still correct.
    let micros = getrandom::u32().map_or(JITTER, |random| 100 + random % (JITTER - 100));
    Duration::from_micros(micros.into())
}
