//! When the write-ahead log is copied into the file: by the ledger's thread, so that no commit waits for a disk.
//!
//! A connection of its own copies what there is while others commit. Under steady load something is always appended
//! meanwhile, and a log of which not all is copied never starts over; so a log that has become long is copied to its end
//! while nobody of this process commits. Other processes do the same; SQLite lets one of them at a time.

use super::open;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// After so many commits the log is copied: about a mebibyte of it.
const DUE: u32 = 256;
/// A log of so many pages is copied to its end: 16 MiB.
const LONG: i64 = 4096;

/// The commits of this process since the log was last copied.
#[derive(Default)]
pub(super) struct Commits(AtomicU32);

impl Commits {
    /// One more; whether the log is due.
    pub(super) fn add(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) + 1 >= DUE
    }

    fn take_due(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count >= DUE).then_some(0)).is_ok()
    }
}

/// Copies the log when it is due.
pub(super) struct Checkpoints {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Checkpoints {
    /// For the database at `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), connection: None }
    }

    /// Copies the log if it is due; `alone` copies it while nobody of this process commits.
    pub(super) fn run_when_due(&mut self, commits: &Commits, alone: impl FnOnce()) {
        if !commits.take_due() {
            return;
        }
        if self.connection.is_none() {
            self.connection = open::connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok();
        }
        let pages = self.connection.as_ref().and_then(|connection| copy(connection).ok());
        // Without a connection of its own there is still the other one.
        if pages.is_none_or(|pages| pages >= LONG) {
            alone();
        }
    }
}

/// Copies what can be copied without waiting for anybody; how many pages the log has.
pub(super) fn copy(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get(1))
}
