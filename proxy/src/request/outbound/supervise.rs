//! Findings that a person decides about: the request is held, and goes on with just those values let through, once.
//!
//! Invariant: what Hudson knows as a secret, and a canary, is let through by nobody; and a decision is about the very
//! values that were found, on their way to this one host.

use super::super::approval::{Manner, NotPermitted, Permits, digest, facts, over, permit, reason};
use super::Outbound;
use crate::approval::{Answer, Question};
use crate::dlp::Judged;
use hudson_dlp::{Action, Class};
use hudson_schema::config::ApprovalMode;
use hudson_schema::ledger::{Approval, ApprovalKind, ApprovalStatus};
use hudson_schema::{Refusal, RefusalCode, Tier};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The action of letting a finding through, which grants name.
const ACTION: &str = "dlp_release";
/// Findings that people are shown.
const SHOWN: usize = 5;
/// After so many seconds it is worth asking again.
const RETRY_AFTER: u64 = 15;

/// What people have decided about this request so far.
#[derive(Default)]
pub(super) struct Supervised {
    permits: Mutex<Permits>,
    /// The digests of values that are let through.
    let_through: Mutex<BTreeSet<String>>,
    /// Those of all that was found and acts.
    found: Mutex<BTreeSet<String>>,
}

impl Outbound {
    /// Has a person decide about what the route supervises, in a request that takes so many bytes while it waits.
    pub(super) async fn supervised(&self, judged: &[Judged], size: usize) -> Result<(), Refusal> {
        let held: Vec<&Judged> = judged.iter().filter(|one| one.action == Action::Supervise).collect();
        let approvable = |one: &&Judged| !one.finding.is_known() && one.finding.class != Class::Trip;
        let Some((origin, policy)) = self.asking.as_ref().filter(|_| held.iter().all(approvable)) else {
            return Err(self.refusal(judged));
        };
        let hashes: BTreeSet<String> = held.iter().map(|one| one.finding.hash.clone()).collect();
        if lock(&self.supervised.let_through).is_superset(&hashes) {
            return Ok(());
        }
        let revision = super::super::routes_revision(origin, policy);
        let question = Arc::new(self.question(&held, &hashes, revision));
        let manner = Manner { mode: ApprovalMode::Hold, size, back_on_error: false };
        match permit(origin, policy, &question, manner).await {
            Ok(permit) => {
                lock(&self.supervised.permits).push(permit);
                lock(&self.supervised.let_through).extend(hashes);
                Ok(())
            }
            Err(NotPermitted::Refused(refusal)) => Err(refusal),
            Err(NotPermitted::Answer(answer)) => Err(self.unanswered(judged, &answer)),
        }
    }

    fn question(&self, held: &[&Judged], hashes: &BTreeSet<String>, policy_revision: String) -> Question {
        let clean = |text: &str| self.shared.dlp.clean(text);
        // Several values are one question, about all of them together.
        let finding = match hashes.first().filter(|_| hashes.len() == 1) {
            Some(hash) => hash.clone(),
            None => format!("set-{}", digest(&hashes.iter().cloned().collect::<Vec<_>>().join(" "))),
        };
        let shown = held.iter().take(SHOWN).map(|one| {
            let finding = &one.finding;
            format!(
                "{} in the {}: {} ({})",
                finding.rule,
                clean(&finding.place()),
                finding.preview,
                finding.hash
            )
        });
        let findings: Vec<String> = shown.collect();
        let rules: BTreeSet<&str> = held.iter().map(|one| &*one.finding.rule).collect();
        let rules = rules.into_iter().collect::<Vec<_>>().join(", ");
        let target = format!("{}://{}", self.scheme, clean(&self.named));
        let mut details = json!({
            "method": self.method.as_str(),
            "url": format!("{target}{}", clean(&self.path)),
            "findings": held.len(),
        });
        if let Some(details) = details.as_object_mut() {
            let numbered = findings.into_iter().enumerate();
            details.extend(numbered.map(|(place, text)| (format!("finding {}", place + 1), text.into())));
        }
        Question {
            kind: ApprovalKind::Dlp,
            action: ACTION.to_owned(),
            rate_key: ACTION.to_owned(),
            bound: vec![("target", target.clone().into_bytes()), ("finding", finding.clone().into_bytes())],
            target,
            finding: Some(finding),
            tier: Some(Tier::High),
            description: format!(
                "DLP has found what may be a secret ({rules}) in {} to {}",
                self.method,
                clean(&self.name)
            ),
            details,
            rule: None,
            policy_revision,
            bypassable: true,
            deciders: Vec::new(),
            decision_ttl: None,
        }
    }

    /// The refusal of what people have not let through.
    fn unanswered(&self, judged: &[Judged], answer: &Answer) -> Refusal {
        let found = judged.iter().find(|one| one.action == Action::Supervise);
        let found = found.map(|one| self.found(&one.finding)).unwrap_or_else(|| "DLP".to_owned());
        let with = |code, why: String, approval: &Approval| {
            let about = facts(&self.run.policy(), approval);
            let message = format!("{found}; {why} (approval {}).", approval.id);
            Refusal::new(code, message).with_approval(about)
        };
        match answer {
            Answer::Denied(approval) => {
                let why = format!("a person has rejected the request: {}", reason(approval));
                with(RefusalCode::DlpRejected, why, approval)
            }
            Answer::Pending(approval) | Answer::Granted(approval) => {
                let why = "the wait for a person timed out: nobody has answered yet".to_owned();
                with(RefusalCode::DlpTimedOut, why, approval).with_retry_after(RETRY_AFTER)
            }
            Answer::Over(approval) if approval.status == ApprovalStatus::Expired => {
                let why = format!("the wait for a person timed out, and {}", over(approval));
                with(RefusalCode::DlpTimedOut, why, approval)
            }
            Answer::Over(approval) => with(RefusalCode::DlpBlocked, over(approval), approval),
            Answer::Unavailable { why, .. } => {
                let line = self.line;
                let message = format!(
                    "{found}; the route (line {line}) has a person decide about such requests, and nobody can be asked: {why}."
                );
                Refusal::new(RefusalCode::DlpBlocked, message)
            }
        }
    }

    /// The uses of approvals that this request has made, for whoever sends it.
    pub(in super::super) fn take_permits(&self) -> Permits {
        std::mem::take(&mut *lock(&self.supervised.permits))
    }

    /// The digests of what was found so far and acts.
    pub(in super::super) fn findings(&self) -> BTreeSet<String> {
        lock(&self.supervised.found).clone()
    }

    /// Remembers what was found.
    pub(super) fn remember(&self, judged: &[Judged]) {
        let acting = judged.iter().filter(|one| one.wanted && one.finding.class >= Class::Act);
        lock(&self.supervised.found).extend(acting.map(|one| one.finding.hash.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
