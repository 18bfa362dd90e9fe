//! The endpoints: one table, from which requests are answered and the OpenAPI description is made.

use super::super::super::Context;
use super::super::super::approvals::Verdict;
use super::super::super::{approvals, bottle, budget, dashboard, ledger, status, usage};
use super::super::stream;
use super::{Api, Asked, openapi};
use crate::approvals::operator::Operator;
use crate::cli::{PeriodArgs, ScopeArgs, StopArgs, UsageArgs, UsageBy, WatchArgs};
use crate::control::{self, Body, RunServe, Served};
use crate::exit::Exit;
use crate::instance::now;
use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use hudson_schema::budget::BudgetMap;
use hudson_schema::ledger::{Approval, ApprovalId, ApprovalStatus, DecidedVia};
use hudson_schema::{AgentName, BottleName, Provider, RunId};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// What answers.
type Call = fn(Arc<Api>, Asked) -> BoxFuture<'static, Result<Response<Body>>>;

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// Its path, with at most one name in braces.
    pub(super) path: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// The fields of its query.
    pub(super) query: Option<fn() -> Schema>,
    /// Its body, as JSON.
    pub(super) body: Option<fn() -> Schema>,
    /// What it answers with.
    pub(super) kind: &'static str,
    pub(super) call: Call,
}

/// Every endpoint.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(
        "/v1/version",
        "Which hudson this is, where it listens, and what is wrong with its files",
        |api, _| Box::pin(async move { ok(&api.identity()) }),
    ),
    get("/v1/status", "Live runs, blocks, enforcement, warnings: `hudson status --json`", |api, _| {
        Box::pin(async move { ok(&status::object(&api.context(), api.identity()).await?) })
    }),
    get("/v1/bottles", "The bottles there are: `hudson bottle list --json`", |api, _| {
        Box::pin(async move { ok(&bottle::rows(&api.context(), Some(&api.process.ledger)).await?) })
    }),
    get("/v1/bottles/{name}", "One bottle: `hudson bottle show NAME --json`", |api, asked| {
        Box::pin(async move { ok(&bottle::object(&api.context(), &asked.named()?).await?) })
    }),
    order(
        "/v1/bottles/{name}/cutoff",
        "Let nothing out of a bottle: `hudson bottle cutoff`",
        |api, asked| Box::pin(async move { cutoff(&api.context(), stop(&asked)?).await }),
    ),
    order(
        "/v1/bottles/{name}/freeze",
        "Save what runs in a bottle and stop it: `hudson bottle freeze`",
        |api, asked| Box::pin(async move { freeze(&api.context(), stop(&asked)?).await }),
    ),
    order("/v1/bottles/{name}/kill", "Kill what runs in a bottle: `hudson bottle kill`", |api, asked| {
        Box::pin(async move { kill(&api.context(), stop(&asked)?).await })
    }),
    order("/v1/bottles/{name}/resume", "Lift what was ordered: `hudson bottle resume`", |api, asked| {
        Box::pin(async move { resume(&api.context(), &asked).await })
    }),
    Endpoint {
        query: Some(|| schema_for!(RunsQuery)),
        ..get("/v1/runs", "Runs, newest first", |api, asked| {
            Box::pin(async move {
                let RunsQuery { all } = asked.query()?;
                ok(&status::runs(&api.context(), !all).await?)
            })
        })
    },
    Endpoint {
        body: Some(|| schema_for!(RunServe)),
        ..post(
            "/v1/runs/{id}/serve",
            "Serve a run that stands in the ledger, with these credentials",
            |api, asked| Box::pin(async move { run_serve(&api, &asked).await }),
        )
    },
    Endpoint {
        query: Some(|| schema_for!(BudgetsQuery)),
        ..get(
            "/v1/budgets",
            "Every limit, what is spent and left: `hudson budget show --json`",
            |api, asked| Box::pin(async move { budgets(&api, asked.query()?).await }),
        )
    },
    Endpoint {
        body: Some(|| schema_for!(BudgetChange)),
        ..post(
            "/v1/budgets",
            "Set limits, or take back what was set: `hudson budget set` and `clear`",
            |api, asked| Box::pin(async move { budget_change(&api.context(), asked.body()?).await }),
        )
    },
    Endpoint {
        query: Some(|| schema_for!(UsageAsked)),
        ..get("/v1/usage", "Tokens by the columns in `by`: `hudson usage --json`", |api, asked| {
            Box::pin(async move {
                ok(&usage::object(&api.context(), &asked.query::<UsageAsked>()?.read()?).await?)
            })
        })
    },
    Endpoint {
        query: Some(|| schema_for!(EventsQuery)),
        kind: "text/event-stream",
        ..get("/v1/events", "Rows of the audit and this process's events, as they come", |api, asked| {
            Box::pin(async move { stream::answer(api, after(&asked)?).await })
        })
    },
    Endpoint {
        query: Some(|| schema_for!(ApprovalsQuery)),
        ..get("/v1/approvals", "What waits for a decision: `hudson approvals list --json`", |api, asked| {
            Box::pin(async move { approvals_listed(&api, asked.query()?).await })
        })
    },
    get("/v1/approvals/{id}", "One approval: `hudson approvals show ID --json`", |api, asked| {
        Box::pin(async move {
            let ledger = &api.process.ledger;
            ok(&approvals::whole(ledger, &approval(&api, asked.named()?).await?).await?)
        })
    }),
    decision(
        "/v1/approvals/{id}/approve",
        "Approve what is pending: `hudson approvals approve`",
        |api, asked| Box::pin(async move { decide(&api, &asked, Verdict::Approve).await }),
    ),
    decision("/v1/approvals/{id}/deny", "Deny what is pending: `hudson approvals deny`", |api, asked| {
        Box::pin(async move { decide(&api, &asked, Verdict::Deny).await })
    }),
    get(
        dashboard::SNAPSHOT,
        "What `hudson dashboard` shows. For a dashboard of the same version (/v1/version): the fields change with any other",
        |api, _| Box::pin(async move { ok(&api.snapshot().await?) }),
    ),
    get("/v1/openapi.json", "This description", |_, _| Box::pin(async move { ok(&openapi::description()) })),
    Endpoint {
        kind: "application/openmetrics-text",
        ..get("/metrics", "Metrics for Prometheus: docs/metrics.md", |api, _| {
            Box::pin(async move { Ok(api.watch.answer().await) })
        })
    },
];

const fn get(path: &'static str, summary: &'static str, call: Call) -> Endpoint {
    Endpoint { method: "GET", path, summary, query: None, body: None, kind: "application/json", call }
}

const fn post(path: &'static str, summary: &'static str, call: Call) -> Endpoint {
    Endpoint { method: "POST", ..get(path, summary, call) }
}

/// An operator's order about a bottle.
const fn order(path: &'static str, summary: &'static str, call: Call) -> Endpoint {
    Endpoint { body: Some(|| schema_for!(Order)), ..post(path, summary, call) }
}

/// A person's decision about an approval.
const fn decision(path: &'static str, summary: &'static str, call: Call) -> Endpoint {
    Endpoint { body: Some(|| schema_for!(Decision)), ..post(path, summary, call) }
}

/// A decision's body. Who decides is who asks on this socket.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Decision {
    /// Why: it is told to the agent, and stands in the audit. What is critical is not approved without.
    #[serde(default)]
    reason: Option<String>,
    /// The `fingerprint` of what was looked at: where it is another by now, nothing is decided.
    #[serde(default)]
    fingerprint: Option<String>,
    /// How it came.
    #[serde(default)]
    via: Via,
}

/// How a decision came to the socket.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Via {
    /// From a program.
    #[default]
    Api,
    /// From `hudson dashboard`.
    Dashboard,
}

/// The query of `GET /v1/approvals`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApprovalsQuery {
    /// Only those that are this.
    #[serde(default)]
    status: Option<ApprovalStatus>,
    /// Only what this bottle asks for.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    bottle: Option<BottleName>,
    /// Also what has ended.
    #[serde(default)]
    all: bool,
    /// The most that are listed, the newest first; 100 without it.
    #[serde(default)]
    lines: Option<u32>,
}

/// An order's body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    /// Why: it is told to the agent, and stands in the audit.
    #[serde(default)]
    reason: Option<String>,
}

/// The query of `GET /v1/runs`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunsQuery {
    /// Those too that have ended.
    #[serde(default)]
    all: bool,
}

/// The query of `GET /v1/budgets`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BudgetsQuery {
    /// Only limits that govern this bottle.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    bottle: Option<BottleName>,
}

/// Limits to set or to clear, at one scope; without any, for the whole host.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BudgetChange {
    /// All usage of this bottle.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    bottle: Option<BottleName>,
    /// All usage of this named agent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    agent: Option<AgentName>,
    /// This bottle and every bottle below it together.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    parent: Option<BottleName>,
    /// This run.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    run: Option<RunId>,
    /// Limits by provider, in tokens; instead of `clear`.
    #[serde(default)]
    set: Option<BudgetMap>,
    /// Whose limits to take back, or none for every one that was set there; instead of `set`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    clear: Option<Vec<Provider>>,
}

/// The query of `GET /v1/usage`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UsageAsked {
    /// The columns to sum by, with commas between them: agent, bottle, day, model, provider, run.
    #[serde(default)]
    by: Option<String>,
    /// Only this bottle.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    bottle: Option<BottleName>,
    /// Only this run.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    run: Option<RunId>,
    /// Only what began on or after this day or instant.
    #[serde(default)]
    since: Option<String>,
    /// Only what began before this instant, or on or before this day.
    #[serde(default)]
    until: Option<String>,
    /// Each response instead of sums.
    #[serde(default)]
    rows: bool,
}

/// The query of `GET /v1/events`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Begin with the row behind this one; `Last-Event-ID` says the same. Without either, with what comes from now on.
    #[serde(default)]
    after: Option<u32>,
}

impl UsageAsked {
    fn read(self) -> Result<UsageArgs> {
        let by = match self.by {
            None => vec![UsageBy::Bottle, UsageBy::Provider],
            Some(by) => by
                .split(',')
                .map(|by| UsageBy::from_str(by, false).map_err(|_| unknown_column(by)))
                .collect::<Result<_, _>>()?,
        };
        let Self { bottle, run, since, until, rows, .. } = self;
        let period = PeriodArgs::read(since.as_deref(), until.as_deref()).map_err(Exit::usage)?;
        Ok(UsageArgs { by, bottle, run, period, rows, csv: false, watch: WatchArgs::default() })
    }
}

fn unknown_column(by: &str) -> Exit {
    let known: Vec<String> = UsageBy::value_variants()
        .iter()
        .filter_map(|by| Some(by.to_possible_value()?.get_name().to_owned()))
        .collect();
    Exit::usage(format!("by: there is no column {by:?}; expected some of {}", known.join(", ")))
}

fn ok<T: Serialize + ?Sized>(value: &T) -> Result<Response<Body>> {
    Ok(control::json(StatusCode::OK, value))
}

fn stop(asked: &Asked) -> Result<StopArgs> {
    let Order { reason } = asked.body()?;
    Ok(StopArgs { name: asked.named()?, reason })
}

async fn cutoff(context: &Context, arguments: StopArgs) -> Result<Response<Body>> {
    let ordered = bottle::order_cutoff(context, &arguments).await?;
    ok(&ordered.object(&arguments.name))
}

async fn freeze(context: &Context, arguments: StopArgs) -> Result<Response<Body>> {
    let outcomes = bottle::order_freeze(context, &arguments).await?;
    let body = serde_json::json!({"bottle": arguments.name, "runs": outcomes});
    Ok(control::json(status(&outcomes), &body))
}

async fn kill(context: &Context, arguments: StopArgs) -> Result<Response<Body>> {
    let outcomes = bottle::order_kill(context, &arguments).await?;
    let body = serde_json::json!({"bottle": arguments.name, "runs": outcomes});
    Ok(control::json(status(&outcomes), &body))
}

/// What is ordered and not done everywhere is accepted, no more.
fn status(outcomes: &[bottle::Outcome]) -> StatusCode {
    if bottle::all_done(outcomes) { StatusCode::OK } else { StatusCode::ACCEPTED }
}

async fn resume(context: &Context, asked: &Asked) -> Result<Response<Body>> {
    let StopArgs { name, reason } = stop(asked)?;
    if reason.is_some() {
        return Err(Exit::usage("the body: a resume has no reason").into());
    }
    let resumed = bottle::order_resume(context, &name).await?;
    Ok(control::json(status(resumed.outcomes()), &resumed.object(&name)))
}

async fn approvals_listed(api: &Api, query: ApprovalsQuery) -> Result<Response<Body>> {
    let ApprovalsQuery { status, bottle, all, lines } = query;
    let asked = approvals::Query { status, bottle, all, most: lines.unwrap_or(100) };
    let rows = approvals::rows(&api.process.ledger, &asked).await?;
    ok(&rows.iter().map(approvals::object).collect::<Vec<_>>())
}

async fn approval(api: &Api, id: ApprovalId) -> Result<Approval> {
    let found = api.process.ledger.approval_fetch(&id, now()).await?;
    found.ok_or_else(|| Exit::not_found(format!("there is no approval {id}")).into())
}

/// Decides as the user of this process: nobody else is answered here, and nobody in a bottle.
async fn decide(api: &Api, asked: &Asked, verdict: Verdict) -> Result<Response<Body>> {
    let Decision { reason, fingerprint, via } = asked.body()?;
    let home = &api.process.home;
    let operator = Operator::of_this_user(home, &crate::settings::read(home)?.approvals.approvers)?;
    let via = match via {
        Via::Api => DecidedVia::Api,
        Via::Dashboard => DecidedVia::Dashboard,
    };
    let order = approvals::Order { id: asked.named()?, seen: fingerprint, verdict, reason, via };
    let told = approvals::give(&*api.process.ledger, &operator, order).await?;
    let mut object = told.object();
    if let Some(members) = object.as_object_mut() {
        members.insert("words".to_owned(), Value::from(approvals::told_words(&told)));
    }
    ok(&object)
}

async fn budgets(api: &Api, BudgetsQuery { bottle: only }: BudgetsQuery) -> Result<Response<Body>> {
    let context = api.context();
    let ledger = ledger::open(&context)?;
    if let Some(name) = &only {
        bottle::refuse_unknown(&context, ledger.as_ref(), name).await?;
    }
    let settings = crate::settings::read(&context.home)?;
    ok(&budget::every_row(&context, &settings, ledger.as_ref(), only.as_ref()).await?)
}

async fn budget_change(context: &Context, change: BudgetChange) -> Result<Response<Body>> {
    let BudgetChange { bottle, agent, parent, run, set, clear } = change;
    let named = [bottle.is_some(), agent.is_some(), parent.is_some(), run.is_some()];
    if named.into_iter().filter(|named| *named).count() > 1 {
        return Err(Exit::usage("the body: bottle, agent, parent and run exclude each other").into());
    }
    let scope = ScopeArgs { bottle, agent, parent, run };
    let changed = match (set, clear) {
        (Some(limits), None) if !limits.is_empty() => {
            Some(budget::order_set(context, scope, vec![limits]).await?)
        }
        (None, Some(providers)) => budget::order_clear(context, scope, providers).await?,
        _ => {
            return Err(Exit::usage("the body: it has either limits to `set` or providers to `clear`").into());
        }
    };
    match changed {
        Some(changed) => ok(&changed.rows),
        None => ok(&Value::Array(Vec::new())),
    }
}

/// The row behind which to begin. A browser's own header comes before the address that it was given first.
fn after(asked: &Asked) -> Result<Option<i64>> {
    let EventsQuery { after } = asked.query()?;
    match asked.headers.get("last-event-id") {
        None => Ok(after.map(i64::from)),
        Some(last) => match last.to_str().ok().and_then(|last| last.parse::<u32>().ok()) {
            Some(last) => Ok(Some(i64::from(last))),
            None => Err(Exit::usage("Last-Event-ID: expected the id of an audit row").into()),
        },
    }
}

async fn run_serve(api: &Api, asked: &Asked) -> Result<Response<Body>> {
    let run: RunId = asked.named()?;
    let mut request: RunServe = asked.body_unquoted()?;
    let Some(instance) = &api.instance else {
        return Err(Exit::conflict("this controller has no proxy to serve a run; `hudson up` has one").into());
    };
    let unknown = || Exit::not_found(format!("the ledger has no run {run}"));
    let record = instance.ledger.run_fetch(&run).await?.ok_or_else(unknown)?;
    if record.finished_at.is_some() {
        return Err(Exit::conflict(format!("run {run} has ended")).into());
    }
    let secrets = request.take_secrets();
    let serve = || instance.runs.insert(&record, secrets).with_context(|| format!("serving run {run}"));
    let own_address = match &request.listen {
        None => serve().map(|_| None)?,
        Some(address) => Some(instance.serve_at(address, serve).await?),
    };
    let addresses = instance.addresses.clone();
    ok(&Served { pid: std::process::id(), addresses, own_address })
}
