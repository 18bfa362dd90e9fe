//! Asking, as a proxy does, and looking at what was decided: by the ledger's own trait, from another process.

use std::time::{SystemTime, UNIX_EPOCH};

use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{
    Approval, ApprovalId, ApprovalKind, ApprovalQuery, ApprovalRequest, ApprovalRules, ApprovalStatus,
    ApprovalSweep, Decided, DecidedVia, Decision, Fingerprint, Ledger as _, SubmitOutcome, Tier,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::raw::Stage;

/// The ledger of a stage.
pub(super) struct Ledger {
    ledger: SqliteLedger,
    runtime: Runtime,
}

pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(now.as_millis()).expect("not that far in the future")
}

impl Ledger {
    pub(super) fn of(stage: &Stage) -> Self {
        let home = stage.world.home();
        let ledger = SqliteLedger::open(&home.join("bot-bottle.db"), &home.join("run/owners"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { ledger: ledger.expect("the ledger opens"), runtime: runtime.expect("a runtime starts") }
    }

    /// A request for an approval that people are asked about.
    pub(super) fn ask(&self, digest: u8) -> Approval {
        self.ask_with(digest, |_| {})
    }

    pub(super) fn ask_with(&self, digest: u8, change: impl FnOnce(&mut ApprovalRequest)) -> Approval {
        let now = now();
        let rules =
            ApprovalRules { max_pending: u32::MAX, rate: None, fatigue: None, ..ApprovalRules::default() };
        let mut request = ApprovalRequest {
            kind: ApprovalKind::Http,
            bottle: "ci".parse().expect("a name"),
            session: None,
            requester: "run:r1".to_owned(),
            action: "charge".to_owned(),
            rate_key: "charge".to_owned(),
            target: "api.stripe.com".to_owned(),
            finding: None,
            tier: Tier::High,
            description: "charge $600".to_owned(),
            details: json!({"amount": 60_000}),
            fingerprint: Fingerprint([digest; 32]),
            policy_revision: "p1".to_owned(),
            rule: Some("large charge".to_owned()),
            rule_hash: None,
            bypassable: true,
            approvers: 1,
            deciders: Vec::new(),
            automatic: None,
            decision_expires_at: now + 300_000,
            use_ttl: 900_000,
            rules,
            now,
        };
        change(&mut request);
        match self.runtime.block_on(self.ledger.approval_submit(request)).expect("the ledger answers") {
            SubmitOutcome::Created(approval) => approval,
            other => panic!("nobody is asked: {other:?}"),
        }
    }

    pub(super) fn fetch(&self, id: &ApprovalId) -> Approval {
        let found = self.runtime.block_on(self.ledger.approval_fetch(id, now()));
        found.expect("the ledger answers").expect("it is there")
    }

    pub(super) fn status(&self, id: &ApprovalId) -> ApprovalStatus {
        self.fetch(id).status
    }

    #[track_caller]
    pub(super) fn wait_for(&self, id: &ApprovalId, status: ApprovalStatus) -> Approval {
        crate::raw::wait_until(super::SOON, || (self.status(id) == status).then_some(()))
            .unwrap_or_else(|| panic!("it is {:?}", self.fetch(id)));
        self.fetch(id)
    }

    /// Decides on the command line, as it were.
    pub(super) fn approve(&self, id: &ApprovalId) -> Approval {
        let decision = Decision {
            id: id.clone(),
            actor: "unix:1000".to_owned(),
            via: DecidedVia::Cli,
            claimed_by: None,
            reason: Some("checked".to_owned()),
            now: now(),
        };
        match self.runtime.block_on(self.ledger.approval_approve(decision)).expect("the ledger answers") {
            Decided::Made(approval) => approval,
            other => panic!("not decided: {other:?}"),
        }
    }

    /// Writes down what time has ended.
    pub(super) fn sweep(&self) {
        let sweep = ApprovalSweep { most: 100, forget_before: None, now: now() };
        self.runtime.block_on(self.ledger.approval_expire(sweep)).expect("the ledger answers");
    }

    /// What was refused, as the audit has it: why, and by whom.
    pub(super) fn refusals(&self) -> Vec<(String, String)> {
        let rows = self.runtime.block_on(self.ledger.audit_list(0, usize::MAX)).expect("the ledger answers");
        let rows = rows.into_iter().filter(|row| row.kind == "approval_refuse");
        let why = |data: &str| -> String {
            let data: Value = serde_json::from_str(data).expect("the row is JSON");
            data["why"].as_str().expect("it says why").to_owned()
        };
        rows.map(|row| (why(&row.data), row.actor)).collect()
    }

    #[track_caller]
    pub(super) fn refused(&self, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(why, who)| ((*why).to_owned(), (*who).to_owned())).collect();
        crate::raw::wait_until(super::SOON, || (self.refusals() == expected).then_some(()));
        assert_eq!(self.refusals(), expected);
    }

    /// How many approvals there are.
    pub(super) fn count(&self) -> usize {
        let query = ApprovalQuery { most: usize::MAX, now: now(), ..ApprovalQuery::default() };
        self.runtime.block_on(self.ledger.approval_list(query)).expect("the ledger answers").len()
    }
}
