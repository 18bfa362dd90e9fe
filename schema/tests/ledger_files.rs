//! Files that are not a ledger, or not one for this user and version: each is refused in words that name it, and
//! stays as it was.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ledger_support;

use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{Ledger, LedgerError};
use ledger_support::*;
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn refusal(path: &Path) -> LedgerError {
    let before = path.is_file().then(|| fs::read(path).unwrap());
    let owners = path.with_extension("owners");
    let writing =
        SqliteLedger::open(path, &owners).err().unwrap_or_else(|| panic!("{} opened", path.display()));
    let reading =
        SqliteLedger::open_read_only(path).err().unwrap_or_else(|| panic!("{} opened", path.display()));
    for error in [&writing, &reading] {
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    if let Some(before) = before {
        assert!(fs::read(path).unwrap() == before, "{} was written to", path.display());
    }
    assert!(!owners.exists(), "nothing is claimed for a refused file");
    writing
}

fn assert_foreign(path: &Path, words: &str) {
    let error = refusal(path);
    assert!(matches!(error, LedgerError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

/// A ledger with a run in it, closed.
fn made(dir: &Path) -> PathBuf {
    let path = dir.join("bot-bottle.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ledger = SqliteLedger::open(&path, &dir.join("owners")).unwrap();
        ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    });
    path
}

#[test]
fn another_programs_database_is_foreign() {
    let dir = tempfile::tempdir().unwrap();
    for mode in ["DELETE", "WAL"] {
        let path = dir.path().join(format!("{mode}.db"));
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection
            .execute_batch("CREATE TABLE schema_version (version INTEGER); CREATE TABLE queue (x)")
            .unwrap();
        drop(connection);
        assert_foreign(&path, "another program's");
    }
}

#[test]
fn what_is_no_database_is_foreign() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("50% text? #1.db");
    fs::write(&path, "budget:\n  claude: 5000000\n".repeat(20)).unwrap();
    assert_foreign(&path, "not an SQLite database");
    fs::write(&path, "x").unwrap();
    assert_foreign(&path, "not an SQLite database");
    let folder = dir.path().join("folder.db");
    fs::create_dir(&folder).unwrap();
    assert_foreign(&folder, "a folder");
}

#[test]
fn a_damaged_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path());
    let whole = fs::read(&path).unwrap();
    let damaged = dir.path().join("damaged.db");

    // The page size, and then the magic itself.
    for at in [16, 0] {
        let mut bytes = whole.clone();
        bytes[at..at + 4].fill(0xff);
        fs::write(&damaged, &bytes).unwrap();
        assert_foreign(&damaged, "damaged");
    }
    // The header is well, the table of tables is not.
    let mut bytes = whole;
    bytes[100..4096].fill(0x5a);
    fs::write(&damaged, &bytes).unwrap();
    let error = refusal(&damaged);
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
}

/// What copies the log begins with the first page, which tells how many there will be.
#[tokio::test]
async fn a_ledger_opens_whose_log_was_being_copied_when_its_process_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bot-bottle.db");
    // Closed, it has its tables in the file and no log.
    drop(SqliteLedger::open(&path, &dir.path().join("owners")).unwrap());
    let ledger = SqliteLedger::open(&path, &dir.path().join("owners")).unwrap();
    for number in 0..200 {
        ledger.run_insert(run(&format!("r{number}"), "ci", None, &[])).await.unwrap();
    }
    let killed = dir.path().join("killed/bot-bottle.db");
    let copied = dir.path().join("copied/bot-bottle.db");
    for to in [&killed, &copied] {
        fs::create_dir(to.parent().unwrap()).unwrap();
        fs::copy(&path, to).unwrap();
        fs::copy(path.with_extension("db-wal"), to.with_extension("db-wal")).unwrap();
    }
    Connection::open(&copied).unwrap().query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())).unwrap();
    let (mut torn, whole) = (fs::read(&killed).unwrap(), fs::read(&copied).unwrap());
    assert!(torn.len() < whole.len(), "the log has no page that is new to the file");
    torn[..4096].copy_from_slice(&whole[..4096]);
    fs::write(&killed, torn).unwrap();

    let read = SqliteLedger::open_read_only(&killed).unwrap();
    assert_eq!(read.run_list(false).await.unwrap().len(), 200);
    drop(read);
    let ledger = SqliteLedger::open(&killed, &dir.path().join("killed/owners")).unwrap();
    assert_eq!(ledger.run_list(false).await.unwrap().len(), 200);
}

#[test]
fn a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(dir.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute("INSERT INTO schema_version VALUES (99, 0)", ()).unwrap();
    drop(connection);
    let owners = dir.path().join("owners");
    assert_eq!(fs::read_dir(owners).unwrap().count(), 0, "a closed ledger leaves no lock file");
    let error = refusal(&path);
    assert!(matches!(error, LedgerError::Future { found: 99, .. }), "{error:?}");
}

#[test]
fn what_may_not_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("none/bot-bottle.db");
    let error = refusal(&nowhere);
    assert!(matches!(error, LedgerError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("must exist"), "{error}");

    let path = made(dir.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    // The superuser may write whatever the mode says.
    if fs::OpenOptions::new().append(true).open(&path).is_err() {
        let before = fs::read(&path).unwrap();
        let error = SqliteLedger::open(&path, &dir.path().join("owners")).err().unwrap();
        assert!(
            error.to_string().contains("writable") && error.to_string().contains("bot-bottle.db"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    // A folder that cannot hold lock files.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let error = SqliteLedger::open(&path, &path.join("owners")).err().unwrap();
    assert!(matches!(error, LedgerError::Io { .. }) && error.to_string().contains("owners"), "{error}");
}

#[tokio::test]
async fn a_ledger_is_private_and_can_be_read_without_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bot-bottle.db");
    let absent = SqliteLedger::open_read_only(&path).err().unwrap();
    assert!(absent.to_string().contains("no ledger yet"), "{absent}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a reader makes nothing");

    let owners = dir.path().join("run/owners");
    let ledger = SqliteLedger::open(&path, &owners).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&owners)), (0o600, 0o700));
    for side in ["bot-bottle.db-wal", "bot-bottle.db-shm"] {
        assert_eq!(mode(&dir.path().join(side)), 0o600, "{side}");
    }
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let reader = SqliteLedger::open_read_only(&path).unwrap();
    assert_eq!(reader.run_list(true).await.unwrap().len(), 1);
    let refused = reader.run_insert(run("r2", "ci", None, &[])).await.unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{refused}");
    let refused = reader.block_plan(&id("r1"), &[], NOW).await.unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{refused}");
    // Also when the writer is gone, and again when one comes back.
    drop(ledger);
    assert_eq!(reader.run_list(true).await.unwrap().len(), 1);
    let ledger = SqliteLedger::open(&path, &owners).unwrap();
    ledger.run_finish(&id("r1"), NOW, None).await.unwrap();
    assert_eq!(reader.run_list(true).await.unwrap().len(), 0);
}
