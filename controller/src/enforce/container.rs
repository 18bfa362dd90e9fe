//! A bottle in a container: saved as an image and stopped, started again from that image with other credentials, or removed.
//!
//! Invariant: credentials that were in a frozen container are worth nothing in the one that takes its place.

use super::back_end::{BackEnd, CUT_OFF, Lasting};
use crate::container::{Bottle, Engine, image_labels, image_name, last_image};
use crate::environment;
use crate::instance::now;
use crate::place::Place;
use anyhow::{Context, Result};
use async_trait::async_trait;
use hudson_proxy::identity::Password;
use hudson_schema::ledger::{Action, Enforcement, RunRecord, SharedLedger};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The container of one run.
pub struct ContainerBackEnd {
    place: Place,
    run: RunRecord,
    ledger: SharedLedger,
    ended: AtomicBool,
    changed: Box<dyn Fn() + Send + Sync>,
}

impl ContainerBackEnd {
    /// The container at a run's place. Who follows it is told by `changed` when another one has taken its place.
    pub fn new(
        place: Place,
        run: RunRecord,
        ledger: SharedLedger,
        changed: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { place, run, ledger, ended: AtomicBool::new(false), changed }
    }

    /// The container has ended by itself: there is nothing left that could be saved.
    pub fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    async fn bottle(&self) -> Result<(Engine, Bottle)> {
        let Place::Container { socket, .. } = &self.place else {
            return Err(Lasting("the run has no container".to_owned()).into());
        };
        let engine = Engine::at(socket).await?;
        let bottle = Bottle::new(engine.clone(), &self.place).context("the run has no container")?;
        Ok((engine, bottle))
    }

    async fn freeze(&self, row: &Enforcement) -> Result<String> {
        let (_, bottle) = self.bottle().await?;
        let image = bottle.freeze(&image_name(row)?, &image_labels(row, &self.run)?).await?;
        Ok(format!("egress is cut off; saved as the image {image} and stopped"))
    }

    async fn resume(&self) -> Result<String> {
        let (engine, bottle) = self.bottle().await?;
        let image = last_image(&engine, &self.run.id)
            .await?
            .ok_or_else(|| Lasting(format!("the engine has no image of run {} any more", self.run.id)))?;
        let (variables, told) = self.rotated(&bottle).await?;
        bottle.resume(&image, &variables).await?;
        Ok(format!("started from the image {image}{told}"))
    }

    /// New credentials where the container has any, and what becomes of them in its environment.
    async fn rotated(&self, bottle: &Bottle) -> Result<(BTreeMap<String, String>, &'static str)> {
        let url = bottle.variable("HTTPS_PROXY").await?.unwrap_or_default();
        let Some(address) = address(&url, self.run.id.as_str()) else {
            return Ok((BTreeMap::new(), "; its environment has no proxy credentials that could be changed"));
        };
        let password = Password::generate()?;
        self.ledger.run_rotate(&self.run.id, password.hash, now()).await?;
        let url = environment::proxy_url(address, self.run.id.as_str(), &password.secret);
        let names = environment::variables(&url, Path::new("/"));
        let of_proxy = names.into_iter().filter(|(_, value)| value == url.expose_secret());
        let text = |(name, _)| (name, url.expose_secret().to_owned());
        Ok((of_proxy.map(text).collect(), " with new credentials"))
    }
}

#[async_trait]
impl BackEnd for ContainerBackEnd {
    async fn carry_out(&self, row: &Enforcement) -> Result<String> {
        let done = match row.action {
            Action::Cutoff => return Ok(CUT_OFF.to_owned()),
            Action::Freeze | Action::Resume if self.ended.load(Ordering::Relaxed) => {
                return Ok("egress is cut off; the container had ended".to_owned());
            }
            Action::Freeze => self.freeze(row).await,
            Action::Resume => self.resume().await,
            Action::Kill => {
                let (_, bottle) = self.bottle().await?;
                bottle
                    .kill()
                    .await
                    .map(|()| "egress is cut off; the container was killed and removed".to_owned())
            }
        };
        (self.changed)();
        done
    }
}

/// Where the proxy is by a run's proxy URL.
fn address(url: &str, run: &str) -> Option<SocketAddr> {
    let (user, address) = url.trim_end_matches('/').strip_prefix("http://")?.rsplit_once('@')?;
    (user.split(':').next() == Some(run)).then(|| address.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_runs_own_proxy_url_is_changed() {
        let own = address("http://r1:secret@172.18.0.1:4000", "r1");
        assert_eq!(own, Some("172.18.0.1:4000".parse().unwrap()));
        for other in
            ["http://r2:secret@172.18.0.1:4000", "http://172.18.0.1:4000", "http://r1:x@corp:3128", ""]
        {
            assert_eq!(address(other, "r1"), None, "{other}");
        }
    }
}
