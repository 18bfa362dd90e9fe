//! A read of work that another request has set going: a background response by its id, the results of a batch.
//!
//! Invariant: final usage that comes back is charged once, whoever reads it and however often: the ledger knows the
//! work by its host and id. What is not final charges nothing; the work's own hold stands.

use super::credential::{Credentials, Payload};
use super::gate::Gate;
use super::persist::persist;
use super::rules::Sent;
use super::tap::{self, Account, Tap};
use super::{Origin, Outbound, Target, clock, forward, head, whole};
use crate::body::{self, Body};
use crate::event::Event;
use crate::tls::Wire;
use http::{Request, Response, StatusCode, header};
use hudson_meter::Report;
use hudson_schema::ledger::{LedgerError, Retrieval, Retrieved};
use hudson_schema::{Format, Provider, Quality, Refusal, Usage};
use hyper::body::Incoming;
use std::sync::Arc;

/// What is asked, as it was judged so far.
pub(super) struct Asked<'a> {
    pub(super) target: &'a Target,
    /// What is looked for in it.
    pub(super) outbound: Option<Arc<Outbound>>,
    /// What its rules and people say.
    pub(super) gate: Gate<'a>,
}

/// Relays the read and taps its answer.
pub(super) async fn exchange(
    origin: &Arc<Origin>,
    Asked { target, outbound, mut gate }: Asked<'_>,
    credentials: Credentials,
    provider: Provider,
    format: Format,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, incoming) = request.into_parts();
    head::outbound(&mut parts.headers);
    head::readable_encodings(&mut parts.headers, !credentials.is_empty());
    // A part of the answer would state a part of the usage.
    for name in [header::RANGE, header::IF_RANGE, header::CONTENT_LENGTH, header::TRAILER] {
        parts.headers.remove(name);
    }
    let room = whole::room(origin, &incoming).await?;
    let mut asked = whole::read(origin, incoming).await?;
    if let Some(outbound) = &outbound {
        asked = outbound.encoded(&mut parts.headers, asked).await?;
    }
    gate.read(&parts.headers, Sent::Encoded(&asked)).await?;
    let permits = gate.pass(&parts.headers, Some(&asked), outbound.as_ref()).await?;
    let mut sent = forward::build(origin, target, &credentials, parts.headers, body::full(asked.clone()))?;
    credentials.sign(&mut sent, Payload::Bytes(&asked))?;
    drop(room);
    let sent = forward::send_permitted(origin, Some(&provider), sent, Wire::Preferred, permits).await;
    let (mut parts, incoming) = sent.map_err(|unsent| unsent.refusal)?.into_parts();
    let meter = tap::meter(format, &parts);
    let read = Read { origin: origin.clone(), provider, work: work(&target.path).to_owned() };
    let tap = Tap::new(incoming, meter, Account::Read(read), parts.status);
    head::inbound(&mut parts.headers);
    forward::redacted(origin, &credentials, parts, body::boxed(tap))
}

/// Whose work is read.
pub(super) struct Read {
    pub(super) origin: Arc<Origin>,
    pub(super) provider: Provider,
    /// The provider's id of it.
    work: String,
}

impl Read {
    /// Charges the final usage, if that is what came.
    pub(super) async fn finish(self, status: StatusCode, report: Report) {
        let Self { origin, provider, work } = self;
        let Some(usage) = report.usage.filter(|_| report.exact && status == StatusCode::OK) else { return };
        let read = Arc::new(Charge { provider, work, usage, model: report.model, status, read: clock() });
        let of = origin.clone();
        persist(&origin, "charging what was read", move || {
            let (origin, read) = (of.clone(), read.clone());
            async move { read.charge(&origin).await }
        })
        .await;
    }
}

/// Work that was read, with its usage.
struct Charge {
    provider: Provider,
    work: String,
    usage: Usage,
    model: Option<String>,
    status: StatusCode,
    /// When.
    read: i64,
}

impl Charge {
    async fn charge(&self, origin: &Origin) -> Result<(), LedgerError> {
        let Self { provider, work, usage, model, status, read } = self;
        let policy = origin.run.policy();
        let host = origin.authority.host.to_string();
        let retrieval = Retrieval {
            run: origin.run.id.clone(),
            provider: provider.clone(),
            host: host.clone(),
            response_id: work.clone(),
            usage: *usage,
            weights: policy.weights,
            model: model.clone(),
            status: status.as_u16(),
            limits: policy.limits(provider, clock()),
            warn_at: policy.warn_at.clone(),
            now: *read,
        };
        let Retrieved::Charged(settled) = origin.shared.ledger.usage_retrieve(retrieval).await? else {
            return Ok(());
        };
        let events = &origin.shared.events;
        events.emit(Event::UsageSettled {
            run: origin.run.id.clone(),
            provider: provider.clone(),
            host,
            model: model.clone(),
            usage: Some(*usage),
            quality: Quality::Exact,
            fault: None,
        });
        for warning in settled.warnings {
            events.emit(Event::budget_warning(warning, &policy.clock));
        }
        Ok(())
    }
}

/// The id of the work: the last part of the path, or the one before `results`.
fn work(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix("/results").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_known_by_the_id_in_the_path() {
        assert_eq!(work("/v1/responses/resp_1"), "resp_1");
        assert_eq!(work("/v1/messages/batches/msgbatch_1/results/"), "msgbatch_1");
    }
}
