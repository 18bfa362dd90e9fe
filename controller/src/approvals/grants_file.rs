//! The allow-list of the confirmation daemon that went before, as grants: `{"action": {"targets": ["…"], "self_only":
//! false}}`. Each action and target of the file is one grant, for every bottle, for as long as the file has it.
//!
//! Invariants: what the file no longer has is revoked; a file that cannot be read changes nothing, and that is said;
//! `self_only` grants nothing: the daemon compared two things that the agent had written itself.

use crate::events::EventLog;
use crate::instance::now;
use hudson_schema::config::Settings;
use hudson_schema::home::Home;
use hudson_schema::ledger::{
    ApprovalKind, DecidedVia, Grant, GrantOutcome, GrantQuery, GrantScope, HIGH_RISK_ACTIONS, LedgerError,
    NewGrant, SharedLedger,
};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Who makes the grants of the file.
const ACTOR: &str = "approvals.grants_file";
/// How often the file is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// What the file was when it was last looked at.
#[derive(Default)]
pub struct Grants {
    looked: Option<Instant>,
    seen: Option<Seen>,
}

#[derive(Clone, Eq, PartialEq)]
struct Seen {
    path: Option<PathBuf>,
    stamp: Option<(SystemTime, u64)>,
}

/// What the file allows: actions and targets.
type Allowed = BTreeSet<(String, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    self_only: bool,
}

impl Grants {
    /// Makes and revokes grants where the file or its name has changed.
    pub async fn follow(
        &mut self,
        ledger: &SharedLedger,
        settings: &Settings,
        home: &Home,
        events: &EventLog,
    ) {
        let path = settings.approvals.grants_file.as_ref().map(|path| home.path().join(path));
        let is_other = self.seen.as_ref().is_none_or(|seen| seen.path != path);
        if !is_other && self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let stamp = path.as_deref().and_then(|path| {
            let about = std::fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len()))
        });
        let current = Seen { path, stamp };
        if self.seen.as_ref() == Some(&current) {
            return;
        }
        let read = match &current.path {
            None => Ok((Allowed::new(), Vec::new())),
            Some(path) => read(path),
        };
        match read {
            Ok((allowed, warnings)) => {
                for warning in warnings {
                    events.write("grants_file", json!({"warning": warning}));
                }
                match apply(ledger, &allowed).await {
                    Ok((0, 0)) => {}
                    Ok((made, revoked)) => {
                        events.write("grants_file", json!({"made": made, "revoked": revoked}))
                    }
                    // It is tried again.
                    Err(error) => {
                        let told = json!({"what": "the grants of the file", "error": error.to_string()});
                        return events.write("ledger_failed", told);
                    }
                }
            }
            Err(error) => {
                let told = json!({"error": error, "remedy": "the grants stay as they were; mend the file"});
                events.write("grants_file", told);
            }
        }
        self.seen = Some(current);
    }
}

/// What a file allows, and what of it is left out.
fn read(path: &Path) -> Result<(Allowed, Vec<String>), String> {
    let place = path.display();
    let about = std::fs::metadata(path).map_err(|error| format!("{place}: {error}"))?;
    if about.len() > LONGEST {
        return Err(format!("{place}: longer than {LONGEST} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
    let entries: BTreeMap<String, Entry> =
        serde_json::from_str(&text).map_err(|error| format!("{place}: {error}"))?;
    let (mut allowed, mut warnings) = (Allowed::new(), Vec::new());
    for (action, entry) in entries {
        if entry.self_only {
            warnings.push(format!(
                "{place}: {action}: self_only grants nothing, for an agent writes both of the addresses it compared; list \
                 the operator's own address in targets"
            ));
        }
        if HIGH_RISK_ACTIONS.contains(&action.as_str()) {
            warnings.push(format!("{place}: {action}: no grant lets an action of high risk through"));
            continue;
        }
        let targets = entry.targets.into_iter().map(|target| target.trim().to_owned());
        allowed.extend(targets.filter(|target| !target.is_empty()).map(|target| (action.clone(), target)));
    }
    Ok((allowed, warnings))
}

/// Makes what is missing and revokes what is too much; how many of each.
async fn apply(ledger: &SharedLedger, allowed: &Allowed) -> Result<(usize, usize), LedgerError> {
    let (mut made, mut revoked) = (0, 0);
    let mut missing = allowed.clone();
    for grant in standing(ledger).await? {
        let key = (grant.action.clone(), grant.target.clone().unwrap_or_default());
        // Two processes may have made one each: the second is too much.
        if !missing.remove(&key) {
            revoked += usize::from(ledger.grant_revoke(&grant.id, ACTOR, now()).await?);
        }
    }
    for (action, target) in missing {
        let grant = NewGrant {
            scope: GrantScope::Global,
            kind: ApprovalKind::Confirm,
            action,
            target: Some(target),
            finding: None,
            max_uses: None,
            expires_at: None,
            actor: ACTOR.to_owned(),
            via: DecidedVia::Config,
            reason: Some("it is in the operator's grants file".to_owned()),
            now: now(),
        };
        made += usize::from(matches!(ledger.grant_insert(grant).await?, GrantOutcome::Made(_)));
    }
    Ok((made, revoked))
}

/// The grants that stand by the file, oldest first.
async fn standing(ledger: &SharedLedger) -> Result<Vec<Grant>, LedgerError> {
    let mut grants = ledger.grant_list(GrantQuery { now: now(), ..GrantQuery::default() }).await?;
    grants.retain(|grant| grant.created_via == DecidedVia::Config && grant.created_by == ACTOR);
    grants.reverse();
    Ok(grants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::ledger::sqlite::SqliteLedger;
    use std::sync::Arc;

    fn allowed(pairs: &[(&str, &str)]) -> Allowed {
        pairs.iter().map(|(action, target)| ((*action).to_owned(), (*target).to_owned())).collect()
    }

    #[test]
    fn the_daemons_file_is_read_and_what_is_not_safe_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("approval_whitelist.json");
        let text = r#"{"send_email": {"targets": ["a@example.com", " b@example.com "], "self_only": false},
            "send_message": {"targets": [], "self_only": true},
            "transfer_funds": {"targets": ["me"]}}"#;
        std::fs::write(&path, text).unwrap();
        let (found, warnings) = read(&path).unwrap();
        assert_eq!(found, allowed(&[("send_email", "a@example.com"), ("send_email", "b@example.com")]));
        assert!(warnings[0].contains("send_message: self_only grants nothing"), "{warnings:?}");
        assert!(warnings[1].contains("transfer_funds"), "{warnings:?}");
        for bad in ["", "[]", "{\"a\": 5}", "{\"a\": {\"target\": \"b\"}}", "{\"a\": {\"targets\": \"b\"}}"] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).unwrap_err().contains("approval_whitelist.json"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_grant_is_made_once_and_goes_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("db"), &folder.path().join("owners")).unwrap();
        let ledger: SharedLedger = Arc::new(ledger);
        let both = allowed(&[("send_email", "a@example.com"), ("send_email", "b@example.com")]);
        assert_eq!(apply(&ledger, &both).await.unwrap(), (2, 0));
        assert_eq!(apply(&ledger, &both).await.unwrap(), (0, 0));
        assert_eq!(apply(&ledger, &allowed(&[("send_email", "b@example.com")])).await.unwrap(), (0, 1));
        let left = standing(&ledger).await.unwrap();
        assert_eq!((left.len(), left[0].target.as_deref()), (1, Some("b@example.com")));
        assert_eq!(apply(&ledger, &Allowed::new()).await.unwrap(), (0, 1));
    }
}
