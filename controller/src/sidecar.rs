//! `hudson proxy` as bot-bottle's sidecar: one bottle whose routes file is named by `EGRESS_ROUTES` and whose run the
//! launcher names by `EGRESS_BOTTLE`; the proxy URL is written to the file that `EGRESS_PROXY_URL_FILE` names.

use crate::exit::Exit;
use crate::instance::Instance;
use crate::launch::{Prepared, Request};
use crate::register;
use anyhow::{Context, Result};
use hudson_schema::BottleName;
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The one bottle of a sidecar.
pub struct Sidecar {
    routes: PathBuf,
    bottle: BottleName,
    url_file: PathBuf,
}

/// Reads the sidecar's variables; `None` without `EGRESS_ROUTES`.
pub fn from_environment() -> Result<Option<Sidecar>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(routes) = variable("EGRESS_ROUTES") else { return Ok(None) };
    let bottle = variable("EGRESS_BOTTLE").unwrap_or_else(|| "sidecar".to_owned());
    let bottle = bottle.parse().map_err(|error| Exit::usage(format!("EGRESS_BOTTLE: {error}")))?;
    let url_file = variable("EGRESS_PROXY_URL_FILE").ok_or_else(|| {
        Exit::usage(
            "EGRESS_ROUTES is set, so EGRESS_PROXY_URL_FILE must name the file for the bottle's proxy URL",
        )
    })?;
    let routes = std::path::absolute(routes).context("EGRESS_ROUTES")?;
    Ok(Some(Sidecar { routes, bottle, url_file: PathBuf::from(url_file) }))
}

impl Sidecar {
    /// Registers the bottle's run and hands its proxy URL over.
    pub async fn serve(self, instance: &Instance) -> Result<()> {
        let request = Request {
            bottle: Some(self.bottle),
            routes: Some(self.routes),
            provider: Some("none".to_owned()),
            ..Request::default()
        };
        let prepared = Prepared::new(&instance.home, request)?;
        let registered = register::register(&instance.ledger, &prepared).await?;
        instance.runs.insert(&registered.record, HashMap::new())?;
        let address = instance.addresses.first().context("the proxy listens nowhere")?;
        let url = registered.proxy_url(*address);
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.url_file)
            .and_then(|mut file| writeln!(file, "{}", url.expose_secret()))
            .with_context(|| format!("cannot write {}", self.url_file.display()))
    }
}
