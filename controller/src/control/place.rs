//! The place of the one controller of a home: a file lock, which the kernel gives back whatever its holder's end.

use anyhow::{Context, Result, bail};
use hudson_schema::home::Home;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::time::Duration;

/// How often it is looked whether the place is free.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Holds the place of the one controller of a home; given back when dropped or when the process ends.
pub struct Place {
    _lock: File,
}

impl Place {
    /// Takes the place; `None` when another process has it.
    pub fn take(home: &Home) -> Result<Option<Self>> {
        let folder = home.runtime();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join("up.lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => bail!("locking {}: {errno}", path.display()),
        }
    }

    /// Waits until the place is free, and takes it.
    pub async fn wait(home: &Home) -> Result<Self> {
        loop {
            match Self::take(home)? {
                Some(place) => return Ok(place),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}
