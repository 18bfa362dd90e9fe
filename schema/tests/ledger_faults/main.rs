//! A disk that is full, a folder that may not be written, a file that is damaged, a lock that is not let go: every
//! answer is true, nothing is reserved on a ledger that cannot keep it, and what was answered is there when the fault
//! is over.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod damage;
mod disk;
#[path = "../ledger_support/mod.rs"]
mod ledger_support;
mod locks;
mod modes;

use hudson_schema::ScopeKind;
use hudson_schema::ledger::*;
use ledger_support::*;
use std::path::Path;

/// The ledger under the fault, and what it has answered.
struct Patient {
    ledger: SharedLedger,
    /// Not settled yet: each of two tokens.
    held: Vec<HoldId>,
    /// Tokens of what was settled.
    spent: u64,
}

impl Patient {
    async fn begin(dir: &Path) -> Self {
        let ledger = open(dir);
        ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
        let mut patient = Self { ledger, held: Vec::new(), spent: 0 };
        for _ in 0..40 {
            patient.place().await.unwrap();
        }
        for _ in 0..10 {
            patient.settle().await.unwrap();
        }
        patient
    }

    fn limits() -> [AskedLimit; 1] {
        [limit(ScopeKind::Global, "", "any", 1 << 40)]
    }

    async fn place(&mut self) -> Result<(), LedgerError> {
        let hold = self.ledger.hold_place(ask("r1", 1, 1, &Self::limits())).await?;
        self.held.push(placed(hold).id);
        Ok(())
    }

    /// Settles one of its holds by three tokens. Without an answer it stays the one to be settled.
    async fn settle(&mut self) -> Result<(), LedgerError> {
        let hold = self.held.last().unwrap();
        self.ledger.usage_settle(settlement(hold, Some(usage(2, 1)), &Self::limits())).await?;
        self.held.pop();
        self.spent += 3;
        Ok(())
    }

    /// What is in the ledger is what was answered, neither more nor less.
    async fn check(&self) {
        let held = 2 * self.held.len() as u64;
        assert_eq!(balance(&*self.ledger, ScopeKind::Global, "", "any").await, (self.spent, held));
    }

    /// After the fault: all goes on, nothing is lost and the audit is whole.
    async fn check_recovered(&mut self, dir: &Path) {
        self.check().await;
        self.place().await.unwrap();
        while !self.held.is_empty() {
            self.settle().await.unwrap();
        }
        self.check().await;
        let mut chain = audit::Chain::default();
        let rows = self.ledger.audit_list(0, usize::MAX).await.unwrap();
        rows.iter().for_each(|row| chain.follow(row).unwrap());
        let charges = rows.iter().filter(|row| row.kind == "usage_charge").count() as u64;
        assert_eq!(charges * 3, self.spent, "each charge is told");
        assert_totals(dir);
    }
}

/// The error names the file and has these words in it.
fn assert_says(error: &LedgerError, words: &str) {
    let text = error.to_string();
    assert!(text.contains("bot-bottle.db") && text.contains(words), "{text}");
}

fn block_on<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(body)
}
