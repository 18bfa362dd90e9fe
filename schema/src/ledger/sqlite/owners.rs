//! Whose holds are whose. An owner is a process, and lives while it keeps the lock on its file: the kernel lets go of
//! it at any death, and no clock can be wrong about it. A hold of a dead owner may have been spent, so it becomes
//! usage; it is never given back.

use super::fail::Fail;
use super::{LedgerError, counters, holds, open, settle};
use rusqlite::{Connection, params};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// This process as an owner. The lock goes with it.
pub(super) struct Owner {
    id: Arc<str>,
    path: PathBuf,
    _lock: File,
}

impl Owner {
    /// Makes and locks a file of its own in `dir`.
    pub(super) fn claim(dir: &Path) -> Result<Self, LedgerError> {
        let error = |source: io::Error| LedgerError::Io {
            path: dir.to_owned(),
            what: "cannot keep a lock file in this folder; make it writable for this user",
            error: Box::new(source),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(error)?;
        let id = Uuid::now_v7().to_string();
        let path = lock_path(dir, &id);
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(error)?;
        // Locked before anybody can read its id in the ledger: no reaper finds it unlocked.
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| error(errno.into()))?;
        Ok(Self { id: id.into(), path, _lock: lock })
    }

    /// Its id, as in `holds.owner`.
    pub(super) fn id(&self) -> Arc<str> {
        self.id.clone()
    }

    /// Puts it on record.
    pub(super) fn record(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO owners (id, epoch, pid, started_at)
             VALUES (?1, (SELECT ifnull(max(epoch), 0) + 1 FROM owners), ?2, ?3)",
            params![&*self.id, std::process::id(), open::wall_clock()],
        )?;
        Ok(())
    }

    /// Takes it off the record again. Holds that remain are found by the missing file.
    pub(super) fn forget(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("DELETE FROM owners WHERE id = ?1", [&*self.id])?;
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // One that stays is removed by the next reaper.
        let _ = fs::remove_file(&self.path);
    }
}

/// An owner that no longer lives. Its file stays locked by the reaper until its holds are usage.
pub(super) struct Dead {
    id: String,
    path: PathBuf,
    lock: Option<File>,
}

/// The owners on record that are dead, apart from `own`.
pub(super) fn dead(connection: &Connection, dir: &Path, own: &str) -> Result<Vec<Dead>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT owner FROM holds WHERE owner <> ?1 UNION SELECT owner FROM counter_reservations WHERE owner <> ?1
         UNION SELECT id FROM owners WHERE id <> ?1",
    )?;
    let ids = statement.query_map([own], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut dead = Vec::new();
    for id in ids {
        let path = lock_path(dir, &id);
        let found =
            probe(dir, id).map_err(|error| format!("cannot try the lock {}: {error}", path.display()));
        dead.extend(found.map_err(|words| Fail::Other(words.into()))?);
    }
    Ok(dead)
}

/// Whether an owner lives. Where that cannot be told it does: what is alive is not to be taken down.
pub(super) fn lives(dir: &Path, id: &str) -> Result<bool, Fail> {
    let found = probe(dir, id.to_owned());
    let words = |error| format!("cannot try the lock {}: {error}", lock_path(dir, id).display());
    Ok(found.map_err(|error| Fail::Other(words(error).into()))?.is_none())
}

fn probe(dir: &Path, id: String) -> io::Result<Option<Dead>> {
    // The id comes from a file: it must not lead out of the folder.
    if Uuid::parse_str(&id).is_err() {
        return Ok(Some(Dead { path: PathBuf::new(), id, lock: None }));
    }
    let path = lock_path(dir, &id);
    let lock = match OpenOptions::new().write(true).open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Dead { id, path, lock: None })),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Dead { id, path, lock: Some(lock) })),
        // Alive, or another reaper is at it.
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl Dead {
    /// Turns its holds into `held` usage; how many there were. A second reaper finds none.
    pub(super) fn reap(self, connection: &Connection, now: i64) -> Result<usize, Fail> {
        let mut statement = connection.prepare_cached("SELECT id FROM holds WHERE owner = ?1")?;
        let ids =
            statement.query_map([&self.id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let mut reaped = 0;
        for id in ids {
            if let Some(hold) = holds::take(connection, &id)? {
                settle::insert_held(connection, &hold, now)?;
                reaped += 1;
            }
        }
        counters::keep(connection, &self.id)?;
        connection.execute("DELETE FROM owners WHERE id = ?1", [&self.id])?;
        if self.lock.is_some() {
            // If the commit fails after all, the missing file still says dead.
            let _ = fs::remove_file(&self.path);
        }
        Ok(reaped)
    }
}

fn lock_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.lock"))
}
