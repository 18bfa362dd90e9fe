//! A lock that another process does not let go.

use super::{Patient, assert_says, block_on};
use crate::ledger_support::*;
use hudson_schema::ledger::sqlite::SqliteLedger;
use rusqlite::Connection;
use std::time::{Duration, Instant};

#[test]
fn a_ledger_that_stays_locked_is_an_error_in_time_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let mut patient = Patient::begin(dir.path()).await;
        let other = Connection::open(dir.path().join("bot-bottle.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let path = dir.path().to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            SqliteLedger::open(&path.join("bot-bottle.db"), &path.join("owners")).err()
        });
        let begun = Instant::now();
        let ledger = patient.ledger.clone();
        let placing =
            tokio::spawn(async move { ledger.hold_place(ask("r1", 1, 1, &Patient::limits())).await });
        let settled = patient.settle().await.unwrap_err();
        let waited = begun.elapsed();
        assert_says(&settled, "another process has kept the ledger locked");
        assert_says(&placing.await.unwrap().unwrap_err(), "another process has kept the ledger locked");
        assert_says(&opening.await.unwrap().unwrap(), "another process has kept the ledger locked");
        assert!(waited >= Duration::from_secs(4), "it was waited for: {waited:?}");
        // Reading never waits, and the hold that was not settled stands.
        patient.check().await;
        other.execute_batch("ROLLBACK").unwrap();
        patient.check_recovered(dir.path()).await;
    });
}
