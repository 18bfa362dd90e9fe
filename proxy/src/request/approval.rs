//! Asking people about one request: at once refused and sent again later, or held until somebody decides.
//!
//! Invariants: nothing passes without a use of an approval that the ledger has counted, and what comes of that use is
//! said in every way out of here ([`Permit`]). A hold keeps no transaction, no thread and no budget, and no more room
//! than its run is given. What is let through is what was asked about: after every wait it is looked again whether the
//! bottle is stopped and whether the routes are those by which it was judged.

mod permit;
mod question;

use super::block::{block, until_stopped};
use super::{Origin, same_routes};
use crate::approval::{Answer, Asker, Question, Settled};
use crate::policy::rules::in_front;
use crate::run::{Run, RunPolicy};
use hudson_schema::config::ApprovalMode;
use hudson_schema::ledger::{Approval, ApprovalStatus};
use hudson_schema::refusal::ApprovalFacts;
use hudson_schema::{Refusal, RefusalCode, prompt};
pub(super) use permit::{Permit, Permits};
pub(super) use question::{ByRule, OfCall, digest, of_call, of_host, of_rule, revision};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// After so many seconds it is worth asking again whether somebody has decided.
const RETRY_AFTER: u64 = 15;

/// How a question is put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whether the request waits for the answer.
    pub(super) mode: ApprovalMode,
    /// What it takes of the memory meanwhile, in bytes.
    pub(super) size: usize,
    /// Whether an upstream that fails gives the approval back, too.
    pub(super) back_on_error: bool,
}

/// Why a request may not go on.
#[derive(Clone, Debug)]
pub(super) enum NotPermitted {
    /// What people say, or do not.
    Answer(Answer),
    /// Something else is in its way.
    Refused(Refusal),
}

/// Has people decide. `judged` is the policy by which the request was judged so far.
pub(super) async fn permit(
    origin: &Arc<Origin>,
    judged: &Arc<RunPolicy>,
    question: &Arc<Question>,
    manner: Manner,
) -> Result<Permit, NotPermitted> {
    let desk = &origin.shared.desk;
    // A connection on which nothing goes is closed at some time: it is answered before that.
    let idle = origin.shared.limits.idle / 4 * 3;
    let time = desk.setup().map(|setup| setup.hold_timeout.min(idle)).unwrap_or_default();
    let until = Instant::now() + time;
    let mut room = None;
    loop {
        let pending = match ask(origin, question, manner.back_on_error).await {
            Asked::Granted(permit, _) => {
                return match stands(origin, judged).await {
                    Ok(()) => Ok(permit),
                    Err(refusal) => {
                        permit.give_back().await;
                        Err(NotPermitted::Refused(refusal))
                    }
                };
            }
            Asked::Answer(Answer::Pending(pending)) => pending,
            Asked::Answer(answer) => return Err(NotPermitted::Answer(answer)),
        };
        if room.is_none() && manner.mode == ApprovalMode::Hold {
            room = origin.run.allowance.hold(manner.size);
        }
        // Without room it has to come again.
        if room.is_none() {
            return Err(NotPermitted::Answer(Answer::Pending(pending)));
        }
        match hold(origin, judged, &pending, until).await {
            Ok(Settled::AskAgain) => {}
            Ok(Settled::Answer(answer)) => {
                // What a bottle has asked for is taken back when it is stopped: that is what is told then.
                if let Answer::Over(_) = answer
                    && let Err(refusal) = stopped(origin).await
                {
                    return Err(NotPermitted::Refused(refusal));
                }
                return Err(NotPermitted::Answer(answer));
            }
            Err(refusal) => return Err(NotPermitted::Refused(refusal)),
        }
    }
}

enum Asked {
    Granted(Permit, Box<Approval>),
    Answer(Answer),
}

/// Asks without waiting: a use of the approval, or the answer.
pub(super) async fn ask_once(
    origin: &Arc<Origin>,
    question: &Arc<Question>,
) -> Result<(Permit, Approval), Answer> {
    match ask(origin, question, false).await {
        Asked::Granted(permit, approval) => Ok((permit, *approval)),
        Asked::Answer(answer) => Err(answer),
    }
}

/// Asks in a task of its own: what is granted to somebody who has left meanwhile is given back.
async fn ask(origin: &Arc<Origin>, question: &Arc<Question>, back_on_error: bool) -> Asked {
    let (tell, told) = oneshot::channel();
    let (of, question) = (origin.clone(), question.clone());
    origin.shared.tasks.spawn(async move {
        let asked = match of.shared.desk.ask(&asker(&of.run), &question).await {
            Answer::Granted(approval) => {
                let permit = Permit::new(of.clone(), &approval, back_on_error);
                Asked::Granted(permit, approval)
            }
            answer => Asked::Answer(answer),
        };
        // Dropped where nobody waits for it any more.
        let _ = tell.send(asked);
    });
    let unasked = || Answer::Unavailable { why: "the question was lost".to_owned(), retry_after: None };
    told.await.unwrap_or_else(|_| Asked::Answer(unasked()))
}

fn asker(run: &Run) -> Asker {
    Asker { bottle: run.bottle.clone(), session: Some(run.id.to_string()) }
}

/// Waits for the answer, for as long as the request may wait at all.
async fn hold(
    origin: &Arc<Origin>,
    judged: &Arc<RunPolicy>,
    pending: &Approval,
    until: Instant,
) -> Result<Settled, Refusal> {
    let Origin { shared, run, token, .. } = &**origin;
    let settled = shared.desk.answer(&pending.id, until);
    let other_routes = async {
        let mut seen = judged.clone();
        loop {
            seen = run.policy_after(&seen).await;
            if !same_routes(origin, judged, &seen) {
                return;
            }
        }
    };
    tokio::select! {
        settled = settled => Ok(settled),
        refusal = until_stopped(origin) => Err(refusal),
        () = other_routes => Err(moved(origin)),
        () = token.cancelled() => Err(Refusal::new(RefusalCode::BottleCutOff, "This tunnel was ended.")),
        // It comes again when there is a proxy again: what is asked stays asked.
        () = shared.shutdown.cancelled() => Ok(Settled::Answer(Answer::Pending(Box::new(pending.clone())))),
    }
}

/// Whether what it was judged by still stands, now that it is about to be sent.
async fn stands(origin: &Origin, judged: &Arc<RunPolicy>) -> Result<(), Refusal> {
    stopped(origin).await?;
    match same_routes(origin, judged, &origin.run.policy()) {
        true => Ok(()),
        false => Err(moved(origin)),
    }
}

async fn stopped(origin: &Origin) -> Result<(), Refusal> {
    block(&origin.shared, &origin.run, |policy| origin.provider(policy)).await
}

fn moved(origin: &Origin) -> Refusal {
    let message = format!(
        "The routes to {} were changed while this request was held, and what was asked for it counts no more.",
        origin.authority.host
    );
    Refusal::new(RefusalCode::ApprovalExpired, message).with_retry_after(1)
}

impl NotPermitted {
    /// As the refusal of a rule. `on_deny` is what the operator has it say in front.
    pub(super) fn refusal(&self, origin: &Origin, question: &Question, on_deny: Option<&str>) -> Refusal {
        let answer = match self {
            Self::Refused(refusal) => return refusal.clone(),
            Self::Answer(answer) => answer,
        };
        let asks = match &question.rule {
            Some((name, _)) => format!("The rule {name:?} has a person decide about this"),
            None => "A person has to decide about this".to_owned(),
        };
        let told = |code, why: &str| Refusal::new(code, in_front(on_deny, why));
        let policy = origin.run.policy();
        let at = |at| policy.clock.display(at);
        match answer {
            Answer::Granted(approval) | Answer::Pending(approval) => {
                let Approval { action, id, .. } = &**approval;
                let until = at(approval.decision_expires_at);
                let why = format!("{asks} ({action}); approval {id} waits for that until {until}.");
                told(RefusalCode::ApprovalRequired, &why)
                    .with_approval(facts(&policy, approval))
                    .with_retry_after(RETRY_AFTER)
            }
            Answer::Denied(approval) => {
                let why = format!("A person has denied this: {}.", reason(approval));
                told(RefusalCode::ApprovalDenied, &why).with_approval(facts(&policy, approval))
            }
            Answer::Over(approval) => {
                let why = format!("{asks}, and {}.", over(approval));
                told(RefusalCode::ApprovalExpired, &why).with_approval(facts(&policy, approval))
            }
            Answer::Unavailable { why, retry_after } => {
                let why = format!("{asks}, and nobody can be asked: {why}.");
                let refusal = told(RefusalCode::ApprovalUnavailable, &why);
                match retry_after {
                    Some(seconds) => refusal.with_retry_after(*seconds),
                    None => refusal,
                }
            }
        }
    }
}

/// The reason of a decision, on one line.
pub(super) fn reason(approval: &Approval) -> String {
    let reason = approval.reason.as_deref().map(|reason| prompt::cleaned(reason, 300)).unwrap_or_default();
    match reason.trim().trim_end_matches('.') {
        "" => "no reason was given".to_owned(),
        reason => reason.to_owned(),
    }
}

/// Why it is over, where nobody has denied it.
pub(super) fn over(approval: &Approval) -> String {
    match approval.status {
        ApprovalStatus::Expired if approval.decided_at.is_none() => {
            "the time to decide is over: nobody answered. That is no denial, and no consent".to_owned()
        }
        ApprovalStatus::Expired => "the time to use what was approved is over".to_owned(),
        _ => format!("it was taken back: {}", reason(approval)),
    }
}

/// What a refusal tells of an approval.
pub(super) fn facts(policy: &RunPolicy, approval: &Approval) -> ApprovalFacts {
    let retryable = matches!(approval.status, ApprovalStatus::Pending | ApprovalStatus::Expired);
    let human_instructions = match approval.status {
        ApprovalStatus::Pending => format!(
            "An operator must run: hudson approvals approve {id} (or: hudson approvals deny {id}).",
            id = approval.id
        ),
        _ => format!("hudson approvals show {} says what became of it.", approval.id),
    };
    ApprovalFacts {
        approval_id: approval.id.to_string(),
        action: approval.action.clone(),
        tier: approval.tier.number(),
        rule: approval.rule.clone(),
        digest: prompt::digest(&approval.fingerprint),
        expires_at: policy.clock.display(approval.decision_expires_at),
        retryable,
        human_instructions,
    }
}
