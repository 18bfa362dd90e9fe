//! Reading Hudson's ledger as any reader may: the documented tables, read-only.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

/// One row of the table `usage`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns are documented where the ledger is")]
pub struct UsageRow {
    pub bottle: String,
    pub agent: Option<String>,
    pub provider: String,
    pub host: String,
    pub model: Option<String>,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub reasoning: u64,
    pub total: u64,
    pub charged: u64,
    pub quality: String,
    pub stream: bool,
}

const COLUMNS: &str = "bottle, agent, provider, host, model, input, output, cache_read, cache_write, reasoning, \
                       total, charged, quality, stream";

/// Every usage row, oldest first; none when there is no ledger yet.
pub fn usage(home: &Path) -> Vec<UsageRow> {
    let Some(ledger) = open(home) else { return Vec::new() };
    let query = format!("SELECT {COLUMNS} FROM usage ORDER BY id");
    let mut statement = ledger.prepare(&query).expect("the ledger has the documented columns of `usage`");
    let rows = statement.query_map([], |row| {
        // A number that was never reported may be NULL; it counts as 0 here.
        let number = |column: usize| -> rusqlite::Result<u64> {
            Ok(row.get::<_, Option<i64>>(column)?.unwrap_or_default().unsigned_abs())
        };
        Ok(UsageRow {
            bottle: row.get(0)?,
            agent: row.get(1)?,
            provider: row.get(2)?,
            host: row.get(3)?,
            model: row.get(4)?,
            input: number(5)?,
            output: number(6)?,
            cache_read: number(7)?,
            cache_write: number(8)?,
            reasoning: number(9)?,
            total: number(10)?,
            charged: number(11)?,
            quality: row.get(12)?,
            stream: number(13)? != 0,
        })
    });
    rows.and_then(Iterator::collect).expect("every usage row is readable")
}

/// Tokens of the holds that stand.
pub fn held(home: &Path) -> u64 {
    let Some(ledger) = open(home) else { return 0 };
    let sum: i64 = ledger
        .query_row("SELECT COALESCE(SUM(tokens), 0) FROM holds", [], |row| row.get(0))
        .expect("the ledger has the documented columns of `holds`");
    sum.unsigned_abs()
}

/// Waits until `found` holds for the usage rows, and returns them; the last look decides.
pub fn wait_for(home: &Path, limit: Duration, found: impl Fn(&[UsageRow]) -> bool) -> Vec<UsageRow> {
    let deadline = Instant::now() + limit;
    loop {
        let rows = usage(home);
        if found(&rows) || Instant::now() > deadline {
            return rows;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open(home: &Path) -> Option<Connection> {
    let file = home.join("bot-bottle.db");
    if !file.exists() {
        return None;
    }
    let ledger =
        Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the ledger opens");
    ledger.busy_timeout(Duration::from_secs(5)).expect("a time-out can be set");
    Some(ledger)
}
