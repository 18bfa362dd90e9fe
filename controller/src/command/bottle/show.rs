//! `hudson bottle show`: one bottle with everything it inherits, and what it used. No value of a variable or credential
//! is shown.

use super::super::{credential, output};
use super::{Context, ledger, refuse_unknown};
use crate::exit;
use anyhow::Result;
use hudson_schema::BottleName;
use hudson_schema::budget::with_overrides;
use hudson_schema::config::{BottleConfig, Route, Settings, load_bottle};
use hudson_schema::ledger::{SharedLedger, UsageColumn, UsageQuery};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Shows one bottle.
pub(super) async fn execute(context: &Context, name: &BottleName) -> Result<u8> {
    let object = object(context, name).await?;
    match context.json {
        true => output::json(&object)?,
        false => output::text(&words(&object))?,
    }
    Ok(exit::OK)
}

/// The same as JSON.
pub(in super::super) async fn object(context: &Context, name: &BottleName) -> Result<Value> {
    let ledger = ledger::open(context)?;
    refuse_unknown(context, ledger.as_ref(), name).await?;
    let settings = crate::settings::read(&context.home)?;
    let bottle = load_bottle(&context.home, name, None)?;
    object_of(&settings, &bottle, ledger.as_ref()).await
}

async fn object_of(
    settings: &Settings,
    bottle: &BottleConfig,
    ledger: Option<&SharedLedger>,
) -> Result<Value> {
    let overrides = match ledger {
        Some(ledger) => ledger.budget_override_list().await?,
        None => Vec::new(),
    };
    let budgets: Vec<Value> = with_overrides(&settings.scope_budgets(None, None, bottle), &overrides)
        .iter()
        .flat_map(|scope| {
            scope.budget.iter().map(|(provider, amount)| {
                json!({
                    "scope": scope.scope.kind.name(),
                    "name": scope.scope.key,
                    "provider": provider,
                    "limit": amount.0,
                    "window": scope.window.name(),
                })
            })
        })
        .collect();
    let (mut usage, mut runs) = (Vec::new(), Vec::new());
    if let Some(ledger) = ledger {
        let query = UsageQuery {
            bottle: Some(bottle.name.clone()),
            by: vec![UsageColumn::Provider],
            ..UsageQuery::default()
        };
        for sum in ledger.usage_sum(query).await? {
            usage.push(json!({
                "provider": sum.group.first(),
                "requests": sum.requests,
                "inexact": sum.inexact,
                "total": sum.usage.total,
                "charged": sum.charged,
            }));
        }
        let live = ledger.run_list(true).await?;
        runs.extend(live.into_iter().filter(|run| run.bottle == bottle.name).map(|run| run.id));
    }
    Ok(json!({
        "bottle": bottle.name,
        "parents": bottle.parents,
        "agent_provider": bottle.agent_provider.as_ref().map(|provider| &provider.template),
        "policy": settings.policy(None, None, bottle),
        "routes_file": bottle.routes_path,
        "routes": bottle.routes.routes.iter().map(route).collect::<Vec<_>>(),
        "env": bottle.env.keys().collect::<Vec<_>>(),
        "budgets": budgets,
        "live_runs": runs,
        "usage": usage,
    }))
}

fn route(route: &Route) -> Value {
    json!({
        "host": route.host.to_string(),
        "scheme": route.scheme.name(),
        "port": route.port,
        "line": route.line,
        "matches": route.matches.len(),
        "credentials": route.credentials.iter().map(credential::object).collect::<Vec<_>>(),
        "git_fetch": route.git_fetch,
    })
}

/// The same for people.
fn words(object: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let get = |object: &Value, key: &str| object.get(key).map(text).unwrap_or_default();
    let list = |key: &str| object.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let joined = |key: &str| list(key).iter().map(text).collect::<Vec<_>>().join(", ");
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let value = if value.is_empty() || value == "null" { "none".to_owned() } else { value };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<12} {value}");
    };
    line("bottle", get(object, "bottle"));
    line("parents", joined("parents"));
    line("preset", get(object, "agent_provider"));
    line("when spent", get(object, "policy"));
    line("variables", joined("env"));
    line("live runs", joined("live_runs"));
    let file = get(object, "routes_file");
    for route in list("routes") {
        let origin = format!("{}://{}:{}", get(&route, "scheme"), get(&route, "host"), get(&route, "port"));
        line("route", format!("{origin}  ({file}:{})", get(&route, "line")));
    }
    if list("routes").is_empty() {
        line("route", "none: everything is refused, unless a preset is named".to_owned());
    }
    for budget in list("budgets") {
        let scope = format!("{} {}", get(&budget, "scope"), get(&budget, "name"));
        let limit = format!("{} {}", get(&budget, "provider"), get(&budget, "limit"));
        line("budget", format!("{}: {limit} ({})", scope.trim_end(), get(&budget, "window")));
    }
    for usage in list("usage") {
        let (total, charged) = (get(&usage, "total"), get(&usage, "charged"));
        let requests = get(&usage, "requests");
        line(
            "usage",
            format!("{}: {total} tokens in {requests} requests, {charged} charged", get(&usage, "provider")),
        );
    }
    out
}
