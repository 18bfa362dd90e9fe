//! `hudson usage`: what the ledger recorded, summed by columns or row by row.

mod rows;
mod sums;

use super::{Context, bottle, csv, ledger, output, watch};
use crate::cli::UsageArgs;
use crate::exit::{self, Exit};
use anyhow::Result;
use hudson_schema::ledger::{SharedLedger, UsageQuery};
use serde_json::{Value, json};

/// Prints usage.
pub(super) async fn execute(context: &Context, arguments: UsageArgs) -> Result<u8> {
    if !arguments.csv {
        return watch::show(context, arguments.watch, async || page(context, &arguments).await).await;
    }
    let (ledger, query) = asked(context, &arguments).await?;
    match arguments.rows {
        true => rows::csv(rows::read(ledger.as_ref(), query).await?)?,
        false => sums::csv(&arguments.by, sums::read(ledger.as_ref(), query).await?)?,
    }
    Ok(exit::OK)
}

/// The same as JSON.
pub(super) async fn object(context: &Context, arguments: &UsageArgs) -> Result<Value> {
    let (ledger, query) = asked(context, arguments).await?;
    Ok(match arguments.rows {
        true => json!(rows::read(ledger.as_ref(), query).await?),
        false => json!(sums::objects(&arguments.by, &sums::read(ledger.as_ref(), query).await?)),
    })
}

async fn page(context: &Context, arguments: &UsageArgs) -> Result<String> {
    let (ledger, query) = asked(context, arguments).await?;
    if ledger.is_none() && !context.json {
        return Ok(ledger::nothing_yet(context));
    }
    if context.json {
        return output::json_line(&object(context, arguments).await?);
    }
    Ok(match arguments.rows {
        true => rows::table(rows::read(ledger.as_ref(), query).await?),
        false => sums::table(&arguments.by, sums::read(ledger.as_ref(), query).await?),
    })
}

/// The ledger, where there is one, and what is asked of it.
async fn asked(context: &Context, arguments: &UsageArgs) -> Result<(Option<SharedLedger>, UsageQuery)> {
    let ledger = ledger::open(context)?;
    if let Some(ledger) = &ledger {
        refuse_unknown(context, ledger, arguments).await?;
    }
    let query = UsageQuery {
        run: arguments.run.clone(),
        bottle: arguments.bottle.clone(),
        since: arguments.period.since,
        until: arguments.period.until,
        by: sums::columns(&arguments.by),
    };
    Ok((ledger, query))
}

/// A misspelt name must not look like a bottle that used nothing.
async fn refuse_unknown(context: &Context, ledger: &SharedLedger, arguments: &UsageArgs) -> Result<()> {
    if let Some(id) = &arguments.run
        && ledger.run_fetch(id).await?.is_none()
    {
        return Err(Exit::not_found(format!(
            "the ledger has no run {id}; `hudson usage --by run` lists them"
        ))
        .into());
    }
    if let Some(name) = &arguments.bottle {
        bottle::refuse_unknown(context, Some(ledger), name).await?;
    }
    Ok(())
}
