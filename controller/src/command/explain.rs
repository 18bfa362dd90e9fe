//! `hudson explain`: what the proxy would decide about a request, by the proxy's own functions in the proxy's own order,
//! without sending anything or asking DNS.
//!
//! Invariant: `allowed` means that no rule known from files and the request's head refuses it; what only the ledger, the
//! network or the body can tell is named as open.

mod asked;
mod decide;
mod dlp;
mod rules;
mod show;

use super::{Context, bottle, output};
use crate::cli::ExplainArgs;
use crate::exit::{self, Exit};
use crate::launch::{Prepared, Request};
use anyhow::Result;
use asked::Asked;

/// Explains one request.
pub(super) fn execute(context: &Context, arguments: ExplainArgs) -> Result<u8> {
    let asked = Asked::parse(&arguments.method, &arguments.url, &arguments.headers)?;
    let named = arguments.routes.is_some() || arguments.provider.is_some();
    if !named && !bottle::on_disk(&context.home)?.contains(&arguments.bottle) {
        return Err(Exit::not_found(format!(
            "there is no bottle {} in {}; write {}, or name --routes or --provider",
            arguments.bottle,
            context.home.path().display(),
            context.home.routes(&arguments.bottle).display()
        ))
        .into());
    }
    let request = Request {
        bottle: Some(arguments.bottle),
        provider: arguments.provider,
        routes: arguments.routes,
        ..Request::default()
    };
    let prepared = Prepared::new(&context.home, request)?;
    let explained = decide::explain(&asked, &prepared);
    match context.json {
        true => output::json(&show::object(&asked, &prepared, &explained))?,
        false => output::text(&show::words(&asked, &prepared, &explained))?,
    }
    Ok(if explained.refusal.is_none() { exit::OK } else { exit::FAILED })
}
