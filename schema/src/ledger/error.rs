//! What can go wrong with the ledger, in words that say which file and what to do.

use std::path::PathBuf;

/// A failure of the ledger. Hard budgets fail closed on every one of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file is not a database of Hudson's.
    #[error("{}: not a Hudson ledger ({why}); move the file away or name another home with --home", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        why: String,
    },
    /// The file, or the log beside it, is not as it was written.
    #[error("{}: the ledger is damaged ({why}); put a backup of it and of its -wal in place; without one, move the -wal alone away where the log is what is damaged, which gives up its transactions, or both, to begin with an empty one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The file was written by a newer Hudson.
    #[error("{}: schema version {found} is newer than this hudson knows ({known}); use the newer hudson", path.display())]
    Future {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The file cannot be opened, read or written.
    #[error("{}: {what}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's or SQLite's own words.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer has stopped.
    #[error("the ledger is closed")]
    Closed,
    /// A row refers to a run, hold or enforcement that does not exist.
    #[error("the ledger has no {what} {id}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Its id.
        id: String,
    },
}

impl LedgerError {
    /// Whether the same may succeed later as it is: the disk is full or fails, the file is locked or may not be written.
    pub fn may_pass(&self) -> bool {
        if let Self::Io { error, .. } = self {
            use rusqlite::ErrorCode;

            return error.is::<std::io::Error>()
                || error
                    .downcast_ref::<rusqlite::Error>()
                    .and_then(rusqlite::Error::sqlite_error_code)
                    .is_some_and(|code| {
                        matches!(
                            code,
                            ErrorCode::DiskFull
                                | ErrorCode::DatabaseBusy
                                | ErrorCode::DatabaseLocked
                                | ErrorCode::SystemIoFailure
                                | ErrorCode::ReadOnly
                                | ErrorCode::PermissionDenied
                                | ErrorCode::CannotOpen
                        )
                    });
        }
        false
    }
}
