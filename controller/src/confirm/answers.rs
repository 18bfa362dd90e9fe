//! Asking, and reading what became of it: what a bottle may do.
//!
//! Invariants: an answer of yes is given once to those who asked at the same time: of several that wait for one approval,
//! one is told that it is approved, and the others ask anew; who goes away withdraws nothing.

use super::record;
use super::reply::Reply;
use crate::approvals::asked::{Asked, Wait};
use crate::approvals::desk::{Asker, Desk, Unasked};
use crate::instance::now;
use http::{HeaderMap, HeaderName, StatusCode, header};
use hudson_schema::ledger::{Approval, ApprovalId, ApprovalQuery, ApprovalStatus, DecidedVia, SubmitOutcome};
use hudson_schema::{BottleName, config::ApprovalSettings};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait, whatever the settings say.
const LONGEST: Duration = Duration::from_secs(600);
/// How often one that waits asks anew because others were told first.
const TURNS: usize = 16;
/// The pending approvals that are counted.
const COUNTED: usize = 10_000;
/// What the daemon that went before called itself; monitors look for it.
const SERVICE: &str = "hermes-confirmation-daemon";

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What comes with a question beside its body.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// The URL of the service at which it can be decided, where the question came to that.
    pub(super) base: Option<&'a str>,
}

/// `POST /confirm`.
pub(super) async fn submit(desk: &Desk, asker: &Asker, manner: Manner<'_>, body: &[u8]) -> Reply {
    let asked = match Asked::read(body) {
        Ok(asked) => asked,
        Err(error) => return Reply::error(StatusCode::BAD_REQUEST, "invalid", error.to_string()),
    };
    let settings = desk.current().settings.clone();
    let wait = match wanted(manner, asked.wait, &settings.approvals) {
        Ok(wait) => wait,
        Err(why) => return Reply::error(StatusCode::BAD_REQUEST, "invalid", why),
    };
    let until = Instant::now() + wait;
    let reply = match ask(desk, asker, &asked, wait, until).await {
        Ok(Outcome::Approval(approval)) => told(&approval, manner),
        Ok(Outcome::Refused(reply)) => return reply,
        Err(error) => return unasked(&error),
    };
    match wait.is_zero() {
        true => reply,
        false => reply.with(PREFERENCE_APPLIED, &format!("wait={}", wait.as_secs())),
    }
}

enum Outcome {
    /// As it is, decided or not.
    Approval(Box<Approval>),
    /// Nobody is asked.
    Refused(Reply),
}

/// Asks, and waits until it is decided or the time is over.
async fn ask(
    desk: &Desk,
    asker: &Asker,
    asked: &Asked,
    wait: Duration,
    until: Instant,
) -> Result<Outcome, Unasked> {
    let place = if wait.is_zero() { None } else { desk.place_to_wait(&asker.bottle) };
    for _ in 0..TURNS {
        let pending = match desk.ask(asker, asked).await? {
            SubmitOutcome::Created(pending) | SubmitOutcome::Reused(pending) => pending,
            SubmitOutcome::Approved(decided) | SubmitOutcome::Denied(decided) => {
                return Ok(Outcome::Approval(Box::new(decided)));
            }
            refused => return Ok(Outcome::Refused(limited(&refused))),
        };
        if place.is_none() {
            return Ok(Outcome::Approval(Box::new(pending)));
        }
        let mut found = desk.wait(&pending.id, until).await?.unwrap_or(pending);
        // Another has taken its place: that is what is waited for now.
        while let Some(next) = found.coalesced_into.clone() {
            match desk.wait(&next, until).await? {
                Some(next) => found = next,
                None => break,
            }
        }
        if !matches!(found.status, ApprovalStatus::Approved | ApprovalStatus::Consumed) {
            return Ok(Outcome::Approval(Box::new(found)));
        }
        let (found, is_ours) = desk.use_up(found).await?;
        if is_ours || found.status != ApprovalStatus::Consumed {
            return Ok(Outcome::Approval(Box::new(found)));
        }
        // Somebody else was told: one yes is for one of us.
    }
    let message = "too many ask for the same at once; ask again";
    Ok(Outcome::Refused(Reply::error(StatusCode::SERVICE_UNAVAILABLE, "approval_unavailable", message)))
}

/// `GET /confirm/{id}`, by a bottle for what it asked itself, or by an operator.
pub(super) async fn read(desk: &Desk, bottle: Option<&BottleName>, id: &str, manner: Manner<'_>) -> Reply {
    let Ok(id) = id.parse::<ApprovalId>() else { return Reply::not_found() };
    let settings = desk.current().settings.clone();
    let no_default = ApprovalSettings { default_wait: None, ..settings.approvals.clone() };
    let wait = match wanted(manner, None, &no_default) {
        Ok(wait) => wait,
        Err(why) => return Reply::error(StatusCode::BAD_REQUEST, "invalid", why),
    };
    match reading(desk, bottle, &id, wait).await {
        Ok(Some(found)) => {
            let is_open = found.status == ApprovalStatus::Pending && !wait.is_zero();
            Reply::new(if is_open { StatusCode::ACCEPTED } else { StatusCode::OK }, record::full(&found))
        }
        Ok(None) => Reply::not_found(),
        Err(error) => Reply::failed(&error),
    }
}

async fn reading(
    desk: &Desk,
    bottle: Option<&BottleName>,
    id: &ApprovalId,
    wait: Duration,
) -> Result<Option<Approval>, hudson_schema::ledger::LedgerError> {
    let Some(mut found) = desk.fetch(id, bottle).await? else { return Ok(None) };
    if found.status == ApprovalStatus::Pending
        && !wait.is_zero()
        && let Some(_place) = desk.place_to_wait(&found.bottle)
        && let Some(later) = desk.wait(id, Instant::now() + wait).await?
    {
        found = later;
    }
    // Who asked is told, and has used it by that; an operator only looks.
    match bottle {
        Some(_) => desk.use_up(found).await.map(|(found, _)| Some(found)),
        None => Ok(Some(found)),
    }
}

/// `GET /health`: all that waits for an operator, a bottle's own for a bottle, and no number for who is neither.
pub(super) async fn health(desk: &Desk, of: Option<Option<&BottleName>>) -> Reply {
    let at = now();
    let pending = match of {
        None => desk.ledger().approval_due().await.map(|_| Value::Null),
        Some(bottle) => {
            let query = ApprovalQuery {
                status: Some(ApprovalStatus::Pending),
                bottle: bottle.cloned(),
                most: COUNTED,
                now: at,
                ..ApprovalQuery::default()
            };
            desk.ledger().approval_list(query).await.map(|found| Value::from(found.len()))
        }
    };
    match pending {
        Ok(pending) => Reply::ok(json!({
            "status": "ok",
            "service": SERVICE,
            "pending": pending,
            "pending_count": pending,
            "timestamp": record::seconds(at),
            "version": env!("CARGO_PKG_VERSION"),
        })),
        Err(error) => Reply::failed(&error).and("status", "failed"),
    }
}

/// How long the answer is waited for: as the query says, else the header, else the body, else the settings.
fn wanted(manner: Manner<'_>, body: Option<Wait>, settings: &ApprovalSettings) -> Result<Duration, String> {
    let longest = settings.hold_max.0.min(LONGEST);
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(manner.query).map_err(|error| format!("the query: {error}"))?;
    if let Some((_, wait)) = query.iter().find(|(name, _)| name == "wait") {
        let seconds = wait.parse::<u64>().map_err(|_| format!("wait={wait}: expected seconds"))?;
        return Ok(Duration::from_secs(seconds).min(longest));
    }
    if let Some(seconds) = preferred(manner.headers) {
        return Ok(Duration::from_secs(seconds).min(longest));
    }
    Ok(match body {
        Some(Wait::No) => Duration::ZERO,
        Some(Wait::Longest) => longest,
        Some(Wait::For(time)) => time.min(longest),
        None => settings.default_wait.map_or(Duration::ZERO, |wait| wait.0.min(longest)),
    })
}

/// `Prefer: wait=N` (RFC 7240). A preference that is not understood is none.
fn preferred(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';']));
    preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(value)
    })
}

/// What is said to who asks: 202 while it is open, 200 with the answer.
fn told(approval: &Approval, manner: Manner<'_>) -> Reply {
    let id = &approval.id;
    let mut body = record::decided(approval);
    let url = |what: &str| manner.base.map(|base| format!("{base}/confirm/{id}/{what}"));
    let open = json!({
        "tier": approval.tier.number(),
        "risk_level": record::risk_level(approval.tier),
        "timeout_seconds": record::timeout(approval),
        "timeout": record::timeout(approval),
        "expires_at": record::seconds(approval.decision_expires_at),
        "message": message(approval),
    });
    record::merge(&mut body, open);
    if approval.status != ApprovalStatus::Pending {
        return Reply::ok(body);
    }
    let instructions = format!("An operator must run: hudson approvals approve {id}");
    let status_url = format!("{}/confirm/{id}", manner.base.unwrap_or("http://_egress.local"));
    let urls = json!({
        "approve_url": url("approve"),
        "deny_url": url("deny"),
        "status_url": status_url,
        "human_instructions": instructions,
    });
    record::merge(&mut body, urls);
    Reply::new(StatusCode::ACCEPTED, body)
}

fn message(approval: &Approval) -> String {
    let id = &approval.id;
    match approval.status {
        ApprovalStatus::Pending => format!(
            "A person has to approve this. Read /confirm/{id}?wait=30 for the answer, and do not act before; silence is \
             not consent."
        ),
        ApprovalStatus::AutoApproved => "Approved without asking a person.".to_owned(),
        ApprovalStatus::Approved | ApprovalStatus::Consumed => {
            "Approved, for this action and for once.".to_owned()
        }
        ApprovalStatus::Denied if approval.decided_via == Some(DecidedVia::System) => {
            "This was denied without asking a person. Do not try it in another way.".to_owned()
        }
        ApprovalStatus::Denied => "A person has denied this. Do not try it in another way.".to_owned(),
        ApprovalStatus::Expired => {
            "Not approved: nobody answered in time, and nobody has denied it.".to_owned()
        }
        ApprovalStatus::Cancelled | ApprovalStatus::Revoked => {
            "Not approved: the question, or the approval, was taken back.".to_owned()
        }
    }
}

/// Why nobody is asked.
fn limited(outcome: &SubmitOutcome) -> Reply {
    let refused = |message: &str, window: i64| {
        Reply::error(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .and("remaining", 0)
            .and("window_seconds", window / 1000)
    };
    match outcome {
        SubmitOutcome::RateLimited { remaining, window, retry_at } => {
            let wait = retry_at.saturating_sub(now()).max(1000) / 1000;
            refused("Rate limit exceeded: people were asked too often about this action", *window)
                .and("remaining", *remaining)
                .with(header::RETRY_AFTER, &wait.to_string())
        }
        SubmitOutcome::TooManyPending { pending } => {
            let message = format!("{pending} of this bottle wait for people already; wait for their answers");
            refused(&message, 0).and("pending", *pending).with(header::RETRY_AFTER, "30")
        }
        SubmitOutcome::Fatigued { asked, window } => {
            let message = format!(
                "people were asked {asked} times; this bottle is stopped until the operator resumes it"
            );
            refused(&message, *window).and("code", "approval_unavailable")
        }
        // Those are no refusals.
        SubmitOutcome::Created(_)
        | SubmitOutcome::Reused(_)
        | SubmitOutcome::Approved(_)
        | SubmitOutcome::Denied(_) => Reply::failed(&"an answer was taken for a refusal"),
    }
}

fn unasked(error: &Unasked) -> Reply {
    match error {
        Unasked::Unbound(_) => Reply::error(StatusCode::BAD_REQUEST, "invalid", error.to_string()),
        Unasked::Stopped(_) => Reply::error(StatusCode::FORBIDDEN, "bottle_cut_off", error.to_string()),
        Unasked::Ledger(error) => Reply::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::Period;

    fn wait(query: &str, prefer: Option<&str>, body: Option<Wait>) -> Result<u64, String> {
        let mut headers = HeaderMap::new();
        headers.extend(prefer.map(|prefer| (PREFER, prefer.parse().unwrap())));
        let settings =
            ApprovalSettings { default_wait: Some(Period::seconds(7)), ..ApprovalSettings::default() };
        wanted(Manner { query, headers: &headers, base: None }, body, &settings).map(|wait| wait.as_secs())
    }

    #[test]
    fn how_long_is_waited_is_said_in_any_of_four_ways_and_clamped() {
        assert_eq!(wait("", None, None), Ok(7));
        assert_eq!(wait("", None, Some(Wait::No)), Ok(0));
        assert_eq!(wait("", None, Some(Wait::Longest)), Ok(55));
        assert_eq!(wait("", Some("respond-async, wait=10"), Some(Wait::No)), Ok(10));
        assert_eq!(wait("", Some("wait=\"11\"; x=y"), None), Ok(11));
        assert_eq!(wait("", Some("wait=soon"), None), Ok(7));
        assert_eq!(wait("wait=3", Some("wait=10"), Some(Wait::Longest)), Ok(3));
        assert_eq!(wait("wait=0", None, None), Ok(0));
        assert_eq!(wait("a=b&wait=99999999999", None, None), Ok(55));
        assert!(wait("wait=soon", None, None).unwrap_err().contains("expected seconds"));
        let settings = ApprovalSettings { hold_max: Period::seconds(90_000), ..ApprovalSettings::default() };
        let headers = HeaderMap::new();
        let manner = Manner { query: "wait=80000", headers: &headers, base: None };
        assert_eq!(wanted(manner, None, &settings), Ok(LONGEST));
    }
}
