//! Opening the file. It is looked at before SQLite may write to it, so that a file that is not ours stays as it is,
//! byte for byte.
//!
//! Only SQLite itself opens the file: a process that closes any other descriptor of it loses the locks of all its
//! connections to it, and with them the ledger. And one process at a time opens it: while a database is being made it
//! is in SQLite's older journal mode, in which a second process meets locks and journals that come and go.

use super::fail::sql;
use super::retry::{retry, retry_when};
use super::{LedgerError, log};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// `Hudn`, at offset 68 of the file. Set in the transaction that makes the tables, so that it is never there alone.
const APPLICATION_ID: i32 = 0x4875_646e;
/// The forward migrations; the version is the number of those applied.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/0001_ledger.sql"),
    include_str!("../../../migrations/0002_retrieval_and_holds.sql"),
    include_str!("../../../migrations/0003_audit.sql"),
    include_str!("../../../migrations/0004_budgets.sql"),
    include_str!("../../../migrations/0005_notifications.sql"),
    include_str!("../../../migrations/0006_freezing.sql"),
    include_str!("../../../migrations/0007_approvals.sql"),
    include_str!("../../../migrations/0008_counters.sql"),
    include_str!("../../../migrations/0009_channels.sql"),
    include_str!("../../../migrations/0010_deciders.sql"),
];

/// A connection that may write, to a file with the newest schema, in WAL mode.
pub(super) fn for_writing(path: &Path, synchronous: &str) -> Result<Connection, LedgerError> {
    let _opening = lock_folder(path)?;
    if !is_ours(path)? {
        create(path)?;
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| sql(path, error))?;
    // SQLite opens a file that it may not write for reading, silently.
    if connection.is_readonly("main").map_err(|error| sql(path, error))? {
        return Err(io(
            path,
            "cannot write to the ledger; make it writable for this user",
            ErrorKind::PermissionDenied,
        ));
    }
    let found = migrate(&connection).map_err(|error| sql(path, error))?;
    if found > known() {
        return Err(LedgerError::Future { path: path.to_owned(), found, known: known() });
    }
    let mode: String = retry(|| connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)))
        .map_err(|error| sql(path, error))?;
    if mode != "wal" {
        let why = "the file system does not support a write-ahead log; use a local disk";
        return Err(LedgerError::Io {
            path: path.to_owned(),
            what: "cannot open the ledger",
            error: why.into(),
        });
    }
    // The log is copied by whoever may wait for a disk (see `checkpoint`), never by who commits.
    let settings = format!("PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0");
    connection.execute_batch(&settings).map_err(|error| sql(path, error))?;
    Ok(connection)
}

/// A connection that cannot write, to a file that must exist.
pub(super) fn for_reading(path: &Path) -> Result<Connection, LedgerError> {
    let _opening = lock_folder(path)?;
    match is_ours(path)? {
        true => connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| sql(path, error)),
        false => Err(io(
            path,
            "there is no ledger yet; `hudson run` or `hudson up` makes one",
            ErrorKind::NotFound,
        )),
    }
}

/// A connection with the settings that all have, and no check of what the file is.
pub(super) fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // Without the URI flag a path with `?` or `%` in it is a path.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Plans that do not depend on bound values: otherwise each new value has its statement prepared again.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    retry(|| connection.execute_batch("PRAGMA foreign_keys = ON"))?;
    Ok(connection)
}

/// The wall clock, for columns that only people read.
pub(super) fn wall_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a ledger of ours is there; `false` for no file or an empty one, an error for anything else.
fn is_ours(path: &Path) -> Result<bool, LedgerError> {
    let foreign = |why: String| LedgerError::Foreign { path: path.to_owned(), why };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(foreign("it is a folder".to_owned())),
        // Opening a pipe would wait for ever.
        Ok(found) if !found.is_file() => return Err(foreign("it is not a regular file".to_owned())),
        Ok(found) if found.len() == 0 => return Ok(false),
        // SQLite takes less than its smallest page for nothing, and would write over it.
        Ok(found) if found.len() < 512 => return Err(foreign("it is not an SQLite database".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io(path, "cannot look at the ledger", error)),
    }
    let error = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => foreign("it is not an SQLite database, or a damaged one".to_owned()),
        _ => sql(path, error),
    };
    let id = application_id(path).map_err(error)?;
    if id != APPLICATION_ID {
        return Err(foreign(format!("it is another program's SQLite database, application_id {id:#x}")));
    }
    log::check(path)?;
    // Read-only, for a connection that can write copies the log into the file when it closes.
    let found =
        connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| retry(|| version(&connection)));
    match found {
        // Its maker died over it: who may write will roll that back.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => Ok(true),
        Err(other) => Err(error(other)),
        Ok(0) => Err(foreign("it has no schema_version".to_owned())),
        Ok(found) if found > known() => {
            Err(LedgerError::Future { path: path.to_owned(), found, known: known() })
        }
        Ok(_) => Ok(true),
    }
}

/// What the file's header says whose it is. Immutable: neither the log of another program's database nor its locks are
/// touched.
fn application_id(path: &Path) -> rusqlite::Result<i32> {
    let untouched = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = connect(&immutable(path), untouched)?;
    // Who copies a log begins with the first page: until the last one is there, and for ever where it was killed, the
    // header tells of more pages than there are. The log has them; without this a file like that is taken for damaged.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    connection.query_row("PRAGMA application_id", (), |row| row.get(0))
}

/// The path as a URI that has SQLite take the file for one that nobody changes.
fn immutable(path: &Path) -> PathBuf {
    let mut uri = OsString::from(if path.is_absolute() { "file://" } else { "file:" });
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' => uri.push("%25"),
            b'?' => uri.push("%3f"),
            b'#' => uri.push("%23"),
            byte => uri.push(OsStr::from_bytes(std::slice::from_ref(byte))),
        }
    }
    uri.push("?immutable=1");
    uri.into()
}

/// The version that this program knows.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Waits for others that are opening; the lock lies on the folder, so that no file is made for it.
fn lock_folder(path: &Path) -> Result<File, LedgerError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let what = "cannot open the ledger's folder; it must exist and be this user's";
    let folder = File::open(folder).map_err(|error| io(path, what, error))?;
    retry_when(
        |errno| *errno == Errno::WOULDBLOCK,
        || flock(&folder, FlockOperation::NonBlockingLockExclusive),
    )
    .map_err(|errno| io(path, "another process has kept the ledger's folder locked", errno))?;
    Ok(folder)
}

/// Makes the file before SQLite does, for its mode.
fn create(path: &Path) -> Result<(), LedgerError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(io(path, "cannot make the ledger; its folder must exist and be writable", error))
        }
        // One that exists is empty.
        _ => Ok(()),
    }
}

/// The schema's version; 0 when there is none.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'";
    match connection.query_row(table, (), |_| Ok(())).optional()? {
        Some(()) => {
            connection.query_row("SELECT ifnull(max(version), 0) FROM schema_version", (), |row| row.get(0))
        }
        None => Ok(0),
    }
}

/// Applies what is missing, all or nothing; the version then. Processes that come at once find it done.
fn migrate(connection: &Connection) -> rusqlite::Result<i64> {
    let found = retry(|| version(connection))?;
    if found >= known() {
        return Ok(found);
    }
    retry(|| connection.execute_batch("BEGIN IMMEDIATE"))?;
    let migrated = apply(connection).and_then(|version| connection.execute_batch("COMMIT").map(|()| version));
    if migrated.is_err() {
        // The first error says more than one of the rollback would.
        let _ = connection.execute_batch("ROLLBACK");
    }
    migrated
}

fn apply(connection: &Connection) -> rusqlite::Result<i64> {
    let mut at = version(connection)?;
    for sql in MIGRATIONS.iter().skip(usize::try_from(at).unwrap_or(usize::MAX)) {
        connection.execute_batch(sql)?;
        at += 1;
        connection.execute(
            "INSERT INTO schema_version (version, applied_at) VALUES (?1, ?2)",
            (at, wall_clock()),
        )?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", at)?;
    Ok(at)
}

fn io(path: &Path, what: &'static str, error: impl Into<std::io::Error>) -> LedgerError {
    LedgerError::Io { path: path.to_owned(), what, error: Box::new(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_the_disk_where_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        for (synchronous, expected) in [("NORMAL", 1), ("FULL", 2)] {
            let connection = for_writing(&dir.path().join("bot-bottle.db"), synchronous).unwrap();
            let found: i64 = connection.query_row("PRAGMA synchronous", (), |row| row.get(0)).unwrap();
            assert_eq!(found, expected);
        }
    }
}
