//! The ledger: whether it opens, is sound, and has room for its log.

use super::Finding;
use hudson_schema::home::Home;
use hudson_schema::ledger::sqlite::{Examined, SqliteLedger};
use std::os::unix::fs::PermissionsExt;

const CHECK: &str = "ledger";
/// A log that is larger than this, in bytes, has not been copied into the file for long.
const LARGE_LOG: u64 = 256 << 20;

/// Looks at it.
pub(super) async fn look(home: &Home) -> Vec<Finding> {
    let path = home.ledger();
    let found = std::fs::metadata(&path);
    if found.as_ref().map_or(true, |found| found.is_file() && found.len() == 0) {
        let found = format!("there is none at {} yet; `hudson run` and `hudson up` make it", path.display());
        return vec![Finding::ok(CHECK, found)];
    }
    let mode = found.map(|found| found.permissions().mode() & 0o777).unwrap_or(0o600);
    let examined = tokio::task::spawn_blocking({
        let path = path.clone();
        move || SqliteLedger::examine(&path)
    });
    let damaged =
        "put a backup of the file and its -wal in place; docs/operators.md, \"When a refusal is reported\"";
    let mut findings = match examined.await {
        Ok(Ok(examined)) => judge(&path.display().to_string(), &examined),
        Ok(Err(error)) => vec![Finding::failed(CHECK, error.to_string(), damaged)],
        Err(error) => vec![Finding::failed(CHECK, error.to_string(), "please report it")],
    };
    if mode & 0o077 != 0 {
        let found = format!("others can read {} (mode {mode:o})", path.display());
        findings.push(Finding::warning(CHECK, found, format!("`chmod 600 {}`", path.display())));
    }
    findings
}

fn judge(path: &str, examined: &Examined) -> Vec<Finding> {
    let backup = "put a backup of the file and its -wal in place";
    let faults = examined.faults.iter();
    let mut findings: Vec<Finding> =
        faults.map(|fault| Finding::failed(CHECK, format!("{path}: {fault}"), backup)).collect();
    if findings.is_empty() {
        let found = format!(
            "{path} is sound: version {} of {}, {} MiB",
            examined.version,
            examined.known,
            examined.bytes >> 20
        );
        findings.push(match examined.version < examined.known {
            true => Finding::warning(CHECK, found, "`hudson up` or `hudson run` brings it up to date"),
            false => Finding::ok(CHECK, found),
        });
    }
    if examined.journal_mode != "wal" {
        let found = format!("{path} is kept in the journal mode {}, not wal", examined.journal_mode);
        findings.push(Finding::failed(
            CHECK,
            found,
            "put it on a local disk; `hudson up` then sets the mode",
        ));
    }
    if examined.log_bytes > LARGE_LOG {
        let found = format!("{path}-wal has grown to {} MiB", examined.log_bytes >> 20);
        let fix = "end whatever reads the ledger without end (see which with `fuser`)";
        findings.push(Finding::warning(CHECK, found, fix));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn examined() -> Examined {
        Examined {
            version: 5,
            known: 5,
            journal_mode: "wal".to_owned(),
            faults: Vec::new(),
            bytes: 1,
            log_bytes: 1,
        }
    }

    #[test]
    fn what_is_wrong_with_a_ledger_is_told_beside_what_is_well() {
        let states = |examined: Examined| {
            judge("db", &examined).iter().map(|finding| finding.state).collect::<Vec<_>>()
        };
        assert_eq!(states(examined()), [State::Ok]);
        assert_eq!(states(Examined { version: 4, ..examined() }), [State::Warning]);
        assert_eq!(states(Examined { faults: vec!["row 3".to_owned()], ..examined() }), [State::Failed]);
        let delete = Examined { journal_mode: "delete".to_owned(), log_bytes: 1 << 30, ..examined() };
        assert_eq!(states(delete), [State::Ok, State::Failed, State::Warning]);
    }

    #[tokio::test]
    async fn a_file_that_is_no_ledger_fails() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert_eq!(look(&home).await.first().unwrap().state, State::Ok);
        std::fs::write(home.ledger(), vec![b'x'; 4096]).unwrap();
        assert_eq!(look(&home).await.first().unwrap().state, State::Failed);
        std::fs::remove_file(home.ledger()).unwrap();
        drop(SqliteLedger::open(&home.ledger(), &home.owners()).unwrap());
        assert_eq!(look(&home).await.first().unwrap().state, State::Ok);
    }
}
