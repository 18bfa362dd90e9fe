//! `http://_egress.local/`: what a run may ask about itself. Only through the proxy, never resolved, and nothing is
//! decided here.

use crate::body::{self, Body};
use crate::confirm;
use crate::event::Event;
use crate::request;
use crate::run::Run;
use crate::shared::{Shared, now};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use hudson_schema::budget::{Precedence, asked};
use hudson_schema::ledger::LedgerError;
use hudson_schema::{Refusal, RefusalCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// The name that is answered here.
pub(crate) const HOST: &str = "_egress.local";

/// What is answered without anybody else.
const OWN: [&str; 3] = ["/allowlist", "/budget", "/health"];

/// Answers a request to [`HOST`].
pub(crate) async fn answer<B>(shared: &Shared, run: &Arc<Run>, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Without somebody to answer it, the proxy's own health is all there is.
    let path = request.uri().path();
    if confirm::is_asked(path) && (shared.confirm.is_some() || path != "/health") {
        return confirm::ask(shared, run, request).await;
    }
    own(shared, run, &request).await
}

/// What needs nobody else.
async fn own<B>(shared: &Shared, run: &Run, request: &Request<B>) -> Response<Body> {
    let is_known = OWN.contains(&request.uri().path());
    if is_known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return json_response(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"error": "only GET and HEAD are answered here"}),
        );
    }
    match request.uri().path() {
        "/allowlist" => json_response(StatusCode::OK, &allowlist(run)),
        "/budget" => match budget(shared, run).await {
            Ok(value) => json_response(StatusCode::OK, &value),
            Err(error) => {
                shared
                    .events
                    .emit(Event::LedgerFailed { what: "reading the budget", error: error.to_string() });
                let refusal = Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be read.");
                request::refused(shared, Some(run), request, None, refusal)
            }
        },
        "/health" => json_response(StatusCode::OK, &json!({"status": "ok"})),
        _ => json_response(
            StatusCode::NOT_FOUND,
            &json!({"error": "not found; try /allowlist, /budget, /confirm or /health"}),
        ),
    }
}

fn allowlist(run: &Run) -> Value {
    let policy = run.policy();
    let routes: Vec<Value> =
        policy.routes.routes.iter().map(|route| json!({"host": route.host.to_string()})).collect();
    json!({"routes": routes})
}

/// What is left under every limit of the run's scopes, the governing ones marked.
async fn budget(shared: &Shared, run: &Run) -> Result<Value, LedgerError> {
    let policy = run.policy();
    let now = now();
    let mut budgets = Vec::new();
    for scope in &policy.budgets {
        for provider in scope.budget.keys() {
            let governs = asked(&policy.budgets, provider, policy.precedence, policy.on_exhausted)
                .iter()
                .any(|limit| limit.scope == scope.scope && limit.provider == *provider);
            let limit = scope.budget.get(provider).map_or(0, |amount| amount.0);
            let start = policy.clock.start(scope.window, now);
            let balance = shared.ledger.budget_fetch(&scope.scope, provider, start).await?;
            budgets.push(json!({
                "scope": scope.scope.kind.name(),
                "name": scope.scope.key,
                "provider": provider,
                "limit": limit,
                "spent": balance.spent,
                "held": balance.held,
                "left": limit.saturating_sub(balance.spent).saturating_sub(balance.held),
                "window": scope.window.name(),
                "resets_at": policy.clock.end(scope.window, now).map(|end| policy.clock.display(end)),
                "governs": governs || policy.precedence == Precedence::All,
            }));
        }
    }
    let blocks = run.blocks(&shared.ledger, now).await?;
    Ok(json!({"run": run.id, "bottle": run.bottle, "budgets": budgets, "blocked": blocks.first()}))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
