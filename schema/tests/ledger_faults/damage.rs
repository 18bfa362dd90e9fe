//! Files with damage in the middle.

use super::{Patient, assert_says, block_on};
use crate::ledger_support::*;
use hudson_schema::ScopeKind;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{Ledger, LedgerError, UsageQuery};
use std::fs;
use std::path::Path;

const PAGE: usize = 4096;
/// Of the log.
const HEADER: usize = 32;
/// Of the log: a header of 24 bytes and a page.
const FRAME: usize = 24 + PAGE;

/// What becomes of a hold and a settle on the ledger in `dir`, and of reading all that there is.
async fn tried(dir: &Path) -> Result<(), LedgerError> {
    let ledger = SqliteLedger::open(&dir.join("bot-bottle.db"), &dir.join("owners"))?;
    let hold = placed(ledger.hold_place(ask("r1", 1, 1, &Patient::limits())).await?);
    ledger.usage_settle(settlement(&hold.id, Some(usage(2, 1)), &Patient::limits())).await?;
    ledger.usage_list(UsageQuery::default()).await?;
    ledger.audit_list(0, usize::MAX).await?;
    ledger.holds_reap(NOW).await?;
    Ok(())
}

#[test]
fn a_damaged_page_is_told_and_nothing_is_placed_past_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("bot-bottle.db");
    let spent = block_on(async {
        let mut patient = Patient::begin(dir.path()).await;
        while !patient.held.is_empty() {
            patient.settle().await.unwrap();
        }
        patient.spent
    });
    let bytes = fs::read(&whole).unwrap();
    let mut refused = 0;
    for page in 1..bytes.len() / PAGE {
        let dir = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0x5a);
        fs::write(dir.path().join("bot-bottle.db"), &damaged).unwrap();
        if let Err(error) = block_on(tried(dir.path())) {
            assert_says(&error, "damaged");
            refused += 1;
        }
    }
    // Pages of tables that nobody asked for are nobody's loss.
    assert!(refused >= 10, "{refused} of {} pages", bytes.len() / PAGE);
    block_on(async {
        let ledger = open(dir.path());
        assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (spent, 0), "the backup");
    });
}

/// A ledger whose process was killed: all that was answered is in its log, none of it in the file.
async fn killed(dir: &Path) -> (Patient, tempfile::TempDir) {
    let mut patient = Patient::begin(dir).await;
    for _ in 0..80 {
        patient.place().await.unwrap();
        patient.settle().await.unwrap();
    }
    let left = tempfile::tempdir().unwrap();
    for file in ["bot-bottle.db", "bot-bottle.db-wal"] {
        fs::copy(dir.join(file), left.path().join(file)).unwrap();
    }
    (patient, left)
}

#[test]
fn a_damaged_log_is_told_and_nothing_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (patient, left) = killed(dir.path()).await;
        let path = left.path().join("bot-bottle.db");
        let log = left.path().join("bot-bottle.db-wal");
        let whole = fs::read(&log).unwrap();
        let frames = (whole.len() - HEADER) / FRAME;
        assert!(frames > 100, "{frames}");
        // In the pages and in the headers of frames at the beginning, in the middle and close to the end.
        for at in [0, 1, frames / 3, frames / 2, frames - 20] {
            for inside in [0, 4, 8, 16, 23, 24, FRAME / 2, FRAME - 1] {
                let mut damaged = whole.clone();
                damaged[HEADER + at * FRAME + inside] ^= 0x40;
                fs::write(&log, &damaged).unwrap();
                for error in [tried(left.path()).await.err(), SqliteLedger::open_read_only(&path).err()] {
                    let error = error.unwrap_or_else(|| panic!("byte {inside} of frame {at}"));
                    assert_says(&error, "damaged");
                    assert_says(&error, "-wal");
                }
                assert!(fs::read(&log).unwrap() == damaged, "it was written to");
            }
        }
        // And in the header of the log.
        for inside in [0, 3, 8, 16, 24, HEADER - 1] {
            let mut damaged = whole.clone();
            damaged[inside] ^= 0x40;
            fs::write(&log, &damaged).unwrap();
            assert_says(&tried(left.path()).await.unwrap_err(), "damaged");
            assert!(fs::read(&log).unwrap() == damaged, "it was written to");
        }
        fs::write(&log, &whole).unwrap();
        let mut restored =
            Patient { ledger: open(left.path()), held: patient.held.clone(), spent: patient.spent };
        restored.check_recovered(left.path()).await;
    });
}

/// What a process that is killed leaves at the end of the log is not damage: nobody was answered.
#[test]
fn a_log_that_breaks_off_is_taken_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (patient, left) = killed(dir.path()).await;
        let log = left.path().join("bot-bottle.db-wal");
        let whole = fs::read(&log).unwrap();
        for more in [1, 24, 25, FRAME - 1, FRAME, 2 * FRAME + 7] {
            fs::copy(dir.path().join("bot-bottle.db"), left.path().join("bot-bottle.db")).unwrap();
            let torn: Vec<_> = whole.iter().chain(whole[HEADER..].iter().take(more)).copied().collect();
            fs::write(&log, &torn).unwrap();
            let ledger = open(left.path());
            let held = 2 * patient.held.len() as u64;
            assert_eq!(
                balance(&*ledger, ScopeKind::Global, "", "any").await,
                (patient.spent, held),
                "{more}"
            );
        }
    });
}

/// Killed while the log was copied into the file: its first page is there and says how large it becomes, others are not.
#[test]
fn a_copy_of_the_log_that_was_killed_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (Patient { ledger, held, spent }, left) = killed(dir.path()).await;
        drop(ledger);
        let copied = fs::read(dir.path().join("bot-bottle.db")).unwrap();
        let path = left.path().join("bot-bottle.db");
        let mut begun = fs::read(&path).unwrap();
        assert!(begun.len() < copied.len(), "{} of {}", begun.len(), copied.len());
        begun.resize(begun.len().max(PAGE), 0);
        begun[..PAGE].copy_from_slice(&copied[..PAGE]);
        fs::write(&path, begun).unwrap();
        drop(SqliteLedger::open_read_only(&path).unwrap());
        let mut restored = Patient { ledger: open(left.path()), held, spent };
        restored.check_recovered(left.path()).await;
    });
}

#[test]
fn a_log_that_is_being_written_is_not_taken_for_damaged() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let mut patient = Patient::begin(dir.path()).await;
        let path = dir.path().join("bot-bottle.db");
        let begun = fs::read(dir.path().join("bot-bottle.db-wal")).unwrap();
        // The log starts over each time that all of it is copied, and may be read at that moment.
        let opening = tokio::task::spawn_blocking(move || {
            for _ in 0..25 {
                SqliteLedger::open_read_only(&path).unwrap();
            }
        });
        let mut rounds = 0;
        while !opening.is_finished() || rounds < 600 {
            patient.place().await.unwrap();
            patient.settle().await.unwrap();
            rounds += 1;
        }
        opening.await.unwrap();
        let now = fs::read(dir.path().join("bot-bottle.db-wal")).unwrap();
        assert!(begun[..HEADER] != now[..HEADER], "it has started over");
        patient.check_recovered(dir.path()).await;
    });
}
