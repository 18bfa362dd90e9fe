//! Giving a run its identity: an id, a password that only its environment knows, and a row in the ledger.

use crate::environment;
use crate::instance::now;
use crate::launch::Prepared;
use anyhow::{Context as _, Result};
use hudson_proxy::identity::Password;
use hudson_schema::home::Home;
use hudson_schema::ledger::{NewRun, RunRecord, SharedLedger};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;

/// A run that was given its identity.
pub struct Registered {
    /// The run as it stands in the ledger.
    pub record: RunRecord,
    password: SecretString,
}

/// Records the run of a prepared launch.
pub async fn register(ledger: &SharedLedger, prepared: &Prepared) -> Result<Registered> {
    let password = Password::generate()?;
    let run = NewRun {
        id: prepared.run.clone(),
        bottle: prepared.bottle.clone(),
        agent: prepared.agent.clone(),
        parents: prepared.resolved.bottle.parents.clone(),
        credential_hash: password.hash,
        launch: serde_json::to_value(&prepared.launch)?,
        supervised: prepared.launch.supervised,
        started_at: now(),
    };
    ledger.run_insert(run).await?;
    let record =
        ledger.run_fetch(&prepared.run).await?.context("the ledger lost the run it was just given")?;
    Ok(Registered { record, password: password.secret })
}

impl Registered {
    /// The proxy URL with the run's credentials: for the run's environment and nowhere else.
    pub fn proxy_url(&self, address: SocketAddr) -> SecretString {
        environment::proxy_url(address, self.record.id.as_str(), &self.password)
    }

    /// The variables of the run's environment.
    pub fn variables(&self, address: SocketAddr, home: &Home) -> BTreeMap<String, OsString> {
        environment::variables(&self.proxy_url(address), &home.ca_bundle())
    }
}
