//! A few read-only connections, used on blocking threads. Each call sees one snapshot.

use super::LedgerError;
use super::fail::{Fail, sql};
use super::open;
use super::retry::is_busy;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Reads at once.
const READERS: usize = 4;

/// The pool.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// A pool that opens its connections when they are first needed.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Arc::default(), permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs `body` in a read transaction.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        mut body: impl FnMut(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| LedgerError::Closed)?;
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let read = move || {
            let _permit = permit;
            let reused = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match reused {
                Some(connection) => connection,
                None => open::connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                    .map_err(|error| sql(&path, error))?,
            };
            let result = snapshot(&connection, &mut body).map_err(|fail| fail.of(&path));
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| LedgerError::Closed)?
    }
}

fn snapshot<T>(
    connection: &Connection,
    body: &mut impl FnMut(&Connection) -> Result<T, Fail>,
) -> Result<T, Fail> {
    // A reader meets a lock only while the log is being recovered or removed: the body has then read nothing.
    let mut outcome = None;
    super::retry::retry(|| {
        connection.execute_batch("BEGIN DEFERRED")?;
        let result = body(connection);
        let ended = connection.execute_batch("ROLLBACK");
        match result {
            Err(Fail::Sql(error)) if is_busy(&error) => Err(error),
            result => {
                outcome = Some(result);
                ended
            }
        }
    })?;
    outcome.unwrap_or_else(|| Err(Fail::Other("nothing was read".into())))
}
