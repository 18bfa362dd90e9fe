//! The desk: what a bottle asks people about, from the question to the answer. Each question is judged, looked at by a
//! model where the settings say so, bound, cleaned and written into the ledger, which is what all processes share.
//!
//! Invariants: whose question it is comes from the credentials alone; an approval is good for one answer of yes to who
//! asked; a bottle that is stopped asks nothing; people who are asked too often have the bottle stopped instead.

use super::asked::Asked;
use super::bind::{self, Unbound};
use super::redact;
use super::refused::RefusedDecisions;
use super::review::{ReviewAsked, Reviewer, Verdict};
use super::reviews::Reviews;
use super::rules::{self, milliseconds};
use super::tokens::Tokens;
use crate::events::EventLog;
use crate::instance::now;
use crate::process::Process;
use crate::runs::Runs;
use anyhow::Result;
use hudson_proxy::Run;
use hudson_proxy::approval::{FingerprintKey, Waiting};
use hudson_proxy::dial::Dialer;
use hudson_proxy::dlp::Dlp;
use hudson_schema::action::{self, ActionRules, Approver, Judged};
use hudson_schema::config::{ApprovalProfile, RateLimit, Settings};
use hudson_schema::ledger::{
    Approval, ApprovalId, ApprovalKind, ApprovalRequest, ApprovalStatus, Automatic, BlockOrder,
    ConsumeOutcome, ConsumeRequest, Decided, Decision, ExecutionEnd, Fingerprint, LedgerError, SharedLedger,
    SubmitOutcome,
};
use hudson_schema::{BottleName, Policy, RunId, Scope, ScopeKind, Tier};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many of one bottle may wait for answers at once; more are answered at once.
const HOLDERS: usize = 128;
/// What is said of a use that Hudson does not see.
const TOLD: &str = "the agent was told; what it does is not seen";

/// What a desk is made of.
pub struct Parts {
    /// The process that it is in.
    pub process: Process,
    /// The settings in force, and the runs that are known here.
    pub runs: Arc<Runs>,
    /// What must not be shown.
    pub dlp: Arc<Dlp>,
    /// How a model that reviews is reached.
    pub dialer: Dialer,
    /// The rate that the environment sets in the place of the settings' own.
    pub rate: Option<RateLimit>,
}

/// Where bottles ask.
pub struct Desk {
    ledger: SharedLedger,
    events: Arc<EventLog>,
    runs: Arc<Runs>,
    dlp: Arc<Dlp>,
    key: FingerprintKey,
    dialer: Dialer,
    rate: Option<RateLimit>,
    waiting: Waiting,
    reviews: Reviews,
    /// Who would have decided, and may not.
    pub(crate) refused: RefusedDecisions,
    // Std mutexes: never held over an await.
    current: Mutex<Arc<Current>>,
    holders: Mutex<HashMap<BottleName, Arc<Semaphore>>>,
}

/// What follows from the settings.
pub struct Current {
    /// The settings themselves.
    pub settings: Arc<Settings>,
    /// Who decides over HTTP.
    pub tokens: Tokens,
    rules: ActionRules,
    reviewer: Option<Reviewer>,
    revision: String,
}

/// Who asks: a live run, by its credentials.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The run.
    pub run: RunId,
    /// Its bottle.
    pub bottle: BottleName,
}

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// What is asked cannot be bound.
    #[error("{0}")]
    Unbound(#[from] Unbound),
    /// The bottle is stopped.
    #[error("this bottle is stopped: {0}")]
    Stopped(String),
    /// The ledger fails: nothing passes.
    #[error("the approvals cannot be read or written: {0}")]
    Ledger(#[from] LedgerError),
}

impl Desk {
    /// A desk. What of the settings cannot be used is told of: nobody decides by it, and people are asked instead.
    pub fn new(parts: Parts) -> Result<Arc<Self>> {
        let Parts { process, runs, dlp, dialer, rate } = parts;
        let key = crate::key::fingerprint_key(&process.home)?;
        let (current, faults) = Current::of(runs.settings(), &dialer);
        tell(&process.events, faults);
        Ok(Arc::new(Self {
            waiting: Waiting::new(process.ledger.clone()),
            refused: RefusedDecisions::new(process.ledger.clone(), process.events.clone()),
            ledger: process.ledger,
            events: process.events,
            runs,
            dlp,
            key,
            dialer,
            rate,
            reviews: Reviews::default(),
            current: Mutex::new(Arc::new(current)),
            holders: Mutex::default(),
        }))
    }

    /// The ledger.
    pub fn ledger(&self) -> &SharedLedger {
        &self.ledger
    }

    /// What must not be shown.
    pub fn dlp(&self) -> &Dlp {
        &self.dlp
    }

    /// The runs that are known here.
    pub fn runs(&self) -> &Arc<Runs> {
        &self.runs
    }

    /// What follows from the settings in force.
    pub fn current(&self) -> Arc<Current> {
        let settings = self.runs.settings();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.settings, &settings) {
            let (new, faults) = Current::of(settings, &self.dialer);
            *current = Arc::new(new);
            tell(&self.events, faults);
        }
        current.clone()
    }

    /// Refuses settings that cannot be used, where people decide by them from the start.
    pub fn refuse_faults(&self) -> Result<()> {
        super::refuse(Current::of(self.runs.settings(), &self.dialer).1)
    }

    /// Asks on behalf of a run.
    pub async fn ask(&self, asker: &Asker, asked: &Asked) -> Result<SubmitOutcome, Unasked> {
        let current = self.current();
        let live = self.live(&asker.run);
        self.refuse_stopped(asker, live.as_deref()).await?;
        if let Some(run) = &live {
            self.dlp.know(run).await;
        }
        let fingerprint = self.bind(asker, asked)?;
        let judged = current.judge(asked);
        let automatic = self.automatic(&current, asker, asked, &judged, fingerprint).await;
        let request = self.request(&current, asker, asked, &judged, fingerprint, automatic);
        let outcome = self.ledger.approval_submit(request).await?;
        match &outcome {
            SubmitOutcome::Approved(approval) => self.finish(approval).await?,
            SubmitOutcome::Fatigued { asked, window } => self.stop(&asker.bottle, *asked, *window).await?,
            _ => {}
        }
        Ok(outcome)
    }

    /// What an approval is bound to.
    fn bind(&self, asker: &Asker, asked: &Asked) -> Result<Fingerprint, Unbound> {
        bind::confirm(
            &self.key,
            &bind::Confirm {
                bottle: &asker.bottle,
                session: asked.session.as_deref(),
                action: &asked.action,
                target: &asked.target,
                description: &asked.description,
                details: asked.details.as_bytes(),
            },
        )
    }

    fn request(
        &self,
        current: &Current,
        asker: &Asker,
        asked: &Asked,
        judged: &Judged,
        fingerprint: Fingerprint,
        automatic: Option<Automatic>,
    ) -> ApprovalRequest {
        let settings = &current.settings.approvals;
        let clean = |text: &str| self.dlp.clean(text);
        let asked_at = now();
        let approvers = settings.require_distinct_approvers.get(&judged.tier).copied().unwrap_or(1);
        ApprovalRequest {
            kind: ApprovalKind::Confirm,
            bottle: asker.bottle.clone(),
            session: asked.session.as_deref().map(clean),
            requester: requester(&asker.run, asked.requester.as_deref().map(clean)),
            action: clean(&asked.action),
            rate_key: judged.rate_key.clone(),
            target: clean(&asked.target),
            finding: None,
            tier: judged.tier,
            description: redact::description(&asked.description, &clean),
            details: redact::details(&asked.details, &clean),
            fingerprint,
            policy_revision: current.revision(judged.tier),
            rule: None,
            rule_hash: None,
            bypassable: judged.bypassable,
            automatic,
            approvers: u32::from(approvers),
            deciders: Vec::new(),
            decision_expires_at: asked_at.saturating_add(milliseconds(current.decision_ttl(asked, judged))),
            use_ttl: milliseconds(settings.use_ttl.0),
            rules: rules::of(settings, self.rate),
            now: asked_at,
        }
    }

    /// Who answers in the place of people. Whether that counts is the ledger's to say.
    async fn automatic(
        &self,
        current: &Current,
        asker: &Asker,
        asked: &Asked,
        judged: &Judged,
        fingerprint: Fingerprint,
    ) -> Option<Automatic> {
        let verdict = match &current.reviewer {
            Some(reviewer) if judged.reviewed => {
                let clean = |text: &str| self.dlp.clean(text);
                let (action, description) = (clean(&asked.action), clean(&asked.description));
                let details = redact::details(&asked.details, &clean).to_string();
                let command = asked.command.as_deref().map(clean);
                let question = ReviewAsked {
                    action: &action,
                    tier: judged.tier,
                    description: &description,
                    details: &details,
                    command: command.as_deref(),
                };
                self.reviews.of(&asker.bottle, fingerprint, || reviewer.review(&question)).await
            }
            _ => None,
        };
        let model = || match &current.settings.approvals.review {
            Some(review) => format!("model:{}", review.model),
            None => "model".to_owned(),
        };
        match verdict {
            Some(Verdict::Deny { reason }) => {
                Some(Automatic::Deny { by: model(), reason: self.dlp.clean(&reason) })
            }
            Some(Verdict::Approve { reason }) if judged.approver == Approver::Model => {
                Some(Automatic::Pass { by: model(), reason: self.dlp.clean(&reason) })
            }
            // A model that hesitates leaves it to people.
            Some(_) => None,
            None if judged.crisis => Some(Automatic::Pass {
                by: "crisis_bypass".to_owned(),
                reason: "a person may be in need".to_owned(),
            }),
            None if judged.approver == Approver::Nobody => Some(Automatic::Pass {
                by: "policy".to_owned(),
                reason: format!("nobody has to approve an action of tier {}", judged.tier.number()),
            }),
            None => None,
        }
    }

    /// Waits for the decision until a time; the approval as it is then.
    pub async fn wait(&self, id: &ApprovalId, until: Instant) -> Result<Option<Approval>, LedgerError> {
        self.waiting.settled(id, until).await
    }

    /// A place among those of a bottle that wait; `None` where too many do.
    pub fn place_to_wait(&self, bottle: &BottleName) -> Option<OwnedSemaphorePermit> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.retain(|_, places| places.available_permits() < HOLDERS);
        let places = holders.entry(bottle.clone()).or_insert_with(|| Arc::new(Semaphore::new(HOLDERS)));
        places.clone().try_acquire_owned().ok()
    }

    /// An approval of this bottle, or any where none is named; `None` when there is none that may be seen.
    pub async fn fetch(
        &self,
        id: &ApprovalId,
        bottle: Option<&BottleName>,
    ) -> Result<Option<Approval>, LedgerError> {
        let found = self.ledger.approval_fetch(id, now()).await?;
        Ok(found.filter(|found| bottle.is_none_or(|bottle| found.bottle == *bottle)))
    }

    /// Tells who asked that it is approved, which is its one use; the approval as it is then, and whether it was used by
    /// this.
    pub async fn use_up(&self, approval: Approval) -> Result<(Approval, bool), LedgerError> {
        // Others are used where they pass.
        if approval.status != ApprovalStatus::Approved || approval.kind != ApprovalKind::Confirm {
            return Ok((approval, false));
        }
        let request = ConsumeRequest {
            id: approval.id.clone(),
            bottle: approval.bottle.clone(),
            fingerprint: approval.fingerprint,
            policy_revision: self.current().revision(approval.tier),
            now: now(),
        };
        match self.ledger.approval_consume(request).await? {
            ConsumeOutcome::Consumed(used) => {
                self.finish(&used).await?;
                Ok((used, true))
            }
            ConsumeOutcome::NotApproved(found)
            | ConsumeOutcome::OtherRequest(found)
            | ConsumeOutcome::OtherPolicy(found) => Ok((found, false)),
            ConsumeOutcome::Unknown => Ok((approval, false)),
        }
    }

    async fn finish(&self, used: &Approval) -> Result<(), LedgerError> {
        self.ledger.approval_finish(&used.latest_use(), ExecutionEnd::Unknown, TOLD, now()).await.map(drop)
    }

    /// A person's decision.
    pub async fn decide(&self, approve: bool, decision: Decision) -> Result<Decided, LedgerError> {
        let reason = decision.reason.as_deref().map(|reason| self.dlp.clean(reason));
        let decision = Decision { reason, ..decision };
        match approve {
            true => self.ledger.approval_approve(decision).await,
            false => self.ledger.approval_deny(decision).await,
        }
    }

    /// The bottle's egress ends until the operator resumes it.
    async fn stop(&self, bottle: &BottleName, asked: u32, window: i64) -> Result<(), LedgerError> {
        let cause = format!(
            "it asked people {asked} times in {} minutes; `hudson bottle resume {bottle}` lets it go on",
            window / 60_000
        );
        let order = BlockOrder {
            scope: Scope::new(ScopeKind::Bottle, bottle.as_str()),
            policy: Policy::Cutoff,
            cause: cause.clone(),
            actor: "hudson:approvals".to_owned(),
            now: now(),
        };
        if self.ledger.block_order(order).await? {
            self.events.write("bottle_paused", json!({"bottle": bottle, "cause": cause}));
        }
        Ok(())
    }

    async fn refuse_stopped(&self, asker: &Asker, run: Option<&Run>) -> Result<(), Unasked> {
        let policy = run.map(Run::policy);
        let governing = policy.as_ref().map(|policy| policy.governing(now())).unwrap_or_default();
        let blocks = self.ledger.block_fetch(&asker.run, &governing, now()).await?;
        let cutoff = policy.map(|policy| policy.cutoff).unwrap_or_default();
        match blocks.into_iter().find(|block| block.stops(cutoff, None)) {
            Some(block) => Err(Unasked::Stopped(block.cause)),
            None => Ok(()),
        }
    }

    fn live(&self, run: &RunId) -> Option<Arc<Run>> {
        self.runs.live().into_iter().find(|live| live.id == *run)
    }
}

impl Current {
    fn of(settings: Arc<Settings>, dialer: &Dialer) -> (Self, Vec<String>) {
        let (tokens, mut faults) = Tokens::read(&settings);
        let review = settings.approvals.review.as_ref();
        let reviewer = review.and_then(|review| match Reviewer::new(review, dialer.clone()) {
            Ok(reviewer) => Some(reviewer),
            Err(error) => {
                faults.push(format!("settings.yml: approvals.review: {error:#}"));
                None
            }
        });
        let (rules, revision) = (ActionRules::of(&settings.approvals), rules::revision(&settings.approvals));
        (Self { settings, tokens, rules, reviewer, revision }, faults)
    }

    /// What an approval of this tier is given under. A question that is taken for more than before is another.
    fn revision(&self, tier: Tier) -> String {
        format!("{}.{}", self.revision, tier.number())
    }

    fn judge(&self, asked: &Asked) -> Judged {
        let (command, context) = (asked.command.as_deref(), asked.context.as_str());
        action::judge(
            &self.rules,
            &action::Asked { action: &asked.action, command, tier: asked.tier, context },
        )
    }

    /// How long people have. The agent may say, but not beyond what a tier has where somebody watches all the time.
    fn decision_ttl(&self, asked: &Asked, judged: &Judged) -> Duration {
        match (asked.timeout, self.settings.approvals.profile) {
            (None, _) => judged.decision_ttl,
            (Some(timeout), ApprovalProfile::RealtimeTiers) if judged.tier >= Tier::Medium => {
                timeout.min(judged.decision_ttl)
            }
            (Some(timeout), _) => timeout,
        }
    }
}

fn tell(events: &EventLog, faults: Vec<String>) {
    for fault in faults {
        events.write("approvals_fault", json!({"error": fault}));
    }
}

/// Who asks, as it is written down: the run, and what the agent calls itself.
fn requester(run: &RunId, named: Option<String>) -> String {
    match named {
        Some(name) => format!("run:{run} as {name}"),
        None => format!("run:{run}"),
    }
}
