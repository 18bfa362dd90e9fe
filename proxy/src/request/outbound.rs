//! Outbound DLP: what a request holds is looked at before any of it leaves, and refused, redacted or told of as its route
//! says.
//!
//! Invariant: what is looked at is what would be sent: the agent's own keys that Hudson takes off are not, and whatever
//! is rewritten is looked at again. No refusal and no event holds what was found.

mod gather;
mod head;
mod room;
mod stream;
mod supervise;
mod whole;

use super::{Origin, Target, clock, emit};
use crate::dlp::{Judge, Judged, Loaded, Ring, RunValues};
use crate::event::Event;
use crate::run::{Run, RunPolicy};
use crate::shared::Shared;
pub(super) use gather::Gathered;
use http::Method;
use hudson_dlp::{Action, Class, Finding, Fragments, Part, Scanner};
use hudson_schema::config::{Detectors, Host, OnMatch, OutboundDetector, Route};
use hudson_schema::ledger::{BlockOrder, NewFinding, NewFindings};
use hudson_schema::{Refusal, RefusalCode, Scope, ScopeKind};
pub(crate) use room::Allowance;
use std::collections::HashSet;
use std::sync::Arc;
use supervise::Supervised;

/// For how long, in milliseconds, a WebSocket message is looked at together with those behind it.
const MESSAGES_KEPT: u64 = 60_000;
/// Findings of one look that are recorded one by one.
const RECORDED: usize = 32;

/// What is looked for in one request, and what is done about it.
pub(crate) struct Outbound {
    shared: Arc<Shared>,
    run: Arc<Run>,
    loaded: Arc<Loaded>,
    values: Arc<RunValues>,
    detectors: Arc<hudson_dlp::Detectors>,
    /// What the bottle has sent there before; none for a conversation, which is sent again at each turn.
    ring: Option<Arc<Ring>>,
    chosen: Detectors<OutboundDetector>,
    on_match: OnMatch,
    /// The route's line.
    line: usize,
    host: Host,
    /// The same as text.
    name: String,
    method: Method,
    path: String,
    /// How the upstream is spoken to, and its authority, as they stand in a URL.
    scheme: &'static str,
    named: String,
    /// Where a person can be asked: the request's origin, and the policy by which it was judged.
    asking: Option<(Arc<Origin>, Arc<RunPolicy>)>,
    supervised: Supervised,
}

/// What is asked of the host.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// By a request; without one, for a tunnel.
    pub(crate) target: Option<&'a Target>,
    /// Whether it is a turn of a conversation with a model.
    pub(crate) conversation: bool,
    /// Where a person can be asked about what is found; without it, nobody is.
    pub(crate) asking: Option<(&'a Arc<Origin>, &'a Arc<RunPolicy>)>,
}

impl Outbound {
    /// What is looked for on a route; `None` where nothing is.
    pub(crate) async fn of(
        shared: &Arc<Shared>,
        run: &Arc<Run>,
        route: &Route,
        host: &Host,
        asked: Asked<'_>,
    ) -> Option<Arc<Self>> {
        let Asked { target, conversation, asking } = asked;
        let (loaded, values) = shared.dlp.of(run).await;
        let chosen = route.dlp.outbound.clone();
        if chosen == Detectors::Off && !loaded.canaries {
            return None;
        }
        let entropy = matches!(&chosen, Detectors::Only(list) if list.contains(&OutboundDetector::Entropy));
        let detectors = if entropy { loaded.with_entropy.clone() } else { loaded.detectors.clone() };
        let name = host.to_string();
        let ring = (!conversation).then(|| shared.dlp.ring(&run.bottle, &name, &loaded));
        Some(Arc::new(Self {
            shared: shared.clone(),
            run: run.clone(),
            loaded,
            values,
            detectors,
            ring,
            chosen,
            on_match: route.outbound_on_match,
            line: route.line,
            host: host.clone(),
            name,
            method: target.map_or(Method::CONNECT, |target| target.method.clone()),
            path: target.map(|target| target.path.clone()).unwrap_or_default(),
            scheme: asking.map_or("https", |(origin, _)| origin.scheme.name()),
            named: asking.map(|(origin, _)| origin.named.clone()).unwrap_or_default(),
            asking: asking.map(|(origin, policy)| (origin.clone(), policy.clone())),
            supervised: Supervised::default(),
        }))
    }

    /// The name of a host that a wildcard lets the agent choose, before it is resolved.
    pub(crate) async fn host(&self) -> Result<(), Refusal> {
        let judged = self.judge(self.detectors.scan_host(&self.name));
        match self.act(&judged).await {
            Action::Block | Action::Supervise | Action::Redact => Err(self.refusal(&judged)),
            Action::Allow | Action::Warn => Ok(()),
        }
    }

    /// What finds it.
    pub(super) fn detectors(&self) -> Arc<hudson_dlp::Detectors> {
        self.detectors.clone()
    }

    /// Looks at a part as it flows by.
    pub(super) fn scanner(&self, part: Part) -> Scanner {
        Scanner::new(self.detectors.clone(), part, &self.name)
    }

    /// What control frames of a WebSocket hold.
    pub(super) fn control(&self, said: &[u8]) -> Vec<Finding> {
        match said.is_empty() {
            true => Vec::new(),
            false => self.detectors.scan(Part::Message, &self.name, said),
        }
    }

    /// Looks at several messages together.
    pub(super) fn fragments(&self) -> Fragments {
        Fragments::new(self.detectors.clone(), Part::Message, &self.name, MESSAGES_KEPT)
    }

    pub(super) fn judge(&self, findings: Vec<Finding>) -> Vec<Judged> {
        if findings.is_empty() {
            return Vec::new();
        }
        let judge = Judge {
            loaded: &self.loaded,
            values: &self.values,
            chosen: &self.chosen,
            on_match: self.on_match,
            host: &self.host,
            now: clock(),
        };
        judge.judge(findings)
    }

    /// Tells of what was found and records it, and stops the bottle for a canary; the strictest of what is to be done.
    pub(super) async fn act(&self, judged: &[Judged]) -> Action {
        self.tell(judged);
        self.remember(judged);
        let trips = judged.iter().any(|judged| judged.finding.class == Class::Trip);
        let trip = async {
            if trips {
                self.trip().await;
            }
        };
        // Both at once: an agent that goes away meanwhile takes neither back.
        tokio::join!(trip, self.record(judged));
        strictest(judged)
    }

    /// One event for each finding that was not told of yet.
    fn tell(&self, judged: &[Judged]) {
        for one in judged.iter().filter(|judged| judged.wanted) {
            let Judged { finding, action, suppressed, .. } = one;
            // What is refused is told each time.
            if *action < Action::Redact && !self.is_news("event", one) {
                continue;
            }
            self.shared.events.emit(Event::DlpFinding {
                run: self.run.id.clone(),
                bottle: self.run.bottle.clone(),
                host: self.name.clone(),
                method: self.method.to_string(),
                path: self.path.clone(),
                action: action.name(),
                place: finding.place(),
                finding: Box::new(finding.clone()),
                suppressed: suppressed.clone(),
            });
        }
    }

    /// Whether this was not told of there in the last minutes.
    fn is_news(&self, sink: &str, Judged { finding, action, .. }: &Judged) -> bool {
        let key = (sink, &self.run.id, &finding.rule, &finding.hash, &self.name, action.name());
        self.shared.dlp.is_news(&key)
    }

    /// A row of the audit for each value that was kept from leaving. A ledger that fails changes no verdict.
    async fn record(&self, judged: &[Judged]) {
        let mut stopped: Vec<&Judged> = judged.iter().filter(|one| one.action >= Action::Redact).collect();
        stopped.sort_by_key(|one| std::cmp::Reverse((one.finding.class, one.action)));
        let mut known = HashSet::new();
        stopped.retain(|one| known.insert((&one.finding.rule, &one.finding.hash, one.finding.place())));
        // What is sent again and again is one row in a while: an agent must not choose how large the audit grows.
        stopped.retain(|one| self.is_news("audit", one));
        if stopped.is_empty() {
            return;
        }
        let more = stopped.len().saturating_sub(RECORDED);
        let dlp = &self.shared.dlp;
        let host = dlp.clean(&self.name);
        let recorded = stopped.iter().take(RECORDED).map(|Judged { finding, action, .. }| NewFinding {
            rule: finding.rule.to_string(),
            action: action.name(),
            place: dlp.clean(&finding.place()),
            hash: finding.hash.clone(),
            host: host.clone(),
            preview: finding.preview.to_string(),
        });
        let findings =
            NewFindings { run: self.run.id.clone(), findings: recorded.collect(), more, now: clock() };
        if let Err(error) = self.shared.ledger.finding_insert(findings).await {
            let what = "recording a finding";
            self.shared.events.emit(Event::LedgerFailed { what, error: error.to_string() });
        }
    }

    /// Orders the bottle stopped: it has sent what nobody uses.
    async fn trip(&self) {
        let Self { shared, run, loaded, .. } = self;
        let policy = loaded.setup.on_canary;
        let order = BlockOrder {
            scope: Scope::new(ScopeKind::Bottle, run.bottle.as_str()),
            policy,
            cause: format!("a canary was in a request to {}", shared.dlp.clean(&self.name)),
            actor: "hudson".to_owned(),
            now: clock(),
        };
        let (run, bottle) = (run.id.clone(), run.bottle.clone());
        shared.events.emit(Event::CanaryTripped { run, bottle, host: self.name.clone(), policy });
        if let Err(error) = shared.ledger.block_order(order).await {
            let what = "stopping a bottle for a canary";
            shared.events.emit(Event::LedgerFailed { what, error: error.to_string() });
        }
    }

    /// The refusal of what was found.
    pub(super) fn refusal(&self, judged: &[Judged]) -> Refusal {
        let Some(worst) = judged.iter().max_by_key(|judged| judged.action) else {
            return Refusal::new(RefusalCode::DlpBlocked, "DLP: the request was refused.");
        };
        let finding = &worst.finding;
        let found = self.found(finding);
        let why = match worst.action {
            _ if finding.class == Class::Trip => "such a value must not leave on any route".to_owned(),
            Action::Supervise if finding.is_known() => "nobody can let it through".to_owned(),
            Action::Supervise => format!(
                "the route (line {}) has a person decide about such requests, and this cannot be held for one",
                self.line
            ),
            Action::Redact => {
                format!("the route (line {}) redacts it, which cannot be done there", self.line)
            }
            _ => format!("the route (line {}) blocks it", self.line),
        };
        let why = match finding.is_known() && finding.class != Class::Trip {
            true => format!("{why}; it is a value that Hudson knows, which nothing suppresses"),
            false => why,
        };
        let code = match worst.action {
            Action::Redact if finding.class != Class::Trip => RefusalCode::RedactionUnsafe,
            _ => RefusalCode::DlpBlocked,
        };
        Refusal::new(code, format!("{found}; {why}."))
    }

    /// A finding in words, without the value.
    fn found(&self, finding: &Finding) -> String {
        let place = self.shared.dlp.clean(&finding.place());
        format!("DLP: the rule {} found a secret in the {place} (finding {})", finding.rule, finding.hash)
    }

    /// Reports a refusal that no response tells.
    pub(super) fn report(&self, refusal: &Refusal) {
        let host = self.name.clone();
        emit(&self.shared, Some(&self.run), &self.method, host, &self.path, None, refusal);
    }
}

pub(super) fn strictest(judged: &[Judged]) -> Action {
    judged.iter().map(|judged| judged.action).max().unwrap_or(Action::Allow)
}
