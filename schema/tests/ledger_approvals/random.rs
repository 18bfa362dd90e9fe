//! Any sequence of asking, deciding, using, taking back and waiting, through two processes' ledgers in turn: after every
//! step the ledger says what a model says that knows nothing of SQL.

use crate::ledger_support::{NOW, cases, open};
use crate::support::*;
use hudson_schema::ledger::ApprovalStatus::*;
use hudson_schema::ledger::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Submit { fingerprint: u8, policy: bool },
    Approve { which: usize, alice: bool },
    Deny { which: usize },
    Revoke { which: usize },
    Consume { which: usize, policy: bool },
    Rollback { which: usize },
    Finish { which: usize },
    Grant { uses: u32 },
    Cancel,
    Sweep,
    Wait { time: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0_usize..12;
    prop_oneof![
        6 => (0_u8..3, prop::bool::weighted(0.9)).prop_map(|(fingerprint, policy)| Step::Submit { fingerprint, policy }),
        4 => (which(), any::<bool>()).prop_map(|(which, alice)| Step::Approve { which, alice }),
        2 => which().prop_map(|which| Step::Deny { which }),
        1 => which().prop_map(|which| Step::Revoke { which }),
        4 => (which(), prop::bool::weighted(0.9)).prop_map(|(which, policy)| Step::Consume { which, policy }),
        2 => which().prop_map(|which| Step::Rollback { which }),
        2 => which().prop_map(|which| Step::Finish { which }),
        1 => (1_u32..3).prop_map(|uses| Step::Grant { uses }),
        1 => Just(Step::Cancel),
        1 => Just(Step::Sweep),
        4 => prop::sample::select(vec![1, 1_000, TTL / 2, TTL, USE_TTL]).prop_map(|time| Step::Wait { time }),
    ]
}

/// What the model knows of an approval.
#[derive(Clone, Debug)]
struct Known {
    id: ApprovalId,
    fingerprint: u8,
    policy: bool,
    status: ApprovalStatus,
    asked: i64,
    decided: Option<i64>,
    decided_by: Option<&'static str>,
    attempt: u32,
    /// In use, and nobody has said how it went.
    started: bool,
    /// Taken back while it was in use.
    withdrawn: bool,
}

#[derive(Default)]
struct Model {
    known: Vec<Known>,
    /// Uses left, when it was made, when it ends.
    grants: Vec<(u32, i64, i64)>,
    now: i64,
}

impl Model {
    fn settle(&mut self) {
        for known in &mut self.known {
            let over = match known.status {
                Pending => known.asked + TTL <= self.now,
                Approved => known.decided.unwrap() + USE_TTL <= self.now,
                _ => false,
            };
            if over {
                known.status = Expired;
            }
        }
    }

    /// What asking comes to: the status of what answers, and which, where it is known already.
    fn submit(&mut self, fingerprint: u8, policy: bool) -> (ApprovalStatus, Option<usize>) {
        let now = self.now;
        let same = |known: &Known| known.fingerprint == fingerprint;
        for known in self.known.iter_mut().filter(|known| same(known) && known.policy != policy) {
            known.status = match known.status {
                Pending => Cancelled,
                Approved => Revoked,
                status => status,
            };
        }
        // The latest decision of that status; of two at the same time the later one that was asked for.
        let latest = |status| {
            let all =
                self.known.iter().enumerate().filter(|(_, known)| same(known) && known.status == status);
            all.max_by_key(|(at, known)| (known.decided, *at)).map(|(at, known)| (at, known.decided))
        };
        let memory = ApprovalRules::default().deny_memory;
        let denied = latest(Denied).filter(|(_, decided)| decided.unwrap() + memory > now);
        let since = denied.and_then(|(_, decided)| decided);
        if let Some((at, decided)) = latest(Approved)
            && decided > since
        {
            self.begin(at);
            return (Consumed, Some(at));
        }
        let pending = latest(Pending).map(|(at, _)| at);
        // Of equal scope, the one that ends first, which was made first.
        let stands = |grant: &&mut (u32, i64, i64)| grant.0 > 0 && grant.2 > now && Some(grant.1) > since;
        if let Some(grant) = self.grants.iter_mut().find(stands) {
            grant.0 -= 1;
            if let Some(at) = pending {
                self.known[at].status = Cancelled;
            }
            return (AutoApproved, None);
        }
        match (denied, pending) {
            (Some((at, _)), _) => (Denied, Some(at)),
            (None, Some(at)) => (Pending, Some(at)),
            (None, None) => (Pending, None),
        }
    }

    fn begin(&mut self, at: usize) {
        let known = &mut self.known[at];
        (known.status, known.started) = (Consumed, true);
        known.attempt += 1;
    }
}

struct Story {
    ledgers: [SharedLedger; 2],
    turn: usize,
    model: Model,
}

impl Story {
    async fn step(&mut self, step: &Step) {
        self.turn += 1;
        let ledger = self.ledgers[self.turn % 2].clone();
        let model = &mut self.model;
        model.settle();
        let now = model.now;
        let known = |which: &usize| model.known.get(which % model.known.len().max(1)).cloned();
        let at = |which: &usize| which % model.known.len().max(1);
        match step {
            Step::Wait { time } => model.now += time,
            Step::Sweep => drop(ledger.approval_expire(sweep(now)).await.unwrap()),
            Step::Submit { fingerprint, policy } => {
                let request =
                    ApprovalRequest { policy_revision: revision(*policy), ..ask_freely(*fingerprint, now) };
                let outcome = ledger.approval_submit(request).await.unwrap();
                let (status, known) = model.submit(*fingerprint, *policy);
                let (found, fresh) = match outcome {
                    SubmitOutcome::Created(found) => (found, true),
                    SubmitOutcome::Approved(found) => (found.clone(), found.status == AutoApproved),
                    SubmitOutcome::Reused(found) | SubmitOutcome::Denied(found) => (found, false),
                    other => panic!("{other:?}"),
                };
                assert_eq!((found.status, fresh), (status, known.is_none()));
                if let Some(at) = known {
                    assert_eq!(found.id, model.known[at].id);
                } else {
                    let auto = status == AutoApproved;
                    model.known.push(Known {
                        id: found.id,
                        fingerprint: *fingerprint,
                        policy: *policy,
                        status,
                        asked: now,
                        decided: auto.then_some(now),
                        decided_by: auto.then_some(ALICE),
                        attempt: u32::from(auto),
                        started: auto,
                        withdrawn: false,
                    });
                }
            }
            Step::Approve { which, alice } => {
                let (Some(one), at) = (known(which), at(which)) else { return };
                let actor = if *alice { ALICE } else { BOB };
                let decided = ledger.approval_approve(decision(&one.id, actor, now)).await.unwrap();
                match (one.status, decided) {
                    (Pending, Decided::Made(_)) => {
                        let known = &mut model.known[at];
                        (known.status, known.decided, known.decided_by) = (Approved, Some(now), Some(actor));
                    }
                    (Expired, Decided::Expired(_)) => {}
                    (Approved | Consumed, Decided::Repeated(_)) => assert_eq!(one.decided_by, Some(actor)),
                    (Approved | Consumed, Decided::Conflict(_)) => assert_ne!(one.decided_by, Some(actor)),
                    (Denied | Cancelled | Revoked | AutoApproved, Decided::Conflict(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Deny { which } => {
                let (Some(one), at) = (known(which), at(which)) else { return };
                let decided = ledger.approval_deny(decision(&one.id, BOB, now)).await.unwrap();
                match (one.status, decided) {
                    (Pending, Decided::Made(_)) => {
                        let known = &mut model.known[at];
                        (known.status, known.decided, known.decided_by) = (Denied, Some(now), Some(BOB));
                    }
                    (Expired, Decided::Expired(_)) | (Denied, Decided::Repeated(_)) => {}
                    (Approved | Consumed | Cancelled | Revoked | AutoApproved, Decided::Conflict(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Revoke { which } => {
                let (Some(one), at) = (known(which), at(which)) else { return };
                let decided = ledger.approval_revoke(decision(&one.id, BOB, now)).await.unwrap();
                match (one.status, decided) {
                    (Approved, Decided::Made(_)) => model.known[at].status = Revoked,
                    (Revoked, Decided::Repeated(_)) | (Expired, Decided::Expired(_)) => {}
                    (Consumed, Decided::Conflict(_)) => model.known[at].withdrawn |= one.started,
                    (Pending | Denied | Cancelled | AutoApproved, Decided::Conflict(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Consume { which, policy } => {
                let (Some(one), at) = (known(which), at(which)) else { return };
                let request = ConsumeRequest {
                    id: one.id,
                    bottle: "ci".parse().unwrap(),
                    fingerprint: Fingerprint([one.fingerprint; 32]),
                    policy_revision: revision(*policy),
                    now,
                };
                match (one.status, ledger.approval_consume(request).await.unwrap()) {
                    (Approved, ConsumeOutcome::Consumed(_)) if one.policy == *policy => model.begin(at),
                    (Approved, ConsumeOutcome::OtherPolicy(_)) if one.policy != *policy => {
                        model.known[at].status = Revoked;
                    }
                    (status, ConsumeOutcome::NotApproved(found)) if status != Approved => {
                        assert_eq!(found.status, status);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::Rollback { which } => {
                let (Some(one), at) = (known(which), at(which)) else { return };
                let used = ApprovalUse { id: one.id, attempt: one.attempt };
                assert_eq!(ledger.approval_rollback(&used, now).await.unwrap(), one.started);
                if one.started {
                    let known = &mut model.known[at];
                    known.started = false;
                    match (known.status, known.withdrawn) {
                        (AutoApproved, _) => {
                            // To the very grant that it came from.
                            let id =
                                ledger.approval_fetch(&known.id, now).await.unwrap().unwrap().grant.unwrap();
                            let all = GrantQuery { ended: true, now, ..GrantQuery::default() };
                            let mut grants = ledger.grant_list(all).await.unwrap();
                            grants.reverse();
                            let place = grants.iter().position(|grant| grant.id == id).unwrap();
                            model.grants[place].0 += 1;
                        }
                        (_, true) => known.status = Revoked,
                        (_, false) => known.status = Approved,
                    }
                }
            }
            Step::Finish { which } => {
                let (Some(one), at) = (known(which), at(which)) else { return };
                let used = ApprovalUse { id: one.id, attempt: one.attempt };
                let finished = ledger.approval_finish(&used, ExecutionEnd::Executed, "", now).await.unwrap();
                assert_eq!(finished, one.started);
                model.known[at].started = false;
            }
            Step::Grant { uses } => {
                let until = now + NewGrant::SHORTEST;
                let new = NewGrant {
                    scope: GrantScope::Global,
                    kind: ApprovalKind::Http,
                    action: "charge".to_owned(),
                    target: None,
                    finding: None,
                    max_uses: Some(*uses),
                    expires_at: Some(until),
                    actor: ALICE.to_owned(),
                    via: DecidedVia::Cli,
                    reason: None,
                    now,
                };
                assert!(matches!(ledger.grant_insert(new).await.unwrap(), GrantOutcome::Made(_)));
                model.grants.push((*uses, now, until));
            }
            Step::Cancel => {
                ledger.approval_cancel(cancel_all(now)).await.unwrap();
                for known in &mut model.known {
                    known.withdrawn |= known.status == Consumed && known.started;
                    known.status = match known.status {
                        Pending => Cancelled,
                        Approved => Revoked,
                        status => status,
                    };
                }
            }
        }
    }

    async fn check(&mut self) {
        self.model.settle();
        let ledger = &self.ledgers[(self.turn + 1) % 2];
        let mut found = ledger.approval_list(all(self.model.now)).await.unwrap();
        found.reverse();
        assert_eq!(found.len(), self.model.known.len());
        for (found, known) in found.iter().zip(&self.model.known) {
            assert_eq!((&found.id, found.status, found.attempt), (&known.id, known.status, known.attempt));
            assert_eq!(found.execution == Some(Execution::Started), known.started, "{found:?}");
            assert_eq!(found.decided_by.as_deref(), known.decided_by, "{found:?}");
        }
        for status in ApprovalStatus::ALL {
            let listed = ledger.approval_list(of_status(*status, self.model.now)).await.unwrap().len();
            assert_eq!(listed, found.iter().filter(|one| one.status == *status).count(), "{status}");
        }
    }
}

fn revision(policy: bool) -> String {
    if policy { "p1" } else { "p2" }.to_owned()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn the_ledger_says_what_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let ledgers = [open(dir.path()), open(dir.path())];
            let mut story = Story { ledgers, turn: 0, model: Model { now: NOW, ..Model::default() } };
            for step in &steps {
                story.step(step).await;
                story.check().await;
            }
            verify(&*story.ledgers[0]).await;
        });
    }
}
