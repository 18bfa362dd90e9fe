//! `hudson proxy` as bot-bottle's sidecar: one bottle whose routes file is named by `EGRESS_ROUTES` and whose run the
//! launcher names by `EGRESS_BOTTLE`; the proxy URL is written to the file that `EGRESS_PROXY_URL_FILE` names. At
//! `EGRESS_LISTEN`, an address in the bottle's own network, its clients need no credentials.

use crate::exit::Exit;
use crate::instance::Instance;
use crate::launch::{Prepared, Request};
use crate::{network, register};
use anyhow::{Context, Result};
use hudson_schema::BottleName;
use hudson_schema::config::BottleAddress;
use secrecy::ExposeSecret;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The one bottle of a sidecar.
pub struct Sidecar {
    routes: PathBuf,
    bottle: BottleName,
    url_file: PathBuf,
    listen: Option<BottleAddress>,
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
    let listen = match variable("EGRESS_LISTEN") {
        Some(text) => Some(text.parse().map_err(|error| Exit::usage(format!("EGRESS_LISTEN: {error}")))?),
        None => None,
    };
    let routes = std::path::absolute(routes).context("EGRESS_ROUTES")?;
    Ok(Some(Sidecar { routes, bottle, url_file: PathBuf::from(url_file), listen }))
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
        let address = network::first_tcp(&instance.addresses)?;
        let registered = register::register(&instance.ledger, &prepared).await?;
        let url = registered.proxy_url(address);
        let serve = || instance.runs.insert(&registered.record, HashMap::new());
        match &self.listen {
            None => drop(serve()?),
            Some(address) => {
                let address = instance.serve_at(address, serve).await?;
                instance.events.write("bottle_listening", json!({"address": address}));
            }
        }
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
