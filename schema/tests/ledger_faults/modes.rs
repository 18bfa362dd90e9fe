//! Files and folders that may not be written. The superuser may write all of them, so the thread that tries has no
//! powers beyond those of the files' owner.

use super::{Patient, assert_says, block_on};
use crate::ledger_support::*;
use hudson_schema::ledger::LedgerError;
use hudson_schema::ledger::sqlite::SqliteLedger;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs `body` on a thread, and on those that it starts, that the modes of files hold for.
fn without_powers(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        #[cfg(target_os = "linux")]
        {
            use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
                .unwrap();
        }
        body();
    });
    thread.join().unwrap();
}

fn opened(dir: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(&dir.join("bot-bottle.db"), &dir.join("owners"))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_may_not_be_written_is_refused_and_left_as_it_is() {
    without_powers(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot-bottle.db");
        let (spent, held) = block_on(async {
            let patient = Patient::begin(dir.path()).await;
            (patient.spent, patient.held.len())
        });
        let before = fs::read(&path).unwrap();

        mode(&path, 0o400);
        assert_says(&opened(dir.path()).err().unwrap(), "writable for this user");
        block_on(async {
            let reader = SqliteLedger::open_read_only(&path).unwrap();
            let (read, _) = balance(&reader, hudson_schema::ScopeKind::Global, "", "any").await;
            assert_eq!(read, spent, "reading it is allowed");
        });
        mode(&path, 0o600);
        // Its reader made files beside it, with the mode that it had.
        let sides = ["bot-bottle.db-wal", "bot-bottle.db-shm"].map(|side| dir.path().join(side));
        if sides.iter().any(|side| side.exists()) {
            assert_says(&opened(dir.path()).err().unwrap(), "its -wal and -shm");
            sides.iter().filter(|side| side.exists()).for_each(|side| mode(side, 0o600));
        }
        assert!(fs::read(&path).unwrap() == before, "it was written to");
        drop(opened(dir.path()).unwrap());
        assert!(!sides[0].exists(), "who closes it last tidies up");
        let before = fs::read(&path).unwrap();
        mode(dir.path(), 0o500);
        assert_says(&opened(dir.path()).err().unwrap(), "writable for this user");
        mode(dir.path(), 0o700);
        mode(&dir.path().join("owners"), 0o500);
        let error = opened(dir.path()).err().unwrap().to_string();
        assert!(error.contains("owners") && error.contains("writable for this user"), "{error}");
        mode(&dir.path().join("owners"), 0o700);

        assert!(fs::read(&path).unwrap() == before, "it was written to");
        block_on(async {
            let ledger = open(dir.path());
            assert_eq!(ledger.holds_reap(NOW).await.unwrap(), held);
            let mut patient = Patient { ledger, held: Vec::new(), spent: spent + 2 * held as u64 };
            patient.check().await;
            patient.place().await.unwrap();
            patient.settle().await.unwrap();
            patient.check().await;
            assert_totals(dir.path());
        });
    });
}

#[test]
fn who_has_it_open_goes_on_when_it_may_not_be_opened_any_more() {
    without_powers(|| {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let mut patient = Patient::begin(dir.path()).await;
            mode(&dir.path().join("bot-bottle.db"), 0o400);
            mode(dir.path(), 0o500);
            patient.place().await.unwrap();
            patient.settle().await.unwrap();
            assert_says(&opened(dir.path()).err().unwrap(), "writable for this user");
            mode(dir.path(), 0o700);
            mode(&dir.path().join("bot-bottle.db"), 0o600);
            patient.check_recovered(dir.path()).await;
        });
    });
}
