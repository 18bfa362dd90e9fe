//! Notices of changed files, where the system gives them.
//!
//! Invariant: nothing is noticed of mere writes. The ledger stands beside settings.yml, and each of its commits would be
//! twenty notices; whoever writes a file closes it, or renames another onto it.

use std::path::Path;

#[cfg(target_os = "linux")]
mod system {
    use futures_util::StreamExt;
    use inotify::{EventStream, Inotify, WatchMask, Watches};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// Room for some events at a time; the longest has a name of 255 bytes.
    const BUFFER: usize = 4096;

    pub(super) struct Notices {
        watches: Watches,
        events: EventStream<Vec<u8>>,
    }

    impl Notices {
        pub(super) fn new() -> Option<Self> {
            let inotify = Inotify::init().ok()?;
            let watches = inotify.watches();
            let events = inotify.into_event_stream(vec![0; BUFFER]).ok()?;
            Some(Self { watches, events })
        }

        pub(super) fn watch(&mut self, folder: &Path) -> bool {
            let mask = WatchMask::CLOSE_WRITE
                | WatchMask::CREATE
                | WatchMask::DELETE
                | WatchMask::MOVED_FROM
                | WatchMask::MOVED_TO
                | WatchMask::ATTRIB;
            self.watches.add(folder, mask).is_ok()
        }

        pub(super) async fn changed(&mut self) -> Option<()> {
            loop {
                // Events that were lost are changes, too.
                match self.events.next().await? {
                    Ok(event) if event.name.as_deref().is_some_and(is_ledger) => {}
                    _ => return Some(()),
                }
            }
        }
    }

    /// Readers come and go, and with them the files at its side.
    fn is_ledger(name: &OsStr) -> bool {
        name.as_bytes().starts_with(b"bot-bottle.db")
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    pub(super) struct Notices;

    impl Notices {
        pub(super) fn new() -> Option<Self> {
            None
        }

        pub(super) fn watch(&mut self, _folder: &Path) -> bool {
            false
        }

        pub(super) async fn changed(&mut self) -> Option<()> {
            None
        }
    }
}

/// What tells of changes in folders.
pub(super) struct Notices(Option<system::Notices>);

impl Notices {
    /// Of no folder yet. Where the system gives none, files are only looked at now and then.
    pub(super) fn new() -> Self {
        Self(system::Notices::new())
    }

    /// Tells of this folder's files, too; whether it can.
    pub(super) fn watch(&mut self, folder: &Path) -> bool {
        self.0.as_mut().is_some_and(|notices| notices.watch(folder))
    }

    /// Waits for a change; for ever where none is told.
    pub(super) async fn changed(&mut self) {
        if let Some(notices) = &mut self.0
            && notices.changed().await.is_some()
        {
            return;
        }
        self.0 = None;
        std::future::pending().await
    }

    /// Forgets the changes that are told by now.
    pub(super) async fn forget(&mut self) {
        let at_once = std::time::Duration::ZERO;
        while tokio::time::timeout(at_once, self.changed()).await.is_ok() {}
    }
}
