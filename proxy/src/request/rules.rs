//! The stage of a route's rules: what denies refuses, what asks is said, and what counts is counted before anything leaves.
//!
//! Invariant: what is judged is what is sent: the head as DLP has left it, and the body, where it could decide, as a whole
//! and in clear. A judgement by counters stands only while they do: counting looks again, in its transaction.

mod reservation;

use super::{Origin, Target, clock, metered};
use crate::event::Event;
use crate::policy::rules::{self as policy, BodyFacts, Content, Facts, Ruled};
use bytes::Bytes;
use http::HeaderMap;
use hudson_schema::config::{RollbackOn, Route, Rule};
use hudson_schema::ledger::{
    Counter, CounterBound, CounterOutcome, CounterRequest, CounterStep, LedgerError,
};
use hudson_schema::{Refusal, RefusalCode, ScopeKind};
pub(super) use reservation::{End, Reservation};
use std::collections::HashMap;
use std::sync::Arc;

/// How often a request is judged again because its counters have moved on meanwhile.
const ATTEMPTS: usize = 64;
/// From this size on, in bytes, reading a body takes long enough to make others wait.
const LARGE: usize = 64 << 10;

/// A body on its way.
pub(super) enum Sent<'a> {
    /// There is none that could be looked at: a WebSocket is opened.
    None,
    /// As it is sent.
    Encoded(&'a Bytes),
    /// As it is without its encodings, which the headers still tell.
    Clear(&'a Bytes),
}

/// A request as the rules of its route judged it, so far.
pub(super) struct Ruling {
    origin: Arc<Origin>,
    rules: Arc<[Rule]>,
    /// The route, in the names of its counters.
    route: String,
    target: Target,
    headers: HeaderMap,
    body: Body,
    /// The arguments of the tool that is called.
    args: Option<Content>,
    /// Whether the body has to be there before it is judged.
    needs_body: bool,
    /// The rule by which a person has to decide.
    approval: Option<usize>,
    /// What the counters were that it was judged by.
    seen: Vec<Seen>,
}

/// What is known of the body.
enum Body {
    Unread,
    Empty,
    Content(Content),
    Unreadable(String),
}

/// A counter that a condition asks for, and what it was.
struct Seen {
    /// As in a condition's path, without `state.`.
    path: String,
    bound: CounterBound,
    value: i64,
}

/// Judges a request by its head, as far as that decides; `None` where its route has no rules.
pub(super) async fn stage(
    origin: &Arc<Origin>,
    route: &Route,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Option<Ruling>, Refusal> {
    if route.rules.is_empty() {
        return Ok(None);
    }
    let mut ruling = Ruling {
        origin: origin.clone(),
        rules: route.rules.clone(),
        route: format!("{}://{}:{}", route.scheme.name(), route.host, route.port),
        target: target.clone(),
        headers: headers.clone(),
        body: Body::Unread,
        args: None,
        needs_body: false,
        approval: None,
        seen: Vec::new(),
    };
    ruling.look_at_counters().await?;
    ruling.needs_body = ruling.with(|facts| policy::needs_body(&ruling.rules, facts));
    match ruling.judge() {
        // What the head alone denies is not read.
        Err(Judged::Denied(refusal)) => return Err(refusal),
        Err(Judged::Unsure(_)) if ruling.needs_body => {}
        Err(Judged::Unsure(refusal)) => return Err(refusal),
        Ok(approval) => ruling.approval = approval,
    }
    Ok(Some(ruling))
}

/// A call of a tool, as one list of rules looks at it.
pub(super) struct Called<'a> {
    pub(super) rules: &'a Arc<[Rule]>,
    pub(super) target: &'a Target,
    pub(super) headers: &'a HeaderMap,
    /// What was posted, as a whole.
    pub(super) body: &'a Content,
    pub(super) arguments: &'a Content,
}

/// Judges a call of a tool; `None` where there are no rules.
pub(super) async fn of_call(
    origin: &Arc<Origin>,
    route: &Route,
    Called { rules, target, headers, body, arguments }: Called<'_>,
) -> Result<Option<Ruling>, Refusal> {
    if rules.is_empty() {
        return Ok(None);
    }
    let mut ruling = Ruling {
        origin: origin.clone(),
        rules: rules.clone(),
        route: format!("mcp {}://{}:{}", route.scheme.name(), route.host, route.port),
        target: target.clone(),
        headers: headers.clone(),
        body: match policy::reads_body(rules) {
            true => Body::Content(body.clone()),
            false => Body::Unread,
        },
        args: Some(arguments.clone()),
        needs_body: false,
        approval: None,
        seen: Vec::new(),
    };
    ruling.look_at_counters().await?;
    ruling.approval = ruling.judge().map_err(Judged::refusal)?;
    Ok(Some(ruling))
}

/// Whether the rules deny by the head alone what was let through before: for what goes on without requests.
pub(super) fn denied(
    origin: &Origin,
    route: &Route,
    target: &Target,
    headers: &HeaderMap,
) -> Option<Refusal> {
    with_facts(origin, (target, headers), BodyFacts::Empty, None, &|_| None, |facts| {
        let ruled = policy::judge(&route.rules, facts);
        ruled.refusal().filter(|_| matches!(ruled, Ruled::Denied { .. }))
    })
}

fn with_facts<T>(
    origin: &Origin,
    (target, headers): (&Target, &HeaderMap),
    body: BodyFacts<'_>,
    args: Option<&Content>,
    counters: &dyn Fn(&str) -> Option<i64>,
    ask: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let host = origin.authority.host.to_string();
    ask(&Facts {
        method: target.method.as_str(),
        host: &host,
        path: &target.path,
        query: target.query.as_deref(),
        headers,
        body,
        args,
        bottle: origin.run.bottle.as_str(),
        agent: origin.run.agent.as_ref().map(|agent| agent.as_str()),
        counters,
    })
}

/// Why a request does not pass.
enum Judged {
    /// A rule denies it.
    Denied(Refusal),
    /// It cannot be known, or depends on what is not there yet.
    Unsure(Refusal),
}

impl Ruling {
    /// Whether the body has to be read whole, and given to [`Self::read`], before it is sent.
    pub(super) fn needs_body(&self) -> bool {
        self.needs_body
    }

    /// Judges it anew with its body, where that could decide. `headers` are those of the body as it is now.
    pub(super) async fn read(&mut self, headers: &HeaderMap, sent: Sent<'_>) -> Result<(), Refusal> {
        if !self.needs_body {
            return Ok(());
        }
        self.body = match sent {
            Sent::None => Body::Empty,
            Sent::Clear(body) | Sent::Encoded(body) if body.is_empty() => Body::Empty,
            Sent::Clear(body) => content(headers.clone(), body.clone()).await,
            // What has an encoding that cannot be undone is refused where a rule could depend on it, and here it does.
            Sent::Encoded(body) => {
                let clear = metered::readable(&self.origin, headers, body.clone())?;
                content(headers.clone(), clear).await
            }
        };
        self.look_at_counters().await?;
        self.approval = self.judge().map_err(Judged::refusal)?;
        Ok(())
    }

    /// The rule by which a person has to decide, if one does.
    pub(super) fn approval(&self) -> Option<&Rule> {
        self.approval.and_then(|place| self.rules.get(place))
    }

    /// Counts it, as the last thing before it leaves. The same rule has to ask as before, or none.
    pub(super) async fn reserve(&mut self) -> Result<Reservation, Refusal> {
        for _ in 0..ATTEMPTS {
            let now = clock();
            let counted = self.with(|facts| self.steps(facts, now))?;
            if counted.is_empty() {
                return Ok(Reservation::nothing());
            }
            let request = CounterRequest {
                run: self.origin.run.id.clone(),
                steps: counted.iter().map(|counted| counted.step.clone()).collect(),
                bounds: self.seen.iter().map(|seen| seen.bound.clone()).collect(),
                now,
            };
            let outcome = self.origin.shared.ledger.counter_reserve(request).await;
            match outcome.map_err(|error| self.unavailable(&error))? {
                CounterOutcome::Reserved(id) => {
                    let of = |when| {
                        let gives = |(_, counted): &(usize, &Counted)| counted.rollback_on.contains(&when);
                        counted.iter().enumerate().filter(gives).map(|(place, _)| place).collect()
                    };
                    let (unsent, failed) = (of(RollbackOn::NotSent), of(RollbackOn::UpstreamError));
                    return Ok(Reservation::new(self.origin.clone(), id, unsent, failed));
                }
                CounterOutcome::Limited { step, used } => {
                    return Err(match counted.get(step) {
                        Some(counted) => counted.refusal(used, now),
                        None => self.moving(),
                    });
                }
                CounterOutcome::Changed => {
                    self.look_at_counters().await?;
                    let approval = self.judge().map_err(Judged::refusal)?;
                    if approval != self.approval {
                        return Err(self.moving());
                    }
                }
            }
        }
        Err(self.moving())
    }

    fn judge(&self) -> Result<Option<usize>, Judged> {
        self.with(|facts| {
            let ruled = policy::judge(&self.rules, facts);
            match (ruled.refusal(), &ruled) {
                (Some(refusal), Ruled::Denied { .. }) => Err(Judged::Denied(refusal)),
                // A rule that looks at the body may match, when that is there.
                (Some(refusal), _) => Err(Judged::Unsure(refusal)),
                (None, Ruled::Approval { rule }) => {
                    Ok(self.rules.iter().position(|other| std::ptr::eq(other, *rule)))
                }
                (None, _) => Ok(None),
            }
        })
    }

    fn with<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let value = |path: &str| self.seen.iter().find(|seen| seen.path == path).map(|seen| seen.value);
        let body = match &self.body {
            Body::Unread => BodyFacts::Unread,
            Body::Empty => BodyFacts::Empty,
            Body::Content(content) => BodyFacts::Json(content),
            Body::Unreadable(why) => BodyFacts::NotJson(why),
        };
        with_facts(&self.origin, (&self.target, &self.headers), body, self.args.as_ref(), &value, ask)
    }

    /// What the counters are that conditions ask for.
    async fn look_at_counters(&mut self) -> Result<(), Refusal> {
        let now = clock();
        let asked: HashMap<String, _> = policy::counters(&self.rules)
            .map(|(scope, name, window)| {
                let counter = Counter::at(scope.kind(), state(name), length(window.length()), now);
                (format!("{}.{name}", scope.name()), (scope, name.to_owned(), counter))
            })
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = asked.into_iter().collect();
        let counters: Vec<Counter> = asked.iter().map(|(_, (.., counter))| counter.clone()).collect();
        let ledger = &self.origin.shared.ledger;
        let values = ledger.counter_fetch(&self.origin.run.id, &counters).await;
        let values = values.map_err(|error| self.unavailable(&error))?;
        self.seen = asked
            .into_iter()
            .zip(values)
            .map(|((path, (scope, name, counter)), value)| {
                let (at_least, at_most) = policy::unchanged(&self.rules, scope, &name, value);
                Seen { path, bound: CounterBound { counter, at_least, at_most }, value }
            })
            .collect();
        Ok(())
    }

    /// What the rules that let it through count.
    fn steps(&self, facts: &Facts<'_>, now: i64) -> Result<Vec<Counted>, Refusal> {
        let mut steps = Vec::new();
        for rule in policy::counting(&self.rules, facts) {
            let mut count = |scope, name, length, add, limit: Option<u32>| {
                let counter = Counter::at(scope, name, length, now);
                let limit = limit.map(i64::from);
                let (name, on_deny) = (policy::named(rule), rule.on_deny.clone());
                let rollback_on = rule.rollback_on.clone();
                let step = CounterStep { counter, add, limit };
                steps.push(Counted { step, rule: name, on_deny, rollback_on });
            };
            if let Some(rate) = &rule.rate_limit {
                let name = format!("rate {} {}", self.route, rule.name);
                count(ScopeKind::Bottle, name, length(rate.per), 1, Some(rate.count));
            }
            if let Some(kept) = &rule.state {
                let add = policy::increment(rule, facts).map_err(|why| {
                    let message =
                        format!("What the rule {} counts cannot be known: {why}.", policy::named(rule));
                    Refusal::new(RefusalCode::MalformedRequest, message)
                })?;
                count(kept.scope.kind(), state(&kept.counter), length(kept.window.length()), add, kept.limit);
            }
        }
        Ok(steps)
    }

    fn unavailable(&self, error: &LedgerError) -> Refusal {
        let what = "counting a request";
        self.origin.shared.events.emit(Event::LedgerFailed { what, error: error.to_string() });
        Refusal::new(RefusalCode::LedgerUnavailable, "The ledger that rules count in cannot be used.")
    }

    /// Others pass meanwhile, and change what this one is judged by.
    fn moving(&self) -> Refusal {
        let message = "What the route's rules count changes too fast for this request to be judged.";
        Refusal::new(RefusalCode::RateLimited, message).with_retry_after(1)
    }
}

impl Judged {
    fn refusal(self) -> Refusal {
        match self {
            Self::Denied(refusal) | Self::Unsure(refusal) => refusal,
        }
    }
}

/// What one rule counts of a request.
struct Counted {
    step: CounterStep,
    rule: String,
    on_deny: Option<String>,
    rollback_on: Vec<RollbackOn>,
}

impl Counted {
    /// The refusal of what its limit has no room for.
    fn refusal(&self, used: i64, now: i64) -> Refusal {
        let CounterStep { counter, add, limit } = &self.step;
        let seconds = counter.window_end.saturating_sub(now).max(1).cast_unsigned().div_ceil(1000);
        let limit = limit.unwrap_or(i64::MAX);
        let why = format!(
            "The rule {} lets {limit} through until its window ends in {seconds} s: {used} are used, and this request \
             adds {add}.",
            self.rule
        );
        Refusal::new(RefusalCode::RateLimited, policy::in_front(self.on_deny.as_deref(), &why))
            .with_retry_after(seconds)
    }
}

/// Reads a body in clear, aside where that may take long.
async fn content(headers: HeaderMap, body: Bytes) -> Body {
    let large = body.len() >= LARGE;
    let read = move || match Content::of_body(&headers, &body) {
        Ok(content) => Body::Content(content),
        Err(why) => Body::Unreadable(why.to_owned()),
    };
    match large {
        false => read(),
        true => tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|_| Body::Unreadable("it could not be looked at".to_owned())),
    }
}

/// The name of a counter that rules share.
fn state(name: &str) -> String {
    format!("state {name}")
}

fn length(window: std::time::Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}
