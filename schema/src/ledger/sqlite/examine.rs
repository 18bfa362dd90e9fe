//! A look at the whole file, for `hudson doctor`: whether SQLite finds it sound, and how it is kept.
//!
//! Invariant: nothing is written, and who uses the ledger meanwhile is not kept from it.

use super::{LedgerError, SqliteLedger, open};
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Examined {
    /// The schema's version.
    pub version: i64,
    /// The version that this program knows.
    pub known: i64,
    /// How changes are written, `wal` as it should be.
    pub journal_mode: String,
    /// What SQLite's `quick_check` says is wrong; nothing for a sound file.
    pub faults: Vec<String>,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// The size of its log, in bytes.
    pub log_bytes: u64,
}

impl SqliteLedger {
    /// Examines the file at `path`. Reads all of it, which takes about a second for each GiB.
    pub fn examine(path: &Path) -> Result<Examined, LedgerError> {
        let connection = open::for_reading(path)?;
        let read = || -> rusqlite::Result<Examined> {
            // Ten faults are more than enough to do something about it.
            let mut statement = connection.prepare("PRAGMA quick_check(10)")?;
            let told =
                statement.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
            Ok(Examined {
                version: open::version(&connection)?,
                known: open::known(),
                journal_mode: connection.query_row("PRAGMA journal_mode", (), |row| row.get(0))?,
                faults: told.into_iter().filter(|line| line != "ok").collect(),
                bytes: size(path),
                log_bytes: size(&log_of(path)),
            })
        };
        read().map_err(|error| super::fail::sql(path, error))
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map(|found| found.len()).unwrap_or_default()
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_file_has_no_faults_and_a_torn_one_is_refused_or_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot-bottle.db");
        drop(SqliteLedger::open(&path, &folder.path().join("owners")).unwrap());
        let examined = SqliteLedger::examine(&path).unwrap();
        assert_eq!((examined.faults.as_slice(), examined.journal_mode.as_str()), (&[][..], "wal"));
        assert_eq!(examined.version, examined.known);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let torn = SqliteLedger::examine(&path);
        assert!(torn.as_ref().map_or(true, |found| !found.faults.is_empty()), "{torn:?}");
    }
}
