//! A request on a route with `mcp:`: what it posts is read as MCP, each call of a tool passes the rules on that tool, and
//! what comes back names no tool that the agent is not to know of.
//!
//! Invariants: nothing is posted that was not read, in the one way in which it is sent; the calls of a batch go together
//! or not at all; a call that is refused is answered with its own id, where its client waits for the answer.

mod answer;

use super::approval::{Manner, OfCall, Permit, of_call};
use super::credential::{Credentials, Payload};
use super::gate::{self, Gate};
use super::rules::{self, Called, Ruling, Sent};
use super::{Origin, Outbound, Target, forward, head, metered, whole};
use crate::body::{self, Body};
use crate::event::Event;
use crate::mcp::{self, Call, Place, Posted, Says};
use crate::policy::rules::Content;
use crate::run::RunPolicy;
use crate::tls::Wire;
use answer::Asked;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use hudson_schema::config::{LogLevel, Mcp, RollbackOn, Route, Rule};
use hudson_schema::refusal::{RpcCall, RpcCalls};
use hudson_schema::{Refusal, RefusalCode};
use hyper::body::Incoming;
use std::sync::Arc;

/// How much of a tool's name is told, in characters.
const SHOWN_NAME: usize = 128;
/// The method that lists tools.
const LIST: &str = "tools/list";

/// What is asked, as it was judged so far.
pub(super) struct Judged<'a> {
    pub(super) policy: &'a Arc<RunPolicy>,
    pub(super) route: &'a Route,
    pub(super) mcp: &'a Mcp,
    pub(super) target: &'a Target,
    /// What is looked for in it.
    pub(super) outbound: Option<Arc<Outbound>>,
}

/// Reads what is posted, has it pass, and relays the answer. `gate` is that of the route's rules on requests.
pub(super) async fn exchange(
    origin: &Arc<Origin>,
    judged: Judged<'_>,
    gate: Gate<'_>,
    credentials: Credentials,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (parts, incoming) = request.into_parts();
    let said = parts.headers.clone();
    let mut headers = parts.headers;
    head::outbound(&mut headers);
    // Answers are read, and a part of a list is none.
    head::readable_encodings(&mut headers, true);
    for name in [header::RANGE, header::IF_RANGE, header::CONTENT_LENGTH, header::TRAILER] {
        headers.remove(name);
    }
    let _room = whole::room(origin, &incoming).await?;
    let body = whole::read(origin, incoming).await?;
    let body = metered::readable(origin, &headers, body)?;
    headers.remove(header::CONTENT_ENCODING);
    let reading = Reading { origin, judged: &judged, said: &said };
    let posted = reading.posted(&body)?;
    let calls = posted.as_ref().map(answered).unwrap_or_default();
    let sending = Sending { headers, body, gate, credentials };
    let answer = pass(reading, posted, sending).await;
    answer.map_err(|refusal| in_its_place(origin, judged.target, refusal, calls))
}

/// A request that is read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    origin: &'a Arc<Origin>,
    judged: &'a Judged<'a>,
    /// The headers as they came.
    said: &'a HeaderMap,
}

/// What would be sent.
struct Sending<'a> {
    headers: HeaderMap,
    /// In clear.
    body: Bytes,
    gate: Gate<'a>,
    credentials: Credentials,
}

impl Reading<'_> {
    /// What is posted; `None` where nothing is: a stream is opened, a session is ended.
    fn posted(&self, body: &[u8]) -> Result<Option<Posted>, Refusal> {
        if body.is_empty() && self.judged.target.method != Method::POST {
            return Ok(None);
        }
        let malformed = |why: String| {
            let line = self.judged.route.line;
            let message = format!("The route (line {line}) is for MCP, and {why}.");
            Refusal::new(RefusalCode::MalformedRequest, message)
        };
        mcp::readable(self.said).map_err(|differs| malformed(differs.to_string()))?;
        let posted = mcp::read(body).map_err(|fault| malformed(fault.to_string()))?;
        mcp::agree(self.said, &posted).map_err(|differs| malformed(differs.to_string()))?;
        Ok(Some(posted))
    }

    /// Judges the calls of what is posted: the rules that have let them pass so far.
    async fn judge(&self, posted: &Posted, body: &[u8]) -> Result<Vec<Ruling>, Refusal> {
        let mcp = self.judged.mcp;
        let body = Content::of_json(body).map_err(|fault| {
            Refusal::new(RefusalCode::MalformedRequest, format!("The body cannot be read: {fault}."))
        })?;
        let mut rulings = Vec::new();
        for message in &posted.messages {
            let Says::Call(call) = &message.says else { continue };
            self.exists(call)?;
            let [own, every] = mcp.lists_of(&call.tool);
            rulings.extend(self.by(own, call, &body).await?);
            rulings.extend(self.by(every, call, &body).await?);
        }
        let asks = rulings.iter().find_map(Ruling::approval);
        if let Some(rule) = asks.filter(|_| posted.messages.len() > 1) {
            let message = format!(
                "The rule {:?} has a person decide about a call of this batch; such a call has to be sent by itself.",
                rule.name
            );
            return Err(Refusal::new(RefusalCode::RuleDenied, message));
        }
        Ok(rulings)
    }

    /// Judges a call by one list of rules.
    async fn by(&self, rules: &Arc<[Rule]>, call: &Call, body: &Content) -> Result<Option<Ruling>, Refusal> {
        let Judged { route, target, .. } = self.judged;
        let called = Called { rules, target, headers: self.said, body, arguments: &call.arguments };
        rules::of_call(self.origin, route, called).await
    }

    /// Has people decide about a call, where rules say so.
    async fn ask(
        &self,
        posted: Option<&Posted>,
        rulings: &[Ruling],
        size: usize,
    ) -> Result<Vec<Permit>, Refusal> {
        let Self { origin, judged: Judged { policy, route, target, .. }, said: headers } = *self;
        let mut permits = Vec::new();
        // Such a call comes by itself.
        let Some(call) = posted.and_then(|posted| calls(posted).next()) else { return Ok(permits) };
        let of_session = origin.shared.mcp.knows(&place_of(origin, target));
        for ruling in rulings {
            let Some(rule) = ruling.approval() else { continue };
            let asked = OfCall { route, rule, target, headers, call, of_session };
            let question = of_call(origin, &asked);
            let back_on_error = rule.rollback_on.contains(&RollbackOn::UpstreamError);
            let manner = Manner { mode: rule.mode, size, back_on_error };
            permits.push(gate::ask(origin, policy, question, manner, rule.on_deny.as_deref()).await?);
        }
        Ok(permits)
    }

    /// Whether there is such a tool, as far as the agent is to know.
    fn exists(&self, call: &Call) -> Result<(), Refusal> {
        let Judged { mcp, route, .. } = self.judged;
        let why = if mcp.hides(&call.tool) {
            "hides this tool"
        } else if mcp.tool(&call.tool).closed {
            "names the tools that may be called, and this is none of them"
        } else {
            return Ok(());
        };
        let (tool, line) = (shown(&call.tool), route.line);
        let message = format!("The tool {tool:?} cannot be called: the route (line {line}) {why}.");
        Err(Refusal::new(RefusalCode::RuleDenied, message))
    }
}

/// Has it pass every stage that is left, and sends it.
async fn pass(
    reading: Reading<'_>,
    posted: Option<Posted>,
    sending: Sending<'_>,
) -> Result<Response<Body>, Refusal> {
    let Reading { origin, judged, .. } = reading;
    let Sending { mut headers, mut body, mut gate, credentials } = sending;
    if let Some(outbound) = &judged.outbound {
        body = outbound.whole(body).await?;
    }
    // What DLP has redacted is read again: it is that which is sent.
    let posted = match posted {
        Some(_) => reading.posted(&body)?,
        None => None,
    };
    gate.read(&headers, Sent::Clear(&body)).await?;
    let rulings = match &posted {
        Some(posted) => reading.judge(posted, &body).await?,
        None => Vec::new(),
    };
    headers.remove(header::CONTENT_LENGTH);
    let whole = match posted.is_some() {
        true => body::full(body.clone()),
        false => body::empty(),
    };
    let mut request = forward::build(origin, judged.target, &credentials, headers.clone(), whole)?;
    credentials.sign(&mut request, Payload::Bytes(&body))?;
    let asked = reading.ask(posted.as_ref(), &rulings, body.len()).await?;
    let mut permits = gate.pass(&headers, Some(&body), judged.outbound.as_ref()).await?;
    asked.into_iter().for_each(|permit| permits.push(permit));
    for mut ruling in rulings {
        match ruling.reserve().await {
            Ok(reserved) => permits.count(reserved),
            Err(refusal) => {
                permits.give_back().await;
                return Err(refusal);
            }
        }
    }
    permits.sending();
    let response = match forward::send(origin, None, request, Wire::Preferred).await {
        Ok(response) => response,
        failed => {
            permits.answered(&failed).await;
            return failed.map(|response| response.map(body::boxed)).map_err(|unsent| unsent.refusal);
        }
    };
    told(reading, posted.as_ref());
    let asked = Asked {
        lists: posted.as_ref().is_some_and(asks_for_list),
        calls: posted.as_ref().is_some_and(|posted| calls(posted).next().is_some()),
    };
    answer::relayed(reading, asked, permits, forward::respond(origin, &credentials, response)?).await
}

/// One event for each tool that was called.
fn told(Reading { origin, judged, .. }: Reading<'_>, posted: Option<&Posted>) {
    if judged.policy.routes.log < LogLevel::Full {
        return;
    }
    for call in posted.into_iter().flat_map(calls) {
        origin.shared.events.emit(Event::ToolCalled {
            run: origin.run.id.clone(),
            host: origin.authority.host.to_string(),
            path: judged.target.path.clone(),
            tool: shown(&call.tool),
        });
    }
}

fn calls(posted: &Posted) -> impl Iterator<Item = &Call> {
    posted.messages.iter().filter_map(|message| match &message.says {
        Says::Call(call) => Some(call),
        Says::Method(_) | Says::Answer => None,
    })
}

fn asks_for_list(posted: &Posted) -> bool {
    posted.messages.iter().any(|message| matches!(&message.says, Says::Method(method) if method == LIST))
}

/// Those of what is posted that want an answer.
fn answered(posted: &Posted) -> RpcCalls {
    let calls = posted.messages.iter().filter_map(|message| {
        let tool = match &message.says {
            Says::Call(call) => Some(shown(&call.tool)),
            Says::Method(_) => None,
            Says::Answer => return None,
        };
        Some(RpcCall { id: message.id.clone()?, tool })
    });
    RpcCalls { batch: posted.batch, calls: calls.collect(), on_stream: false }
}

/// The refusal as the answer to these calls, on the stream where their client waits for it.
fn in_its_place(origin: &Origin, target: &Target, refusal: Refusal, mut calls: RpcCalls) -> Refusal {
    let place = place_of(origin, target);
    let cleaned = super::cleaned(&origin.shared, refusal.clone());
    let told = |call: &RpcCall| {
        let event = format!("event: message\r\ndata: {}\r\n\r\n", call.message(&cleaned));
        origin.shared.mcp.tell(&place, Bytes::from(event))
    };
    // All of them or none: what is answered twice is an answer to something else.
    calls.on_stream = !calls.calls.is_empty() && calls.calls.iter().all(told);
    refusal.with_calls(calls)
}

/// Where a request goes, as a stream would name it.
fn place_of(origin: &Origin, target: &Target) -> Place {
    let endpoint = match &target.query {
        Some(query) => format!("{}?{query}", target.path),
        None => target.path.clone(),
    };
    place(origin, endpoint)
}

fn place(origin: &Origin, endpoint: String) -> Place {
    let Origin { run, scheme, authority, .. } = origin;
    Place { run: run.id.clone(), scheme: *scheme, authority: authority.clone(), endpoint }
}

/// A tool's name as it is told: agents choose names, and not how long what is told gets.
fn shown(tool: &str) -> String {
    tool.chars().take(SHOWN_NAME).collect()
}
