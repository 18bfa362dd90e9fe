//! Failures inside a transaction, before the file they concern is put on.

use super::LedgerError;
use rusqlite::ErrorCode;
use std::path::Path;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Fail {
    /// SQLite's error.
    Sql(rusqlite::Error),
    /// A row that is referred to does not exist.
    Missing(&'static str, String),
    /// Anything else, in words.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fail {
    /// The same for whoever asked, naming the file and what to do.
    pub(super) fn of(self, path: &Path) -> LedgerError {
        match self {
            Self::Sql(error) => sql(path, error),
            Self::Missing(what, id) => LedgerError::Missing { what, id },
            Self::Other(error) => {
                LedgerError::Io { path: path.to_owned(), what: "the ledger refused", error }
            }
        }
    }
}

/// The same error for one more of those it concerns.
pub(super) fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, words) => rusqlite::Error::SqliteFailure(*code, words.clone()),
        other => failure(other.to_string()),
    }
}

/// An error of no more than words.
pub(super) fn failure(words: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT), Some(words))
}

/// An error of SQLite's in words that say what to look at.
pub(super) fn sql(path: &Path, error: rusqlite::Error) -> LedgerError {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            return LedgerError::Damaged { path: path.to_owned(), why: error.to_string() };
        }
        Some(ErrorCode::DiskFull) => "the disk is full; free some space",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "no permission; make the file, its -wal and -shm, and their folder writable for this user"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has kept the ledger locked; see which with `fuser`"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk failed; look at the system's log",
        _ => "the ledger failed",
    };
    LedgerError::Io { path: path.to_owned(), what, error: Box::new(error) }
}
