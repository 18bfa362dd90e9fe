//! A request to a metered endpoint: read whole, estimated, admitted with a hold, made readable, sent, and its response
//! tapped.
//!
//! Invariant: the hold is a row in the ledger before the first byte leaves, and from then on every way out of this
//! module ends in a settlement or, where provably nothing was sent, in a release.

use super::credential::{Credentials, Payload};
use super::forward::{self, Unsent};
use super::settle::{Placed, Settler};
use super::tap::{self, Account, Tap};
use super::{Origin, Target, block_refusal, clock, head, whole};
use crate::body::{self, Body};
use crate::event::Event;
use crate::run::RunPolicy;
use crate::tasks::Whose;
use crate::tls::Wire;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use hudson_meter::request::{self as facts, known_output_maximum, output_maximum};
use hudson_meter::{DecodeError, RequestFacts, RequestHead, Rewrite, StreamDecoder, decode_body};
use hudson_schema::budget::Mode;
use hudson_schema::config::Route;
use hudson_schema::ledger::{AskedLimit, Exhausted, Hold, HoldOutcome, HoldRequest};
use hudson_schema::refusal::BudgetFacts;
use hudson_schema::{Format, Provider, Refusal, RefusalCode};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How far the live count may be above the truth: nineteen of twenty recorded chat streams are within five times.
const OVERCOUNT: u64 = 8;

/// How often a request is sent whose connection turned out closed before anything of it was written.
const ATTEMPTS: usize = 2;

/// Admits, sends and meters one request.
pub(super) async fn exchange(
    origin: &Arc<Origin>,
    route: &Route,
    target: &Target,
    credentials: Credentials,
    provider: Provider,
    format: Format,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, incoming) = request.into_parts();
    let room = whole::room(origin, &incoming).await?;
    let sent = readable(origin, &parts.headers, whole::read(origin, incoming).await?)?;
    let host = origin.authority.host.to_string();
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let asked = RequestHead {
        format,
        host: &host,
        path: &target.path,
        query: target.query.as_deref(),
        content_type: kind.as_deref(),
    };
    let facts = facts::read(&asked, &sent)
        .map_err(|error| Refusal::new(RefusalCode::MalformedRequest, format!("{error}.")))?;
    let policy = origin.run.policy();
    let limits = policy.limits(&provider, clock());
    let hard = policy.mode == Mode::Hard && !limits.is_empty();
    let allowance = if hard { allowance(route, &facts)? } else { 0 };
    let (hold, wanted) = place(origin, &policy, &provider, &limits, &facts, format, allowance).await?;
    let placed = Placed {
        hold: hold.clone(),
        provider,
        weights: policy.weights,
        limits,
        input: facts.input_estimate,
        model: facts.model.clone(),
        stream: facts.stream,
    };
    let settler = Settler::new(origin.clone(), placed);

    let change = Rewrite {
        output_cap: if hard { cap(&facts, format, &hold, wanted) } else { None },
        include_usage: facts.stream,
    };
    let body = match facts::rewrite(&asked, &facts, &sent, &change) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            settler.release().await;
            return Err(Refusal::new(RefusalCode::MalformedRequest, format!("{error}.")));
        }
    };
    // Usage that the client did not ask for is taken out of the stream again, which needs it in clear; so does the
    // error event with which a stream under a hard budget may have to be ended.
    let strip = format == Format::OpenaiChat && facts.stream && facts.include_usage != Some(true);
    head::outbound(&mut parts.headers);
    head::readable_encodings(&mut parts.headers, strip || (hard && facts.stream));
    parts.headers.remove(header::CONTENT_ENCODING);
    // The body that is sent is another, without trailers.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRAILER);
    let outbound = Outbound {
        origin: origin.clone(),
        target: target.clone(),
        credentials,
        headers: parts.headers,
        body,
        format,
        strip,
        cut_at: hard.then(|| cut_at(&policy, &facts, &hold, wanted)),
    };
    // From here on a task of its own: a client that leaves does not end what it has set going, and what the provider
    // charges for is read to its end.
    let (answer, answered) = oneshot::channel();
    let whose = Arc::new(Whose { run: Some(origin.run.id.clone()), host: Some(host) });
    origin.shared.tasks.spawn_for(whose, async move {
        let response = outbound.send(settler).await;
        drop(room);
        // Without a client the response is dropped here, and its tap reads on.
        let _ = answer.send(response);
    });
    answered
        .await
        .unwrap_or_else(|_| Err(Refusal::new(RefusalCode::UpstreamUnreachable, "The exchange was ended.")))
}

/// An admitted request, ready to leave.
struct Outbound {
    origin: Arc<Origin>,
    target: Target,
    credentials: Credentials,
    headers: HeaderMap,
    body: Bytes,
    format: Format,
    strip: bool,
    cut_at: Option<u64>,
}

impl Outbound {
    /// Sends it; what comes back is tapped.
    async fn send(self, settler: Settler) -> Result<Response<Body>, Refusal> {
        for attempt in 1..=ATTEMPTS {
            let Self { origin, target, credentials, .. } = &self;
            let body = body::full(self.body.clone());
            let built = forward::build(origin, target, credentials, self.headers.clone(), body);
            let signed = built.and_then(|mut request| {
                credentials.sign(&mut request, Payload::Bytes(&self.body))?;
                Ok(request)
            });
            let request = match signed {
                Ok(request) => request,
                Err(refusal) => {
                    settler.release().await;
                    return Err(refusal);
                }
            };
            match forward::send(origin, request, Wire::Preferred).await {
                Ok(response) => return self.tapped(response, settler),
                Err(Unsent { stale: true, .. }) if attempt < ATTEMPTS => {}
                Err(Unsent { refusal, provably: true, .. }) => {
                    settler.release().await;
                    return Err(refusal);
                }
                Err(Unsent { refusal, .. }) => {
                    settler.lost("no response came").await;
                    return Err(refusal);
                }
            }
        }
        // Not reached: the last attempt returns.
        settler.release().await;
        Err(Refusal::new(RefusalCode::UpstreamUnreachable, "The request could not be sent."))
    }

    fn tapped(&self, response: Response<Incoming>, settler: Settler) -> Result<Response<Body>, Refusal> {
        let (mut parts, incoming) = response.into_parts();
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let encoding = text("content-encoding").map(str::to_owned);
        let events =
            text("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
        // What cannot be decoded passes as it is: an extra chunk is better than a broken stream.
        let decodable = encoding.as_deref().is_none_or(|encoding| StreamDecoder::new(encoding).is_ok());
        let strip = self.strip && events && decodable && parts.status.is_success();
        let meter = tap::meter(self.format, &parts);
        let tap = Tap::new(incoming, meter, Account::Hold(settler), parts.status)
            .cut(self.cut_at, self.format, &parts.headers)
            .strip(strip, encoding.as_deref());
        head::inbound(&mut parts.headers);
        if strip {
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.remove(header::CONTENT_ENCODING);
        }
        forward::redacted(&self.origin, &self.credentials, parts, body::boxed(tap))
    }
}

/// The body in clear, whatever it was encoded in.
fn readable(origin: &Origin, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
    let mut encodings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        encodings.push(
            value.to_str().map_err(|_| {
                Refusal::new(RefusalCode::BodyUnreadable, "Content-Encoding is not readable.")
            })?,
        );
    }
    if encodings.is_empty() {
        return Ok(body);
    }
    let limit = origin.shared.limits.body_bytes;
    decode_body(&encodings.join(", "), &body, limit).map(Bytes::from).map_err(|error| {
        let code = match error {
            DecodeError::TooLarge => RefusalCode::BodyTooLarge,
            _ => RefusalCode::BodyUnreadable,
        };
        Refusal::new(code, format!("{error}."))
    })
}

/// What is reserved on top for work whose cost no estimate can see; a refusal where the route reserves nothing.
fn allowance(route: &Route, facts: &RequestFacts) -> Result<u64, Refusal> {
    let mut tokens = 0;
    if !facts.server_tools.is_empty() {
        if route.allowance.server_tools == 0 {
            return Err(Refusal::new(
                RefusalCode::UnmeteredEndpoint,
                format!(
                    "Under a hard budget, tools that run at the provider ({}) are refused: their cost cannot be bounded.",
                    facts.server_tools.join(", ")
                ),
            ));
        }
        tokens += route.allowance.server_tools;
    }
    if facts.background {
        if route.allowance.background == 0 {
            return Err(Refusal::new(
                RefusalCode::UnmeteredEndpoint,
                "Under a hard budget, background work is refused: it would go on after a cutoff.",
            ));
        }
        tokens += route.allowance.background;
    }
    Ok(tokens)
}

/// Places the hold; also the output that was wanted, in tokens over all choices.
async fn place(
    origin: &Origin,
    policy: &RunPolicy,
    provider: &Provider,
    limits: &[AskedLimit],
    facts: &RequestFacts,
    format: Format,
    allowance: u64,
) -> Result<(Hold, u64), Refusal> {
    let choices = facts.choices.max(1);
    let cap = facts.output_cap.unwrap_or_else(|| output_maximum(format, facts.model.as_deref()));
    let least =
        policy.min_output.max(facts.thinking_budget.map_or(0, |budget| budget.saturating_add(1))).min(cap);
    // Without a cap a stream takes all that is left, and the cut guards it (docs/decisions/0006); a whole answer cannot
    // be cut, so all of the model's maximum has to fit.
    let lowerable = facts.cap_supported || facts.stream;
    let wanted = cap.saturating_mul(choices);
    let request = HoldRequest {
        run: origin.run.id.clone(),
        provider: provider.clone(),
        host: origin.authority.host.to_string(),
        model: facts.model.clone(),
        stream: facts.stream,
        input: facts.input_estimate.saturating_add(allowance),
        output: wanted,
        min_output: if lowerable { least.saturating_mul(choices) } else { wanted },
        weights: policy.weights,
        mode: policy.mode,
        limits: limits.to_vec(),
        governing: policy.governing(clock()),
        now: clock(),
    };
    let needed = request.input.saturating_add(request.min_output);
    match origin.shared.ledger.hold_place(request).await {
        Ok(HoldOutcome::Placed(hold)) => Ok((hold, wanted)),
        Ok(HoldOutcome::Blocked(block)) => Err(block_refusal(&block, &policy.clock)),
        Ok(HoldOutcome::Exhausted(exhausted)) => Err(exhausted_refusal(policy, &exhausted, needed)),
        Err(error) => {
            origin
                .shared
                .events
                .emit(Event::LedgerFailed { what: "placing a hold", error: error.to_string() });
            Err(Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be written."))
        }
    }
}

fn exhausted_refusal(policy: &RunPolicy, exhausted: &Exhausted, needed: u64) -> Refusal {
    let Exhausted { limit: AskedLimit { limit, window_end, .. }, spent, held, crossed } = exhausted;
    let of = match limit.provider.is_any() {
        true => "all providers".to_owned(),
        false => limit.provider.to_string(),
    };
    let reset = window_end.map(|end| policy.clock.display(end));
    let state = if *crossed { "is spent" } else { "does not cover this request" };
    let mut message = format!(
        "The token budget for {of} ({}) {state}: {spent} of {} tokens are used",
        limit.scope, limit.tokens
    );
    if *held > 0 {
        message.push_str(&format!(", {held} are reserved by requests in flight"));
    }
    message.push_str(&format!(", and this request needs at least {needed}."));
    if let Some(reset) = &reset {
        message.push_str(&format!(" The budget resets at {reset}."));
    }
    Refusal::new(RefusalCode::BudgetExhausted, message).with_budget(BudgetFacts {
        scope: limit.scope.to_string(),
        provider: limit.provider.to_string(),
        limit: limit.tokens,
        spent: *spent,
        reset,
    })
}

/// The cap to write into the request, per choice: what was granted where that is less than was wanted, and where the
/// request carries none of its own. The maximum of a model that is not known is no cap to send: its host may refuse it.
fn cap(facts: &RequestFacts, format: Format, hold: &Hold, wanted: u64) -> Option<u64> {
    let lowered = hold.output < wanted;
    let known = || facts.model.as_deref().and_then(|model| known_output_maximum(format, model)).is_some();
    let needed = facts.cap_supported && (lowered || (facts.output_cap.is_none() && known()));
    needed.then(|| hold.output / facts.choices.max(1))
}

/// The live count at which a stream is ended.
///
/// Where the request carries a cap the provider keeps it, and the live count only catches one that does not; elsewhere
/// the cut is the only guard.
fn cut_at(policy: &RunPolicy, facts: &RequestFacts, hold: &Hold, wanted: u64) -> u64 {
    let left = hold.left.map_or(u64::MAX, |left| policy.weights.fitting(left));
    let granted = match facts.cap_supported {
        true => hold.output.saturating_mul(OVERCOUNT),
        false => hold.output,
    };
    // What was not granted of what was wanted is not left either.
    match hold.output < wanted {
        true => granted,
        false => granted.saturating_add(left),
    }
}
